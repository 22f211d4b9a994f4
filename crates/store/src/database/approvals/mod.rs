//! [`ApprovalStore`] for both engines: what a transition of a run does to its requests, in its transaction, and
//! the intents and queries of requests.
//!
//! | module | what |
//! |---|---|
//! | [`intent`] | deciding, and what time does to a request |
//! | [`query`] | lists |
//! | [`workflow`] | the graph that the transitions of a run follow |
//!
//! Deliberately absent: every rule of a decision, which is a transition of the run.

mod intent;
mod query;
mod workflow;

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::approval::{ApprovalRequest, ApprovalStatus};
use moorline_core::audit::NewAudit;
use moorline_core::error_code::AlertLevel;
use moorline_core::ids::ApprovalId;
use moorline_core::run::Run;
use serde_json::{Value, json};

use crate::approvals::{ApprovalFilter, ApprovalStore, DecideApproval, DecidedApproval};
use crate::database::alerts::{self, NewAlert};
use crate::database::backend::Backend;
use crate::database::sql::approvals as sql;
use crate::database::transition::SYSTEM;
use crate::database::tx::{Tx, Val, args, ceil_microsecond};
use crate::database::unit::{Unit, to_json};
use crate::error::StoreError;

pub(crate) use workflow::advance;

#[async_trait]
impl<B: Backend> ApprovalStore for B {
    async fn approval_get(&self, id: ApprovalId) -> Result<Option<ApprovalRequest>, StoreError> {
        self.read(query::Get(id)).await
    }

    async fn approval_find(&self, prefix: &str) -> Result<Vec<ApprovalId>, StoreError> {
        self.read(query::Find(prefix.to_owned())).await
    }

    async fn approvals_list(
        &self,
        filter: ApprovalFilter,
    ) -> Result<Vec<ApprovalRequest>, StoreError> {
        self.read(query::List(filter)).await
    }

    async fn approval_decide(&self, decide: DecideApproval) -> Result<DecidedApproval, StoreError> {
        self.write(intent::Decide(decide)).await
    }

    async fn approvals_due(&self, now: Timestamp) -> Result<Vec<ApprovalId>, StoreError> {
        self.read(query::Due(now)).await
    }

    async fn approval_lapse(&self, id: ApprovalId, now: Timestamp) -> Result<(), StoreError> {
        self.write(intent::Lapse { id, now }).await
    }
}

/// Something that a transition did to a request, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reminder {
    /// How loud.
    pub(crate) level: AlertLevel,
    /// Whether its time is over, and it still waits.
    pub(crate) overdue: bool,
}

/// Writes requests as a transition of their run left them, with the audit records of those that were decided
/// or expired by it. One that was opened is told to whoever wants to know; one that is closed is not asked for
/// any more.
pub(crate) async fn record<T: Tx>(
    unit: &mut Unit<'_, T>,
    before: &Run,
    run: &Run,
    requests: &[ApprovalRequest],
    now: Timestamp,
) -> Result<(), StoreError> {
    let open_before = before.flow.as_ref().and_then(|flow| flow.open);
    for request in requests {
        write(unit, request).await?;
        if let Some(entry) = audited(request, now) {
            unit.audit(entry).await?;
        }
        if request.status != ApprovalStatus::Pending {
            close_alerts(unit, run, request.id, now).await?;
        } else if open_before != Some(request.id) {
            raise(unit, run, request, "opened", AlertLevel::Info, now).await?;
        }
    }
    Ok(())
}

/// Tells people once more that a request waits: an alert of its own each time, so that none is taken for a
/// repetition of the one before (D-FLOW-6).
pub(crate) async fn remind<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
    id: ApprovalId,
    reminder: Reminder,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(request) = get(unit.tx, id).await? else {
        return Err(missing(id));
    };
    let which = if reminder.overdue {
        "overdue".to_owned()
    } else {
        request.reminded.to_string()
    };
    raise(unit, run, &request, &which, reminder.level, now).await
}

/// Withdraws the request of a run that ended before anybody decided. The event of it is the transition's.
pub(crate) async fn withdraw<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
    id: ApprovalId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(request) = get(unit.tx, id).await? else {
        return Err(missing(id));
    };
    write(unit, &request.withdrawn()).await?;
    close_alerts(unit, run, id, now).await
}

async fn write<T: Tx>(unit: &mut Unit<'_, T>, request: &ApprovalRequest) -> Result<(), StoreError> {
    let args = args![
        request.id.to_string(),
        request.run_id.to_string(),
        &request.job_id,
        &request.checkpoint,
        request.status.as_str(),
        Val::Int(request.due_at().map(ceil_microsecond)),
        to_json("approval", request)?,
    ];
    unit.tx.execute(sql::APPROVAL_WRITE, args).await?;
    Ok(())
}

async fn get<T: Tx>(tx: &mut T, id: ApprovalId) -> Result<Option<ApprovalRequest>, StoreError> {
    let row = tx.row(sql::APPROVAL_GET, args![id.to_string()]).await?;
    row.map(|mut row| row.json("approval")).transpose()
}

fn missing(id: ApprovalId) -> StoreError {
    StoreError::not_found(format!("approval {id}"))
}

/// What the audit trail says of a request that was closed by somebody, by a rule or by time. That one was
/// opened or withdrawn follows from the run, whose own records say so.
fn audited(request: &ApprovalRequest, now: Timestamp) -> Option<NewAudit> {
    let mut data = json!({
        "run": request.run_id,
        "checkpoint": request.checkpoint,
        "status": request.status,
        "version": request.version,
    });
    let mut entry = NewAudit {
        actor: SYSTEM.to_owned(),
        operation: "approval.expire".to_owned(),
        subject: format!("approval/{}", request.id),
        reason: None,
        data: Value::Null,
        at: now,
    };
    if let Some(decision) = &request.decision {
        entry.actor = decision.by.to_string();
        "approval.decide".clone_into(&mut entry.operation);
        entry.reason.clone_from(&decision.feedback);
        data["option"] = json!(decision.option);
        data["outcome"] = json!(decision.outcome);
        data["next"] = json!(decision.next);
        data["input"] = json!(decision.input);
    } else if request.status != ApprovalStatus::Expired {
        return None;
    }
    entry.data = data;
    Some(entry)
}

async fn raise<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
    request: &ApprovalRequest,
    which: &str,
    level: AlertLevel,
    now: Timestamp,
) -> Result<(), StoreError> {
    let until = request.expires_at.strftime("%Y-%m-%d %H:%M:%SZ");
    let state = if request.overdue {
        format!("overdue since {until}")
    } else {
        format!("until {until}")
    };
    let options: Vec<&str> = request.options.iter().map(|o| o.name.as_str()).collect();
    let alert = NewAlert {
        key: format!("{}{which}", alert_prefix(request.id)),
        level,
        title: format!(
            "{} waits for a decision, {state}: {}",
            request.job_id, request.title
        ),
        run: Some(run),
        data: json!({
            "approval": request.id,
            "checkpoint": request.checkpoint,
            "options": options,
            "recommended": request.recommended,
            "opened_at": request.opened_at,
            "expires_at": request.expires_at,
            "on_expiry": request.on_expiry,
            "overdue": request.overdue,
            "lane": request.lane,
        }),
    };
    alerts::raise(unit, alert, now).await.map(drop)
}

async fn close_alerts<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
    id: ApprovalId,
    now: Timestamp,
) -> Result<(), StoreError> {
    alerts::close(unit, &alert_prefix(id), Some(run), now).await
}

/// What the keys of a request's alerts begin with.
fn alert_prefix(id: ApprovalId) -> String {
    format!("approval/{id}/")
}
