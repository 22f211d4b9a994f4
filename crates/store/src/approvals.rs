//! Requests for decisions.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::approval::{ApprovalRequest, ApprovalStatus, Choice};
use moorline_core::ids::{ApprovalId, RunId};
use moorline_core::run::Run;

use crate::error::StoreError;

/// Which requests to list; all conditions hold.
#[derive(Debug, Clone, Default)]
pub struct ApprovalFilter {
    /// Only in this status.
    pub status: Option<ApprovalStatus>,
    /// Only of this run.
    pub run_id: Option<RunId>,
    /// Only of this job.
    pub job_id: Option<String>,
    /// Only older than this one (exclusive): the cursor of the next page.
    pub before: Option<ApprovalId>,
    /// At most this many; 0 means 50.
    pub limit: u32,
}

/// Which request is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhichApproval {
    /// This one; where a run or a checkpoint is named, it must be of it.
    Id {
        /// The request.
        id: ApprovalId,
        /// The run that it must be of.
        run: Option<RunId>,
        /// The checkpoint that it must be of.
        checkpoint: Option<String>,
    },
    /// The one open request of this run and checkpoint.
    Open {
        /// The run.
        run: RunId,
        /// The checkpoint.
        checkpoint: String,
    },
}

/// A decision on its way into the store.
#[derive(Debug, Clone)]
pub struct DecideApproval {
    /// Which request.
    pub which: WhichApproval,
    /// What is chosen, by whom.
    pub choice: Choice,
    /// Now.
    pub now: Timestamp,
}

/// What a decision came to.
#[derive(Debug, Clone)]
pub struct DecidedApproval {
    /// The request, with its decision.
    pub request: ApprovalRequest,
    /// The run afterwards.
    pub run: Run,
    /// False when this very decision was taken before.
    pub applied: bool,
}

/// Requests for decisions. A part of [`Store`](crate::Store), under its contract.
///
/// A request is opened by the transition of its run that comes to the gate, and withdrawn by the one that ends
/// the run, in the same transaction (D-FLOW-3).
#[async_trait]
pub trait ApprovalStore: Send + Sync {
    /// One request.
    async fn approval_get(&self, id: ApprovalId) -> Result<Option<ApprovalRequest>, StoreError>;

    /// Requests whose id begins with this text, at most two.
    async fn approval_find(&self, prefix: &str) -> Result<Vec<ApprovalId>, StoreError>;

    /// Requests, newest first, filtered before the limit.
    async fn approvals_list(
        &self,
        filter: ApprovalFilter,
    ) -> Result<Vec<ApprovalRequest>, StoreError>;

    /// Decides: decision, run, events and audit record at once (D-FLOW-4). A decision that was taken under the
    /// same key is given again. Refused while a stop covers the run.
    async fn approval_decide(&self, decide: DecideApproval) -> Result<DecidedApproval, StoreError>;

    /// Requests with an expiry or a reminder that is due, oldest first, at most 100.
    async fn approvals_due(&self, now: Timestamp) -> Result<Vec<ApprovalId>, StoreError>;

    /// Carries out what is due of a request: its expiry, by its policy, or a reminder (D-FLOW-6). What is not
    /// due, or done already, is `Ok` and writes nothing.
    async fn approval_lapse(&self, id: ApprovalId, now: Timestamp) -> Result<(), StoreError>;
}
