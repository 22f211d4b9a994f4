//! Modal app names: the one place that builds them (`D-REF-2`, `-3`, `-5`, `-6`, `-7`).
//!
//! An app on Modal is found by the pair of environment and app name, an [`AppTarget`]. [`AppPolicy`] maps a
//! processor ref and a lane to that pair; the map is total and pure. Names are never parsed back: who owns
//! an app is a record and a tag (`D-REF-5`).
//!
//! # Why a dev name can not be a prod object
//! * Where the environment tells lanes apart, each lane has its own: `prod` has `main`, which no lane can be
//!   called, and every other lane has the one of its own name. Where a configuration names others, it is
//!   refused if two lanes share one of which either is production.
//! * Where all lanes share one environment, every name of lane `x`, overrides included, ends in `-x`, and no
//!   lane but `prod` may end in `-prod` (see [`Lane`]).
//! * One policy holds for all lanes. That is why it is not a part of the rules of a lane.
//!
//! Nothing here reads the environment: overrides are arguments.
//!
//! ```
//! use moorline_core::app_name::{AppPolicy, Overrides};
//! use moorline_core::lane::Lane;
//!
//! let processor = "llm/litellm@1".parse()?;
//! let target = AppPolicy::default().resolve(&processor, &Lane::DEV, Overrides::default())?;
//! assert_eq!((target.environment.as_str(), target.app.as_str()), ("dev", "llm-litellm-v1"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error_code::ErrorCode;
use crate::lane::Lane;
use crate::processor_ref::ProcessorRef;
use crate::text::{quoted, serde_as_text};

/// The most characters that Modal takes in a name.
const MAX_LEN: usize = 64;

/// The hex digits that stand for what was cut off a name.
const HASH_LEN: usize = 8;

/// What Modal demands of object names (`D-REF-3`).
fn check_object_name(text: &str) -> Result<(), NameProblem> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() {
        return Err(NameProblem::Empty);
    }
    if let Some(c) = text.chars().find(|c| !allowed(*c)) {
        return Err(NameProblem::Character(c));
    }
    if text.len() > MAX_LEN {
        return Err(NameProblem::TooLong(text.len()));
    }
    Ok(())
}

