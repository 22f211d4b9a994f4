//! The job spec document itself: [`JobSpec`].

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::defaults::{is_default, is_num, is_yes, never, num, yes};
use super::egress::Egress;
use super::mode::Mode;
use super::policy::{
    Alert, Approval, Dedupe, FailurePolicy, Incremental, Retention, ToolPermissions, Validation,
};
use super::source::{Cadence, Constraints, Output, Portfolio, Review};
use super::step::Step;
use crate::canonical::CanonicalError;
use crate::content_id::ContentId;
use crate::workflow::Workflow;

/// A job spec: the versioned, schema-checked description of a job.
///
/// With one of seed 000's five job types it is a JobSpec v1 document and needs all fields of one. Without
/// a `job_type` it is a general job and needs `steps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Moorline job spec", transform = required_by_type)]
pub struct JobSpec {
    /// The schema that an editor checks the document by; not read by Moorline.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The job's id, e.g. `chase-checking` or a UUID.
    #[schemars(length(min = 1, max = 200))]
    pub job_id: String,
    /// One of seed 000's five types, or `task` for a general job.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(skip_serializing_if = "never")]
    pub job_type: JobType,
    /// Version of this spec, counted up with each change.
    #[serde(default = "num::<1>", skip_serializing_if = "is_num::<1>")]
    #[schemars(range(min = 1), skip_serializing_if = "never")]
    pub version: u32,
    /// A short name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub title: Option<String>,
    /// What the job is for, at least 10 characters. Required by seed 000's types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 10))]
    pub objective: Option<String>,
    /// Whose job it is.
    #[serde(default = "primary_user", skip_serializing_if = "is_primary_user")]
    #[schemars(length(min = 1), skip_serializing_if = "never")]
    pub principal_id: String,
    /// Anything, for people and other programs; not read by Moorline.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// The mode to run in when none is asked for: `mock` or `real`. When absent, see D-RUN-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,

    /// The IANA time zone that the cadence is read in; UTC when absent. Required by seed 000's types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// When the job runs; only when asked, if absent. Required by seed 000's types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cadence: Option<Cadence>,
    /// The sources that it reads. Required by seed 000's types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portfolio: Option<Portfolio>,
    /// What a v1 job produces. Required by seed 000's types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// Bounds on how it works. Required by seed 000's types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Constraints>,
    /// Review of what it produces. Required by seed 000's types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,

    /// Files that a run is given, by name: a lower-case letter, then at most 63 letters, digits, `_`, `-`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, InputDecl>,
    /// Parameters of the job with their defaults, given to every step in its input file.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// A JSON Schema (2020-12) that the parameters must satisfy, defaults and given ones together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params_schema: Option<Map<String, Value>>,
    /// The secrets that its steps may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretDecl>,
    /// Network destinations that steps without an `egress` of their own may reach; `none` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// What is run, in order. Required by `task`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub steps: Option<Vec<Step>>,

    /// What comes after what, with the gates at which a run waits for a person; the steps in order when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Workflow>,

    /// Thresholds that the outputs must keep before they are exported.
    #[serde(default, skip_serializing_if = "is_default")]
    pub validation: Validation,
    /// What follows a failure.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failure_policy: FailurePolicy,
    /// Whom to tell of failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
    /// How long things are kept.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retention: Retention,
    /// What is done with records that were exported before; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedupe: Option<Dedupe>,
    /// How a run knows where the one before it ended; it reads everything when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incremental: Option<Incremental>,
    /// What an agent that works on the job may do.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tool_permissions: ToolPermissions,
    /// Who approved the spec, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

impl JobSpec {
    /// What an approval approves (D-SPEC-5): the content id of the canonical JSON (RFC 8785) of the spec.
    ///
    /// Fields that hold their default are left out of it, so a document that spells a default and one that
    /// does not are the same spec, and a field that a later version of Moorline adds changes no id.
    ///
    /// # Errors
    /// A number that canonical JSON does not keep. A loaded spec has none.
    pub fn canonical_hash(&self) -> Result<ContentId, CanonicalError> {
        ContentId::of_json(self)
    }
}

fn primary_user() -> String {
    "primary_user".to_owned()
}

fn is_primary_user(id: &str) -> bool {
    id == "primary_user"
}

/// What kind of job a spec describes.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum JobType {
    /// Seed 000, step 1: research that ends in a reviewable spec; no code and no schedule.
    IntakeResearch,
    /// Seed 000: sets up one source.
    BootstrapSource,
    /// Seed 000: sets up every source of a portfolio.
    BootstrapPortfolio,
    /// Seed 000, step 2: generates an extractor and tests it.
    GenerateAndTest,
    /// Seed 000: repairs the extractor of a source that changed.
    RepairSource,
    /// A general job: its steps say everything.
    #[default]
    Task,
}

impl JobType {
    /// Every type, seed 000's first.
    pub const ALL: [Self; 6] = [
        Self::IntakeResearch,
        Self::BootstrapSource,
        Self::BootstrapPortfolio,
        Self::GenerateAndTest,
        Self::RepairSource,
        Self::Task,
    ];

    /// Whether it is one of seed 000's types, whose documents have all fields of JobSpec v1.
    pub const fn is_v1(self) -> bool {
        !matches!(self, Self::Task)
    }

    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IntakeResearch => "intake_research",
            Self::BootstrapSource => "bootstrap_source",
            Self::BootstrapPortfolio => "bootstrap_portfolio",
            Self::GenerateAndTest => "generate_and_test",
            Self::RepairSource => "repair_source",
            Self::Task => "task",
        }
    }
}

/// A file that a run is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputDecl {
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether a run without it is refused.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schemars(skip_serializing_if = "never")]
    pub required: bool,
    /// The file to use when none is given: a path inside the job directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Its media type (RFC 6838), for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
}

/// A secret that steps may name: what it is called and which keys it has, never a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretDecl {
    /// Its logical name, unique within the job. The lane's naming policy makes the object's name of it.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// What kind of credential it is, e.g. `oauth` or `session`: the last part of prefixed names.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub kind: Option<String>,
    /// The environment variables that it gives to a step, at least one.
    #[schemars(length(min = 1))]
    pub keys: Vec<String>,
    /// Whether a run in real mode is refused when a key is not set.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schemars(skip_serializing_if = "never")]
    pub required: bool,
}

/// The fields that JobSpec v1 requires beside `job_id` and `job_type`.
pub(super) const V1_REQUIRED: [&str; 7] = [
    "objective",
    "time_zone",
    "cadence",
    "portfolio",
    "output",
    "constraints",
    "review",
];

/// What is required depends on the type: `if` one of seed 000's, `then` its fields, `else` steps.
fn required_by_type(schema: &mut Schema) {
    let v1: Vec<&str> = JobType::ALL
        .into_iter()
        .filter(|kind| kind.is_v1())
        .map(JobType::as_str)
        .collect();
    schema.insert(
        "if".to_owned(),
        json!({"properties": {"job_type": {"enum": v1}}, "required": ["job_type"]}),
    );
    schema.insert("then".to_owned(), json!({"required": V1_REQUIRED}));
    schema.insert("else".to_owned(), json!({"required": ["steps"]}));
}
