//! Lanes: what is permitted, and where (`dev`, `staging`, `prod`, or one's own).
//!
//! A [`Lane`] is only a name. What the lane permits is its [`LaneRules`]; those of the built-in lanes are
//! here, those of one's own come from configuration. Deliberately absent: which Modal environment or app
//! name a lane means, which is [`app_name`](crate::app_name)'s to say, for all lanes at once.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error_code::ErrorCode;
use crate::text::{quoted, serde_as_text};

/// The name of a lane: `[a-z][a-z0-9-]{0,31}`.
///
/// `main` is another way to write `prod`. No other lane may end in `-prod`: its app names would then end
/// as those of `prod` do, and a name of one could be an object of the other (`D-REF-7`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(Cow<'static, str>);

serde_as_text!(
    Lane,
    "^[a-z][a-z0-9-]{0,31}$",
    "Lane: `dev`, `staging`, `prod` (or `main`, which is `prod`), or a configured one"
);

impl Lane {
    /// Where people and agents try things: the default.
    pub const DEV: Self = Self(Cow::Borrowed("dev"));
    /// As `prod`, with data that may be lost.
    pub const STAGING: Self = Self(Cow::Borrowed("staging"));
    /// What others rely on.
    pub const PROD: Self = Self(Cow::Borrowed("prod"));

    /// The name; never `main`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the lane whose objects no other lane may reach.
    pub fn is_prod(&self) -> bool {
        *self == Self::PROD
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self::DEV
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Lane {
    type Err = LaneError;

    fn from_str(text: &str) -> Result<Self, LaneError> {
        let refuse = |problem| LaneError {
            text: text.to_owned(),
            problem,
        };
        for built_in in [Self::DEV, Self::STAGING, Self::PROD] {
            if text == built_in.as_str() {
                return Ok(built_in);
            }
        }
        if text == "main" {
            return Ok(Self::PROD);
        }
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !text.starts_with(|c: char| c.is_ascii_lowercase())
            || text.len() > 32
            || !text.bytes().all(allowed)
        {
            return Err(refuse(LaneProblem::Grammar));
        }
        if text.ends_with("-prod") {
            return Err(refuse(LaneProblem::LooksLikeProd));
        }
        Ok(Self(Cow::Owned(text.to_owned())))
    }
}

/// The text is not the name of a lane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a lane name: {problem}", quoted(.text))]
pub struct LaneError {
    text: String,
    problem: LaneProblem,
}

impl LaneError {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::Usage;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum LaneProblem {
    #[error("write `dev`, `staging`, `prod`, or a name of your own as `[a-z][a-z0-9-]{{0,31}}`")]
    Grammar,
    #[error("only lane `prod` may end in `prod` (D-REF-7); write for example `prod-eu`")]
    LooksLikeProd,
}

/// What a lane permits and demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LaneRules {
    /// The lane that the rules are for.
    pub lane: Lane,
    /// Steps may wait for a person at a terminal (`D-SPEC-3`).
    pub interactive: bool,
    /// Steps may install dependencies while they run (`D-SPEC-3`).
    pub dynamic_installs: bool,
    /// Schedules may be enabled here (`D-SCHED-3`).
    pub schedules: bool,
    /// Only what the lane was pointed to by a promotion may run (`D-ART-4`).
    pub requires_approval: bool,
    /// Images must be pinned by digest (`D-SPEC-3`).
    pub requires_pinned_images: bool,
    /// Every step must say where it connects to, and not by `*` (`D-SPEC-3`).
    pub requires_egress_list: bool,
    /// Every protection of the local sandbox must be had, or the run is refused. Where this is false a
    /// run may go on with less, and its summary says what was missing.
    pub requires_isolation: bool,
}

impl LaneRules {
    /// The rules of `dev`: people try things here; nothing runs by itself.
    pub const DEV: Self = Self {
        lane: Lane::DEV,
        interactive: true,
        dynamic_installs: true,
        schedules: false,
        requires_approval: false,
        requires_pinned_images: false,
        requires_egress_list: false,
        requires_isolation: false,
    };

    /// The rules of `prod`: what runs was reviewed, and can do no more than was reviewed.
    pub const PROD: Self = Self {
        lane: Lane::PROD,
        interactive: false,
        dynamic_installs: false,
        schedules: true,
        requires_approval: true,
        requires_pinned_images: true,
        requires_egress_list: true,
        requires_isolation: true,
    };

    /// The rules of `staging`: those of `prod`, so that what passes here passes there; but for approval, which
    /// what is tried here does not have yet.
    pub const STAGING: Self = Self {
        lane: Lane::STAGING,
        requires_approval: false,
        ..Self::PROD
    };

    /// The rules of a built-in lane; none for one's own, whose rules only configuration can give.
    pub fn built_in(lane: &Lane) -> Option<Self> {
        [Self::DEV, Self::STAGING, Self::PROD]
            .into_iter()
            .find(|rules| rules.lane == *lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(text: &str) -> Lane {
        text.parse().unwrap()
    }

    #[test]
    fn main_is_prod_and_dev_is_the_default() {
        assert_eq!(lane("main"), Lane::PROD);
        assert_eq!(lane("main").to_string(), "prod");
        assert_eq!(
            serde_json::from_str::<Lane>("\"main\"").unwrap(),
            Lane::PROD
        );
        assert_eq!(serde_json::to_string(&Lane::PROD).unwrap(), "\"prod\"");
        assert_eq!(Lane::default(), lane("dev"));
    }

    #[test]
    fn own_lanes_follow_the_grammar() {
        for text in ["qa", "dev-alice", "prod-eu", "a", "x9-", &"a".repeat(32)] {
            assert_eq!(lane(text).as_str(), text);
        }
        for text in [
            "",
            "Dev",
            "9a",
            "-a",
            "a_b",
            "a.b",
            "dev ",
            "dév",
            "a\0",
            &"a".repeat(33),
        ] {
            let error = text.parse::<Lane>().unwrap_err();
            assert_eq!(error.problem, LaneProblem::Grammar, "{text}");
        }
    }

    #[test]
    fn no_other_lane_may_end_as_prod_does() {
        for text in ["eu-prod", "v1-prod", "x--prod"] {
            assert_eq!(
                text.parse::<Lane>().unwrap_err().to_string(),
                format!(
                    "`{text}` is not a lane name: only lane `prod` may end in `prod` (D-REF-7); \
                     write for example `prod-eu`"
                )
            );
        }
    }

    #[test]
    fn the_built_in_lanes_have_rules_and_staging_is_as_strict_as_prod() {
        assert_eq!(LaneRules::built_in(&Lane::DEV), Some(LaneRules::DEV));
        assert_eq!(LaneRules::built_in(&Lane::PROD), Some(LaneRules::PROD));
        let staging = LaneRules::built_in(&Lane::STAGING).unwrap();
        assert_eq!(
            LaneRules {
                lane: Lane::PROD,
                requires_approval: true,
                ..staging
            },
            LaneRules::PROD
        );
        assert_eq!(LaneRules::built_in(&lane("qa")), None);
    }
}
