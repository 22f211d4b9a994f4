//! Alerts over HTTP: a signed document, or a message for Slack and its likes.
//!
//! `http` and `https` only. A redirect is not followed: it could lead the alert to another host, and turns
//! a `POST` into a `GET`. No proxy of the environment is used. Of an answer only its status is looked at,
//! and `Retry-After` (RFC 9110, section 10.2.3, in seconds or as a date).

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use moorline_core::alert::Delivery;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use super::deliver::SendError;
use super::destination::Resolved;
use super::message::Message;
use super::signature::{ATTEMPT, DELIVERY, SIGNATURE, sign};

/// Posts the alert's document; with a secret, signed.
pub(super) async fn signed(
    resolved: &Resolved,
    message: &Message,
    delivery: &Delivery,
    now: Timestamp,
) -> Result<(), SendError> {
    let body = message.document().to_string().into_bytes();
    let mut request = post(resolved)?
        .header(DELIVERY, delivery.id.to_string())
        .header(ATTEMPT, delivery.attempts);
    if let Some(secret) = &resolved.secret {
        request = request.header(SIGNATURE, sign(secret, now, &body));
    }
    answer(request.body(body), now).await
}

/// Posts the alert as a message.
pub(super) async fn slack(
    resolved: &Resolved,
    message: &Message,
    now: Timestamp,
) -> Result<(), SendError> {
    let body = message.slack().to_string().into_bytes();
    answer(post(resolved)?.body(body), now).await
}

fn post(resolved: &Resolved) -> Result<RequestBuilder, SendError> {
    // Neither text of an error may have the URL in it: it can be a secret.
    let url: Url = resolved
        .target
        .parse()
        .map_err(|_| SendError::lasting("its target is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(SendError::lasting("its target is not an http or https URL"));
    }
    let client = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("moorline/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| SendError::passing(told(error)))?;
    Ok(client.post(url).header(CONTENT_TYPE, "application/json"))
}

async fn answer(request: RequestBuilder, now: Timestamp) -> Result<(), SendError> {
    let response = request
        .send()
        .await
        .map_err(|error| SendError::passing(told(error)))?;
    judge(&response, now)
}

fn judge(response: &Response, now: Timestamp) -> Result<(), SendError> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    if status.is_redirection() {
        let error = format!("it answers {status}, a redirect: give the URL that it leads to");
        return Err(SendError::passing(error));
    }
    let error = format!("it answers {status}");
    if status == StatusCode::GONE {
        return Err(SendError::lasting(error));
    }
    Err(SendError {
        retry_after: retry_after(response.headers(), now),
        ..SendError::passing(error)
    })
}

fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = rfc2822::parse(text).ok()?.timestamp();
    Duration::try_from(at.duration_since(now)).ok()
}

/// An error with its causes, without the URL.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_in_both_forms() {
        let now: Timestamp = "2026-03-01T06:15:00Z".parse().unwrap();
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("Sun, 01 Mar 2026 06:20:00 GMT"), Some(300));
        assert_eq!(wait("Sun, 01 Mar 2026 06:10:00 GMT"), None);
        assert_eq!(wait("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
