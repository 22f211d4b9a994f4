//! A decision: which request is meant, one transaction of the store, and the run goes on (D-FLOW-4).

use std::sync::atomic::Ordering;

use moorline_api::{ApiError, ApprovalDecideRequest, ApprovalDecided};
use moorline_core::approval::{ApprovalRequest, Choice};
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::RunId;
use moorline_core::run::Run;
use moorline_store::{ApprovalFilter, DecideApproval, WhichApproval};
use tracing::error;

use crate::engine::{Engine, Inner};
use crate::error::store_error;

impl Engine {
    /// [`approval_decide`](moorline_api::ApprovalOperations::approval_decide), for whoever may.
    pub(super) async fn decide(
        &self,
        request: ApprovalDecideRequest,
    ) -> Result<ApprovalDecided, ApiError> {
        let inner = &self.inner;
        let role = self.acting_role(&request.actor).await?;
        let which = inner.which(&request).await?;
        let decide = DecideApproval {
            which,
            choice: Choice {
                option: request.option,
                by: request.actor,
                role,
                feedback: request.feedback,
                input: request.input,
                idempotency_key: request.idempotency_key,
                version: request.version,
            },
            now: inner.now(),
        };
        let decided = inner.store.approval_decide(decide).await;
        let decided = decided.map_err(store_error)?;
        if decided.applied {
            self.go_on(decided.run).await;
        }
        let Some(decision) = &decided.request.decision else {
            let message = format!(
                "request {} was decided and says not how",
                decided.request.id
            );
            return Err(ApiError::new(ErrorCode::Internal, message));
        };
        Ok(ApprovalDecided {
            outcome: decision.outcome,
            next: decision.next.clone(),
            applied: decided.applied,
            request: decided.request,
        })
    }

    /// Goes on with a run that was just decided. The decision is durable: what does not happen here is done by
    /// the next worker that looks.
    async fn go_on(&self, run: Run) {
        let inner = &self.inner;
        inner.changed.notify_waiters();
        if run.status.is_terminal() {
            if let Err(error) = inner.settle(&run).await {
                error!(run = %run.id, code = error.code.as_str(), "{error}");
            }
        } else if run.due_at.is_some() && inner.working.load(Ordering::Relaxed) > 0 {
            // Without waiting for the worker's next look. Where this process has none, the run is left to one.
            self.carry_on(run, None).await;
        }
    }
}

impl Inner {
    /// The request that a decision means: the one that it names, or the one that its run waits for.
    async fn which(&self, asked: &ApprovalDecideRequest) -> Result<WhichApproval, ApiError> {
        let run = match &asked.run {
            Some(text) => Some(self.find(text).await?),
            None => None,
        };
        let checkpoint = asked.checkpoint.clone();
        match (&asked.approval, run, checkpoint) {
            (Some(text), run, checkpoint) => Ok(WhichApproval::Id {
                id: self.find_approval(text).await?,
                run,
                checkpoint,
            }),
            (None, Some(run), Some(checkpoint)) => Ok(WhichApproval::Open { run, checkpoint }),
            (None, Some(run), None) => self.open_request(run, asked).await,
            (None, None, _) => {
                let message = "a decision names a request, or a run that waits for one";
                Err(ApiError::new(ErrorCode::Usage, message)
                    .hint("`moorline approvals list --status pending` shows what waits"))
            }
        }
    }

    /// The one request that a run waits for; or the one that was decided under the same key; or else the newest
    /// one, so that whoever is late hears what became of it.
    async fn open_request(
        &self,
        id: RunId,
        asked: &ApprovalDecideRequest,
    ) -> Result<WhichApproval, ApiError> {
        let run = self.must_get(id).await?;
        let requests = self.requests_of(id).await?;
        let key = asked.idempotency_key.as_ref();
        let by_key = requests.iter().find(|request| {
            let decision = request.decision.as_ref();
            key.is_some() && decision.and_then(|d| d.idempotency_key.as_ref()) == key
        });
        let newest = || requests.first().map(|request| request.id);
        let open = run.flow.and_then(|flow| flow.open);
        let meant = by_key.map(|request| request.id).or(open);
        let Some(id) = meant.or_else(newest) else {
            let message = format!("run {id} waits for no decision: it is {}", run.status);
            let denial = Denial::new(ErrorCode::Conflict, "D-FLOW-4", message);
            let hint = "`moorline approvals list --status pending` shows what waits";
            return Err(denial.hint(hint).into());
        };
        Ok(WhichApproval::Id {
            id,
            run: None,
            checkpoint: None,
        })
    }

    /// Every request of a run, newest first.
    pub(super) async fn requests_of(&self, run: RunId) -> Result<Vec<ApprovalRequest>, ApiError> {
        let filter = ApprovalFilter {
            run_id: Some(run),
            limit: u32::MAX,
            ..ApprovalFilter::default()
        };
        self.store.approvals_list(filter).await.map_err(store_error)
    }
}
