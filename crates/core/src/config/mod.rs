//! Settings: what `moorline.toml` and its layers say, checked (lanes, review, alerts, secrets, principals,
//! the server).
//!
//! | item | what |
//! |---|---|
//! | [`Settings`] | what the rest of Moorline reads |
//! | [`resolve`] | settings from [`Layers`]: defaults, project, user, environment, flags |
//! | [`Resolved`] | settings, with where every value comes from |
//! | [`Problems`] | everything that is wrong, each with file and line |
//! | [`ConfigDocument`] | what one file says; the published schema `config` |
//!
//! Deliberately absent: reading files and the environment, which the programs do; the names of secret
//! objects, which `moorline_secrets` knows; and what is set while Moorline runs, which is in the store.

mod document;
mod job;
mod lanes;
mod layer;
mod problem;
mod resolve;
mod separation;
mod server;
#[cfg(test)]
mod tests;
mod trust;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app_name::{AppPolicy, EnvironmentName, LaneScope};
use crate::error_code::AlertLevel;
use crate::lane::{Lane, LaneRules};
use crate::principal::{Principal, Role};
use crate::spec::{Egress, Permission, ToolPermissions};

pub use document::{
    AlertDocument, AppNamesDocument, ConfigDocument, DevPrefixDocument, IncomingDocument,
    LaneDocument, ReviewDocument, SecretsDocument, ServerDocument, ToolsDocument,
};
pub use layer::{ConfigFile, ConfigFlag, Origin, VARIABLES, store_of};
pub use problem::{Problem, Problems};
pub use resolve::{Entry, Layers, Resolved, resolve};
pub use server::{DEFAULT_PROJECT, IncomingSettings, ServerSettings, is_project_name};

/// Everything that is configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// The lane of commands that name none.
    pub lane: Lane,
    /// The executor of steps that name none.
    pub executor: String,
    /// Attempts that one process drives at once.
    pub capacity: u32,
    /// How long a worker that gives no sign of life keeps its attempts, in seconds.
    pub lease_seconds: u32,
    /// The store; SQLite in the state directory when absent.
    pub store: Option<StoreUrl>,
    /// The lanes; the built-in ones are always there.
    pub lanes: BTreeMap<Lane, LaneSettings>,
    /// How processor refs and lanes become Modal environments and app names (D-REF-7).
    pub app_names: AppPolicy,
    /// How artifacts are reviewed.
    pub review: ReviewSettings,
    /// Roles of principals; who is not named here has `default_role`.
    pub principals: BTreeMap<Principal, Role>,
    /// The role of a person whom no entry names. Agents and pipelines that no entry names are operators.
    pub default_role: Role,
    /// Whom to tell of alerts, beside those whom a job names.
    pub alerts: Vec<AlertDestination>,
    /// Where secrets are kept.
    pub secrets: SecretSettings,
    /// How `moorlined` serves.
    pub server: ServerSettings,
}

impl Default for Settings {
    /// The built-in lanes; people are admins of their own machine.
    fn default() -> Self {
        let lanes = [LaneRules::DEV, LaneRules::STAGING, LaneRules::PROD];
        Self {
            lane: Lane::DEV,
            executor: "local".to_owned(),
            capacity: 8,
            lease_seconds: 30,
            store: None,
            lanes: lanes
                .into_iter()
                .map(|rules| (rules.lane.clone(), LaneSettings::of(rules)))
                .collect(),
            // Needs no Modal environment but the one that every workspace has.
            app_names: AppPolicy {
                scope: LaneScope::AppSuffix,
                ..AppPolicy::default()
            },
            review: ReviewSettings::default(),
            principals: BTreeMap::new(),
            default_role: Role::Admin,
            alerts: Vec::new(),
            secrets: SecretSettings::default(),
            server: ServerSettings::default(),
        }
    }
}

impl LaneSettings {
    /// A lane with these rules, and otherwise as the built-in lanes are.
    pub fn of(rules: LaneRules) -> Self {
        let freely = Some(Permission::Allowed);
        let (web, installs) = if rules.dynamic_installs {
            (Permission::Allowed, Permission::Allowed)
        } else {
            (Permission::Restricted, Permission::Forbidden)
        };
        Self {
            extends: None,
            production: rules.lane.is_prod(),
            modal_environment: EnvironmentName::of(&rules.lane).to_string(),
            rules,
            secrets: SecretNaming::Prefixed {
                prefix: "LONG_HORIZON_AGENT".to_owned(),
                with_lane: false,
            },
            egress: None,
            tools: ToolPermissions {
                edit: freely,
                read: freely,
                grep: freely,
                shell: Some(web),
                install_dependencies: Some(installs),
                web_fetch: Some(web),
            },
        }
    }
}

