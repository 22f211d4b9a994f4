//! What a configuration file says: every key optional, closed against unknown ones.
//!
//! [`ConfigDocument`] is one layer as people write it, and the published schema `config` is generated from
//! it. A layer says only what it wants to be different; [`defaults`] is the layer below all of them, and
//! says everything.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{DestinationChannel, LaneSettings, SecretBackendKind, SecretNaming, Settings};
use crate::app_name::{EnvironmentName, LaneScope};
use crate::error_code::AlertLevel;
use crate::lane::Lane;
use crate::principal::{Principal, Role};
use crate::spec::{Egress, Permission};

/// One layer of the configuration: `moorline.toml` of a project, or `config.toml` of a user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigDocument {
    /// The lane of commands that name none.
    pub lane: Option<Lane>,
    /// The executor of steps that name none: `local` or `modal`.
    #[schemars(length(min = 1))]
    pub executor: Option<String>,
    /// Attempts that one process drives at once.
    #[schemars(range(min = 1, max = 10_000))]
    pub capacity: Option<u32>,
    /// How long a worker that gives no sign of life keeps its attempts.
    #[schemars(range(min = 5, max = 3600))]
    pub lease_seconds: Option<u32>,
    /// The store as `postgres://…`, in files without a password; SQLite in the state directory when absent.
    pub store: Option<String>,
    /// The role of a person whom no entry names.
    pub default_role: Option<Role>,
    /// How apps at Modal are named (D-REF-7).
    pub app_names: AppNamesDocument,
    /// The lanes, by name: changes of `dev`, `staging` and `prod`, and lanes of one's own.
    pub lanes: BTreeMap<Lane, LaneDocument>,
    /// How artifacts are reviewed.
    pub review: ReviewDocument,
    /// Roles by principal, as in `"human:ada" = "approver"`.
    pub principals: BTreeMap<Principal, Role>,
    /// Whom to tell of alerts, by a name of one's own.
    pub alerts: BTreeMap<String, AlertDocument>,
    /// Where secrets are kept.
    pub secrets: SecretsDocument,
    /// How `moorlined` serves.
    pub server: ServerDocument,
}

/// How apps at Modal are named (D-REF-7).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AppNamesDocument {
    /// What tells the lanes apart.
    pub scope: Option<LaneScope>,
    /// The Modal environment that all lanes share under `app_suffix`.
    pub shared_environment: Option<EnvironmentName>,
    /// What is put before the names in every lane but `prod`.
    pub dev_prefix: DevPrefixDocument,
}

/// What is put before app names in every lane but `prod`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DevPrefixDocument {
    /// The branch being worked on.
    pub branch: Option<String>,
    /// Who works on it.
    pub user: Option<String>,
}

/// What a lane permits and demands, and what it means outside.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LaneDocument {
    /// The lane that this one is like, but for what is said here. A lane of one's own must name one.
    pub extends: Option<Lane>,
    /// Steps may wait for a person at a terminal.
    pub interactive: Option<bool>,
    /// Steps may install dependencies while they run.
    pub dynamic_installs: Option<bool>,
    /// Schedules may be enabled.
    pub schedules: Option<bool>,
    /// Only what was approved and promoted may run.
    pub requires_approval: Option<bool>,
    /// Images must be pinned by digest.
    pub requires_pinned_images: Option<bool>,
    /// Every step must say where it connects to.
    pub requires_egress_list: Option<bool>,
    /// Every protection of the sandbox must be had.
    pub requires_isolation: Option<bool>,
    /// The Modal environment of its objects; never inherited.
    pub modal_environment: Option<EnvironmentName>,
    /// How the objects are named that hold its secrets (D-SEC-2).
    pub secrets: Option<SecretNaming>,
    /// The most that a step may reach; a job may ask for less.
    pub egress: Option<Egress>,
    /// What agents may do that work in it; a job may only say less.
    pub tools: ToolsDocument,
}

/// What agents may do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolsDocument {
    /// Changing files.
    pub edit: Option<Permission>,
    /// Reading files.
    pub read: Option<Permission>,
    /// Searching files.
    pub grep: Option<Permission>,
    /// Running commands.
    pub shell: Option<Permission>,
    /// Installing dependencies.
    pub install_dependencies: Option<Permission>,
    /// Reading from the web.
    pub web_fetch: Option<Permission>,
}

/// How artifacts are reviewed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReviewDocument {
    /// Nobody approves what they submitted themselves (D-ART-4).
    pub two_person: Option<bool>,
}

