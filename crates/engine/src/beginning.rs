//! Ids that are given by their beginning.
//!
//! Ids begin with the time at which they were made, so what was made together begins alike, and a short
//! beginning that is unique today means something else tomorrow. Hence a least length, the same for everything:
//! that of the first group of an id.

use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;

/// The fewest characters that stand for an id.
const LEAST: usize = 8;

/// The one thing that was found by a beginning of its id. `things` is the plural of what was looked for, and
/// `missing` says that there is none.
///
/// # Errors
/// `missing` where nothing fits, [`ErrorCode::Usage`] where several fit.
pub(crate) fn only<I>(
    found: Vec<I>,
    text: &str,
    things: &str,
    missing: impl FnOnce() -> ApiError,
) -> Result<I, ApiError> {
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(missing()),
        (Some(_), Some(_)) => {
            let message = format!("`{text}` is the beginning of several {things}");
            Err(ApiError::new(ErrorCode::Usage, message).hint("give more of the id"))
        }
    }
}

/// Whether a text is enough of an id to look for what begins with it.
pub(crate) fn is_beginning(text: &str) -> bool {
    let of_an_id = |byte: u8| byte == b'-' || byte.is_ascii_hexdigit();
    text.len() >= LEAST && text.bytes().all(of_an_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, ids: &[&'static str]) -> Result<&'static str, ErrorCode> {
        let fitting = ids
            .iter()
            .filter(|id| is_beginning(text) && id.starts_with(text));
        let missing = || ApiError::new(ErrorCode::NotFound, "no such thing");
        let one = only(fitting.copied().collect(), text, "things", missing);
        one.map_err(|error| error.code)
    }

    #[test]
    fn a_beginning_has_eight_characters_and_is_of_one_thing() {
        const IDS: [&str; 3] = ["0198c2d4-1a", "0198c2d4-2b", "0198c2d5-3c"];
        assert_eq!(found("0198c2d5", &IDS), Ok(IDS[2]));
        assert_eq!(found("0198c2d4-1", &IDS), Ok(IDS[0]));
        assert_eq!(found("0198c2d4", &IDS), Err(ErrorCode::Usage));
        for none in ["0198c2d9", "", "0", "0198c2d", "%%%%%%%%%"] {
            assert_eq!(found(none, &IDS), Err(ErrorCode::NotFound), "{none}");
            // Also where it would be the beginning of one thing alone.
            let one = found(none, &IDS[2..]);
            assert_eq!(one, Err(ErrorCode::NotFound), "{none}");
        }
    }
}
