//! What a secret is called: its logical name, and the environment variables that it gives
//! (`D-SEC-1`).
//!
//! Three things are kept apart. A job names a *logical secret* ([`SecretRef`]: `openai-api-key`, or
//! the `session` of `chase`). Where it is kept is an *object* whose name a
//! [`NamingPolicy`](crate::NamingPolicy) makes of the reference. Inside the object are *keys*
//! ([`EnvKey`]), the environment variables that a step is given. None of these types can hold a
//! value.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{EnvKey, NameError, SecretKind, SecretName};

/// A logical secret: a name, and for a source that has several the kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    /// Its name, or the source that it is for.
    pub name: SecretName,
    /// Which of the source's secrets.
    pub kind: Option<SecretKind>,
}

impl SecretRef {
    /// A secret that its name says all of.
    pub const fn new(name: SecretName) -> Self {
        Self { name, kind: None }
    }

    /// A secret of this kind.
    pub const fn of_kind(name: SecretName, kind: SecretKind) -> Self {
        Self {
            name,
            kind: Some(kind),
        }
    }

    /// Name and kind in lower case, joined by `-`: `chase-session`.
    pub fn kebab(&self) -> String {
        self.to_string()
    }

    /// Name and kind in upper case, joined by `_`: `CHASE_SESSION`.
    pub fn upper_snake(&self) -> String {
        self.kebab().to_ascii_uppercase().replace('-', "_")
    }

    /// The key of a secret that says nothing of its keys; none if that would be a reserved name.
    pub fn default_key(&self) -> Option<EnvKey> {
        self.upper_snake().parse().ok()
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.as_str())?;
        self.kind
            .as_ref()
            .map_or(Ok(()), |kind| write!(f, "-{kind}"))
    }
}

/// A secret that a step declares (`D-SEC-4`): which one, which keys of it, and whether it can do
/// without.
///
/// ```
/// use moorline_secrets::SecretRequirement;
///
/// let requirement: SecretRequirement = serde_json::from_str(
///     r#"{"name": "REGISTRY_AUTH", "keys": ["REGISTRY_USERNAME", "REGISTRY_PASSWORD"]}"#,
/// )?;
/// assert_eq!(requirement.secret().to_string(), "registry-auth");
/// assert!(requirement.is_required());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Declared", into = "Declared")]
#[schemars(with = "Declared")]
pub struct SecretRequirement {
    secret: SecretRef,
    keys: Vec<EnvKey>,
    required: bool,
}

impl SecretRequirement {
    /// A secret that the step can not do without.
    ///
    /// # Errors
    /// There is no key, or one twice.
    pub fn new(secret: SecretRef, keys: Vec<EnvKey>) -> Result<Self, NameError> {
        let refuse = |problem| Err(NameError::new(&secret.kebab(), "a usable secret", problem));
        if keys.is_empty() {
            return refuse("it needs at least one key");
        }
        if keys
            .iter()
            .enumerate()
            .any(|(at, key)| keys[..at].contains(key))
        {
            return refuse("a key is listed twice");
        }
        Ok(Self {
            secret,
            keys,
            required: true,
        })
    }

    /// The same, but a step can do without it.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// Which secret.
    pub const fn secret(&self) -> &SecretRef {
        &self.secret
    }

    /// The environment variables, at least one, none twice.
    pub fn keys(&self) -> &[EnvKey] {
        &self.keys
    }

    /// Whether the step can not do without it.
    pub const fn is_required(&self) -> bool {
        self.required
    }
}

/// A secret that a step declares: which one, which keys of it, and whether it can do without. Never
/// a value.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SecretRequirement")]
struct Declared {
    /// Its name, or the source that it is for.
    name: SecretName,
    /// Which of the source's secrets.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    kind: Option<SecretKind>,
    /// The environment variables that it gives. Absent: one, of the secret's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    keys: Option<Vec<EnvKey>>,
    /// Whether a run in real mode is refused when a key is not set.
    #[serde(default = "yes")]
    required: bool,
}

const fn yes() -> bool {
    true
}

impl TryFrom<Declared> for SecretRequirement {
    type Error = NameError;

    fn try_from(declared: Declared) -> Result<Self, NameError> {
        let Declared {
            name,
            kind,
            keys,
            required,
        } = declared;
        let secret = SecretRef { name, kind };
        let keys = match keys {
            Some(keys) => keys,
            None => vec![secret.upper_snake().parse()?],
        };
        Ok(Self {
            required,
            ..Self::new(secret, keys)?
        })
    }
}

impl From<SecretRequirement> for Declared {
    fn from(requirement: SecretRequirement) -> Self {
        let SecretRequirement {
            secret: SecretRef { name, kind },
            keys,
            required,
        } = requirement;
        Self {
            name,
            kind,
            keys: Some(keys),
            required,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_lists_no_keys_has_the_one_of_its_name() {
        for (json, keys) in [
            (r#"{"name":"openai-api-key"}"#, vec!["OPENAI_API_KEY"]),
            (r#"{"name":"chase","type":"oauth"}"#, vec!["CHASE_OAUTH"]),
            (
                r#"{"name":"x","keys":["B","A"],"required":false}"#,
                vec!["B", "A"],
            ),
        ] {
            let requirement: SecretRequirement = serde_json::from_str(json).unwrap();
            let found: Vec<&str> = requirement.keys().iter().map(EnvKey::as_str).collect();
            assert_eq!(found, keys);
            let again = serde_json::to_string(&requirement).unwrap();
            assert_eq!(
                serde_json::from_str::<SecretRequirement>(&again).unwrap(),
                requirement
            );
        }
        for json in [
            r#"{"name":"x","keys":[]}"#,
            r#"{"name":"x","keys":["A","A"]}"#,
            r#"{"name":"x","value":"hunter2"}"#,
            r#"{"name":"moorline-x"}"#,
            r#"{"keys":["A"]}"#,
        ] {
            assert!(
                serde_json::from_str::<SecretRequirement>(json).is_err(),
                "{json}"
            );
        }
    }

    #[test]
    fn the_schema_says_what_parsing_says() {
        let schema = serde_json::to_value(schemars::schema_for!(SecretRequirement)).unwrap();
        assert_eq!(schema["title"], "SecretRequirement");
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"], serde_json::json!(["name"]));
        assert_eq!(schema["$defs"]["EnvKey"]["maxLength"], 128);
    }
}
