//! What a plain request is refused with.

use std::fmt::Display;
use std::io;

use axum::body::Body;
use http::{Response, StatusCode};

use super::status;
use super::transfer::ReceiveError;

/// A status and one line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: StatusCode,
    text: String,
}

impl Refusal {
    pub(crate) fn new(code: StatusCode, text: impl Display) -> Self {
        Self {
            code,
            text: format!("{text}\n"),
        }
    }

    pub(crate) fn bad(text: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(crate) fn not_found(text: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        let text = format_args!("the emulator's file can not be used: {error}").to_string();
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }
}

impl From<ReceiveError> for Refusal {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Write(error) => error.into(),
            ReceiveError::Broken { .. } | ReceiveError::TooLong { .. } => Self::bad(error),
        }
    }
}

impl From<Refusal> for Response<Body> {
    fn from(refusal: Refusal) -> Self {
        status(refusal.code, refusal.text)
    }
}
