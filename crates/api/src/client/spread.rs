//! A request becomes path, query and body, by the one rule of [`routes`](crate::routes).

use moorline_core::error_code::ErrorCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::routes::Method;

/// What is encoded in a segment of a path and in a query: all but the unreserved characters (RFC 3986).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A request in the parts of HTTP.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spread {
    /// Path and query.
    pub(super) target: String,
    /// Members of the JSON body; none for a request that has none.
    pub(super) body: Option<Map<String, Value>>,
}

/// Spreads a request over a route.
///
/// # Errors
/// [`ErrorCode::Usage`] where a member of the path can not stand there, [`ErrorCode::Internal`] for a request
/// that does not fit the rule.
pub(super) fn spread(method: Method, path: &str, request: Value) -> Result<Spread, ApiError> {
    let mut members = match request {
        Value::Null => None,
        Value::Object(members) => Some(members),
        _ => return Err(unfit(path, "it is no object")),
    };
    if let Some(members) = &mut members {
        members.remove("actor");
    }
    let mut target = filled(path, members.as_mut())?;
    if method != Method::Get {
        let body = members;
        return Ok(Spread { target, body });
    }
    let mut mark = '?';
    for (name, value) in members.into_iter().flatten() {
        let values = match value {
            Value::Null => Vec::new(),
            Value::Array(values) => values,
            one => vec![one],
        };
        for value in values {
            let text = plain(&value).ok_or_else(|| unfit(path, &name))?;
            target.push(mark);
            target.push_str(&name);
            target.push('=');
            target.extend(utf8_percent_encode(&text, ENCODED));
            mark = '&';
        }
    }
    Ok(Spread { target, body: None })
}

/// The path with its members filled in; they are taken out of the request.
fn filled(path: &str, mut members: Option<&mut Map<String, Value>>) -> Result<String, ApiError> {
    let mut filled = String::with_capacity(path.len() + 40);
    for segment in path.split('/').skip(1) {
        filled.push('/');
        let name = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        let Some(name) = name else {
            filled.push_str(segment);
            continue;
        };
        let value = members.as_mut().and_then(|members| members.remove(name));
        let text = value.as_ref().and_then(plain).unwrap_or_default();
        // An empty segment, or one of dots, would be another path.
        if matches!(text.as_str(), "" | "." | "..") {
            let message = format!("`{text}` names no {}", name.trim_end_matches("_id"));
            return Err(ApiError::new(ErrorCode::Usage, message));
        }
        filled.extend(utf8_percent_encode(&text, ENCODED));
    }
    Ok(filled)
}

/// A value as it stands in a path or a query.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn unfit(path: &str, what: &str) -> ApiError {
    ApiError::new(
        ErrorCode::Internal,
        format!("the request for {path} can not be written as HTTP: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spread_of(method: Method, path: &str, request: Value) -> Spread {
        spread(method, path, request).unwrap()
    }

    #[test]
    fn what_the_path_names_stands_there_and_the_rest_in_the_body() {
        let request = json!({"run": "a/b ä", "actor": "human:ada", "reason": "why"});
        assert_eq!(
            spread_of(Method::Post, "/v1/runs/{run}/cancel", request),
            Spread {
                target: "/v1/runs/a%2Fb%20%C3%A4/cancel".to_owned(),
                body: json!({"reason": "why"}).as_object().cloned(),
            }
        );
    }

    #[test]
    fn what_is_asked_stands_in_the_query_and_lists_are_repeated() {
        let request = json!({
            "after": 7, "kinds": ["run.ended", "run.started"], "level": null, "newest": false, "job_id": "a&b=c",
        });
        let spread = spread_of(Method::Get, "/v1/events", request);
        assert_eq!(
            spread.target,
            "/v1/events?after=7&job_id=a%26b%3Dc&kinds=run.ended&kinds=run.started&newest=false"
        );
        assert_eq!(spread.body, None);
    }

    #[test]
    fn nothing_asked_is_nothing_sent() {
        let spread = spread_of(Method::Post, "/v1/artifacts/project", Value::Null);
        assert_eq!(
            (spread.target.as_str(), spread.body),
            ("/v1/artifacts/project", None)
        );
    }

    #[test]
    fn a_member_that_would_make_another_path_is_refused() {
        for text in ["", ".", ".."] {
            let request = json!({"source_id": text});
            let error = spread(Method::Get, "/v1/sources/{source_id}", request).unwrap_err();
            assert_eq!(error.code, ErrorCode::Usage);
            assert_eq!(error.message, format!("`{text}` names no source"));
        }
    }
}
