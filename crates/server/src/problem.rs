//! Errors as `application/problem+json` (RFC 9457), with our code, rule and findings.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use moorline_api::ApiError;
use serde_json::json;

/// An error on its way out.
#[derive(Debug)]
pub struct Problem(pub ApiError);

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let info = error.code.info();
        let status =
            StatusCode::from_u16(info.http_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({
            "type": format!("urn:moorline:error:{}", info.text),
            "title": info.meaning,
            "status": info.http_status,
            "detail": error.message,
            "code": error.code,
            "hint": error.hint,
            "details": error.details,
        });
        let mut response = (status, body.to_string()).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}
