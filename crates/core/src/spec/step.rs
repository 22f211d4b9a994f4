//! One step of a job: a command, what it may use, and what it must leave.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arg::Arg;
use super::defaults::{is_default, is_num, is_yes, never, num, yes};
use super::egress::Egress;
use super::policy::Retries;

/// Names of steps, inputs, volumes and executors: a lower-case letter, then letters, digits, `_`, `-`.
pub(crate) const NAME_PATTERN: &str = "^[a-z][a-z0-9_-]{0,63}$";

/// Whether a text satisfies [`NAME_PATTERN`].
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// One step of a job. Steps run one after the other, each in its own attempt; a later step reads what the
/// earlier ones left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// A lower-case letter, then at most 63 letters, digits, `_`, `-`. Unique within the job.
    #[schemars(regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// The command and its arguments, never a shell string.
    #[schemars(length(min = 1))]
    pub argv: Vec<Arg>,
    /// The executor to run it on, a lower-case name; the lane's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = NAME_PATTERN))]
    pub executor: Option<String>,
    /// The container image. Production lanes need it as `repository@sha256:` and 64 lower-case hex digits.
    /// The local executor runs without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Working directory, a path inside the job directory; the job directory itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Plain environment variables. No secrets here, and no name that starts with `MOORLINE_`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Names of the job's secrets that this step is given, and no other step is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Network destinations it may reach; the job's `egress` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// Limits on what it uses; what is absent is the executor's own default.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resources: Resources,
    /// Seconds before an attempt is ended as timed out, at most 86400 (24 h). When absent: 3600, or the
    /// job's `max_runtime_seconds` where that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub timeout_seconds: Option<u32>,
    /// Seconds between the polite signal and the kill, when it is ended early. 0 kills at once.
    #[serde(default = "num::<10>", skip_serializing_if = "is_num::<10>")]
    #[schemars(range(max = 3600), skip_serializing_if = "never")]
    pub grace_seconds: u32,
    /// Retries of this step; the job's `failure_policy.retries` when absent, and none without either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// Whether running it twice does no more than running it once. Only then is it retried after the
    /// platform took its machine away.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(skip_serializing_if = "never")]
    pub idempotent: bool,
    /// Volumes that it sees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<VolumeMount>,
    /// Files that it must or may leave in its output directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputDecl>,
    /// Whether a person must be at its terminal. Refused in production lanes.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(skip_serializing_if = "never")]
    pub interactive: bool,
    /// Whether it installs dependencies while it runs. Refused in production lanes.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(skip_serializing_if = "never")]
    pub installs_dependencies: bool,
    /// Whether an executor that can start from a memory snapshot should.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(skip_serializing_if = "never")]
    pub memory_snapshot: bool,
    /// Seconds that an idle container is kept for the next attempt, on executors that keep any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 3600))]
    pub scaledown_window_seconds: Option<u32>,
    /// Whether it must send a result line by the line protocol.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(skip_serializing_if = "never")]
    pub reply: ReplyRule,
}

/// Whether a step must send a result line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplyRule {
    /// Its exit code says enough.
    #[default]
    Optional,
    /// An attempt without a result line failed.
    Required,
}

/// Limits on what a step uses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Cores, more than 0; decimals allowed, e.g. 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub cpu: Option<f64>,
    /// Memory of all its processes together, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub memory_mb: Option<u64>,
    /// What it may write, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub disk_mb: Option<u64>,
    /// Processes and threads at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub pids: Option<u64>,
    /// GPU choices, best first: each is waited for as long as its queue timeout, then the next is asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpu: Vec<GpuChoice>,
}

/// One choice of GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuChoice {
    /// The platform's name of it, e.g. `A10G`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1))]
    pub kind: String,
    /// How many.
    #[serde(default = "num::<1>", skip_serializing_if = "is_num::<1>")]
    #[schemars(range(min = 1, max = 64), skip_serializing_if = "never")]
    pub count: u32,
    /// Seconds to wait for it before the next choice is asked; without end when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_timeout_seconds: Option<u32>,
}

/// A volume that a step sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeMount {
    /// The volume's name in the lane: a lower-case letter, then letters, digits, `_`, `-`.
    #[schemars(regex(pattern = NAME_PATTERN))]
    pub volume: String,
    /// Where it appears: an absolute path, unique within the step.
    pub path: String,
    /// Whether writes are refused.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schemars(skip_serializing_if = "never")]
    pub read_only: bool,
}

/// A file that a step leaves in its output directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputDecl {
    /// Its path below the output directory, canonical: `a/b.jsonl`, without `..`, `.` or doubled slashes.
    pub path: String,
    /// Whether an attempt that did not leave it failed.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schemars(skip_serializing_if = "never")]
    pub required: bool,
    /// What its records must satisfy: `tx_v1`, or the path of a JSON Schema file inside the job directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub schema: Option<String>,
    /// What it holds. When absent: `jsonl` with the schema `tx_v1`, `json` with another, else `any`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<OutputFormat>,
    /// Whether it is exported when the run succeeds; otherwise it stays with the run.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schemars(skip_serializing_if = "never")]
    pub export: bool,
}

/// What an output file holds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// JSON Lines: one record a line; a schema is for each line.
    Jsonl,
    /// One JSON document.
    Json,
    /// Anything; not looked into.
    Any,
}

/// What the records of an output must satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordSchema<'a> {
    /// Normalised transactions, see [`tx`](crate::tx).
    TxV1,
    /// A JSON Schema file, by its path inside the job directory.
    File(&'a str),
}

impl OutputDecl {
    /// What its records must satisfy, if anything.
    pub fn record_schema(&self) -> Option<RecordSchema<'_>> {
        self.schema.as_deref().map(|schema| match schema {
            "tx_v1" => RecordSchema::TxV1,
            path => RecordSchema::File(path),
        })
    }

    /// What it holds, with the default applied.
    pub fn effective_format(&self) -> OutputFormat {
        self.format.unwrap_or_else(|| match self.record_schema() {
            Some(RecordSchema::TxV1) => OutputFormat::Jsonl,
            Some(RecordSchema::File(_)) => OutputFormat::Json,
            None => OutputFormat::Any,
        })
    }
}
