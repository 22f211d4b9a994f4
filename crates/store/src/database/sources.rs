//! [`SourceStore`] for both engines, and what the ends of runs do to sources.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::audit::NewAudit;
use moorline_core::error_code::{FailureClass, SourceState};
use moorline_core::event::NewEvent;
use moorline_core::principal::Principal;
use moorline_core::run::{Run, Trigger};
use moorline_core::source::{RunEnd, Source, SourceCommand, apply};
use moorline_core::spec::{FailurePolicy, JobType, Mode};
use serde::Deserialize;
use serde_json::json;

use crate::database::backend::Backend;
use crate::database::query::{Query, source_state_of};
use crate::database::sql::SPEC_GET;
use crate::database::sql::sources as sql;
use crate::database::tx::{Row, Tx, args};
use crate::database::unit::{Unit, to_json};
use crate::database::versions::unchanged;
use crate::database::writer::Intent;
use crate::database::{alerts, schedules, transition};
use crate::error::StoreError;
use crate::sources::{SourceChange, SourceStore};

#[async_trait]
impl<B: Backend> SourceStore for B {
    async fn sources_list(&self) -> Result<Vec<Source>, StoreError> {
        self.read(List).await
    }

    async fn source_get(&self, source_id: &str) -> Result<Option<Source>, StoreError> {
        self.read(Get(source_id.to_owned())).await
    }

    async fn source_change(&self, change: SourceChange) -> Result<Source, StoreError> {
        self.write(Change(change)).await
    }
}

struct List;

impl Query for List {
    type Reply = Vec<Source>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<Source>, StoreError> {
        let rows = tx.rows(sql::SOURCES, args![]).await?;
        rows.into_iter().map(source_of).collect()
    }
}

struct Get(String);

impl Query for Get {
    type Reply = Option<Source>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Option<Source>, StoreError> {
        let row = tx.row(sql::SOURCE_GET, args![&self.0]).await?;
        row.map(source_of).transpose()
    }
}

/// A row; those that are older than the document have its columns.
fn source_of(mut row: Row) -> Result<Source, StoreError> {
    let source_id = row.text("source id")?;
    let state = source_state_of(&row.text("source state")?)?;
    let run_id = row.parsed_opt("run id")?;
    let updated_at = row.time("time of a source")?;
    let doc: Option<Source> = row.json_opt("source")?;
    Ok(doc.unwrap_or_else(|| Source {
        state,
        run_id,
        ..Source::new(source_id, updated_at)
    }))
}

/// [`SourceStore::source_change`].
struct Change(SourceChange);

impl Intent for Change {
    type Reply = Source;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Source, StoreError> {
        let Self(change) = self;
        unchanged(unit, change.seen.as_ref()).await?;
        let Some(before) = read(unit, &change.source_id).await? else {
            let what = format!("source {}", change.source_id);
            return Err(StoreError::not_found(what));
        };
        let (next, event) = apply(&before, &change.command, change.now)?;
        if let Some(event) = event {
            write(unit, &before, &next, &event, None, change.now).await?;
            let reason = next.reason.as_deref().unwrap_or_default();
            schedules::after_source(
                unit,
                &next.source_id,
                next.state,
                &next.by,
                reason,
                change.now,
            )
            .await?;
            if next.state == SourceState::Active {
                alerts::close(unit, &alert_prefix(&next.source_id), None, change.now).await?;
            }
        }
        Ok(next)
    }
}

