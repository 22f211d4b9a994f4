//! All routes, and what is around them.

use std::sync::Arc;

use axum::Router;

use crate::app::App;
use crate::call;

/// The whole server.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new().merge(call::routes()).with_state(app)
}
