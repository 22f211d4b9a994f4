//! A transition of a run, and everything that follows from it in the same transaction.

use jiff::Timestamp;
use moorline_core::audit::NewAudit;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::{AlertLevel, FailureClass, SourceState};
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::run::{Applied, Effect, Run};
use moorline_core::summary::RunSummary;
use serde_json::json;

use crate::database::query::source_state_of;
use crate::database::tx::{Tx, Val, args, ceil_microsecond};
use crate::database::unit::{Unit, to_json};
use crate::database::{schedules, sql};
use crate::error::StoreError;

/// Who acts when nobody in particular does.
pub(crate) const SYSTEM: &str = "moorline";

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
    } = applied;
    write_run(unit, before, &run, lease_until).await?;
    write_attempt(unit, before, &run, now).await?;
    for event in &events {
        unit.event(Some((&run).into()), event, now).await?;
    }
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
            source = change_source(unit, run, *class, now).await?;
            schedules::after_run(unit, run, *class, now).await?;
        }
    }
    for effect in effects {
        match effect {
            Effect::Source { .. } => {}
            Effect::Summarise => summarise(unit, run, source, now).await?,
            Effect::Alert { class, level } => raise_alert(unit, run, *class, *level, now).await?,
            Effect::Export | Effect::Archive => unit.outbox(run.id, effect, now).await?,
        }
    }
    Ok(())
}

/// Applies the failure matrix's source column (D-RUN-7), or recovery after a success. A source is listed from its first run on.
/// Returns its new state; none when the job reads no source.
async fn change_source<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
    class: Option<FailureClass>,
    now: Timestamp,
) -> Result<Option<SourceState>, StoreError> {
    let Some(source_id) = &run.source_id else {
        return Ok(None);
    };
    let stored = match unit.tx.row(sql::SOURCE_GET, args![source_id]).await? {
        Some(mut row) => Some(source_state_of(&row.text("source state")?)?),
        None => None,
    };
    let from = stored.unwrap_or_default();
    let to = class.map_or_else(|| from.recovered(), |class| from.apply(class.rule().source));
    if stored != Some(to) {
        let changed_by = (from != to).then(|| run.id.to_string());
        let args = args![source_id, to.as_str(), changed_by, now];
        unit.tx.execute(sql::SOURCE_WRITE, args).await?;
    }
    if from != to {
        let data = json!({"source_id": source_id, "from": from, "to": to, "class": class});
        let level = if class.is_some() {
            Level::Warn
        } else {
            Level::Info
        };
        let event = NewEvent {
            kind: EventKind::SourceChanged,
            level,
            data,
        };
        unit.event(Some(run.into()), &event, now).await?;
        unit.audit(NewAudit {
            actor: SYSTEM.to_owned(),
            operation: "source.change".to_owned(),
            subject: format!("source/{source_id}"),
            reason: None,
            data: json!({"from": from, "to": to, "class": class, "run_id": run.id}),
            at: now,
        })
        .await?;
    }
    Ok(Some(to))
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

async fn raise_alert<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
    class: FailureClass,
    loudness: AlertLevel,
    now: Timestamp,
) -> Result<(), StoreError> {
    let level = match loudness {
        AlertLevel::Info => Level::Info,
        AlertLevel::Warning => Level::Warn,
        AlertLevel::Critical => Level::Error,
    };
    let failure = run.failure.as_ref();
    let data = json!({
        "class": class,
        "level": loudness,
        "code": failure.map(|f| f.code),
        "reason": failure.map(|f| &f.reason),
    });
    let event = NewEvent {
        kind: EventKind::AlertRaised,
        level,
        data,
    };
    unit.event(Some(run.into()), &event, now).await
}
