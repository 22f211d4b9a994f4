//! Settings: what `moorline.toml` and its layers say, checked (lanes, review, alerts, secrets, scheduler).
//!
//! [`Settings`] is what the rest of Moorline reads. Deliberately absent: reading files and the environment,
//! which the programs do.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app_name::AppPolicy;
use crate::error_code::AlertLevel;
use crate::lane::{Lane, LaneRules};
use crate::principal::{Principal, Role};
use crate::spec::{Egress, ToolPermissions};

/// Everything that is configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
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
}

impl Default for Settings {
    /// The built-in lanes; people are admins of their own machine.
    fn default() -> Self {
        let lanes = [LaneRules::DEV, LaneRules::STAGING, LaneRules::PROD];
        Self {
            lanes: lanes
                .into_iter()
                .map(|rules| (rules.lane.clone(), LaneSettings::of(rules)))
                .collect(),
            app_names: AppPolicy::default(),
            review: ReviewSettings::default(),
            principals: BTreeMap::new(),
            default_role: Role::Admin,
            alerts: Vec::new(),
            secrets: SecretSettings::default(),
        }
    }
}

impl LaneSettings {
    /// A lane with these rules, and otherwise as the built-in lanes are.
    pub fn of(rules: LaneRules) -> Self {
        Self {
            modal_environment: rules.lane.to_string(),
            rules,
            secrets: SecretNaming::Prefixed {
                prefix: "LONG_HORIZON_AGENT".to_owned(),
                with_lane: false,
            },
            egress: None,
            tools: ToolPermissions::default(),
        }
    }
}

/// What a lane permits, and what it means outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LaneSettings {
    /// What it permits and demands.
    pub rules: LaneRules,
    /// The Modal environment that its objects are in; empty for the workspace's default one.
    pub modal_environment: String,
    /// How its secrets are named (D-SEC-2).
    pub secrets: SecretNaming,
    /// The most that a step may reach; a job may ask for less. Absent means what the job says.
    pub egress: Option<Egress>,
    /// What agents that work in the lane may do, where a job does not say less.
    pub tools: ToolPermissions,
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
