//! Due starts: the cursor moves and the run becomes durable in one transaction, once.

use moorline_core::error_code::RunStatus;
use moorline_core::principal::Principal;
use moorline_core::run::{self, CancelKind, Run};
use moorline_core::schedule::machine::{Command, SkipCause, apply};
use moorline_core::schedule::{Overlap, Schedule, ScheduleState};
use moorline_core::spec::FailurePolicy;

use super::rows;
use crate::database::intent::{Cancel, Submit};
use crate::database::sources::Rules;
use crate::database::transition::persist;
use crate::database::tx::Tx;
use crate::database::unit::Unit;
use crate::database::writer::Intent;
use crate::error::StoreError;
use crate::schedules::{FireSchedule, Fired, Start};
use crate::types::CancelRun;

/// [`ScheduleStore::schedule_fire`](crate::ScheduleStore::schedule_fire).
pub(super) struct Fire(pub(super) FireSchedule);

impl Intent for Fire {
    type Reply = Fired;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Fired, StoreError> {
        let Self(fire) = self;
        let Some(mut schedule) = rows::find(unit, &fire.id).await? else {
            return Ok(Fired::Stale);
        };
        if schedule.version != fire.version || schedule.state != ScheduleState::Enabled {
            return Ok(Fired::Stale);
        }
        if let Some(missed) = fire.missed {
            let skip = Command::Skip {
                through: missed.through,
                count: missed.count,
                cause: SkipCause::Misfire,
                alert_after: 0,
            };
            schedule = step(unit, schedule, skip, fire).await?;
        }
        match &fire.start {
            Some(start) => self.start(unit, schedule, start).await,
            None => Ok(Fired::Missed),
        }
    }
}

impl Fire {
    async fn start<T: Tx>(
        &self,
        unit: &mut Unit<'_, T>,
        schedule: Schedule,
        start: &Start,
    ) -> Result<Fired, StoreError> {
        let Self(fire) = self;
        let fire_at = start.fire_at;
        if start.new.run.artifact_hash != schedule.content {
            return Ok(Fired::Stale);
        }
        let skip = |cause, alert_after| Command::Skip {
            through: fire_at,
            count: 1,
            cause,
            alert_after,
        };
        if unit.stop_of_run(&start.new.run).await?.is_some() {
            let cause = SkipCause::Stop;
            step(unit, schedule, skip(cause, 0), fire).await?;
            return Ok(Fired::Skipped { cause, run: None });
        }
        let Some(previous) = still_going(unit, &schedule).await? else {
            let run = start.new.run.id;
            step(unit, schedule, Command::Fire { fire_at, run }, fire).await?;
            let submitted = Submit(start.new.clone()).apply(unit).await?;
            return Ok(Fired::Started(Box::new(submitted.run)));
        };
        match schedule.document.overlap {
            Overlap::Queue if schedule.queued.is_none() => {
                step(unit, schedule, Command::Queue { fire_at }, fire).await?;
                Ok(Fired::Waiting { cancelled: None })
            }
            Overlap::Skip | Overlap::Queue => {
                let cause = SkipCause::Overlap;
                let alert_after = failure_policy(&start.new.spec)?.alert_after_skipped_runs;
                step(unit, schedule, skip(cause, alert_after), fire).await?;
                let run = self.skipped(unit, start, &previous).await?;
                let run = Some(Box::new(run));
                Ok(Fired::Skipped { cause, run })
            }
            Overlap::CancelPrevious => {
                // First the schedule: the end of the run looks for what waits for it.
                step(unit, schedule, Command::Queue { fire_at }, fire).await?;
                let cancel = CancelRun {
                    run: previous.id,
                    kind: CancelKind::Cancelled,
                    actor: Principal::system().to_string(),
                    reason: format!("the start of {fire_at} of its schedule takes its place"),
                    seen: None,
                    now: fire.now,
                };
                let cancelled = Cancel(cancel).apply(unit).await?;
                let alive = cancelled.attempt.is_some();
                Ok(Fired::Waiting {
                    cancelled: alive.then(|| Box::new(cancelled)),
                })
            }
        }
    }

    /// The run of a start that fell away by overlap: durable, never begun, with its summary (D-RUN-2).
    async fn skipped<T: Tx>(
        &self,
        unit: &mut Unit<'_, T>,
        start: &Start,
        previous: &Run,
    ) -> Result<Run, StoreError> {
        let mut new = start.new.clone();
        new.claim = None;
        let queued = Submit(new).apply(unit).await?.run;
        let reason = format!("run {} of the schedule still goes on", previous.id);
        let applied = run::apply(&queued, run::Command::Skip { reason }, self.0.now)?;
        persist(unit, &queued, applied, None, self.0.now).await
    }
}

/// One step of the schedule, by the scheduler.
async fn step<T: Tx>(
    unit: &mut Unit<'_, T>,
    schedule: Schedule,
    command: Command,
    fire: &FireSchedule,
) -> Result<Schedule, StoreError> {
    let system = Principal::system();
    let applied = apply(&schedule, command, &system, fire.now)?;
    rows::write(unit, Some(&schedule), applied, &system, fire.now).await
}

/// The run that the schedule started last, if it is not over.
async fn still_going<T: Tx>(
    unit: &mut Unit<'_, T>,
    schedule: &Schedule,
) -> Result<Option<Run>, StoreError> {
    let Some(run) = schedule.last_run else {
        return Ok(None);
    };
    let run = unit.run(run).await?;
    let over: fn(RunStatus) -> bool = RunStatus::is_terminal;
    Ok((!over(run.status)).then_some(run))
}

/// The failure policy of a canonical job spec.
fn failure_policy(spec: &str) -> Result<FailurePolicy, StoreError> {
    let rules: Rules =
        serde_json::from_str(spec).map_err(|error| StoreError::corrupt("job spec", error))?;
    Ok(rules.failure_policy)
}
