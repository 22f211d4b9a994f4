//! What an operation answers with: one JSON document, with its version and the way to the next page.

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use moorline_api::ApiError;
use moorline_api::routes::Route;
use moorline_core::error_code::ErrorCode;
use serde::Serialize;

/// A document as the answer of a route.
///
/// # Errors
/// [`ErrorCode::Internal`] for what can not be written as JSON.
pub(crate) fn document<A: Serialize>(
    route: &Route,
    parts: &Parts,
    document: &A,
) -> Result<Response, ApiError> {
    let _ = parts;
    let body = serde_json::to_vec(document).map_err(|error| {
        ApiError::new(ErrorCode::Internal, "the answer can not be written as JSON").because(error)
    })?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(route.status).unwrap_or(StatusCode::OK);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}
