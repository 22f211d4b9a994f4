//! What people do to schedules.

use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use moorline_core::error_code::{AlertLevel, RunStatus};
use moorline_core::gate;
use moorline_core::principal::Principal;
use moorline_core::run::CancelKind;
use moorline_core::schedule::Schedule;
use moorline_core::schedule::machine::{Command, EnableFacts, Holds, apply};
use moorline_core::stop::StopScope;
use serde_json::json;

use super::{gates, rows};
use crate::database::alerts::{self, NewAlert};
use crate::database::intent::Cancel;
use crate::database::sources;
use crate::database::tx::Tx;
use crate::database::unit::Unit;
use crate::database::versions::unchanged;
use crate::database::writer::Intent;
use crate::error::StoreError;
use crate::schedules::{ChangeSchedule, DisableSchedules, EnableSchedule};
use crate::types::CancelRun;

/// What may hold a schedule, as it stands in the transaction.
pub(super) async fn holds<T: Tx>(
    unit: &mut Unit<'_, T>,
    schedule: &Schedule,
) -> Result<Holds, StoreError> {
    let source = match &schedule.source_id {
        Some(id) => sources::read(unit, id).await?,
        None => None,
    };
    let source = source.map(|source| source.state);
    let stop = unit
        .stop_of_schedule(&schedule.id, schedule.source_id.as_deref())
        .await?;
    Ok(Holds { source, stop })
}

/// [`ScheduleStore::schedule_enable`](crate::ScheduleStore::schedule_enable).
pub(super) struct Enable(pub(super) EnableSchedule);

impl Intent for Enable {
    type Reply = Schedule;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Schedule, StoreError> {
        let EnableSchedule {
            change,
            lane_permits,
        } = &self.0;
        unchanged(unit, change.seen.as_ref()).await?;
        let schedule = rows::must_find(unit, &change.id).await?;
        let of = Some((schedule.artifact, schedule.content));
        let (facts, document) =
            gates::facts(unit, change.id.lane(), change.id.job_id(), of).await?;
        let facts = EnableFacts {
            gates: gate::gates(&facts),
            document,
            lane_permits: *lane_permits,
            holds: holds(unit, &schedule).await?,
        };
        let command = Command::Enable {
            facts,
            reason: change.reason.clone(),
        };
        let applied = apply(&schedule, command, &change.by, change.now)?;
        rows::write(unit, Some(&schedule), applied, &change.by, change.now).await
    }
}

/// [`ScheduleStore::schedule_resume`](crate::ScheduleStore::schedule_resume).
pub(super) struct Resume(pub(super) ChangeSchedule);

impl Intent for Resume {
    type Reply = Schedule;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Schedule, StoreError> {
        let Self(change) = self;
        unchanged(unit, change.seen.as_ref()).await?;
        let schedule = rows::must_find(unit, &change.id).await?;
        let command = Command::Resume {
            holds: holds(unit, &schedule).await?,
            reason: change.reason.clone(),
        };
        let applied = apply(&schedule, command, &change.by, change.now)?;
        rows::write(unit, Some(&schedule), applied, &change.by, change.now).await
    }
}

/// [`ScheduleStore::schedule_disable`](crate::ScheduleStore::schedule_disable).
pub(super) struct Disable(pub(super) DisableSchedules);

impl Intent for Disable {
    type Reply = Vec<Schedule>;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Vec<Schedule>, StoreError> {
        let Self(wish) = self;
        let covered = match &wish.scope {
            StopScope::Schedule(id) => vec![rows::must_find(unit, id).await?],
            scope => {
                let mut all = rows::all(unit).await?;
                all.retain(|schedule| schedule.covered_by(scope));
                all
            }
        };
        let mut disabled = Vec::with_capacity(covered.len());
        for schedule in covered {
            disabled.push(disable(unit, schedule, &wish.by, &wish.reason, wish.now).await?);
        }
        Ok(disabled)
    }
}

/// Disables a schedule, and cancels a run of it that has not begun: a start that was due before is not made
/// after (D-SCHED-4).
pub(super) async fn disable<T: Tx>(
    unit: &mut Unit<'_, T>,
    schedule: Schedule,
    by: &Principal,
    reason: &str,
    now: Timestamp,
) -> Result<Schedule, StoreError> {
    let command = Command::Disable {
        reason: reason.to_owned(),
    };
    let applied = apply(&schedule, command, by, now)?;
    let disabled = rows::write(unit, Some(&schedule), applied, by, now).await?;
    if let Some(run) = disabled.last_run
        && unit.run(run).await?.status == RunStatus::Queued
    {
        let cancel = CancelRun {
            run,
            kind: CancelKind::Cancelled,
            actor: by.to_string(),
            reason: format!("its schedule was disabled before it began: {reason}"),
            seen: None,
            now,
        };
        cancel_run(unit, &cancel).await?;
    }
    Ok(disabled)
}

/// Boxed, since the end of a run leads back here: it may disable schedules.
fn cancel_run<'a, T: Tx>(
    unit: &'a mut Unit<'_, T>,
    cancel: &'a CancelRun,
) -> BoxFuture<'a, Result<(), StoreError>> {
    async move {
        Cancel(cancel.clone()).apply(unit).await?;
        Ok(())
    }
    .boxed()
}

/// [`ScheduleStore::schedule_give_up`](crate::ScheduleStore::schedule_give_up).
pub(super) struct GiveUp(pub(super) ChangeSchedule);

impl Intent for GiveUp {
    type Reply = Schedule;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Schedule, StoreError> {
        let Self(change) = self;
        let schedule = rows::must_find(unit, &change.id).await?;
        let disabled = disable(unit, schedule, &change.by, &change.reason, change.now).await?;
        let alert = NewAlert {
            key: format!("schedule/{}/start", change.id),
            level: AlertLevel::Warning,
            title: format!("the schedule {} is disabled: {}", change.id, change.reason),
            run: None,
            data: json!({"schedule": change.id}),
        };
        alerts::raise(unit, alert, change.now).await?;
        Ok(disabled)
    }
}
