//! The metadata of a call.
//!
//! What never changes (who calls, by which client) is built once; an attempt adds its key, counters and
//! time. This client says that it is libmodal: that is the type that Modal's protocol has for a native
//! library, and with it come the rules that the JavaScript and Go clients follow (version `1.0.0`, a
//! `x-modal-libmodal-version` of its own, the short-lived token on every call).

use std::fmt::Write as _;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;

use super::clock;
use super::retry::Tally;
use crate::config::{ClientKind, Config, Credentials};
use crate::error::{Error, ErrorKind, Result};

/// The version that servers compare with their floor; libmodal's clients all send this one.
const CLIENT_VERSION: &str = "1.0.0";
/// What it is really.
const LIBMODAL_VERSION: &str = concat!("moorline/", env!("CARGO_PKG_VERSION"));
/// The official client of which the wire facts are.
const PYTHON_CLIENT_VERSION: &str = "1.6.4";
/// The user agent of every connection.
pub(super) const USER_AGENT: &str = concat!("moorline-modal-client/", env!("CARGO_PKG_VERSION"));

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-modal-auth-token");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("x-idempotency-key");
const RETRY_ATTEMPT: HeaderName = HeaderName::from_static("x-retry-attempt");
const RETRY_DELAY: HeaderName = HeaderName::from_static("x-retry-delay");
const THROTTLE_ATTEMPT: HeaderName = HeaderName::from_static("x-throttle-retry-attempt");
const THROTTLE_DELAY: HeaderName = HeaderName::from_static("x-throttle-retry-delay");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-modal-timestamp");
/// The percent-encoded warnings of a server, in the trailers of any answer.
pub(super) const WARNING: &str = "x-modal-warning";

/// The headers that every call of a client has.
pub(super) fn base(config: &Config) -> Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(24);
    let version = match config.client_kind {
        ClientKind::LibModal => CLIENT_VERSION,
        ClientKind::Client | ClientKind::Container => PYTHON_CLIENT_VERSION,
    };
    headers.insert("x-modal-client-type", config.client_kind.number().into());
    headers.insert("x-modal-client-version", HeaderValue::from_static(version));
    if config.client_kind == ClientKind::LibModal {
        let version = HeaderValue::from_static(LIBMODAL_VERSION);
        headers.insert("x-modal-libmodal-version", version);
    }
    if let Some(server) = config.servers.first() {
        headers.insert("x-modal-host", value("x-modal-host", server.host())?);
    }
    // Every attempt has these of its own: their places are made once, and not by each.
    for name in [IDEMPOTENCY_KEY, RETRY_ATTEMPT, THROTTLE_ATTEMPT, TIMESTAMP] {
        headers.insert(name, HeaderValue::from_static("0"));
    }
    match &config.credentials {
        Credentials::Token { id, secret } => {
            headers.insert("x-modal-token-id", value("token_id", id)?);
            headers.insert(
                "x-modal-token-secret",
                sensitive("token_secret", secret.expose_secret())?,
            );
        }
        Credentials::OAuth {
            refresh_token,
            client_id,
            client_secret,
        } => {
            let refresh_token = sensitive("oauth_refresh_token", refresh_token.expose_secret())?;
            let client_secret = sensitive("oauth_client_secret", client_secret.expose_secret())?;
            headers.insert("x-modal-refresh-token", refresh_token);
            headers.insert(
                "x-modal-oauth-client-id",
                value("oauth_client_id", client_id)?,
            );
            headers.insert("x-modal-oauth-client-secret", client_secret);
        }
        Credentials::Anonymous => {}
    }
    for (name, text) in &config.extra_headers {
        let key: HeaderName = name.parse().map_err(|_| {
            Error::new(
                ErrorKind::Config,
                format!("header `{name}`: not the name of an HTTP header"),
            )
        })?;
        headers.insert(key, value(name, text)?);
    }
    Ok(headers)
}

fn value(what: &str, text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| {
        Error::new(
            ErrorKind::Config,
            format!("{what}: holds characters that an HTTP header can not carry; check it for line breaks"),
        )
    })
}

