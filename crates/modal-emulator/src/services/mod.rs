//! The handlers: one file or directory a resource. Each has `register`, and its part of the world.

use crate::routes::{CLIENT, ROUTER, Routes};

/// All RPCs that the emulator has.
pub(crate) fn routes() -> Routes {
    let mut routes = Routes::default();
    let _client = routes.of(CLIENT);
    let _router = routes.of(ROUTER);
    routes
}
