//! What is wrong with a configuration, each thing with its place.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::layer::Origin;
use crate::error_code::ErrorCode;
use crate::spec::Violation;

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// Where it was written.
    pub origin: Origin,
    /// The key as in TOML; empty for a whole file.
    pub key: String,
    /// The rule: `toml`, `schema`, or one of the domain.
    pub rule: String,
    /// What is wrong, lower case.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(
        origin: Origin,
        key: impl Into<String>,
        rule: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            origin,
            key: key.into(),
            rule: rule.into(),
            message: message.into(),
            hint: None,
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn of_violation(violation: Violation, origin: Origin) -> Self {
        Self {
            origin,
            key: key_of(&violation.pointer),
            rule: violation.rule,
            message: violation.message,
            hint: violation.hint,
        }
    }

    /// `moorline.toml:3: lanes.qa.egress`: where it is, for people.
    pub fn place(&self) -> String {
        if self.key.is_empty() {
            self.origin.to_string()
        } else {
            format!("{}: {}", self.origin, self.key)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.place(), self.message, self.rule)?;
        self.hint
            .as_ref()
            .map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// Everything that is wrong with a configuration: at least one thing, in the order of layers and lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::Config;

    /// The error that a list comes to; none for an empty one.
    pub fn of(mut list: Vec<Problem>) -> Option<Self> {
        list.sort();
        list.dedup();
        (!list.is_empty()).then_some(Self(list))
    }

    /// Each of them, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// The list itself.
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One problem a line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// A JSON pointer as a dotted key of TOML: `/principals/human:ada` is `principals."human:ada"`.
pub(super) fn key_of(pointer: &str) -> String {
    let parts = pointer.split('/').skip(1).map(|part| {
        let name = part.replace("~1", "/").replace("~0", "~");
        let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if !name.is_empty() && name.chars().all(bare) {
            name
        } else {
            format!("\"{}\"", name.escape_default())
        }
    });
    parts.collect::<Vec<_>>().join(".")
}
