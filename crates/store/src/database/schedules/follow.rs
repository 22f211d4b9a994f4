//! What schedules do when something else changes, in the transaction of that change.

use jiff::Timestamp;
use moorline_core::artifact::{Artifact, Promotion, PromotionKind};
use moorline_core::audit::NewAudit;
use moorline_core::error_code::{FailureClass, ScheduleEffect, SourceState};
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::ids::ArtifactId;
use moorline_core::principal::Principal;
use moorline_core::run::Run;
use moorline_core::schedule::machine::{Command, Definition, apply, define};
use moorline_core::schedule::{Schedule, ScheduleId, ScheduleState};
use moorline_core::spec::FailurePolicy;
use moorline_core::stop::Stop;
use serde_json::json;

use super::change::disable;
use super::rows;
use crate::database::intent::kill_waiting;
use crate::database::sources;
use crate::database::sql::schedules as sql;
use crate::database::tx::{Tx, args};
use crate::database::unit::Unit;
use crate::error::StoreError;

/// Brings the schedule of a lane and job in line with what the lane now points to, disabled (D-SCHED-1,
/// D-ART-6), in the transaction of the promotion or rollback. An artifact without a cadence leaves none.
pub(crate) async fn after_promotion<T: Tx>(
    unit: &mut Unit<'_, T>,
    promotion: &Promotion,
    artifact: &Artifact,
    now: Timestamp,
) -> Result<(), StoreError> {
    let id = ScheduleId::new(promotion.lane.clone(), promotion.job_id.clone());
    let verb = match promotion.kind {
        PromotionKind::Promote => "promoted",
        PromotionKind::Rollback => "rolled back to",
    };
    let reason = format!("{verb} {}: {}", promotion.content, promotion.reason);
    let mut known = rows::find(unit, &id).await?;
    if let Some(schedule) = known {
        // Also what was started and has not begun is not begun after this.
        known = Some(disable(unit, schedule, &promotion.by, &reason, now).await?);
    }
    let Some(document) = &artifact.schedule else {
        return match known {
            Some(schedule) => remove(unit, &schedule, &promotion.by, &reason, now).await,
            None => Ok(()),
        };
    };
    let definition = Definition {
        source_id: artifact.source_id.clone(),
        artifact: artifact.id,
        content: artifact.content,
        document: document.clone(),
    };
    let applied = define(id, known.as_ref(), definition, &promotion.by, &reason, now);
    rows::write(unit, known.as_ref(), applied, &promotion.by, now).await?;
    Ok(())
}

/// A disabled schedule ceases to be.
async fn remove<T: Tx>(
    unit: &mut Unit<'_, T>,
    schedule: &Schedule,
    by: &Principal,
    reason: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let id = schedule.id.to_string();
    unit.tx.execute(sql::SCHEDULE_DELETE, args![id]).await?;
    let data = json!({
        "schedule": schedule.id, "from": schedule.state, "to": null, "by": by, "reason": reason,
    });
    let event = NewEvent {
        kind: EventKind::ScheduleChanged,
        level: Level::Info,
        data: data.clone(),
    };
    unit.job_event(schedule.id.job_id(), &event, now).await?;
    unit.audit(NewAudit {
        actor: by.to_string(),
        operation: "schedule.remove".to_owned(),
        subject: format!("schedule/{}", schedule.id),
        reason: Some(reason.to_owned()),
        data,
        at: now,
    })
    .await
}

/// What the end of a run does to schedules, by the failure matrix (D-RUN-7), in the transaction that ends
/// it and after its source was changed. `class` is absent on success.
pub(crate) async fn after_run<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
    class: Option<FailureClass>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let system = Principal::system();
    if let Some(start) = &run.schedule
        && let Some(schedule) = rows::find(unit, &start.schedule).await?
    {
        let command = Command::RunOver {
            run: run.id,
            class,
            pause_after: pause_after(unit, run, class).await?,
        };
        let applied = apply(&schedule, command, &system, now)?;
        rows::write(unit, Some(&schedule), applied, &system, now).await?;
    }
    let Some(class) = class else {
        return Ok(());
    };
    let reason = format!("run {} ended with a failure of class {class}", run.id);
    if class.rule().schedule == ScheduleEffect::AllDisabled {
        for schedule in rows::all(unit).await? {
            disable(unit, schedule, &system, &reason, now).await?;
        }
        return Ok(());
    }
    if let Some(source) = &run.source_id
        && let Some(source) = sources::read(unit, source).await?
    {
        let (id, state) = (&source.source_id, source.state);
        after_source(unit, id, state, &system, &reason, now).await?;
    }
    Ok(())
}

/// Failed runs in a row after which the schedule of a run pauses; read only where it matters.
async fn pause_after<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
    class: Option<FailureClass>,
) -> Result<u32, StoreError> {
    let pauses = class.is_some_and(|class| class.rule().schedule == ScheduleEffect::Paused);
    if !pauses {
        return Ok(FailurePolicy::default().pause_after_failed_runs);
    }
    let rules = sources::rules_of(unit, run).await?;
    Ok(rules.failure_policy.pause_after_failed_runs)
}

/// What the state of a source does to its schedules: one that a person must mend disables them, a paused one
/// pauses them. In the transaction that changes the source.
pub(crate) async fn after_source<T: Tx>(
    unit: &mut Unit<'_, T>,
    source_id: &str,
    state: SourceState,
    by: &Principal,
    reason: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    if state == SourceState::Active {
        return Ok(());
    }
    for schedule in rows::of_source(unit, source_id).await? {
        let command = Command::SourceIs {
            state,
            reason: format!("the source {source_id} is {state}: {reason}"),
        };
        let applied = apply(&schedule, command, by, now)?;
        rows::write(unit, Some(&schedule), applied, by, now).await?;
    }
    Ok(())
}

/// Disables the schedules of an artifact that is set aside, in the transaction that decides so: what is enabled
/// is approved.
pub(crate) async fn after_archive<T: Tx>(
    unit: &mut Unit<'_, T>,
    artifact: ArtifactId,
    by: &Principal,
    now: Timestamp,
) -> Result<(), StoreError> {
    for schedule in rows::all(unit).await? {
        if schedule.artifact == artifact {
            disable(unit, schedule, by, "its artifact was archived", now).await?;
        }
    }
    Ok(())
}

/// Disables what a stop covers, in the transaction that engages it (D-STOP-1): its release lets nothing start
/// by itself. Returns those that were not disabled before.
pub(crate) async fn stop_covered<T: Tx>(
    unit: &mut Unit<'_, T>,
    stop: &Stop,
) -> Result<Vec<ScheduleId>, StoreError> {
    // Stops of older versions name some by a bare name, which is no principal.
    let by = stop.actor.parse().unwrap_or_else(|_| Principal::system());
    let mut disabled = Vec::new();
    for schedule in rows::all(unit).await? {
        if !schedule.covered_by(&stop.scope) {
            continue;
        }
        if let Some(run) = schedule.last_run {
            kill_waiting(unit, run, stop).await?;
        }
        let before = schedule.state;
        let reason = format!("stop of {}: {}", stop.scope, stop.reason);
        let schedule = disable(unit, schedule, &by, &reason, stop.since).await?;
        if before != ScheduleState::Disabled {
            disabled.push(schedule.id);
        }
    }
    Ok(disabled)
}
