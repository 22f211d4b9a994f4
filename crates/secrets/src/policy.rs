//! What the object is called that holds a secret (`D-SEC-2`).
//!
//! A [`NamingPolicy`] is a pure function from a logical secret and a lane to an [`ObjectName`].
//! Names that Modal would not take are refused, never shortened: people create these objects by
//! hand, under the name that they were told. Deliberately absent: which objects exist. That is the
//! back end's to say.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{NameError, is_words};
use crate::reference::SecretRef;

/// The most characters in the name of an object.
const MAX_OBJECT: usize = 64;
/// What follows the two letters and the hyphen of an id that Modal made.
const ID_LENGTH: usize = 22;

/// How the name of the object that holds a secret is made.
///
/// ```
/// use moorline_secrets::{NamingPolicy, SecretRef};
///
/// let session = SecretRef::of_kind("chase".parse()?, "session".parse()?);
/// let named = |policy: &str| -> Result<String, Box<dyn std::error::Error>> {
///     let policy: NamingPolicy = serde_json::from_str(policy)?;
///     Ok(policy.object_name(&session, "prod")?.to_string())
/// };
/// assert_eq!(named(r#"{"policy": "prefixed"}"#)?, "LONG_HORIZON_AGENT_CHASE_SESSION");
/// let with_lane = r#"{"policy": "prefixed", "prefix": "BANK", "with_lane": true}"#;
/// assert_eq!(named(with_lane)?, "BANK_PROD_CHASE_SESSION");
/// assert_eq!(named(r#"{"policy": "env_var_name"}"#)?, "CHASE_SESSION");
/// assert_eq!(named(r#"{"policy": "kebab"}"#)?, "chase-session");
/// assert_eq!(named(r#"{"policy": "bundle", "object": "all-of-them"}"#)?, "all-of-them");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "policy", rename_all = "snake_case", deny_unknown_fields)]
pub enum NamingPolicy {
    /// `<PREFIX>_<NAME>_<TYPE>`, or `<PREFIX>_<LANE>_<NAME>_<TYPE>`.
    Prefixed {
        /// What all names begin with.
        #[serde(default)]
        prefix: Prefix,
        /// Whether the lane follows the prefix. Without it, lanes are told apart by their Modal
        /// environments alone.
        #[serde(default)]
        with_lane: bool,
    },
    /// The name of the environment variable, the same in every lane: `OPENAI_API_KEY`.
    EnvVarName {},
    /// In lower case with hyphens, the same in every lane: `anthropic-api-key`.
    Kebab {},
    /// One object with the keys of all secrets.
    Bundle {
        /// Its name.
        object: ObjectName,
    },
}

impl Default for NamingPolicy {
    /// As the environment variable is called.
    fn default() -> Self {
        Self::EnvVarName {}
    }
}

impl NamingPolicy {
    /// The name of the object that holds the secret in this lane.
    ///
    /// # Errors
    /// The name would be one that Modal does not take, such as one of more than 64 characters.
    pub fn object_name(&self, secret: &SecretRef, lane: &str) -> Result<ObjectName, NameError> {
        match self {
            Self::Prefixed { .. } => {
                ObjectName::new(&format!("{}{}", self.stem(lane)?, secret.upper_snake()))
            }
            Self::EnvVarName {} => ObjectName::new(&secret.upper_snake()),
            Self::Kebab {} => ObjectName::new(&secret.kebab()),
            Self::Bundle { object } => Ok(object.clone()),
        }
    }

    /// What every prefixed name of this lane begins with; empty for other policies.
    pub(crate) fn stem(&self, lane: &str) -> Result<String, NameError> {
        let Self::Prefixed { prefix, with_lane } = self else {
            return Ok(String::new());
        };
        if !with_lane {
            return Ok(format!("{prefix}_"));
        }
        // One word, so that no lane and name together read as another lane and another name.
        let lane_part: String = lane
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_uppercase())
            .collect();
        if lane_part.is_empty() {
            return Err(NameError::new(
                lane,
                "a lane that a name can show",
                "it has no letter or digit",
            ));
        }
        Ok(format!("{prefix}_{lane_part}_"))
    }
}

/// What prefixed names begin with: upper-case words joined by `_`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$", "maxLength" = 40))]
pub struct Prefix(String);

