//! [`ApprovalStore`] for both engines.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::approval::ApprovalRequest;
use moorline_core::ids::ApprovalId;

use crate::approvals::{ApprovalFilter, ApprovalStore, DecideApproval, DecidedApproval};
use crate::database::backend::Backend;
use crate::error::StoreError;

fn todo() -> StoreError {
    StoreError::not_found("part yet")
}

#[async_trait]
impl<B: Backend> ApprovalStore for B {
    async fn approval_get(&self, _id: ApprovalId) -> Result<Option<ApprovalRequest>, StoreError> {
        Err(todo())
    }

    async fn approval_find(&self, _prefix: &str) -> Result<Vec<ApprovalId>, StoreError> {
        Err(todo())
    }

    async fn approvals_list(
        &self,
        _filter: ApprovalFilter,
    ) -> Result<Vec<ApprovalRequest>, StoreError> {
        Err(todo())
    }

    async fn approval_decide(
        &self,
        _decide: DecideApproval,
    ) -> Result<DecidedApproval, StoreError> {
        Err(todo())
    }

    async fn approvals_due(&self, _now: Timestamp) -> Result<Vec<ApprovalId>, StoreError> {
        Ok(Vec::new())
    }

    async fn approval_lapse(&self, _id: ApprovalId, _now: Timestamp) -> Result<(), StoreError> {
        Err(todo())
    }
}
