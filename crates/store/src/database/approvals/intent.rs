//! The changes that [`ApprovalStore`](crate::ApprovalStore) names.

use jiff::Timestamp;
use moorline_core::approval::{ApprovalRequest, ApprovalStatus};
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::{ApprovalId, RunId};
use moorline_core::run::{Command, apply};

use super::{advance, get, missing, query};
use crate::approvals::{ApprovalFilter, DecideApproval, DecidedApproval, WhichApproval};
use crate::database::transition::persist;
use crate::database::tx::Tx;
use crate::database::unit::Unit;
use crate::database::writer::Intent;
use crate::error::StoreError;

/// [`ApprovalStore::approval_decide`](crate::ApprovalStore::approval_decide).
///
/// Writers are serial, so of any number of decisions at once one finds the request open (L33).
pub(super) struct Decide(pub(super) DecideApproval);

impl Intent for Decide {
    type Reply = DecidedApproval;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<DecidedApproval, StoreError> {
        let Self(asked) = self;
        let request = wanted(unit, asked).await?;
        let run = unit.run(request.run_id).await?;
        // What was decided before is answered under a stop as well: nothing follows from it.
        if request.status == ApprovalStatus::Pending
            && let Some(stop) = unit.stop_of_run(&run).await?
        {
            let stop = stop.to_string();
            return Err(StoreError::Stopped { stop });
        }
        let command = Command::Decide {
            request: Box::new(request.clone()),
            choice: asked.choice.clone(),
        };
        let applied = advance(unit, &run, command, asked.now).await?;
        let decided = applied
            .approvals
            .iter()
            .find(|after| after.id == request.id);
        let Some(decided) = decided.cloned() else {
            // It was taken before, under the same key.
            return Ok(DecidedApproval {
                request,
                run,
                applied: false,
            });
        };
        let run = persist(unit, &run, applied, None, asked.now).await?;
        Ok(DecidedApproval {
            request: decided,
            run,
            applied: true,
        })
    }
}

/// The request that a decision means.
async fn wanted<T: Tx>(
    unit: &mut Unit<'_, T>,
    asked: &DecideApproval,
) -> Result<ApprovalRequest, StoreError> {
    match &asked.which {
        WhichApproval::Id {
            id,
            run,
            checkpoint,
        } => {
            let request = get(unit.tx, *id).await?.ok_or_else(|| missing(*id))?;
            if let Some(run) = run.filter(|run| *run != request.run_id) {
                let message = format!("request {id} is of run {}, not of {run}", request.run_id);
                return Err(conflict(message).into());
            }
            if let Some(checkpoint) = checkpoint.as_ref().filter(|c| **c != request.checkpoint) {
                let message = format!(
                    "request {id} is of the checkpoint `{}`, not of `{checkpoint}`",
                    request.checkpoint
                );
                return Err(conflict(message).into());
            }
            Ok(request)
        }
        WhichApproval::Open { run, checkpoint } => open_at(unit, *run, checkpoint, asked).await,
    }
}

/// The request of a checkpoint that waits; or the one that was decided under the same key; or else the newest
/// one, so that whoever is late hears what became of it.
async fn open_at<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: RunId,
    checkpoint: &str,
    asked: &DecideApproval,
) -> Result<ApprovalRequest, StoreError> {
    let waits_at = unit.run(run).await?.flow.map(|flow| flow.at);
    let filter = ApprovalFilter {
        run_id: Some(run),
        limit: u32::MAX,
        ..ApprovalFilter::default()
    };
    let mut of_gate = query::list(unit.tx, &filter).await?;
    of_gate.retain(|request| request.checkpoint == checkpoint);
    let key = asked.choice.idempotency_key.as_ref();
    let by_key = |request: &ApprovalRequest| {
        let decision = request.decision.as_ref();
        key.is_some() && decision.and_then(|d| d.idempotency_key.as_ref()) == key
    };
    let pending = |request: &ApprovalRequest| request.status == ApprovalStatus::Pending;
    let found = of_gate.iter().position(by_key);
    let found = found.or_else(|| of_gate.iter().position(pending));
    if of_gate.is_empty() {
        let place = waits_at.map_or_else(String::new, |at| format!("; it is at `{at}`"));
        let message = format!("run {run} does not wait at `{checkpoint}`{place}");
        return Err(conflict(message).into());
    }
    Ok(of_gate.swap_remove(found.unwrap_or(0)))
}

fn conflict(message: String) -> Denial {
    Denial::new(ErrorCode::Conflict, "D-FLOW-4", message)
        .hint("`moorline approvals list` shows which request is of which run and checkpoint")
}

/// [`ApprovalStore::approval_lapse`](crate::ApprovalStore::approval_lapse).
pub(super) struct Lapse {
    pub(super) id: ApprovalId,
    pub(super) now: Timestamp,
}

impl Intent for Lapse {
    type Reply = ();

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<(), StoreError> {
        let Some(request) = get(unit.tx, self.id).await? else {
            return Err(missing(self.id));
        };
        // Somebody else may have been first, with a decision or with the same.
        if request.due_at().is_none_or(|due| due > self.now) {
            return Ok(());
        }
        let run = unit.run(request.run_id).await?;
        let command = Command::Lapse {
            request: Box::new(request),
        };
        let applied = apply(&run, command, self.now)?;
        if applied.events.is_empty() {
            return Ok(());
        }
        persist(unit, &run, applied, None, self.now).await.map(drop)
    }
}
