//! Decisions at gates (D-FLOW-3, D-FLOW-4).

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::approval::{ApprovalRequest, ApprovalStatus, DecisionOutcome};
use moorline_core::ids::{ApprovalId, RunId};
use moorline_core::principal::Principal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::ApiError;

/// Decisions at gates. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait ApprovalOperations: Send + Sync {
    /// Lists requests, newest first.
    async fn approval_list(
        &self,
        request: ApprovalListRequest,
    ) -> Result<Vec<ApprovalRequest>, ApiError>;

    /// Shows a request.
    async fn approval_show(
        &self,
        request: ApprovalShowRequest,
    ) -> Result<ApprovalRequest, ApiError>;

    /// Decides a request, once. The same key again gives the same answer.
    ///
    /// # Errors
    /// Not found where there is no such request; a conflict where it was decided otherwise, is of another run
    /// or checkpoint, or changed since it was seen; [`ErrorCode::Expired`](moorline_core::error_code::ErrorCode)
    /// where it expired.
    async fn approval_decide(
        &self,
        request: ApprovalDecideRequest,
    ) -> Result<ApprovalDecided, ApiError>;

    /// Makes a link by which one person decides one request, once.
    async fn approval_link(&self, request: ApprovalLinkRequest) -> Result<ApprovalLink, ApiError>;
}

/// List requests; all conditions hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalListRequest {
    /// Only in this status.
    pub status: Option<ApprovalStatus>,
    /// Only of this run (id or a unique beginning of it).
    pub run: Option<String>,
    /// Only of this job.
    pub job_id: Option<String>,
    /// Only older than this one: the cursor of the next page.
    pub before: Option<ApprovalId>,
    /// At most this many; 0 means 50.
    pub limit: u32,
}

/// Show a request.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalShowRequest {
    /// Its id, or a unique beginning of it.
    pub approval: String,
}

/// Decide a request.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalDecideRequest {
    /// Its id, or a unique beginning of it. When absent: the one open request of `run` and `checkpoint`.
    pub approval: Option<String>,
    /// The run that it must be of.
    pub run: Option<String>,
    /// The checkpoint that it must be of.
    pub checkpoint: Option<String>,
    /// The option that is chosen.
    pub option: String,
    /// Words for those who come after; some options want them.
    pub feedback: Option<String>,
    /// What the option asks for, by key of the state.
    pub input: Map<String, Value>,
    /// The version that was seen; absent means whatever it is now.
    pub version: Option<u64>,
    /// What the decider calls this decision; the same key again gives the same answer.
    pub idempotency_key: Option<String>,
    /// Who decides.
    pub actor: Principal,
}

/// What a decision came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalDecided {
    /// The request, with its decision.
    pub request: ApprovalRequest,
    /// What it came to.
    pub outcome: DecisionOutcome,
    /// The node that the run went to.
    pub next: String,
    /// False when this very decision was taken before.
    pub applied: bool,
}

/// Make a link for a request.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalLinkRequest {
    /// The request: its id, or a unique beginning of it.
    pub approval: String,
    /// Who may decide by it: a person.
    pub principal: Principal,
    /// For how many minutes it holds; 1440 (a day) when absent, and never longer than the request.
    pub minutes: Option<u32>,
    /// Who asks.
    pub actor: Principal,
}

/// A link that decides. Whoever has it can use it, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalLink {
    /// The request.
    pub approval: ApprovalId,
    /// Its run.
    pub run_id: RunId,
    /// Who decides by it.
    pub principal: Principal,
    /// The path below the server's address: `/decide/…`.
    pub path: String,
    /// Until when it holds.
    pub expires_at: Timestamp,
}
