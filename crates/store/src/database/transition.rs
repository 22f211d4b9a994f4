//! A transition of a run, and everything that follows from it in the same transaction.

use jiff::Timestamp;
use moorline_core::audit::NewAudit;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::{AlertLevel, FailureClass, SourceState};
use moorline_core::run::{Applied, Effect, Run};
use moorline_core::summary::RunSummary;
use serde_json::json;

use crate::database::alerts::{self, NewAlert};
use crate::database::approvals::{self, Reminder};
use crate::database::tx::{Tx, Val, args, ceil_microsecond};
use crate::database::unit::{Unit, to_json};
use crate::database::{schedules, sources, sql};
use crate::error::StoreError;

/// Who acts when nobody in particular does.
pub(crate) const SYSTEM: &str = "system:moorline";

/// Searchable columns of a run; all of them follow from its document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) status: &'static str,
    pub(crate) due_at: Option<i64>,
    pub(crate) driver: Option<String>,
    pub(crate) ended_at: Option<Timestamp>,
}

impl Columns {
    pub(crate) fn of(run: &Run) -> Self {
        Self {
            status: run.status.as_str(),
            due_at: run.due_at.map(ceil_microsecond),
            driver: run
                .attempt
                .as_ref()
                .map(|attempt| attempt.driver.to_string()),
            ended_at: run.ended_at,
        }
    }
}

/// Writes what [`apply`](moorline_core::run::apply) made of `before`. `lease_until` is given when
/// the transition gives a lease. Returns the run afterwards.
pub(crate) async fn persist<T: Tx>(
    unit: &mut Unit<'_, T>,
    before: &Run,
    applied: Applied,
    lease_until: Option<Timestamp>,
    now: Timestamp,
) -> Result<Run, StoreError> {
    let Applied {
        run,
        events,
        effects,
        approvals,
    } = applied;
    write_run(unit, before, &run, lease_until).await?;
    write_attempt(unit, before, &run, now).await?;
    for event in &events {
        unit.event(Some((&run).into()), event, now).await?;
    }
    approvals::record(unit, before, &run, &approvals, now).await?;
    write_effects(unit, &run, &effects, now).await?;
    Ok(run)
}

async fn write_run<T: Tx>(
    unit: &mut Unit<'_, T>,
    before: &Run,
    run: &Run,
    lease_until: Option<Timestamp>,
) -> Result<(), StoreError> {
    let columns = Columns::of(run);
    let doc = to_json("run", run)?;
    if lease_until.is_none() && columns == Columns::of(before) {
        unit.tx
            .execute(sql::RUN_UPDATE_DOC, args![doc, run.id.to_string()])
            .await?;
        return Ok(());
    }
    let args = args![
        columns.status,
        Val::Int(columns.due_at),
        columns.driver,
        lease_until,
        columns.ended_at,
        doc,
        run.id.to_string(),
    ];
    unit.tx.execute(sql::RUN_UPDATE, args).await?;
    Ok(())
}

/// The row of a new attempt, or the handle of one that was launched. Its end is written by the
/// intent that knows the executor's report.
async fn write_attempt<T: Tx>(
    unit: &mut Unit<'_, T>,
    before: &Run,
    run: &Run,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(attempt) = &run.attempt else {
        return Ok(());
    };
    let known = before
        .attempt
        .as_ref()
        .filter(|known| known.id == attempt.id);
    match known {
        None => insert_attempt(unit, run, now).await,
        Some(known) if known.handle != attempt.handle => {
            let handle = attempt
                .handle
                .as_ref()
                .map(|h| to_json("handle", h))
                .transpose()?;
            let args = args![handle, run.id.to_string(), run.attempts];
            unit.tx.execute(sql::ATTEMPT_LAUNCHED, args).await?;
            Ok(())
        }
        Some(_) => Ok(()),
    }
}

/// Writes the row of a run's live attempt, which was just claimed.
pub(crate) async fn insert_attempt<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(attempt) = &run.attempt else {
        return Ok(());
    };
    let step = run.steps.get(run.step).map_or("", |step| &step.name);
    let id = attempt.id.to_string();
    let args = args![
        run.id.to_string(),
        run.attempts,
        id,
        step,
        attempt.number,
        now
    ];
    unit.tx.execute(sql::ATTEMPT_INSERT, args).await?;
    Ok(())
}

async fn write_effects<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
    effects: &[Effect],
    now: Timestamp,
) -> Result<(), StoreError> {
    // First the source, whose new state the summary tells.
    let mut source = None;
    for effect in effects {
        if let Effect::Source { class } = effect {
            source = sources::after_run(unit, run, *class, now).await?;
            if class.is_none() && run.source_id.is_none() {
                alerts::close(unit, &alert_prefix(run), Some(run), now).await?;
            }
            schedules::after_run(unit, run, *class, now).await?;
        }
    }
    for effect in effects {
        match effect {
            Effect::Source { .. } => {}
            Effect::Summarise => summarise(unit, run, source, now).await?,
            Effect::Alert { class, level } => raise_alert(unit, run, *class, *level, now).await?,
            Effect::Remind {
                approval,
                level,
                overdue,
                ..
            } => {
                let reminder = Reminder {
                    level: *level,
                    overdue: *overdue,
                };
                approvals::remind(unit, run, *approval, reminder, now).await?;
            }
            Effect::Withdraw { approval } => {
                approvals::withdraw(unit, run, *approval, now).await?;
            }
            Effect::Export | Effect::Archive => unit.outbox(run.id, effect, now).await?,
        }
    }
    Ok(())
}

/// Writes the run's one summary, and its hash into the audit trail.
async fn summarise<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
    source: Option<SourceState>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let doc = to_json("run summary", &RunSummary::of(run, source))?;
    let hash = ContentId::of_bytes(doc.as_bytes());
    unit.tx
        .execute(sql::SUMMARY_INSERT, args![run.id.to_string(), doc])
        .await?;
    let class = run.failure.as_ref().map(|failure| failure.class);
    unit.audit(NewAudit {
        actor: SYSTEM.to_owned(),
        operation: "run.end".to_owned(),
        subject: format!("run/{}", run.id),
        reason: None,
        data: json!({"status": run.status, "class": class, "summary": hash}),
        at: now,
    })
    .await
}

/// Raises what a failed run tells people, by the alert column of the matrix; the machine of the run decided
/// that, once for the run and not for its attempts (L44).
async fn raise_alert<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
    class: FailureClass,
    level: AlertLevel,
    now: Timestamp,
) -> Result<(), StoreError> {
    let failure = run.failure.as_ref();
    let reason = failure.map_or("", |failure| failure.reason.as_str());
    let alert = NewAlert {
        key: format!("{}{class}", alert_prefix(run)),
        level,
        title: format!("{} {}: {class}: {reason}", run.job_id, run.status.as_str()),
        run: Some(run),
        data: json!({
            "class": class,
            "code": failure.map(|f| f.code),
            "reason": failure.map(|f| &f.reason),
            "status": run.status,
            "lane": run.lane,
            "source_id": run.source_id,
            "attempts": run.attempts,
        }),
    };
    alerts::raise(unit, alert, now).await.map(drop)
}

/// What the keys of a run's alerts begin with: the trouble is its source's, or its job's.
fn alert_prefix(run: &Run) -> String {
    match &run.source_id {
        Some(source) => sources::alert_prefix(source),
        None => format!("job/{}/{}/", run.lane, run.job_id),
    }
}
