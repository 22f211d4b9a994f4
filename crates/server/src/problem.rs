//! Errors as `application/problem+json` (RFC 9457), with our code, rules and findings.
//!
//! Every error has this form, also those of the router (no such path, no such method, a body that is too
//! large): the middleware `complete` sees to that, and adds the id of the request.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use moorline_api::{ApiError, ErrorDetail};
use moorline_core::error_code::ErrorCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tower_http::request_id::RequestId;
use tracing::{error, warn};

/// The media type of a problem.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";
/// Seconds after which a store that did not answer may be asked again.
const RETRY: HeaderValue = HeaderValue::from_static("1");

/// An error on its way out.
#[derive(Debug)]
pub struct Problem(pub ApiError);

/// The document that tells of an error (RFC 9457), with members of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemDocument {
    /// Names the kind of error: `urn:moorline:error:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// What errors of this kind mean.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What happened, where, and which rule says so.
    pub detail: String,
    /// The code of the closed set, which decides exit codes too.
    pub code: ErrorCode,
    /// What to do about it.
    pub hint: Option<String>,
    /// The rules that say so, as in `D-AUDIT-2`.
    pub rules: Vec<String>,
    /// Every single finding, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<ErrorDetail>,
    /// The id of the request, which is in the log too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl ProblemDocument {
    /// The document of an error.
    fn of(error: &ApiError) -> Self {
        let info = error.code.info();
        let mut rules: Vec<String> = error
            .details
            .iter()
            .map(|detail| detail.rule.clone())
            .chain(rules_in(&error.message))
            .collect();
        rules.sort();
        rules.dedup();
        Self {
            kind: format!("urn:moorline:error:{}", info.text),
            title: info.meaning.to_owned(),
            status: info.http_status,
            detail: error.message.clone(),
            code: error.code,
            hint: error.hint.clone(),
            rules,
            details: error.details.clone(),
            request_id: None,
        }
    }

    /// What the router answered with a bare status.
    fn of_status(status: StatusCode) -> Self {
        let (code, detail, hint) = match status {
            StatusCode::NOT_FOUND => (
                ErrorCode::NotFound,
                "there is nothing at this path",
                "`/openapi.json` lists all paths",
            ),
            StatusCode::METHOD_NOT_ALLOWED => (
                ErrorCode::Usage,
                "this path does not take this method",
                "`Allow` says which methods it takes",
            ),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => (
                ErrorCode::Usage,
                "the body of this request must be JSON",
                "send `content-type: application/json`",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => (
                ErrorCode::TooLarge,
                "the body of the request is too large",
                ErrorCode::TooLarge.info().hint,
            ),
            status if status.is_server_error() => (
                ErrorCode::Internal,
                ErrorCode::Internal.info().meaning,
                ErrorCode::Internal.info().hint,
            ),
            _ => (
                ErrorCode::Usage,
                "the request does not fit this path",
                ErrorCode::Usage.info().hint,
            ),
        };
        let error = ApiError::new(code, detail).hint(hint);
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            ..Self::of(&error)
        }
    }
}

/// The rules that a message names in brackets, as in `(D-AUDIT-2)`.
fn rules_in(message: &str) -> impl Iterator<Item = String> {
    let words = message.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words
        .filter(|word| {
            let mut parts = word.split('-');
            parts.next() == Some("D")
                && parts.next().is_some_and(|area| {
                    !area.is_empty() && area.bytes().all(|byte| byte.is_ascii_uppercase())
                })
                && parts
                    .next()
                    .is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
        })
        .map(str::to_owned)
}

impl Problem {
    /// The document that tells of it, for answers that began before they failed.
    pub fn document(&self) -> Value {
        serde_json::to_value(ProblemDocument::of(&self.0)).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let document = ProblemDocument::of(&error);
        if document.status >= 500 {
            // The answer does not tell the cause; the log does.
            let mut causes = String::new();
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                causes.push_str(": ");
                causes.push_str(&inner.to_string());
                cause = inner.source();
            }
            error!(code = error.code.as_str(), "{}{causes}", error.message);
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() =
            StatusCode::from_u16(document.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        fill(&mut response, &document);
        response.extensions_mut().insert(document);
        response
    }
}

/// Puts a document into an answer, with the headers that belong to its status.
fn fill(response: &mut Response, document: &ProblemDocument) {
    let body = serde_json::to_vec(document).unwrap_or_default();
    let status = response.status();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        let realm = HeaderValue::from_static("Bearer realm=\"moorline\"");
        headers.entry(header::WWW_AUTHENTICATE).or_insert(realm);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.entry(header::RETRY_AFTER).or_insert(RETRY);
    }
    *response.body_mut() = Body::from(body);
}

/// A middleware: gives every error its document, and every document the id of its request.
pub(crate) async fn complete(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let id = id.and_then(|id| Some(id.header_value().to_str().ok()?.to_owned()));
    let mut response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let document = match response.extensions_mut().remove::<ProblemDocument>() {
        Some(document) => document,
        None if is_bare(response.headers()) => ProblemDocument::of_status(status),
        None => return response,
    };
    let document = ProblemDocument {
        request_id: id,
        ..document
    };
    fill(&mut response, &document);
    response
}

/// Whether the router answered by itself: with nothing, or with plain text.
fn is_bare(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
}

/// What a handler that panicked is answered with.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
pub(crate) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    warn!("a handler panicked: {}", said.unwrap_or("without words"));
    let meaning = ErrorCode::Internal.info().meaning;
    Problem(ApiError::new(ErrorCode::Internal, meaning)).into_response()
}

#[cfg(test)]
mod tests {
    use moorline_core::denial::Denial;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_denial_names_its_rule_once() {
        let denial = Denial::new(ErrorCode::Forbidden, "D-ART-4", "agents never approve");
        let document = Problem(denial.into()).document();
        assert_eq!(
            document,
            json!({
                "type": "urn:moorline:error:ERR_FORBIDDEN",
                "title": "the principal may not do this",
                "status": 403,
                "detail": "agents never approve (D-ART-4)",
                "code": "ERR_FORBIDDEN",
                "hint": "ask someone whose role has this operation",
                "rules": ["D-ART-4"],
            })
        );
    }

    #[test]
    fn words_that_only_look_like_rules_are_none() {
        let rules = |text: &str| rules_in(text).collect::<Vec<_>>();
        assert_eq!(rules("D-day at D-, D--1 and d-art-4"), [] as [&str; 0]);
        assert_eq!(
            rules("refused (D-SPEC-3t), as D-RUN-1 says"),
            ["D-SPEC-3t", "D-RUN-1"]
        );
    }

    #[test]
    fn what_the_router_answers_has_the_status_that_it_gave() {
        let document = ProblemDocument::of_status(StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!((document.status, document.code), (405, ErrorCode::Usage));
        assert_eq!(document.title, "Method Not Allowed");
    }
}
