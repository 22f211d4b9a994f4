//! The one error body: a code of the closed set, a message, and what to do.

use moorline_core::denial::{Denial, Detail};
use moorline_core::error_code::ErrorCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An operation that was refused or failed. Serialises as the error body of every surface.
#[derive(Debug, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Which kind of error; decides exit code and HTTP status.
    pub code: ErrorCode,
    /// What happened, where, and which rule says so; one line, no secrets.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Every single finding, when there are several (violations of a job spec, missing secrets).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<ErrorDetail>,
    /// The cause, for logs; never part of the body.
    #[serde(skip)]
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// One finding of an error that has several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDetail {
    /// Where: a JSON pointer (RFC 6901) or a name.
    pub at: String,
    /// Which rule, e.g. `D-SPEC-3`.
    pub rule: String,
    /// What is wrong there.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl From<Denial> for ApiError {
    /// The rule stands in the message (D-AUDIT-4).
    fn from(denial: Denial) -> Self {
        let body = Self::new(denial.code, denial.to_string());
        let details = denial.details.into_iter().map(ErrorDetail::from).collect();
        match denial.hint {
            Some(hint) => body.hint(hint),
            None => body,
        }
        .with_details(details)
    }
}

impl From<Detail> for ErrorDetail {
    fn from(detail: Detail) -> Self {
        let Detail {
            at,
            rule,
            message,
            hint,
        } = detail;
        Self {
            at,
            rule,
            message,
            hint,
        }
    }
}

impl ApiError {
    /// An error with the hint of its code's row in the table.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: Some(code.info().hint.to_owned()),
            details: Vec::new(),
            source: None,
        }
    }

    /// Replaces the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Adds the single findings.
    #[must_use]
    pub fn with_details(mut self, details: Vec<ErrorDetail>) -> Self {
        self.details = details;
        self
    }
}