/// What a lane permits, and what it means outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LaneSettings {
    /// What it permits and demands.
    pub rules: LaneRules,
    /// The lane that it is like, for a lane of one's own.
    pub extends: Option<Lane>,
    /// Whether no other lane may reach its objects: `prod`, and every lane that extends it.
    pub production: bool,
    /// The Modal environment that its objects are in.
    pub modal_environment: String,
    /// How its secrets are named (D-SEC-2).
    pub secrets: SecretNaming,
    /// The most that a step may reach; a job may ask for less. Absent means what the job says.
    pub egress: Option<Egress>,
    /// What agents that work in the lane may do, where a job does not say less. Each one is there.
    pub tools: ToolPermissions,
}

/// The URL of a store. Shown without its password, also by `Debug` and as JSON.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
pub struct StoreUrl(String);

impl StoreUrl {
    /// A URL, unchecked.
    pub fn new(url: String) -> Self {
        Self(url)
    }

    /// The URL with its password, for whoever connects.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it holds a password.
    pub fn has_password(&self) -> bool {
        self.password().is_some()
    }

    /// Where the password stands: between the user and the last `@` of the authority (RFC 3986), or behind
    /// `password=` of the query.
    fn password(&self) -> Option<std::ops::Range<usize>> {
        let start = self.0.find("://")? + 3;
        let rest = self.0.get(start..)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        if let Some(at) = rest.get(..end)?.rfind('@')
            && let Some(colon) = rest.get(..at)?.find(':')
        {
            return Some(start + colon + 1..start + at);
        }
        let query = start + rest.find('?')?;
        let key = self.0.get(query..)?.find("password=")?;
        let value = query + key + "password=".len();
        let length = self.0.get(value..)?.find('&');
        Some(value..length.map_or(self.0.len(), |length| value + length))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.password() {
            Some(password) => {
                let mut shown = self.0.clone();
                shown.replace_range(password, "…");
                f.write_str(&shown)
            }
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

impl From<String> for StoreUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        url.to_string()
    }
}

/// How secrets are named (D-SEC-2). The words are those of `moorline_secrets::NamingPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "policy", rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretNaming {
    /// `<PREFIX>_<SOURCE>_<TYPE>`.
    Prefixed {
        /// The beginning of every name.
        prefix: String,
        /// Whether the lane is part of the name.
        with_lane: bool,
    },
    /// The object is named as the environment variable.
    EnvVarName {},
    /// Lower-case words.
    Kebab {},
    /// One object holds all keys.
    Bundle {
        /// Its name.
        object: String,
    },
}

/// How artifacts are reviewed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReviewSettings {
    /// Nobody approves what they submitted themselves (D-ART-4).
    pub two_person: bool,
}

/// Someone to tell of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertDestination {
    /// What it is called, in lists and in the outbox.
    pub name: String,
    /// How it is told.
    pub channel: DestinationChannel,
    /// URL (`webhook`, `slack`) or mail address (`email`); without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The secret key that holds the target instead, for a URL that is itself a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_secret: Option<String>,
    /// The secret key that signs (`webhook`: HMAC-SHA256) or signs in (`email`: the SMTP password).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The SMTP server as `host:port`; only for `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp: Option<String>,
    /// The sender; only for `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The least level that is told; `warning` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_level: Option<AlertLevel>,
}

/// How a destination is told.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DestinationChannel {
    /// A signed HTTP request.
    Webhook,
    /// A message in the form that Slack and its likes take.
    Slack,
    /// A mail.
    Email,
}

/// Where secrets are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecretSettings {
    /// Which back end keeps them.
    pub backend: SecretBackendKind,
    /// The file that holds the key of the encrypted file; the system's keyring when it is `keyring`.
    pub key: Option<String>,
}

impl Default for SecretSettings {
    fn default() -> Self {
        Self {
            backend: SecretBackendKind::File,
            key: None,
        }
    }
}

/// Back ends that keep secrets.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SecretBackendKind {
    /// An encrypted file of the state directory.
    File,
    /// Modal's secrets.
    Modal,
}
