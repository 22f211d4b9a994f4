//! The wall clock, in the units of Modal's messages.

use jiff::Timestamp;

/// Seconds since 1970.
pub(crate) fn seconds() -> f64 {
    Timestamp::now().as_duration().as_secs_f64()
}

/// Nanoseconds since 1970.
pub(crate) fn nanos() -> u64 {
    u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or_default()
}

/// Seconds since 1970 as the message.
pub(crate) fn message(seconds: f64) -> prost_types::Timestamp {
    let time = Timestamp::from_duration(jiff::SignedDuration::from_secs_f64(seconds));
    let time = time.unwrap_or_default();
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

/// The message as seconds since 1970.
pub(crate) fn from_message(time: Option<&prost_types::Timestamp>) -> Option<f64> {
    let time = time?;
    #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^52")]
    let seconds = time.seconds as f64;
    Some(seconds + f64::from(time.nanos) / 1e9)
}
