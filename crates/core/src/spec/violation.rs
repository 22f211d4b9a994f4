//! What is wrong with a document: where, which rule, what to do.

use std::cmp::Ordering;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error_code::ErrorCode;

/// One thing that is wrong with a document.
///
/// The texts never hold a value of the document, which may be a secret in the wrong place; only names that
/// the schema knows, and names of unknown fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Violation {
    /// Where: a JSON pointer (RFC 6901). It points at the value that is wrong, or to where a missing one
    /// belongs; empty for the whole document.
    pub pointer: String,
    /// The rule that it breaks, a row of [`RULES`](super::RULES).
    pub rule: String,
    /// What is wrong, lower case.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Violation {
    /// A violation without a hint.
    pub fn new(
        pointer: impl Into<String>,
        rule: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            pointer: pointer.into(),
            rule: rule.into(),
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// `pointer: message (rule); hint`, on one line.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() {
            "document"
        } else {
            &self.pointer
        };
        write!(f, "{place}: {} ({})", self.message, self.rule)?;
        self.hint
            .as_ref()
            .map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// Everything that is wrong with a document, at least one thing, in the order of the pointers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::Spec;

    /// The error that a list comes to; none for an empty one. Equal ones count once.
    pub fn of(mut list: Vec<Violation>) -> Option<Self> {
        list.sort_by(|a, b| {
            compare_pointers(&a.pointer, &b.pointer).then_with(|| a.rule.cmp(&b.rule))
        });
        list.dedup();
        (!list.is_empty()).then_some(Self(list))
    }

    /// How many there are, at least one.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each of them, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Violation> {
        self.0.iter()
    }

    /// The list itself.
    pub fn into_vec(self) -> Vec<Violation> {
        self.0
    }
}

impl From<Violation> for Violations {
    fn from(violation: Violation) -> Self {
        Self(vec![violation])
    }
}

impl<'a> IntoIterator for &'a Violations {
    type Item = &'a Violation;
    type IntoIter = std::slice::Iter<'a, Violation>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One violation a line.
impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            violation.fmt(f)?;
        }
        Ok(())
    }
}

/// Orders pointers as a reader meets them: array indices by number, all else by text.
fn compare_pointers(a: &str, b: &str) -> Ordering {
    let mut left = a.split('/');
    let mut right = b.split('/');
    loop {
        let (left, right) = match (left.next(), right.next()) {
            (Some(left), Some(right)) => (left, right),
            (left, right) => return left.is_some().cmp(&right.is_some()),
        };
        let order = match (left.parse::<usize>(), right.parse::<usize>()) {
            (Ok(left), Ok(right)) => left.cmp(&right),
            _ => left.cmp(right),
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Appends a member name to a pointer, escaped as RFC 6901 says.
pub(crate) fn join(pointer: &str, name: &str) -> String {
    let mut joined = String::with_capacity(pointer.len() + name.len() + 1);
    joined.push_str(pointer);
    joined.push('/');
    for character in name.chars() {
        match character {
            '~' => joined.push_str("~0"),
            '/' => joined.push_str("~1"),
            other => joined.push(other),
        }
    }
    joined
}

/// The candidate closest to `text`, when it is close enough to be what was meant.
pub(crate) fn did_you_mean<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = text.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, candidate), candidate))
        .filter(|(score, _)| *score >= 0.85)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_read_one_a_line_in_document_order() {
        let list = vec![
            Violation::new("/steps/10/name", "D-SPEC-3e", "is taken"),
            Violation::new("/steps/2/name", "D-SPEC-3e", "is taken").with_hint("rename it"),
            Violation::new("", "schema", "must be an object"),
            Violation::new("/steps/2/name", "D-SPEC-3e", "is taken").with_hint("rename it"),
        ];
        let violations = Violations::of(list).unwrap();
        assert_eq!(
            violations.to_string(),
            "document: must be an object (schema)\n\
             /steps/2/name: is taken (D-SPEC-3e); rename it\n\
             /steps/10/name: is taken (D-SPEC-3e)"
        );
        assert_eq!(violations.len(), 3);
        assert_eq!(Violations::of(Vec::new()), None);
    }

    #[test]
    fn pointers_escape_what_rfc_6901_says() {
        assert_eq!(join("/a", "b~/c"), "/a/b~0~1c");
        assert_eq!(join("", ""), "/");
    }

    #[test]
    fn suggestions_are_close_or_absent() {
        let fields = ["time_zone", "title", "timeout_seconds"];
        assert_eq!(did_you_mean("timezone", fields), Some("time_zone"));
        assert_eq!(
            did_you_mean("timeoutSeconds", fields),
            Some("timeout_seconds")
        );
        assert_eq!(did_you_mean("colour", fields), None);
    }
}
