//! Conversions that several resources share.

use jiff::Timestamp;
use moorline_modal_proto::client as pb;
use pb::generic_result::GenericStatus;

use crate::error::{Error, ErrorKind, RemoteException, Result};

/// What a call does when the named object is there, or is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Existence {
    /// It must exist: a lookup.
    #[default]
    MustExist,
    /// It is created when it is missing.
    CreateIfMissing,
    /// It is created, and must not exist.
    CreateNew,
    /// It is created, and replaces one that exists.
    Overwrite,
}

impl Existence {
    pub(crate) fn wire(self) -> i32 {
        use pb::ObjectCreationType as T;
        let kind = match self {
            Self::MustExist => T::Unspecified,
            Self::CreateIfMissing => T::CreateIfMissing,
            Self::CreateNew => T::CreateFailIfExists,
            Self::Overwrite => T::CreateOverwriteIfExists,
        };
        kind.into()
    }
}

/// Seconds since the epoch; `None` for 0, which stands for "never".
pub(crate) fn time(seconds: f64) -> Option<Timestamp> {
    if seconds == 0.0 {
        return None;
    }
    let since = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
    Timestamp::from_duration(since).ok()
}

pub(crate) fn timestamp(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

pub(crate) fn wire_timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

/// An empty text is "not told" on the wire.
pub(crate) fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// The error that a result stands for; `None` for success.
pub(crate) fn failure(result: &pb::GenericResult) -> Option<Error> {
    let exception = || RemoteException {
        exception: result.exception.clone(),
        traceback: result.traceback.clone(),
        exit_code: (result.exitcode != 0).then_some(result.exitcode),
    };
    let of = |kind, otherwise: &str| {
        let text = result.exception.lines().next().unwrap_or_default().trim();
        let text = if text.is_empty() { otherwise } else { text };
        Error::new(kind, text).with_source(exception())
    };
    match result.status() {
        GenericStatus::Success => None,
        GenericStatus::Timeout => Some(of(
            ErrorKind::Timeout,
            "the remote code ran into its timeout",
        )),
        GenericStatus::Terminated => Some(of(ErrorKind::Cancelled, "it was terminated")),
        GenericStatus::Unspecified => Some(Error::new(
            ErrorKind::Protocol,
            "the server sent a result without a status",
        )),
        _ => Some(Error::from_remote(exception())),
    }
}

/// The id that an answer must have.
pub(crate) fn required(id: String, what: &str) -> Result<String> {
    if id.is_empty() {
        let text = format!("the server's answer has no {what}");
        return Err(Error::new(ErrorKind::Protocol, text));
    }
    Ok(id)
}

/// Whether a page of a list that runs from new to old was the last: it was short, or it did not lead on
/// (a server that ignores the position would be asked forever).
pub(crate) fn is_last_page(count: usize, page: i32, created_before: f64, oldest: f64) -> bool {
    let full = usize::try_from(page).is_ok_and(|page| count >= page);
    let leads_on = oldest > 0.0 && (created_before == 0.0 || oldest < created_before);
    !full || !leads_on
}

/// Names of deployed objects, by the rule of the official clients.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] with the rule.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.len() <= 64 && name.chars().all(plain) {
        return Ok(());
    }
    let text = format!(
        "{what} name `{}`: must be 1 to 64 letters, digits, dashes, dots or underscores",
        name.escape_debug()
    );
    Err(Error::new(ErrorKind::InvalidArgument, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_fraction_and_zero_is_never() {
        assert_eq!(time(0.0), None);
        assert_eq!(time(1.5).unwrap().to_string(), "1970-01-01T00:00:01.5Z");
        assert_eq!(time(f64::NAN), None);
        let now = Timestamp::new(1_700_000_000, 123).unwrap();
        assert_eq!(timestamp(&wire_timestamp(now)), Some(now));
    }

    #[test]
    fn a_result_is_success_a_remote_failure_or_an_end_from_outside() {
        let kind = |status: GenericStatus| {
            let result = pb::GenericResult {
                status: status.into(),
                ..pb::GenericResult::default()
            };
            failure(&result).map(|error| error.kind())
        };
        assert_eq!(kind(GenericStatus::Success), None);
        assert_eq!(kind(GenericStatus::Failure), Some(ErrorKind::Remote));
        assert_eq!(kind(GenericStatus::InitFailure), Some(ErrorKind::Remote));
        assert_eq!(kind(GenericStatus::Timeout), Some(ErrorKind::Timeout));
        assert_eq!(kind(GenericStatus::Terminated), Some(ErrorKind::Cancelled));
        assert_eq!(kind(GenericStatus::Unspecified), Some(ErrorKind::Protocol));
    }

    #[test]
    fn a_short_page_or_one_that_leads_nowhere_is_the_last() {
        assert!(!is_last_page(100, 100, 0.0, 5.0) && !is_last_page(100, 100, 6.0, 5.0));
        assert!(is_last_page(99, 100, 0.0, 5.0) && is_last_page(0, 100, 6.0, 0.0));
        assert!(is_last_page(100, 100, 5.0, 5.0));
    }

    #[test]
    fn names_follow_the_rule() {
        assert!(check_name("dict", "my-dict_1.x").is_ok());
        for bad in ["", "a b", "ä", &"x".repeat(65)] {
            assert_eq!(
                check_name("dict", bad).unwrap_err().kind(),
                ErrorKind::InvalidArgument
            );
        }
    }
}
