//! Workflows and the decisions at their gates (D-FLOW).
//!
//! A run at a gate has no process, no lease and no task here: nothing of it is kept in memory, and whoever has
//! a worker goes on with it once it is decided.
//!
//! | module | what |
//! |---|---|
//! | [`decide`] | a decision, and what follows from it here |
//! | [`input`] | what an attempt of a workflow's step is given |
//! | [`view`] | where a run stands in its workflow; why, for `explain` |
//! | [`due`] | expiries and reminders, a chore of the worker |
//!
//! Deliberately absent: the rules of gates and decisions, which are transitions of the run, and telling people,
//! which alerts do.

mod decide;
mod due;
mod input;
mod view;

use async_trait::async_trait;
use moorline_api::{
    ApiError, ApprovalDecideRequest, ApprovalDecided, ApprovalLink, ApprovalLinkRequest,
    ApprovalListRequest, ApprovalOperations, ApprovalShowRequest, Operation,
};
use moorline_core::approval::ApprovalRequest;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::ApprovalId;
use moorline_store::ApprovalFilter;

use crate::beginning::{is_beginning, only};
use crate::engine::{Engine, Inner};
use crate::error::store_error;

#[async_trait]
impl ApprovalOperations for Engine {
    async fn approval_list(
        &self,
        request: ApprovalListRequest,
    ) -> Result<Vec<ApprovalRequest>, ApiError> {
        let inner = &self.inner;
        let run_id = match &request.run {
            Some(text) => Some(inner.find(text).await?),
            None => None,
        };
        let filter = ApprovalFilter {
            status: request.status,
            run_id,
            job_id: request.job_id,
            before: request.before,
            limit: request.limit,
        };
        inner
            .store
            .approvals_list(filter)
            .await
            .map_err(store_error)
    }

    async fn approval_show(
        &self,
        request: ApprovalShowRequest,
    ) -> Result<ApprovalRequest, ApiError> {
        let inner = &self.inner;
        let id = inner.find_approval(&request.approval).await?;
        let found = inner.store.approval_get(id).await.map_err(store_error)?;
        found.ok_or_else(|| not_found(&request.approval))
    }

    async fn approval_decide(
        &self,
        request: ApprovalDecideRequest,
    ) -> Result<ApprovalDecided, ApiError> {
        let subject = match (&request.approval, &request.run) {
            (Some(approval), _) => format!("approval/{approval}"),
            (None, Some(run)) => format!("run/{run}"),
            (None, None) => "approval/".to_owned(),
        };
        let actor = request.actor.clone();
        let work = Box::pin(self.decide(request));
        self.inner
            .guarded(Operation::ApprovalDecide, &actor, subject, work)
            .await
    }

    async fn approval_link(&self, request: ApprovalLinkRequest) -> Result<ApprovalLink, ApiError> {
        self.make_link(request).await
    }
}

impl Inner {
    /// A request by its id, a unique beginning of it, or `latest`.
    pub(crate) async fn find_approval(&self, text: &str) -> Result<ApprovalId, ApiError> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        if text == "latest" {
            let newest = ApprovalFilter {
                limit: 1,
                ..ApprovalFilter::default()
            };
            let requests = self.store.approvals_list(newest).await;
            return requests
                .map_err(store_error)?
                .first()
                .map(|request| request.id)
                .ok_or_else(|| not_found(text));
        }
        let found = if is_beginning(text) {
            self.store.approval_find(text).await.map_err(store_error)?
        } else {
            Vec::new()
        };
        only(found, text, "requests", || not_found(text))
    }
}

fn not_found(text: &str) -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        format!("no request for a decision `{text}`"),
    )
    .hint("`moorline approvals list` shows the ids; a unique beginning of eight characters or `latest` will do")
}
