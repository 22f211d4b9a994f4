//! The OpenAPI document.

use std::sync::Arc;

use axum::Router;

use crate::app::App;

/// `/openapi.json`.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
}
