//! The handlers: one file or directory a resource. Each has `register`, and its part of the world.
#![expect(
    clippy::unused_async,
    reason = "handlers have one form, whether they wait or not"
)]

pub(crate) mod apps;
pub(crate) mod blobs;
pub(crate) mod content;
mod dicts;
pub(crate) mod environments;
pub(crate) mod functions;
pub(crate) mod images;
pub(crate) mod logs;
pub(crate) mod mounts;
mod named;
mod packed;
mod queues;
pub(crate) mod router;
pub(crate) mod sandboxes;
pub(crate) mod schedules;
pub(crate) mod secrets;
pub(crate) mod storage;
pub(crate) mod tasks;
pub(crate) mod volumes;
pub(crate) mod workspace;

use crate::routes::{CLIENT, ROUTER, Routes};

/// All RPCs that the emulator has.
pub(crate) fn routes() -> Routes {
    let mut routes = Routes::default();
    let mut client = routes.of(CLIENT);
    apps::register(&mut client);
    environments::register(&mut client);
    functions::register(&mut client);
    logs::register(&mut client);
    sandboxes::register(&mut client);
    secrets::register(&mut client);
    storage::register(&mut client);
    tasks::register(&mut client);
    workspace::register(&mut client);
    router::register(&mut routes.of(ROUTER));
    routes
}
