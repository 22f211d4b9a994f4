//! A refusal of the domain: which rule, what is missing, what to do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error_code::ErrorCode;

/// A change that a rule does not allow. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message} ({rule})")]
pub struct Denial {
    /// One of the closed set.
    pub code: ErrorCode,
    /// The rule that refused, e.g. `D-ART-4` (D-AUDIT-4).
    pub rule: String,
    /// What was refused and why, in one line.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Every single thing that is missing or wrong, when there are several.
    pub details: Vec<Detail>,
}

/// One thing that is missing or wrong.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Detail {
    /// Where: a gate, a JSON pointer, a file with a line (`extractor/main.py:12`).
    pub at: String,
    /// The rule, e.g. `D-ART-1`.
    pub rule: String,
    /// What is wrong; never a secret.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Denial {
    /// A refusal by a rule.
    pub fn new(code: ErrorCode, rule: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            rule: rule.into(),
            message: message.into(),
            hint: None,
            details: Vec::new(),
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names every single thing.
    #[must_use]
    pub fn with_details(mut self, details: Vec<Detail>) -> Self {
        self.details = details;
        self
    }
}
