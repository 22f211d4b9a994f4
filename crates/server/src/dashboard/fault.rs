//! A refusal, as a page: what happened, which rule, what to do.

use askama::Template;
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::StatusCode;
use moorline_api::{ApiError, ErrorDetail};
use moorline_core::error_code::ErrorCode;

use super::assets::{PATHS, Paths};
use super::fields::encoded;
use crate::problem::Problem;

/// Why a page could not be shown, or an action not be done.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Nobody is logged in; after it, the browser goes on to this path.
    Login(String),
    /// The operation was refused, or failed.
    Refused(Box<ApiError>),
}

#[derive(Template)]
#[template(path = "fault.html")]
struct Page<'a> {
    assets: &'a Paths,
    status: u16,
    title: &'static str,
    code: &'static str,
    message: &'a str,
    hint: &'a str,
    details: &'a [ErrorDetail],
}

impl Fault {
    /// There is no such thing.
    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        ApiError::new(ErrorCode::NotFound, what).into()
    }
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        Self::Refused(Box::new(error))
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        problem.0.into()
    }
}

impl From<askama::Error> for Fault {
    fn from(error: askama::Error) -> Self {
        let mut body = ApiError::new(ErrorCode::Internal, "the page could not be rendered");
        body.source = Some(Box::new(error));
        body.into()
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let error = match self {
            Self::Login(next) if next == "/" => return Redirect::to("/login").into_response(),
            Self::Login(next) => {
                return Redirect::to(&format!("/login?next={}", encoded(&next))).into_response();
            }
            Self::Refused(error) => error,
        };
        let info = error.code.info();
        if info.http_status >= 500 {
            tracing::error!(code = info.text, error = %error, cause = ?error.source, "a page failed");
        }
        let status = StatusCode::from_u16(info.http_status);
        let page = Page {
            assets: &PATHS,
            status: info.http_status,
            title: info.meaning,
            code: info.text,
            message: &error.message,
            hint: error.hint.as_deref().unwrap_or(info.hint),
            details: &error.details,
        };
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match page.render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => (status, error.message).into_response(),
        }
    }
}
