//! How a webhook proves that it comes from here, and how its receiver checks that.
//!
//! A request carries `Moorline-Signature: t=<seconds>,v1=<hex>`. `t` is the Unix time of the attempt, and
//! `v1` is HMAC-SHA256 (RFC 2104, FIPS 180-4) under the shared secret over the bytes `<t>.<body>`, in lower
//! case. A receiver takes the bytes of the body as they came, computes the same, compares in constant time
//! and refuses what is older than a few minutes; `Moorline-Delivery` is the same at every attempt, so that
//! it can tell a repetition.
//!
//! ```
//! use std::time::Duration;
//! use moorline_engine::signature::{sign, verify};
//!
//! let at: jiff::Timestamp = "2026-03-01T06:15:00Z".parse()?;
//! let header = sign("a shared secret", at, b"{}");
//! assert!(header.starts_with("t=1772345700,v1="));
//! verify("a shared secret", &header, b"{}", at, Duration::from_mins(5))?;
//! assert!(verify("a shared secret", &header, b"{ }", at, Duration::from_mins(5)).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

/// Name of the header with the signature.
pub const SIGNATURE: &str = "moorline-signature";

/// Name of the header with the id of the delivery.
pub const DELIVERY: &str = "moorline-delivery";

/// Name of the header with the number of the attempt, from 1.
pub const ATTEMPT: &str = "moorline-attempt";

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The header is not of the form `t=<seconds>,v1=<hex>`.
    #[error("the signature is not of the form `t=<seconds>,v1=<hex>`")]
    Malformed,
    /// The request is older than is tolerated, or from the future.
    #[error("the time of the signature is too far from now")]
    TooOld,
    /// Body, time or secret are not those that were signed.
    #[error("the signature does not match")]
    Mismatch,
}

/// The value of the header for a body that is sent at a time.
pub fn sign(secret: &str, at: Timestamp, body: &[u8]) -> String {
    let seconds = at.as_second();
    let mac = mac(secret, seconds, body).finalize().into_bytes();
    let hex: String = mac.iter().flat_map(|byte| hex(*byte)).collect();
    format!("t={seconds},v1={hex}")
}

/// Whether a header stands for this body, signed with this secret at most `tolerance` from `now`.
///
/// # Errors
/// [`SignatureError`] says why not.
pub fn verify(
    secret: &str,
    header: &str,
    body: &[u8],
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), SignatureError> {
    let parts = header
        .strip_prefix("t=")
        .and_then(|rest| rest.split_once(",v1="));
    let (seconds, given) = parts.ok_or(SignatureError::Malformed)?;
    let seconds: i64 = seconds.parse().map_err(|_| SignatureError::Malformed)?;
    let given = unhex(given).ok_or(SignatureError::Malformed)?;
    // In constant time.
    mac(secret, seconds, body)
        .verify_slice(&given)
        .map_err(|_| SignatureError::Mismatch)?;
    let signed = Timestamp::from_second(seconds).map_err(|_| SignatureError::Malformed)?;
    let tolerance = SignedDuration::try_from(tolerance).unwrap_or(SignedDuration::MAX);
    if now.duration_since(signed).abs() > tolerance {
        return Err(SignatureError::TooOld);
    }
    Ok(())
}

fn mac(secret: &str, seconds: i64, body: &[u8]) -> Hmac<Sha256> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        unreachable!("HMAC takes keys of every length");
    };
    mac.update(seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

fn hex(byte: u8) -> [char; 2] {
    [byte >> 4, byte & 15].map(|half| char::from_digit(half.into(), 16).unwrap_or('0'))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: Duration = Duration::from_mins(5);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Computed with another implementation: `printf '%s' '1772345700.{"a":1}' | openssl dgst -sha256 -hmac key`.
    #[test]
    fn a_known_answer() {
        let header = sign("key", at("2026-03-01T06:15:00Z"), br#"{"a":1}"#);
        assert_eq!(
            header,
            "t=1772345700,v1=e1b275eeb8130c9336493f3ce719c3ef4f8540bc9128d9ed18663eb18d496820"
        );
    }

    #[test]
    fn what_was_changed_or_is_old_is_refused() {
        let now = at("2026-03-01T06:15:00Z");
        let header = sign("key", now, b"body");
        assert_eq!(verify("key", &header, b"body", now, FIVE), Ok(()));
        let later = at("2026-03-01T06:20:01Z");
        let cases = [
            (
                verify("yek", &header, b"body", now, FIVE),
                SignatureError::Mismatch,
            ),
            (
                verify("key", &header, b"bod", now, FIVE),
                SignatureError::Mismatch,
            ),
            (
                verify("key", &header, b"body", later, FIVE),
                SignatureError::TooOld,
            ),
            (
                verify("key", "v1=00", b"body", now, FIVE),
                SignatureError::Malformed,
            ),
            (
                verify("key", "t=1,v1=0", b"body", now, FIVE),
                SignatureError::Malformed,
            ),
            (
                verify("key", "t=x,v1=00", b"body", now, FIVE),
                SignatureError::Malformed,
            ),
        ];
        for (found, wanted) in cases {
            assert_eq!(found, Err(wanted));
        }
    }
}
