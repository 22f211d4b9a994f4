//! The audit trail, and explanations: which rule, which evidence, since when.

use async_trait::async_trait;
use futures::stream::BoxStream;
use jiff::Timestamp;
use moorline_core::audit::AuditRecord;
use moorline_core::audit::export::ExportHeader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::types::AuditReport;

/// The audit trail, and explanations. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait TrailOperations: Send + Sync {
    /// Audit records, newest first.
    async fn audit_list(&self, request: AuditListRequest) -> Result<Vec<AuditRecord>, ApiError>;

    /// Verifies the audit chain from its first record (D-AUDIT-1).
    async fn audit_verify(&self, request: AuditVerifyRequest) -> Result<AuditReport, ApiError>;

    /// The whole trail as it stands when the stream begins: the header, then every record, oldest first.
    /// Ends with an error where the chain is broken.
    fn audit_export(&self) -> BoxStream<'static, Result<AuditExportLine, ApiError>>;

    /// Says why something is as it is. Reads only; what it tells is what is recorded.
    async fn explain(&self, request: ExplainRequest) -> Result<Explanation, ApiError>;
}

/// Which audit records to list; all conditions hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditListRequest {
    /// Only of this operation, e.g. `artifact.approve`.
    pub operation: Option<String>,
    /// Only by this principal, as `kind:name`.
    pub by: Option<String>,
    /// Only of this subject, e.g. `run/0190…`; with a `/` at its end, of every subject of that kind.
    pub subject: Option<String>,
    /// Only at this time or later.
    pub since: Option<Timestamp>,
    /// Only before this time.
    pub until: Option<Timestamp>,
    /// Only with an id less than this one: the cursor of the next page.
    pub before: Option<u64>,
    /// At most this many, up to 1000; 0 means 50.
    pub limit: u32,
}

/// A wish to verify the audit chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditVerifyRequest {
    /// A head that was noted earlier, which the chain must still have: shows a chain that was rewritten as
    /// a whole.
    pub known_head: Option<String>,
}

/// One line of an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AuditExportLine {
    /// The first one.
    Header(ExportHeader),
    /// Every other one.
    Record(AuditRecord),
}

/// What to explain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "what", content = "which", rename_all = "snake_case")]
pub enum ExplainRequest {
    /// Why a run came out as it did: its id, a unique beginning of it, or `latest`.
    Run(String),
    /// Why an operation was refused, and how it stands now: as with a run.
    Refusal(String),
    /// Why a schedule starts something or does not: `lane/job`.
    Schedule(String),
    /// What a rule demands: `D-ART-4`.
    Rule(String),
}

/// Why something is as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    /// What is explained, e.g. `run/0190…`.
    pub subject: String,
    /// The answer in one line.
    pub summary: String,
    /// Since when it is so.
    pub since: Option<Timestamp>,
    /// The reasons, the weightiest first.
    pub points: Vec<Point>,
}

/// One reason of an explanation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// What it is about, e.g. `outcome`, `retries`, `source`, `schedule`, `gate`.
    pub topic: String,
    /// The reason, in one line; no secrets.
    pub says: String,
    /// Whether a condition holds at present, where the point is one.
    pub holds: Option<bool>,
    /// The rule behind it.
    pub rule: Option<RuleView>,
    /// Since when it is so.
    pub since: Option<Timestamp>,
    /// What it rests on.
    pub evidence: Vec<Fact>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Point {
    /// A reason without rule and evidence.
    pub fn new(topic: impl Into<String>, says: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            says: says.into(),
            holds: None,
            rule: None,
            since: None,
            evidence: Vec::new(),
            hint: None,
        }
    }

    /// Names the rule behind it.
    #[must_use]
    pub fn by_rule(mut self, id: &str) -> Self {
        self.rule = Some(RuleView::of(id));
        self
    }

    /// Says whether it holds at present.
    #[must_use]
    pub const fn that_holds(mut self, holds: bool) -> Self {
        self.holds = Some(holds);
        self
    }

    /// Says since when.
    #[must_use]
    pub const fn since(mut self, since: Option<Timestamp>) -> Self {
        self.since = since;
        self
    }

    /// Adds what it rests on.
    #[must_use]
    pub fn resting_on(mut self, facts: impl IntoIterator<Item = Fact>) -> Self {
        self.evidence.extend(facts);
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A rule, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleView {
    /// Its id, e.g. `D-ART-4`.
    pub id: String,
    /// What it demands, in one sentence; empty for an id that this version does not know.
    pub says: String,
}

impl RuleView {
    /// The rule of an id.
    pub fn of(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            says: moorline_core::rules::statement(id)
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

/// Something on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// Where it is recorded, e.g. `audit/12`, `event/41`, `attempt/0190…`, `evidence/0190…`.
    pub source: String,
    /// When it came about.
    pub at: Option<Timestamp>,
    /// Who did it or found it.
    pub by: Option<String>,
    /// What it says, in one line; no secrets.
    pub says: String,
}
