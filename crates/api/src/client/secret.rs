//! Bodies with values of secrets, written by hand: nothing else ever serialises a value (D-SEC-3).
//!
//! The body is made in one buffer that never grows, so that no copy of a value stays behind in memory that was
//! given back, and it is wiped when the request is over. What HTTP and TLS copy on their way is beyond that.

use std::collections::BTreeMap;

use bytes::Bytes;
use moorline_core::error_code::ErrorCode;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::error::ApiError;
use crate::reauth::ReauthSession;
use crate::secrets::{SecretInput, SecretSetRequest};

/// A request that holds values of secrets.
pub(super) trait WithSecrets {
    /// All of it but the values.
    fn open(&self) -> Value;

    /// The values, which stand in the member `values`.
    fn values(&self) -> &BTreeMap<String, SecretInput>;
}

impl WithSecrets for SecretSetRequest {
    fn open(&self) -> Value {
        json!({
            "lane": self.lane,
            "secret": self.secret,
            "ttl_hours": self.ttl_hours,
            "warn_hours": self.warn_hours,
            "source_id": self.source_id,
            "reason": self.reason,
        })
    }

    fn values(&self) -> &BTreeMap<String, SecretInput> {
        &self.values
    }
}

impl WithSecrets for ReauthSession {
    fn open(&self) -> Value {
        json!({
            "source_id": self.source_id,
            "lane": self.lane,
            "secret": self.secret,
        })
    }

    fn values(&self) -> &BTreeMap<String, SecretInput> {
        &self.values
    }
}

/// The JSON body of members and values.
pub(super) fn body(
    members: &Map<String, Value>,
    values: &BTreeMap<String, SecretInput>,
) -> Result<Bytes, ApiError> {
    let unfit = |error: serde_json::Error| {
        ApiError::new(
            ErrorCode::Internal,
            "the request can not be written as JSON",
        )
        .because(error)
    };
    let open = serde_json::to_string(members).map_err(unfit)?;
    // An escaped character has at most six bytes: `\u001f`.
    let room: usize = values
        .iter()
        .map(|(key, value)| 6 * (key.len() + value.expose().len()) + 8)
        .sum();
    let mut body = Zeroizing::new(Vec::with_capacity(open.len() + room + 16));
    body.extend_from_slice(open.strip_suffix('}').unwrap_or(&open).as_bytes());
    if !members.is_empty() {
        body.push(b',');
    }
    body.extend_from_slice(b"\"values\":{");
    for (index, (key, value)) in values.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        serde_json::to_writer(&mut *body, key).map_err(unfit)?;
        body.push(b':');
        serde_json::to_writer(&mut *body, value.expose()).map_err(unfit)?;
    }
    body.extend_from_slice(b"}}");
    Ok(Bytes::from_owner(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_the_request_with_its_values() {
        let request = SecretSetRequest {
            lane: Some("prod".to_owned()),
            secret: "bank".to_owned(),
            values: [
                ("A".to_owned(), SecretInput::from("one \"two\"\n\u{1f}ä")),
                ("B".to_owned(), SecretInput::from("three")),
            ]
            .into(),
            ttl_hours: Some(4),
            warn_hours: None,
            source_id: None,
            actor: "human:ada".parse().unwrap(),
            reason: None,
        };
        let Value::Object(mut open) = request.open() else {
            panic!("an object")
        };
        open.remove("secret");
        let body = body(&open, request.values()).unwrap();
        let expected = json!({
            "lane": "prod", "ttl_hours": 4, "warn_hours": null, "source_id": null, "reason": null,
            "values": {"A": "one \"two\"\n\u{1f}ä", "B": "three"},
        });
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    }

    #[test]
    fn a_body_of_values_alone_is_whole() {
        let values = [("A".to_owned(), SecretInput::from("x"))].into();
        let body = body(&Map::new(), &values).unwrap();
        assert_eq!(&body[..], b"{\"values\":{\"A\":\"x\"}}");
    }

    /// A buffer that grew would leave a copy of the value behind.
    #[test]
    fn the_longest_escapes_fit_into_the_first_buffer() {
        let values: BTreeMap<_, _> =
            [("K".to_owned(), SecretInput::from("\u{1}".repeat(5000)))].into();
        let body = body(&Map::new(), &values).unwrap();
        assert!(body.len() <= 6 * 5001 + 8 + 16 + 2, "{}", body.len());
    }
}
