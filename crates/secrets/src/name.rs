//! The grammar of names: of secrets, of their kinds, and of environment variables.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{ERR_CONFIG, Refusal};

/// The most characters in a name or a kind.
const MAX_NAME: usize = 64;
/// The most characters in the name of an environment variable.
const MAX_KEY: usize = 128;
/// Environment variables of the process contract (`D-RUN-5`), which no secret may set.
const RESERVED: &str = "MOORLINE_";

/// A text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shown} is not {what}: {problem}")]
pub struct NameError {
    shown: String,
    what: &'static str,
    problem: &'static str,
}

impl NameError {
    pub(crate) fn new(text: &str, what: &'static str, problem: &'static str) -> Self {
        Self {
            shown: shown(text),
            what,
            problem,
        }
    }
}

impl Refusal for NameError {
    fn code(&self) -> &'static str {
        ERR_CONFIG
    }

    fn rule(&self) -> &'static str {
        "D-SEC-2"
    }

    fn hint(&self) -> String {
        self.problem.to_owned()
    }
}

/// As much of a refused name as an error may repeat. People put values where names belong, so it
/// shows only what could be the beginning of a name, and nothing that looks like a credential.
fn shown(text: &str) -> String {
    let name = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let begin: String = text.chars().take_while(name).take(40).collect();
    let safe = crate::Redactor::default().redact(text).starts_with(&begin);
    if begin.is_empty() || !safe {
        return format!("a text of {} bytes", text.len());
    }
    let more = if begin.len() < text.len() { "…" } else { "" };
    format!("`{begin}{more}`")
}

/// Whether the text is words of letters and digits, of which the first begins with a letter, joined
/// by one of these characters each.
pub(crate) fn is_words(text: &str, joints: &[char], letter: fn(&char) -> bool) -> bool {
    text.starts_with(|c| letter(&c))
        && text
            .split(joints)
            .all(|word| !word.is_empty() && word.chars().all(|c| letter(&c) || c.is_ascii_digit()))
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// Words of letters and digits, joined by `-` or `_`, all in lower or all in upper case, at
        /// most 64 characters. `OPENAI_API_KEY`, `openai_api_key` and `openai-api-key` are the
        /// same; the last is how it is kept.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String", extend("pattern" = "^([a-z][a-z0-9]*([_-][a-z0-9]+)*|[A-Z][A-Z0-9]*([_-][A-Z0-9]+)*)$", "maxLength" = 64))]
        pub struct $name(String);

        impl $name {
            /// The words in lower case, joined by `-`.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                canonical(text, $what).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

words!(
    /// The logical name of a secret, such as `openai-api-key`, or the source that it is for, such
    /// as `chase`.
    SecretName,
    "the name of a secret"
);
words!(
    /// What kind of credential of its source a secret is, such as `oauth` or `session`.
    SecretKind,
    "a kind of secret"
);

fn canonical(text: &str, what: &'static str) -> Result<String, NameError> {
    let joints = &['-', '_'];
    if text.len() > MAX_NAME {
        return Err(NameError::new(
            text,
            what,
            "it is longer than 64 characters",
        ));
    }
    if !is_words(text, joints, char::is_ascii_lowercase)
        && !is_words(text, joints, char::is_ascii_uppercase)
    {
        return Err(NameError::new(
            text,
            what,
            "write words of letters and digits joined by `-` or `_`, all in lower or all in upper case",
        ));
    }
    Ok(text.to_ascii_lowercase().replace('_', "-"))
}

/// The name of an environment variable that a secret gives to a step: `[A-Za-z_][A-Za-z0-9_]*`, at
/// most 128 characters, and not one of the process contract's own, which begin with `MOORLINE_`
/// (`D-RUN-5`).
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^(?!MOORLINE_)[A-Za-z_][A-Za-z0-9_]*$", "maxLength" = 128))]
pub struct EnvKey(String);

impl EnvKey {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for EnvKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |problem| {
            Err(NameError::new(
                text,
                "an environment variable for a secret",
                problem,
            ))
        };
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        if text.len() > MAX_KEY {
            return refuse("it is longer than 128 characters");
        }
        if !text.starts_with(first) || !text.chars().all(|c| first(c) || c.is_ascii_digit()) {
            return refuse("write letters, digits and `_`, and no digit first");
        }
        if text.starts_with(RESERVED) {
            return refuse(
                "names that begin with `MOORLINE_` belong to the process contract (D-RUN-5)",
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for EnvKey {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<EnvKey> for String {
    fn from(key: EnvKey) -> Self {
        key.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways_to_write_a_name_are_one() {
        for text in [
            "OPENAI_API_KEY",
            "openai_api_key",
            "openai-api-key",
            "OPENAI-API_KEY",
        ] {
            assert_eq!(
                text.parse::<SecretName>().unwrap().as_str(),
                "openai-api-key"
            );
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(65);
        for text in [
            "", "-", "a-", "_a", "a--b", "a_-b", "1a", "Chase", "a b", "a.b", "é", "a\n", &long,
        ] {
            assert!(text.parse::<SecretName>().is_err(), "{text:?}");
        }
        for text in ["a", "a1", "a-1", long.split_at(64).0] {
            assert!(text.parse::<SecretName>().is_ok(), "{text:?}");
        }
    }

    #[test]
    fn an_error_never_repeats_what_may_be_a_value() {
        for (text, shown) in [
            ("Chase", "`Chase`"),
            ("API_KEY=hunter2", "`API_KEY…`"),
            ("sk-Abc123def456ghi", "a text of 18 bytes"),
            ("=hunter2", "a text of 8 bytes"),
            ("", "a text of 0 bytes"),
        ] {
            let error = text.parse::<SecretName>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "{shown} is not the name of a secret: write words of letters and digits joined by `-` or `_`, \
                     all in lower or all in upper case"
                )
            );
            assert_eq!((error.code(), error.rule()), ("ERR_CONFIG", "D-SEC-2"));
        }
    }

    #[test]
    fn keys_are_environment_variables_that_are_not_the_contracts_own() {
        for text in ["A", "_a1", "http_proxy", "MOORLINE"] {
            assert_eq!(text.parse::<EnvKey>().unwrap().as_str(), text);
        }
        for text in [
            "",
            "1A",
            "A-B",
            "A B",
            "A=",
            "é",
            "MOORLINE_RUN_ID",
            &"A".repeat(129),
        ] {
            assert!(text.parse::<EnvKey>().is_err(), "{text:?}");
        }
    }
}