/// `ap-` and 22 alphanumerics: Modal would take it for an id.
fn is_app_id(text: &str) -> bool {
    text.strip_prefix("ap-")
        .is_some_and(|id| id.len() == 22 && id.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// The name of a Modal app: `^[a-zA-Z0-9-_.]+$`, at most 64 characters, not shaped like an app id
/// (`D-REF-3`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppName(String);

serde_as_text!(
    AppName,
    "^[a-zA-Z0-9_.-]{1,64}$",
    "Name of a Modal app (D-REF-3)"
);

impl AppName {
    /// The app name of a processor, before any lane policy: `llm/litellm@1` gives `llm-litellm-v1`
    /// (`D-REF-2`).
    pub fn of(processor: &ProcessorRef) -> Self {
        Self::build("", processor, "")
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Builds every app name that is not given by a person. Total: prefix and suffix are lower-case words
    /// with hyphens, or empty, and the suffix has at most 33 characters.
    ///
    /// A name that is too long loses its middle: the head is kept as far as it fits, then come 8 hex digits
    /// of the BLAKE3 hash of the whole, then the suffix. The suffix stays whole since lanes are told apart
    /// by it.
    fn build(prefix: &str, processor: &ProcessorRef, suffix: &str) -> Self {
        let (namespace, name) = (processor.namespace(), processor.name());
        let stem = format!("{prefix}{namespace}-{name}-v{}", processor.version()).replace('_', "-");
        if stem.len() + suffix.len() <= MAX_LEN {
            return Self(stem + suffix);
        }
        let hash = blake3::hash(format!("{stem}{suffix}").as_bytes()).to_hex();
        let room = MAX_LEN.saturating_sub(suffix.len() + HASH_LEN + 1);
        let head: String = stem.chars().take(room).collect();
        let hash: String = hash.chars().take(HASH_LEN).collect();
        Self(format!("{}-{hash}{suffix}", head.trim_end_matches('-')))
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for AppName {
    type Err = AppNameError;

    fn from_str(text: &str) -> Result<Self, AppNameError> {
        let refuse = |problem| AppNameError {
            what: "app name",
            text: text.to_owned(),
            problem,
        };
        check_object_name(text).map_err(refuse)?;
        if is_app_id(text) {
            return Err(refuse(NameProblem::AppId));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The name of a Modal environment, by the same rule as app names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvironmentName(String);

serde_as_text!(
    EnvironmentName,
    "^[a-zA-Z0-9_.-]{1,64}$",
    "Name of a Modal environment"
);

impl EnvironmentName {
    /// The environment of a lane that has one of its own: `main` for `prod`, else the lane's name.
    pub fn of(lane: &Lane) -> Self {
        if lane.is_prod() {
            Self::default()
        } else {
            Self(lane.to_string())
        }
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `main`, which every workspace has.
impl Default for EnvironmentName {
    fn default() -> Self {
        Self("main".to_owned())
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for EnvironmentName {
    type Err = AppNameError;

    fn from_str(text: &str) -> Result<Self, AppNameError> {
        match check_object_name(text) {
            Ok(()) => Ok(Self(text.to_owned())),
            Err(problem) => Err(AppNameError {
                what: "environment name",
                text: text.to_owned(),
                problem,
            }),
        }
    }
}

/// Where an app is found on Modal. Two targets are the same object exactly when they are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppTarget {
    /// The Modal environment.
    pub environment: EnvironmentName,
    /// The app in that environment.
    pub app: AppName,
}

impl fmt::Display for AppTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.environment, self.app)
    }
}

/// What tells the lanes apart on Modal (`D-REF-7`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LaneScope {
    /// Each lane has a Modal environment; the app has the same name in each.
    #[default]
    ModalEnvironment,
    /// All lanes share one environment; app names end in `-<lane>`.
    AppSuffix,
    /// Both at once.
    Both,
}

/// Whose apps they are, put before the name in every lane but `prod` (`D-REF-7`).
///
/// Both parts are made fit for a name: lower case, with `-` for whatever is not an ASCII letter or digit.
/// Two people whose names become the same share their apps; none shares them with `prod`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DevPrefix {
    /// The branch being worked on.
    pub branch: Option<String>,
    /// The person or agent who works on it.
    pub user: Option<String>,
}

impl DevPrefix {
    /// `<branch>-<user>-`, of what there is.
    fn render(&self) -> String {
        let mut prefix = String::new();
        for part in [&self.branch, &self.user].into_iter().flatten() {
            let words = part.split(|c: char| !c.is_ascii_alphanumeric());
            for word in words.filter(|word| !word.is_empty()) {
                prefix.push_str(&word.to_ascii_lowercase());
                prefix.push('-');
            }
        }
        prefix
    }
}

/// How refs and lanes become targets, for a whole installation (`D-REF-7`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AppPolicy {
    /// What tells the lanes apart.
    pub scope: LaneScope,
    /// The environment that all lanes share under [`LaneScope::AppSuffix`].
    pub shared_environment: EnvironmentName,
    /// What is put before the name in every lane but `prod`.
    pub dev_prefix: Option<DevPrefix>,
    /// The environments of lanes that have another one than [`EnvironmentName::of`] says. Settings are
    /// refused in which one of them is production's ([`config`](crate::config)).
    pub environments: BTreeMap<Lane, EnvironmentName>,
}

/// App names that a person gave, strongest first (`D-REF-6`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overrides<'a> {
    /// The value of `--app-name`.
    pub flag: Option<&'a str>,
    /// The value of the variable `MODAL_APP_NAME`. Empty counts as not set.
    pub variable: Option<&'a str>,
}

impl AppPolicy {
    /// The target of a processor in a lane, with no override. Total.
    pub fn derive(&self, processor: &ProcessorRef, lane: &Lane) -> AppTarget {
        let prefix = match &self.dev_prefix {
            Some(prefix) if !lane.is_prod() => prefix.render(),
            _ => String::new(),
        };
        AppTarget {
            environment: self.environment(lane),
            app: AppName::build(&prefix, processor, &self.suffix(lane)),
        }
    }

    /// The target of a processor in a lane: `--app-name`, then `MODAL_APP_NAME`, then the derived name
    /// (`D-REF-6`). The environment is never overridden.
    ///
    /// # Errors
    /// The override is no app name (`D-REF-3`), or it lacks the suffix that tells the lanes apart
    /// (`D-REF-7`).
    pub fn resolve(
        &self,
        processor: &ProcessorRef,
        lane: &Lane,
        overrides: Overrides<'_>,
    ) -> Result<AppTarget, OverrideError> {
        let variable = overrides.variable.filter(|text| !text.is_empty());
        let (origin, text) = match (overrides.flag, variable) {
            (Some(flag), _) => ("--app-name", flag),
            (None, Some(variable)) => ("MODAL_APP_NAME", variable),
            (None, None) => return Ok(self.derive(processor, lane)),
        };
        let suffix = self.suffix(lane);
        let app: AppName = text
            .parse()
            .map_err(|source| OverrideError::Name { origin, source })?;
        if !app.as_str().ends_with(&suffix) {
            return Err(OverrideError::Suffix {
                origin,
                lane: lane.clone(),
                app,
                suffix,
            });
        }
        Ok(AppTarget {
            environment: self.environment(lane),
            app,
        })
    }

    fn environment(&self, lane: &Lane) -> EnvironmentName {
        match self.scope {
            LaneScope::ModalEnvironment | LaneScope::Both => self
                .environments
                .get(lane)
                .cloned()
                .unwrap_or_else(|| EnvironmentName::of(lane)),
            LaneScope::AppSuffix => self.shared_environment.clone(),
        }
    }

    fn suffix(&self, lane: &Lane) -> String {
        match self.scope {
            LaneScope::ModalEnvironment => String::new(),
            LaneScope::AppSuffix | LaneScope::Both => format!("-{lane}"),
        }
    }
}

/// The text can not be a Modal name (`D-REF-3`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a valid {what}: {problem} (D-REF-3)", quoted(.text))]
pub struct AppNameError {
    what: &'static str,
    text: String,
    problem: NameProblem,
}

impl AppNameError {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::Usage;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum NameProblem {
    #[error("it is empty")]
    Empty,
    #[error("it contains {}; use letters, digits, `-`, `_` and `.`", quoted(.0.encode_utf8(&mut [0; 4])))]
    Character(char),
    #[error("it has {0} characters; the most is 64")]
    TooLong(usize),
    #[error("it is shaped like an app id (`ap-` and 22 letters or digits)")]
    AppId,
}

/// An override can not be used (`D-REF-6`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// It is not a name that Modal takes.
    #[error("{origin} can not be used")]
    Name {
        /// Where the override came from: `--app-name` or `MODAL_APP_NAME`.
        origin: &'static str,
        /// What is wrong with it.
        source: AppNameError,
    },
    /// It could be the name of another lane's app.
    #[error(
        "{origin} `{app}` does not end in `{suffix}`, which tells the apps of lane `{lane}` from those \
         of other lanes (D-REF-7); write `{app}{suffix}`"
    )]
    Suffix {
        /// Where the override came from: `--app-name` or `MODAL_APP_NAME`.
        origin: &'static str,
        /// The lane that was asked for.
        lane: Lane,
        /// The override.
        app: AppName,
        /// What it must end in.
        suffix: String,
    },
}

impl OverrideError {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::Usage;
}