impl Default for Prefix {
    fn default() -> Self {
        Self("LONG_HORIZON_AGENT".to_owned())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Prefix {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > 40 || !is_words(text, &['_'], char::is_ascii_uppercase) {
            return Err(NameError::new(
                text,
                "a prefix",
                "write words of upper-case letters and digits joined by `_`, at most 40 characters",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Prefix {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.0
    }
}

/// The name of an object that Modal takes: `[a-zA-Z0-9-_.]`, 1 to 64 characters, and not shaped
/// like an id that Modal makes (two letters, `-`, 22 letters and digits).
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^[a-zA-Z0-9_.-]+$", "maxLength" = 64))]
pub struct ObjectName(String);

impl ObjectName {
    fn new(text: &str) -> Result<Self, NameError> {
        let refuse = |problem| Err(NameError::new(text, "the name of a secret object", problem));
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || !text.chars().all(allowed) {
            return refuse("Modal takes letters, digits, `-`, `_` and `.`");
        }
        if text.len() > MAX_OBJECT {
            return refuse(
                "Modal takes at most 64 characters; shorten the prefix or the secret's name",
            );
        }
        let is_id = text.split_once('-').is_some_and(|(kind, rest)| {
            kind.len() == 2
                && kind.chars().all(|c| c.is_ascii_lowercase())
                && rest.len() == ID_LENGTH
                && rest.chars().all(|c| c.is_ascii_alphanumeric())
        });
        if is_id {
            return refuse("Modal would take it for an id");
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ObjectName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for ObjectName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ObjectName> for String {
    fn from(name: ObjectName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretRef {
        SecretRef::new(text.parse().unwrap())
    }

    fn prefixed(prefix: &str, with_lane: bool) -> NamingPolicy {
        NamingPolicy::Prefixed {
            prefix: prefix.parse().unwrap(),
            with_lane,
        }
    }

    #[test]
    fn seed_000_names_are_prefixed_with_source_and_type() {
        let policy = NamingPolicy::Prefixed {
            prefix: Prefix::default(),
            with_lane: false,
        };
        for (source, kind, expected) in [
            ("chase", "oauth", "LONG_HORIZON_AGENT_CHASE_OAUTH"),
            ("amex", "session", "LONG_HORIZON_AGENT_AMEX_SESSION"),
        ] {
            let secret = SecretRef::of_kind(source.parse().unwrap(), kind.parse().unwrap());
            assert_eq!(
                policy.object_name(&secret, "prod").unwrap().as_str(),
                expected
            );
        }
    }

    #[test]
    fn seed_001_names_are_the_environment_variables_in_every_lane() {
        for name in ["REGISTRY_AUTH", "OPENAI_API_KEY", "LITELLM_API_BASE"] {
            for lane in ["dev", "prod"] {
                let object = NamingPolicy::EnvVarName {}
                    .object_name(&secret(name), lane)
                    .unwrap();
                assert_eq!(object.as_str(), name);
            }
        }
    }

    #[test]
    fn seed_002_names_are_in_lower_case_and_hold_the_variable() {
        for (key, object) in [
            ("ANTHROPIC_API_KEY", "anthropic-api-key"),
            ("GITHUB_TOKEN", "github-token"),
        ] {
            let named = NamingPolicy::Kebab {}
                .object_name(&secret(object), "dev")
                .unwrap();
            assert_eq!(named.as_str(), object);
            assert_eq!(secret(object).default_key().unwrap().as_str(), key);
        }
    }

    #[test]
    fn the_lane_part_is_one_word() {
        for (lane, expected) in [("prod", "P_PROD_A_B"), ("staging-eu", "P_STAGINGEU_A_B")] {
            let object = prefixed("P", true)
                .object_name(&secret("a-b"), lane)
                .unwrap();
            assert_eq!(object.as_str(), expected);
        }
        let error = prefixed("P", true)
            .object_name(&secret("a"), "--")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "`--` is not a lane that a name can show: it has no letter or digit"
        );
    }

    #[test]
    fn names_that_modal_would_not_take_are_refused() {
        let long = prefixed(&"P".repeat(40), false).object_name(&secret(&"n".repeat(24)), "dev");
        assert_eq!(
            long.unwrap_err().to_string(),
            format!(
                "`{}…` is not the name of a secret object: Modal takes at most 64 characters; shorten the prefix or \
                 the secret's name",
                "P".repeat(40)
            )
        );
        assert!(
            prefixed(&"P".repeat(40), false)
                .object_name(&secret(&"n".repeat(23)), "dev")
                .is_ok()
        );
        let id = NamingPolicy::Kebab {}.object_name(&secret("st-0123456789012345678901"), "dev");
        assert!(
            id.unwrap_err()
                .to_string()
                .ends_with("Modal would take it for an id")
        );
        for text in ["", "a b", "a/b", "é", "a\n"] {
            assert!(text.parse::<ObjectName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn policies_load_strictly_and_round_trip() {
        for (json, policy) in [
            (
                r#"{"policy":"prefixed","prefix":"BANK","with_lane":true}"#,
                prefixed("BANK", true),
            ),
            (r#"{"policy":"env_var_name"}"#, NamingPolicy::EnvVarName {}),
            (r#"{"policy":"kebab"}"#, NamingPolicy::Kebab {}),
            (
                r#"{"policy":"bundle","object":"all"}"#,
                NamingPolicy::Bundle {
                    object: "all".parse().unwrap(),
                },
            ),
        ] {
            assert_eq!(serde_json::from_str::<NamingPolicy>(json).unwrap(), policy);
            assert_eq!(serde_json::to_string(&policy).unwrap(), json);
        }
        for json in [
            r#"{"policy":"env_var_name","prefix":"A"}"#,
            r#"{"policy":"prefixed","prefix":"bank"}"#,
            r#"{"policy":"bundle"}"#,
            r#"{"policy":"bundle","object":"a b"}"#,
            r#"{"policy":"other"}"#,
        ] {
            assert!(
                serde_json::from_str::<NamingPolicy>(json).is_err(),
                "{json}"
            );
        }
    }
}
