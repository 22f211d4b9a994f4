//! What seed 000's JobSpec v1 says of a job: when it runs, which sources it reads, what it must produce
//! and within which constraints. Its documents load as they are (D-SPEC-2); what an [`Entity`] has beyond
//! v1 is optional.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arg::Arg;
use super::defaults::{is_default, is_num, is_yes, never, num, yes};
use crate::schedule::{Misfire, Overlap};

/// When a job runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cadence {
    /// `none`, `cron` or `periodic`.
    #[serde(rename = "type")]
    pub kind: CadenceKind,
    /// Five cron fields (minute, hour, day of month, month, day of week), read in the job's `time_zone`.
    /// Only for `cron`, which needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expr: Option<String>,
    /// Seconds from one start to the next, at least 60. Only for `periodic`, which needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60))]
    pub period_seconds: Option<u64>,
    /// Spreads starts over this many seconds after their time, by a hash of schedule and time.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(skip_serializing_if = "never")]
    pub jitter_seconds: u32,
    /// What becomes of starts that were due while nothing could start them: `skip` or `run_once`.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(skip_serializing_if = "never")]
    pub misfire: Misfire,
    /// What becomes of a start while a run of the job still goes on: `skip`, `queue`, `cancel_previous`.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(skip_serializing_if = "never")]
    pub overlap: Overlap,
    /// No start before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// No start at or after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}

/// The kinds of cadence.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CadenceKind {
    /// Runs only when asked.
    #[default]
    None,
    /// At the times of a cron expression.
    Cron,
    /// At a fixed distance.
    Periodic,
}

/// The sources that a job reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Portfolio {
    /// One entry for each source, at least one. The first is the source that the job's runs count for.
    #[schemars(length(min = 1))]
    pub entities: Vec<Entity>,
}

/// One source and how it may be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    /// The source's id, e.g. `chase`; unique within the job.
    #[schemars(length(min = 1))]
    pub source_id: String,
    /// How hard the source is to read without a person: 0 (open) to 3 (a person each time). Tier 2 needs a
    /// `reauth` plan; tier 3 can not be scheduled.
    #[schemars(range(max = 3))]
    pub tier_hint: u8,
    /// Methods to read it by, best first.
    pub preferred_methods: Vec<Method>,
    /// How far back the first read goes, in days, at least 1.
    #[schemars(range(min = 1))]
    pub lookback_days: u32,
    /// Accounts to read; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<Vec<String>>,
    /// The second factor that the source asks for.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(skip_serializing_if = "never")]
    pub step_up: StepUp,
    /// Stored sessions (cookies, tokens) that the job reads with, and how long they hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub session_artifacts: Vec<SessionArtifact>,
    /// How a person renews the sessions (D-SEC-9). Tier 2 needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reauth: Option<Reauth>,
}

/// Ways to read a source.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The source's documented API.
    OfficialApi,
    /// OAuth consent of the account's owner.
    Oauth,
    /// Files that the source exports.
    CsvExport,
    /// The source's web portal, driven by a browser; needs `constraints.browser_automation`.
    PortalPlaywright,
}

impl Method {
    /// Whether it drives a browser.
    pub const fn needs_browser(self) -> bool {
        matches!(self, Self::PortalPlaywright)
    }
}

/// Second factors that a source may ask for at sign-on.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum StepUp {
    /// None.
    #[default]
    None,
    /// A code from an authenticator.
    Totp,
    /// A code by text message, call or mail.
    Code,
    /// A confirmation on another device.
    Push,
}

/// A stored session of a source, kept as a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionArtifact {
    /// The secret that holds it: the name of an entry of the job's `secrets`.
    pub secret: String,
    /// How long a fresh one holds, in hours, at least 1.
    #[schemars(range(min = 1))]
    pub ttl_hours: u32,
    /// How long before the end of its life to warn, in hours.
    #[serde(default = "num::<24>", skip_serializing_if = "is_num::<24>")]
    #[schemars(skip_serializing_if = "never")]
    pub warn_hours: u32,
}

/// How a person renews the sessions of a source, on their own machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reauth {
    /// What the person does, in words.
    #[schemars(length(min = 1))]
    pub instructions: String,
    /// A local command that does it and writes the new session to its stdout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub argv: Option<Vec<Arg>>,
}

/// What a v1 job produces, and where it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The schema of the records; `tx_v1` is the only one.
    pub schema_version: SchemaVersion,
    /// File formats to produce.
    pub formats: Vec<RecordFormat>,
    /// Where it is kept.
    pub storage: Storage,
}

/// Schemas of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SchemaVersion {
    /// Normalised transactions, version 1.
    #[serde(rename = "tx_v1")]
    TxV1,
}

/// File formats of records.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RecordFormat {
    /// JSON Lines.
    Jsonl,
    /// Apache Parquet.
    Parquet,
    /// A `DuckDB` database.
    Duckdb,
}

/// Where a v1 job's files are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// For what the source sent, e.g. `runs/`.
    pub raw_path: String,
    /// For the normalised records, e.g. `exports/`.
    pub normalized_path: String,
}

/// Bounds on how a job works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constraints {
    /// Bound on a step's timeout, in seconds, at least 60.
    #[schemars(range(min = 60))]
    pub max_runtime_seconds: u64,
    /// Prefer a documented API to driving a browser.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schemars(skip_serializing_if = "never")]
    pub prefer_api_over_browser: bool,
    /// Whether driving a browser is allowed.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(skip_serializing_if = "never")]
    pub browser_automation: bool,
    /// Restrict the shell of an agent in production lanes.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schemars(skip_serializing_if = "never")]
    pub prod_mode_restrict_bash: bool,
    /// Never serve an agent's endpoint publicly.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schemars(skip_serializing_if = "never")]
    pub no_public_opencode_serve: bool,
}

/// Review of what a v1 job produces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Always true: nothing is promoted without a person's review.
    #[schemars(extend("const" = true))]
    pub required: bool,
}