/// Applies the failure matrix's source column (D-RUN-7), or recovery after a success, in the transaction
/// that ends the run. A source is listed from its first run on. Returns its new state; none when the job
/// reads no source.
pub(crate) async fn after_run<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
    class: Option<FailureClass>,
    now: Timestamp,
) -> Result<Option<SourceState>, StoreError> {
    let Some(source_id) = &run.source_id else {
        return Ok(None);
    };
    let stored = read(unit, source_id).await?;
    let rules = rules_of(unit, run).await?;
    let prepares = matches!(
        rules.job_type,
        JobType::RepairSource | JobType::IntakeResearch
    );
    let proves_access = run.mode == Mode::Real && !prepares;
    let command = SourceCommand::RunEnded(RunEnd {
        run: run.id,
        class,
        proves_access,
        pause_after: rules.failure_policy.pause_after_failed_runs,
    });
    let is_new = stored.is_none();
    let before = stored.unwrap_or_else(|| Source::new(source_id, now));
    let (next, event) = apply(&before, &command, now)?;
    match event {
        Some(event) => write(unit, &before, &next, &event, Some((run, class)), now).await?,
        None if is_new || next != before => store(unit, &next).await?,
        None => {}
    }
    if class.is_none() && proves_access && next.state == SourceState::Active {
        alerts::close(unit, &alert_prefix(source_id), Some(run), now).await?;
    }
    Ok(Some(next.state))
}

/// Refuses a start by a schedule while the source needs a person (D-RUN-7), in the transaction that would
/// make the run durable. What a person starts is theirs to decide: a probe, or a repair.
pub(crate) async fn admit<T: Tx>(unit: &mut Unit<'_, T>, run: &Run) -> Result<(), StoreError> {
    if run.trigger == Trigger::Schedule
        && let Some(source_id) = &run.source_id
        && let Some(source) = read(unit, source_id).await?
    {
        source.admits_schedule()?;
    }
    Ok(())
}

/// A source, read in the transaction.
pub(crate) async fn read<T: Tx>(
    unit: &mut Unit<'_, T>,
    source_id: &str,
) -> Result<Option<Source>, StoreError> {
    let row = unit.tx.row(sql::SOURCE_GET, args![source_id]).await?;
    row.map(source_of).transpose()
}

/// What the keys of a source's alerts begin with.
pub(crate) fn alert_prefix(source_id: &str) -> String {
    format!("source/{source_id}/")
}

/// What the spec of a run says of its failures.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Rules {
    pub(crate) job_type: JobType,
    pub(crate) failure_policy: FailurePolicy,
}

/// The rules that a run was submitted with.
pub(crate) async fn rules_of<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
) -> Result<Rules, StoreError> {
    let spec = unit
        .tx
        .row(SPEC_GET, args![run.spec_hash.to_string()])
        .await?;
    spec.map_or(Ok(Rules::default()), |mut row| row.json("job spec"))
}

async fn store<T: Tx>(unit: &mut Unit<'_, T>, source: &Source) -> Result<(), StoreError> {
    let args = args![
        &source.source_id,
        source.state.as_str(),
        source.run_id.map(|run| run.to_string()),
        source.updated_at,
        to_json("source", source)?,
    ];
    unit.tx.execute(sql::SOURCE_WRITE, args).await?;
    Ok(())
}

/// Writes a changed source, with what is told of it and its audit record.
async fn write<T: Tx>(
    unit: &mut Unit<'_, T>,
    before: &Source,
    next: &Source,
    event: &NewEvent,
    by_run: Option<(&Run, Option<FailureClass>)>,
    now: Timestamp,
) -> Result<(), StoreError> {
    store(unit, next).await?;
    unit.event(by_run.map(|(run, _)| run.into()), event, now)
        .await?;
    let (operation, reason, data) = match by_run {
        Some((run, class)) => (
            "source.change",
            None,
            json!({"from": before.state, "to": next.state, "class": class, "run_id": run.id}),
        ),
        None => (
            if next.held {
                "source.pause"
            } else {
                "source.resume"
            },
            next.reason.clone(),
            json!({"from": before.state, "to": next.state}),
        ),
    };
    let actor = if next.by == Principal::system() {
        transition::SYSTEM.to_owned()
    } else {
        next.by.to_string()
    };
    unit.audit(NewAudit {
        actor,
        operation: operation.to_owned(),
        subject: format!("source/{}", next.source_id),
        reason,
        data,
        at: now,
    })
    .await
}