/// A value that HTTP/2 never puts into its compression table and that is not shown by `Debug`.
fn sensitive(what: &str, text: &str) -> Result<HeaderValue> {
    let mut value = value(what, text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// A bearer-like value of a server; `None` if it can not be a header.
pub(crate) fn token_value(text: &str) -> Option<HeaderValue> {
    sensitive("token", text).ok()
}

/// Adds the short-lived token.
pub(super) fn set_auth_token(headers: &mut HeaderMap, token: HeaderValue) {
    headers.insert(AUTH_TOKEN, token);
}

/// Adds what this attempt has of its own.
pub(super) fn set_attempt(
    headers: &mut HeaderMap,
    key: &HeaderValue,
    tally: &Tally,
    elapsed: Duration,
) {
    headers.insert(IDEMPOTENCY_KEY, key.clone());
    headers.insert(RETRY_ATTEMPT, count(tally.retries));
    headers.insert(THROTTLE_ATTEMPT, count(tally.throttled));
    if let Some(now) = seconds(clock::wall()) {
        headers.insert(TIMESTAMP, unindexed(now));
    }
    if tally.retries > 0
        && let Some(delay) = seconds(elapsed)
    {
        headers.insert(RETRY_DELAY, delay);
    }
    if tally.throttled > 0
        && let Some(delay) = seconds(elapsed)
    {
        headers.insert(THROTTLE_DELAY, delay);
    }
}

/// A number; nearly always zero, which needs no memory.
fn count(number: u32) -> HeaderValue {
    match number {
        0 => HeaderValue::from_static("0"),
        more => more.into(),
    }
}

/// A value that is new in every call does not belong into HTTP/2's compression table, where it would drive
/// out the ones that stay; "sensitive" is how to say so.
fn unindexed(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// Seconds with milliseconds, as text.
fn seconds(time: Duration) -> Option<HeaderValue> {
    let mut text = String::with_capacity(16);
    write!(text, "{}.{:03}", time.as_secs(), time.subsec_millis()).ok()?;
    HeaderValue::try_from(text).ok()
}

/// A new random key (a version 4 UUID).
pub(crate) fn new_key() -> HeaderValue {
    let mut buffer = uuid::Uuid::encode_buffer();
    let text = random_uuid().hyphenated().encode_lower(&mut buffer);
    unindexed(HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("0")))
}

/// A random version 4 UUID.
pub(crate) fn random_uuid() -> uuid::Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_fixed_headers_name_client_and_credentials() {
        let config = Config::new("http://127.0.0.1:1", "ak-1", "as-1").unwrap();
        let headers = base(&config).unwrap();
        assert_eq!(
            names(&headers),
            [
                "x-idempotency-key",
                "x-modal-client-type",
                "x-modal-client-version",
                "x-modal-host",
                "x-modal-libmodal-version",
                "x-modal-timestamp",
                "x-modal-token-id",
                "x-modal-token-secret",
                "x-retry-attempt",
                "x-throttle-retry-attempt"
            ]
        );
        assert_eq!(headers["x-modal-client-type"], "7");
        assert!(!format!("{headers:?}").contains("as-1"));
    }

    #[test]
    fn a_token_with_a_line_break_is_told_without_its_value() {
        let config = Config::new("http://127.0.0.1:1", "ak-1", "as-1\n").unwrap();
        let error = base(&config).unwrap_err().to_string();
        assert!(
            error.contains("token_secret") && !error.contains("as-1"),
            "{error}"
        );
    }

    #[test]
    fn an_attempt_counts_and_keeps_its_key() {
        let mut headers = HeaderMap::new();
        let key = new_key();
        let tally = Tally {
            retries: 2,
            throttled: 1,
            ..Tally::default()
        };
        set_attempt(&mut headers, &key, &tally, Duration::from_millis(1250));
        assert_eq!(headers["x-idempotency-key"], key);
        assert_eq!(headers["x-retry-attempt"], "2");
        assert_eq!(headers["x-retry-delay"], "1.250");
        assert_eq!(headers["x-throttle-retry-attempt"], "1");
        assert_eq!(headers["x-throttle-retry-delay"], "1.250");
    }

    #[test]
    fn keys_are_random_uuids() {
        let (a, b) = (new_key(), new_key());
        assert_ne!(a, b);
        assert_eq!(
            uuid::Uuid::parse_str(a.to_str().unwrap())
                .unwrap()
                .get_version_num(),
            4
        );
    }
}
