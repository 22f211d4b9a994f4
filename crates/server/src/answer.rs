//! What an operation answers with: one JSON document, with its version and the way to the next page.
//!
//! One object that is got has an `ETag`, a hash of what is answered (RFC 9110): `If-None-Match` with it is
//! answered by 304. A list that may go on has `Link: <…>; rel="next"` (RFC 8288), whose cursor is taken from
//! its last row: see [`PAGES`].

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use moorline_api::ApiError;
use moorline_api::routes::{Method, Route};
use moorline_core::error_code::ErrorCode;
use serde::Serialize;
use serde_json::Value;

/// Lists that come in pages: the route, the member of its request that is the cursor, the member of a row
/// that the cursor is, and how many rows a page has when the request does not say.
pub(crate) const PAGES: [(&str, &str, &str, usize); 6] = [
    ("run_list", "before", "run_id", 50),
    ("approval_list", "before", "id", 50),
    ("artifact_list", "before", "id", 50),
    ("alert_list", "before", "id", 50),
    ("audit_list", "before", "id", 50),
    ("event_list", "after", "id", 100),
];

/// A document as the answer of a route.
///
/// # Errors
/// [`ErrorCode::Internal`] for what can not be written as JSON.
pub(crate) fn document<A: Serialize>(
    route: &Route,
    parts: &Parts,
    document: &A,
) -> Result<Response, ApiError> {
    let body = body(document)?;
    let status = StatusCode::from_u16(route.status).unwrap_or(StatusCode::OK);
    let one = route.method == Method::Get && body.first() == Some(&b'{');
    let etag = one.then(|| etag(&body));
    let mut response = match &etag {
        Some(etag) if matches(&parts.headers, &header::IF_NONE_MATCH, etag) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        _ => {
            let next = next_page(route, parts, &body);
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            let json = HeaderValue::from_static("application/json");
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, json);
            headers.extend(next.map(|next| (header::LINK, next)));
            response
        }
    };
    let headers = response.headers_mut();
    let etag = etag.and_then(|etag| HeaderValue::try_from(etag).ok());
    headers.extend(etag.map(|etag| (header::ETAG, etag)));
    // What is shown is of whoever asked, and changes.
    let private = HeaderValue::from_static("private, no-cache");
    headers.insert(header::CACHE_CONTROL, private);
    Ok(response)
}

/// A document as it is answered.
///
/// # Errors
/// [`ErrorCode::Internal`] for what can not be written as JSON.
pub(crate) fn body<A: Serialize>(document: &A) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(document).map_err(|error| {
        ApiError::new(ErrorCode::Internal, "the answer can not be written as JSON").because(error)
    })
}

/// The strong validator of an answer.
pub(crate) fn etag(body: &[u8]) -> String {
    format!("\"{}\"", blake3::hash(body).to_hex())
}

/// Whether a header names this validator, or any (`*`).
pub(crate) fn matches(headers: &HeaderMap, name: &header::HeaderName, etag: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|given| given == "*" || given == etag)
}

/// Where the next page of a list is; none after the last one.
fn next_page(route: &Route, parts: &Parts, body: &[u8]) -> Option<HeaderValue> {
    let (_, cursor, member, default) = PAGES.iter().find(|page| page.0 == route.name)?;
    let query = parts.uri.query().unwrap_or_default();
    let said = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(known, _)| *known == name)
            .map(|(_, text)| text)
            .next()
    };
    // The newest ones are the last page already.
    if said("newest") == Some("true") {
        return None;
    }
    let limit = said("limit").and_then(|text| text.parse().ok());
    let limit = limit.filter(|limit| *limit != 0).unwrap_or(*default);
    let rows: Vec<Value> = serde_json::from_slice(body).ok()?;
    // A page that is shorter than asked for may have met a bound of the store's, so a short one is told too.
    if rows.is_empty() || rows.len() < limit.min(*default) {
        return None;
    }
    let at = match rows.last()?.get(member)? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let mut next: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && pair.split('=').next() != Some(cursor))
        .map(str::to_owned)
        .collect();
    next.push(format!("{cursor}={at}"));
    let path = parts.uri.path();
    HeaderValue::try_from(format!("<{path}?{}>; rel=\"next\"", next.join("&"))).ok()
}

#[cfg(test)]
mod tests {
    use http::Request;
    use moorline_api::routes::route;
    use serde_json::json;

    use super::*;
    use crate::shape::Shape;

    fn asked(uri: &str, headers: &[(header::HeaderName, &str)]) -> Parts {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_full_page_leads_to_the_next_one_with_the_same_conditions() {
        let rows: Vec<Value> = (1..=3)
            .map(|id| json!({"run_id": format!("r{id}")}))
            .collect();
        let link = |uri: &str| {
            let route = route("run_list").unwrap();
            let response = document(route, &asked(uri, &[]), &rows).unwrap();
            let link = response.headers().get(header::LINK);
            link.map(|link| link.to_str().unwrap().to_owned())
        };
        assert_eq!(
            link("/v1/runs?limit=3&statuses=failed&before=r9").as_deref(),
            Some("</v1/runs?limit=3&statuses=failed&before=r3>; rel=\"next\"")
        );
        assert_eq!(link("/v1/runs?limit=4"), None);
        assert_eq!(link("/v1/runs"), None);
    }

    #[test]
    fn what_is_known_already_is_not_sent_again() {
        let route = route("run_get").unwrap();
        let first = document(route, &asked("/v1/runs/x", &[]), &json!({"a": 1})).unwrap();
        let etag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        let known = [(header::IF_NONE_MATCH, etag.as_str())];
        let again = document(route, &asked("/v1/runs/x", &known), &json!({"a": 1})).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let changed = document(route, &asked("/v1/runs/x", &known), &json!({"a": 2})).unwrap();
        assert_eq!(changed.status(), StatusCode::OK);
    }

    #[test]
    fn every_cursor_is_a_member_of_its_request() {
        for (name, cursor, ..) in PAGES {
            assert!(
                Shape::of(route(name).unwrap()).member(cursor).is_some(),
                "{name}"
            );
        }
    }
}
