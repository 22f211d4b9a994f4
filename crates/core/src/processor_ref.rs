//! Processor refs: `namespace/name@version` (`D-REF-1`, `D-REF-4`; seed 001).
//!
//! A ref is what people and registries write. What is derived from it, the app name, is built in
//! [`app_name`](crate::app_name) and never parsed back (`D-REF-5`).
//!
//! ```
//! use moorline_core::processor_ref::ProcessorRef;
//!
//! let given: ProcessorRef = "llm/litellm@v1".parse()?;
//! assert_eq!(given.to_string(), "llm/litellm@1");
//!
//! let refused = "LLM/LiteLLM@1".parse::<ProcessorRef>().unwrap_err();
//! assert_eq!(refused.suggestion().unwrap().to_string(), "llm/litellm@1");
//! # Ok::<(), moorline_core::processor_ref::RefError>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use crate::app_name::AppName;
use crate::error_code::ErrorCode;
use crate::text::{quoted, serde_as_text};

/// The name of a processor: `namespace/name@version`, such as `llm/litellm@1` (`D-REF-1`).
///
/// `namespace` and `name` are lower-case ASCII words joined by single `_` or `-`, each starting with a
/// letter; `version` is a whole number from 1 to 2^64 - 1. `v1` is read as `1`; the text form has no `v`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessorRef {
    namespace: String,
    name: String,
    version: NonZeroU64,
}

serde_as_text!(
    ProcessorRef,
    "^[a-z][a-z0-9]*([_-][a-z0-9]+)*/[a-z][a-z0-9]*([_-][a-z0-9]+)*@v?[1-9][0-9]*$",
    "Processor ref `namespace/name@version`, such as `llm/litellm@1` (D-REF-1)"
);

impl ProcessorRef {
    /// The part before the `/`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The part between `/` and `@`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The part after the `@`.
    pub const fn version(&self) -> NonZeroU64 {
        self.version
    }
}

impl fmt::Display for ProcessorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.namespace, self.name, self.version)
    }
}

impl FromStr for ProcessorRef {
    type Err = RefError;

    fn from_str(text: &str) -> Result<Self, RefError> {
        parse(text).map_err(|problem| RefError {
            text: text.to_owned(),
            problem,
            suggestion: suggest(text),
        })
    }
}

/// The text is not a processor ref (`D-REF-1`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefError {
    text: String,
    problem: RefProblem,
    suggestion: Option<ProcessorRef>,
}

impl RefError {
    /// The rule that refused.
    pub const RULE: &'static str = "D-REF-1";

    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::Usage;

    /// What is wrong with the text.
    pub const fn problem(&self) -> &RefProblem {
        &self.problem
    }

    /// The ref that was probably meant.
    pub const fn suggestion(&self) -> Option<&ProcessorRef> {
        self.suggestion.as_ref()
    }
}

impl fmt::Display for RefError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, problem, rule) = (quoted(&self.text), &self.problem, Self::RULE);
        write!(f, "{text} is not a processor ref: {problem} ({rule})")?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean `{suggestion}`?"),
            None => f.write_str("; write `namespace/name@version`, such as `llm/litellm@1`"),
        }
    }
}

impl std::error::Error for RefError {}

/// A part of a ref, as errors name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefPart {
    /// Before the `/`.
    Namespace,
    /// Between `/` and `@`.
    Name,
}

impl fmt::Display for RefPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespace => "namespace",
            Self::Name => "name",
        })
    }
}

/// Why a text is not a processor ref.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefProblem {
    /// White space, also at the ends.
    #[error("it contains white space")]
    WhiteSpace,
    /// No `@`.
    #[error("it has no `@version`")]
    NoVersion,
    /// More than one `@`.
    #[error("it has more than one `@`")]
    ManyVersions,
    /// No `/`.
    #[error("it has no `/` between namespace and name")]
    NoSlash,
    /// More than one `/`.
    #[error("it has more than one `/`")]
    ManySlashes,
    /// Nothing before or after the `/`.
    #[error("the {0} is empty")]
    Empty(RefPart),
    /// A character that may not stand there.
    #[error("the {0} contains `{1}`, which is not a lower-case letter, a digit, `_` or `-`")]
    Character(RefPart, char),
    /// The first character is not a letter.
    #[error("the {0} does not start with a letter")]
    FirstCharacter(RefPart),
    /// A separator at the end, or two in a row.
    #[error("the {0} has a `_` or `-` that does not stand between two words")]
    Separator(RefPart),
    /// Nothing after the `@`.
    #[error("the version is empty")]
    EmptyVersion,
    /// Anything but ASCII digits.
    #[error("the version is not a whole number")]
    VersionNotDecimal,
    /// `0`, or a leading zero.
    #[error("the version starts with `0`; versions count from 1 and have no leading zeros")]
    VersionLeadingZero,
    /// Larger than 2^64 - 1.
    #[error("the version is too large")]
    VersionTooLarge,
}