/// Someone to tell of alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertDocument {
    /// How it is told.
    pub channel: DestinationChannel,
    /// URL (`webhook`, `slack`) or mail address (`email`); without credentials.
    pub target: Option<String>,
    /// The secret key that holds the target instead.
    pub target_secret: Option<String>,
    /// The secret key that signs (`webhook`) or signs in (`email`).
    pub secret: Option<String>,
    /// The SMTP server as `host:port`; only for `email`.
    pub smtp: Option<String>,
    /// The sender; only for `email`.
    pub from: Option<String>,
    /// The least level that is told; `warning` when absent.
    pub min_level: Option<AlertLevel>,
}

/// Where secrets are kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecretsDocument {
    /// Which back end keeps them.
    pub backend: Option<SecretBackendKind>,
    /// The file with the key of the encrypted file; `keyring` for the system's keyring.
    pub key: Option<String>,
}

/// How `moorlined` serves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerDocument {
    /// Address and port that it listens on; port 0 takes a free one.
    #[schemars(with = "Option<String>")]
    pub bind: Option<SocketAddr>,
    /// How it is called from outside, as `https://moorline.example.org`.
    pub public_url: Option<String>,
    /// Projects beside `default`.
    #[schemars(inner(regex(pattern = "^[a-z][a-z0-9-]{0,31}$")))]
    pub projects: Option<Vec<String>>,
    /// The job that `POST /kickoff` starts: `live:JOB`, or a job directory on the server.
    #[schemars(length(min = 1))]
    pub kickoff_job: Option<String>,
    /// Origins whose pages may call the API.
    pub cors_origins: Option<Vec<String>>,
    /// The largest body of a request, in MiB.
    #[schemars(range(min = 1, max = 1024))]
    pub body_limit_mb: Option<u32>,
    /// The largest upload, in MiB.
    #[schemars(range(min = 1, max = 16_384))]
    pub upload_limit_mb: Option<u32>,
    /// Requests a second that one token may make, in the long run.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub rate_per_second: Option<u32>,
    /// Requests that one token may make at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub rate_burst: Option<u32>,
    /// How long a request that is no stream may take.
    #[schemars(range(min = 1, max = 3600))]
    pub request_timeout_seconds: Option<u32>,
    /// How long what runs may take to end once the server is told to end; what runs then is left to whichever
    /// process comes next.
    #[schemars(range(max = 86_400))]
    pub drain_seconds: Option<u32>,
    /// The file with the certificate chain (PEM).
    #[schemars(length(min = 1))]
    pub tls_cert: Option<String>,
    /// The file with the key of that certificate (PEM).
    #[schemars(length(min = 1))]
    pub tls_key: Option<String>,
    /// How long the session of a browser lasts.
    #[schemars(range(min = 1, max = 8760))]
    pub session_hours: Option<u32>,
    /// Whether `/metrics` asks for no token beyond loopback either.
    pub metrics_public: Option<bool>,
    /// Signed requests that start a job, by a name of one's own.
    pub incoming: BTreeMap<String, IncomingDocument>,
}

/// A signed request that starts a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IncomingDocument {
    /// The secret key that must have signed it (HMAC-SHA256).
    #[schemars(length(min = 1))]
    pub secret: String,
    /// What it starts: `live:JOB`, or a job directory on the server.
    #[schemars(length(min = 1))]
    pub job: String,
    /// The projects that take it; absent means `default` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub projects: Option<Vec<String>>,
}

/// The layer below all others: every key, `null` where nothing is set.
pub(super) fn defaults() -> Value {
    let settings = Settings::default();
    let lanes: serde_json::Map<String, Value> = settings
        .lanes
        .iter()
        .map(|(name, lane)| (name.to_string(), lane_defaults(lane)))
        .collect();
    let policy = &settings.app_names;
    json!({
        "lane": settings.lane,
        "executor": settings.executor,
        "capacity": settings.capacity,
        "lease_seconds": settings.lease_seconds,
        "store": null,
        "default_role": settings.default_role,
        "app_names": {
            "scope": policy.scope,
            "shared_environment": policy.shared_environment,
            "dev_prefix": {"branch": null, "user": null},
        },
        "lanes": lanes,
        "review": settings.review,
        "principals": {},
        "alerts": {},
        "secrets": {"backend": settings.secrets.backend, "key": settings.secrets.key},
        "server": settings.server,
    })
}

fn lane_defaults(lane: &LaneSettings) -> Value {
    let LaneSettings {
        rules,
        modal_environment,
        secrets,
        egress,
        tools,
        ..
    } = lane;
    json!({
        "interactive": rules.interactive,
        "dynamic_installs": rules.dynamic_installs,
        "schedules": rules.schedules,
        "requires_approval": rules.requires_approval,
        "requires_pinned_images": rules.requires_pinned_images,
        "requires_egress_list": rules.requires_egress_list,
        "requires_isolation": rules.requires_isolation,
        "modal_environment": modal_environment,
        "secrets": secrets,
        "egress": egress,
        "tools": tools,
    })
}
