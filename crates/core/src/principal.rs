//! Who acts: a person, an agent, a pipeline, or Moorline itself.
//!
//! A principal is written `kind:name`, as in `human:ada`. The kind alone decides what can never be
//! delegated: only a person approves, promotes and enables (`D-ART-4`), whatever role the principal has.

mod record;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{quoted, serde_as_text};

pub use record::{
    PrincipalChange, PrincipalRecord, PublicKey, PublicKeyError, RegisteredKey, change,
};

/// What kind of actor a principal is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    Human,
    /// A program that decides by itself, such as a language model with tools.
    Agent,
    /// A pipeline.
    Ci,
    /// Moorline itself, by a rule.
    System,
}

impl PrincipalKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Human, Self::Agent, Self::Ci, Self::System];

    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Agent => "agent",
            Self::Ci => "ci",
            Self::System => "system",
        }
    }
}

impl fmt::Display for PrincipalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who acts: `kind:name`. The name has 1 to 128 characters of `[A-Za-z0-9._@+-]`.
///
/// ```
/// use moorline_core::principal::{Principal, PrincipalKind};
///
/// let ada: Principal = "human:ada".parse()?;
/// assert_eq!(ada.kind(), PrincipalKind::Human);
/// assert_eq!(ada.to_string(), "human:ada");
/// assert!("ada".parse::<Principal>().is_err());
/// # Ok::<(), moorline_core::principal::PrincipalError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal {
    kind: PrincipalKind,
    name: String,
}

serde_as_text!(
    Principal,
    "^(human|agent|ci|system):[A-Za-z0-9._@+-]{1,128}$",
    "Who acts, as `kind:name`"
);

impl Principal {
    /// Moorline itself.
    pub fn system() -> Self {
        Self {
            kind: PrincipalKind::System,
            name: "moorline".to_owned(),
        }
    }

    /// The principal of a kind and a name; what a name can not hold is replaced by `-`.
    ///
    /// For names that others give, such as that of the operating system's user.
    pub fn named(kind: PrincipalKind, name: &str) -> Self {
        let mut name: String = name
            .chars()
            .take(128)
            .map(|c| if allowed(c) { c } else { '-' })
            .collect();
        if name.is_empty() {
            name.push_str("local");
        }
        Self { kind, name }
    }

    /// What kind of actor it is.
    pub const fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// Its name, without the kind.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a person.
    pub const fn is_human(&self) -> bool {
        matches!(self.kind, PrincipalKind::Human)
    }
}

impl Default for Principal {
    /// `human:local`: whoever sits at a machine where nobody has a name.
    fn default() -> Self {
        Self::named(PrincipalKind::Human, "local")
    }
}

const fn allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '+' | '-')
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

/// The text names no principal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not a principal: write `human:NAME`, `agent:NAME`, `ci:NAME` or `system:NAME`, the name \
     with letters, digits and `._@+-` (D-AUDIT-1)",
    quoted(.text)
)]
pub struct PrincipalError {
    text: String,
}

impl FromStr for Principal {
    type Err = PrincipalError;

    fn from_str(text: &str) -> Result<Self, PrincipalError> {
        let error = || PrincipalError {
            text: text.to_owned(),
        };
        let (kind, name) = text.split_once(':').ok_or_else(error)?;
        let kind = PrincipalKind::ALL
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or_else(error)?;
        if name.is_empty() || name.len() > 128 || !name.chars().all(allowed) {
            return Err(error());
        }
        Ok(Self {
            kind,
            name: name.to_owned(),
        })
    }
}

/// What a principal may do; the table of operations and roles is `moorline_api::authorization`.
///
/// Roles only ever take away from what a kind may do: an agent with the role `admin` still approves
/// nothing (`D-ART-4`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees everything but secrets, changes nothing.
    Viewer,
    /// Starts and cancels runs, submits artifacts; may stop everything.
    Operator,
    /// Also decides about artifacts and schedules, and releases stops.
    Approver,
    /// Also manages secrets and principals.
    Admin,
}

impl Role {
    /// Every role, each with all that the ones before it may do.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_round_trip_and_odd_ones_are_refused() {
        for text in [
            "human:ada",
            "agent:claude-4",
            "ci:github+main",
            "system:moorline",
        ] {
            let principal: Principal = text.parse().unwrap();
            assert_eq!(principal.to_string(), text);
            let json = serde_json::to_value(&principal).unwrap();
            assert_eq!(json, text);
            assert_eq!(
                serde_json::from_value::<Principal>(json).unwrap(),
                principal
            );
        }
        for text in [
            "",
            "ada",
            "human:",
            "root:ada",
            "human:a b",
            "human:a\n",
            "Human:ada",
        ] {
            text.parse::<Principal>().unwrap_err();
        }
        assert!(
            format!("human:{}", "a".repeat(129))
                .parse::<Principal>()
                .is_err()
        );
    }

    #[test]
    fn any_name_of_the_system_makes_a_principal() {
        for (given, name) in [("ada", "ada"), ("", "local"), ("a b\n", "a-b-"), ("é", "-")] {
            let principal = Principal::named(PrincipalKind::Human, given);
            assert_eq!(principal.name(), name);
            assert_eq!(
                principal.to_string().parse::<Principal>().unwrap(),
                principal
            );
        }
    }
}