fn parse(text: &str) -> Result<ProcessorRef, RefProblem> {
    if text.contains(char::is_whitespace) {
        return Err(RefProblem::WhiteSpace);
    }
    let (path, version) = text.split_once('@').ok_or(RefProblem::NoVersion)?;
    if version.contains('@') {
        return Err(RefProblem::ManyVersions);
    }
    let (namespace, name) = path.split_once('/').ok_or(RefProblem::NoSlash)?;
    if name.contains('/') {
        return Err(RefProblem::ManySlashes);
    }
    check_words(RefPart::Namespace, namespace)?;
    check_words(RefPart::Name, name)?;
    Ok(ProcessorRef {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        version: parse_version(version)?,
    })
}

/// `[a-z][a-z0-9]*([_-][a-z0-9]+)*`
fn check_words(part: RefPart, text: &str) -> Result<(), RefProblem> {
    let Some(first) = text.chars().next() else {
        return Err(RefProblem::Empty(part));
    };
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-');
    if let Some(c) = text.chars().find(|c| !allowed(*c)) {
        return Err(RefProblem::Character(part, c));
    }
    if !first.is_ascii_lowercase() {
        return Err(RefProblem::FirstCharacter(part));
    }
    if text.split(['_', '-']).any(str::is_empty) {
        return Err(RefProblem::Separator(part));
    }
    Ok(())
}

fn parse_version(text: &str) -> Result<NonZeroU64, RefProblem> {
    if text.is_empty() {
        return Err(RefProblem::EmptyVersion);
    }
    let digits = text.strip_prefix('v').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RefProblem::VersionNotDecimal);
    }
    if digits.starts_with('0') {
        return Err(RefProblem::VersionLeadingZero);
    }
    digits.parse().map_err(|_| RefProblem::VersionTooLarge)
}

/// The ref that was probably meant: lower case, words joined by one separator, the first number of the
/// version, or version 1 when there is none.
fn suggest(text: &str) -> Option<ProcessorRef> {
    let text = text.trim().to_ascii_lowercase();
    let (path, version) = text.split_once('@').unwrap_or((&text, "1"));
    let (namespace, name) = path.split_once('/')?;
    if name.contains('/') {
        return None;
    }
    let version = match version.strip_prefix('v').unwrap_or(version) {
        "" => "1",
        // `1.2.3` is version 1 of something that counts in whole numbers
        digits => digits.split('.').next()?.trim_start_matches('0'),
    };
    parse(&format!(
        "{}/{}@{version}",
        join_words(namespace)?,
        join_words(name)?
    ))
    .ok()
}

/// The words of `text`, joined by `_` where it had one and by `-` where it had anything else.
fn join_words(text: &str) -> Option<String> {
    if !text.is_ascii() {
        return None; // no guess at how a person would write it in ASCII
    }
    let mut joined = String::new();
    let mut separator = None;
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            if let Some(separator) = separator.take().filter(|_| !joined.is_empty()) {
                joined.push(separator);
            }
            joined.push(c);
        } else {
            separator.get_or_insert(if c == '_' { '_' } else { '-' });
        }
    }
    Some(joined)
}

/// Two refs of one registry give the same app name (`D-REF-4`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "processors `{first}` and `{second}` both give the app name `{app_name}` (D-REF-4); \
     rename one of them"
)]
pub struct Collision {
    /// The ref that stands first in the registry.
    pub first: ProcessorRef,
    /// The ref that collides with it; the same ref, if it is listed twice.
    pub second: ProcessorRef,
    /// The app name of both.
    pub app_name: AppName,
}

impl Collision {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::RegistryCollision;
}

/// Checks that no two refs of a registry give one app name (`D-REF-4`), as `a-b/c@1` and `a/b-c@1` do.
///
/// A ref that is listed twice collides with itself: which of the two entries is meant could not be told.
///
/// # Errors
/// The first collision, in the order of the registry.
pub fn registry_check(refs: &[ProcessorRef]) -> Result<(), Box<Collision>> {
    let mut seen = BTreeMap::new();
    for second in refs {
        let app_name = AppName::of(second);
        if let Some(first) = seen.insert(app_name.clone(), second) {
            let (first, second) = (ProcessorRef::clone(first), second.clone());
            return Err(Box::new(Collision {
                first,
                second,
                app_name,
            }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
