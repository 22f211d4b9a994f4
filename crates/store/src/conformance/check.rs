//! How a case says that something does not hold.

use std::error::Error;
use std::fmt::{self, Debug};

/// Why a case does not hold.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Any error that a case did not expect, with its causes.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = format!("unexpected error: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Self(text)
    }
}

/// The two are equal as a whole.
pub(super) fn equal<V: PartialEq + Debug>(
    found: &V,
    wanted: &V,
    what: &str,
) -> Result<(), Failure> {
    if found == wanted {
        return Ok(());
    }
    Err(Failure(format!(
        "{what}\n  wanted: {wanted:?}\n  found:  {found:?}"
    )))
}

/// Ends the case unless the condition holds.
macro_rules! check {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err($crate::conformance::Failure::new(format!($($what)+)));
        }
    };
}

/// Ends the case unless the result is an error of this pattern.
macro_rules! check_err {
    ($result:expr, $pattern:pat, $what:literal) => {
        match $result {
            Err($pattern) => {}
            other => {
                let text = format!("{}: found {:?}", $what, other);
                return Err($crate::conformance::Failure::new(text));
            }
        }
    };
}
