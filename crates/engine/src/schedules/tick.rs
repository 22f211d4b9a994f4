//! The scheduler: a reconciler that brings schedules in line with what the clock says (D-SCHED-3).
//!
//! A tick looks at every schedule that is due and takes one step after the other until none is. Each step is a
//! transaction of the store that takes a nominal time off the schedule, so ticks of several processes, ticks
//! that are cut off, and a clock that is set back make no start twice and lose none. Nothing is kept in memory
//! from one tick to the next.

use std::time::Duration;

use jiff::Timestamp;
use moorline_api::{ApiError, SubmitRequest};
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::RunId;
use moorline_core::principal::Principal;
use moorline_core::run::Run;
use moorline_core::schedule::due::{Due, due};
use moorline_core::schedule::{Schedule, ScheduleState, ScheduledStart};
use moorline_core::spec::Mode;
use moorline_store::{ChangeSchedule, FireSchedule, Fired, Missed, Start, StoreError};
use tracing::{error, info};

use crate::engine::{Engine, Inner};
use crate::error::store_error;
use crate::submit::Origin;

/// Schedules that are read at once.
const PAGE: u32 = 200;
/// Steps of one schedule in one tick, at most; what is left is for the next tick.
const STEPS: u32 = 64;

/// What a tick did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TickReport {
    /// Runs that were started.
    pub started: Vec<RunId>,
    /// Starts that fell away: by overlap, by a stop, or because they were missed.
    pub skipped: u32,
    /// When a schedule is due next; in the past when one could not be dealt with and is tried again.
    pub next_at: Option<Timestamp>,
}

/// What one step came to.
enum Step {
    /// There may be more.
    Again,
    /// Nothing more is due of this schedule.
    Done,
}

impl Engine {
    /// Does everything that is due at the clock's now: starts runs and drives them in the background, lets
    /// starts fall away. A schedule that can not be dealt with keeps no other from being dealt with.
    ///
    /// # Errors
    /// When the store can not be read.
    pub async fn schedule_tick(&self) -> Result<TickReport, ApiError> {
        let inner = &self.inner;
        let now = inner.now();
        let mut report = TickReport::default();
        let due = inner.store.schedules_due(now, PAGE).await;
        for schedule in due.map_err(store_error)? {
            let id = schedule.id.clone();
            if let Err(error) = self.deal_with(schedule, now, &mut report).await {
                error!(schedule = %id, code = error.code.as_str(), "{error}");
            }
        }
        report.next_at = inner.store.schedules_next().await.map_err(store_error)?;
        if !report.started.is_empty() {
            inner.changed.notify_waiters();
        }
        Ok(report)
    }

    async fn deal_with(
        &self,
        mut schedule: Schedule,
        now: Timestamp,
        report: &mut TickReport,
    ) -> Result<(), ApiError> {
        for _ in 0..STEPS {
            if let Step::Done = Box::pin(self.step(&schedule, now, report)).await? {
                return Ok(());
            }
            let again = self.inner.store.schedule_get(&schedule.id).await;
            match again.map_err(store_error)? {
                Some(found) if found.state == ScheduleState::Enabled => schedule = found,
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    async fn step(
        &self,
        schedule: &Schedule,
        now: Timestamp,
        report: &mut TickReport,
    ) -> Result<Step, ApiError> {
        let inner = &self.inner;
        let due = match schedule.queued {
            Some(waiting) if inner.last_run_over(schedule).await? => Due {
                missed: None,
                start: Some(waiting),
            },
            _ => due(schedule, now)?,
        };
        if due == Due::default() {
            return Ok(Step::Done);
        }
        let start = match due.start {
            Some(fire_at) => match Box::pin(inner.start_of(schedule, fire_at)).await {
                Ok(start) => Some(start),
                Err(error) => return inner.no_start(schedule, error, now).await,
            },
            None => None,
        };
        let prepared = start.as_ref().map(|start| &start.new.run);
        let prepared = prepared.map(|run| (run.id, run.inputs.clone()));
        let fire = FireSchedule {
            id: schedule.id.clone(),
            version: schedule.version,
            missed: due.missed.map(|(through, count)| Missed { through, count }),
            start,
            now,
        };
        let fired = inner.store.schedule_fire(fire).await;
        let kept = match &fired {
            Ok(Fired::Started(run)) => Some(run.id),
            // Whether the run came to be is not known, and it would need its inputs.
            Err(StoreError::Unavailable { .. }) => prepared.as_ref().map(|(id, _)| *id),
            _ => None,
        };
        if let Some((stray, inputs)) = prepared.filter(|(id, _)| kept != Some(*id)) {
            inner.forget_prepared(stray, &inputs).await;
        }
        let fired = fired.map_err(store_error)?;
        if fired != Fired::Stale {
            report.skipped += due.missed.map_or(0, |(_, count)| count);
        }
        match fired {
            Fired::Started(run) => {
                info!(schedule = %schedule.id, run = %run.id, "started");
                report.started.push(run.id);
                if !run.status.is_terminal() {
                    self.carry_on(*run, None).await;
                }
            }
            Fired::Skipped { .. } => report.skipped += 1,
            Fired::Waiting {
                cancelled: Some(run),
            } => self.end_in_background(*run).await,
            Fired::Waiting { cancelled: None } | Fired::Missed | Fired::Stale => {}
        }
        Ok(Step::Again)
    }

    /// Ends a run whose place another start takes; its process gets the time that its step asks for.
    async fn end_in_background(&self, run: Run) {
        let inner = std::sync::Arc::clone(&self.inner);
        self.inner
            .tasks
            .spawn(async move {
                let grace = inner.polite_time(&run).await;
                if let Err(error) = inner.end(&run, grace).await {
                    error!(run = %run.id, code = error.code.as_str(), "{error}");
                }
            })
            .await;
    }
}

impl Inner {
    async fn last_run_over(&self, schedule: &Schedule) -> Result<bool, ApiError> {
        match schedule.last_run {
            Some(run) => Ok(self.must_get(run).await?.status.is_terminal()),
            None => Ok(true),
        }
    }

    /// The run of a start: what the schedule names, for real, asked for by Moorline itself.
    async fn start_of(&self, schedule: &Schedule, fire_at: Timestamp) -> Result<Start, ApiError> {
        let id = &schedule.id;
        let request = SubmitRequest {
            job: self.live_dir(id.lane(), id.job_id()).await?,
            inputs: std::collections::BTreeMap::new(),
            params: serde_json::Map::new(),
            mode: Some(Mode::Real),
            lane: Some(id.lane().to_string()),
            executor: None,
            isolation: None,
            idempotency_key: Some(format!("schedule:{id}@{fire_at}")),
            actor: Principal::system(),
        };
        let start = ScheduledStart {
            schedule: id.clone(),
            fire_at,
        };
        let new = self.prepare(&request, Origin::Schedule(start)).await?;
        Ok(Start { fire_at, new })
    }

    /// A start that can not be made durable. Where this machine is the reason, the start is left for another
    /// tick, which may be another machine's; otherwise it would fail each time, so the schedule is disabled
    /// and people are told (D-RUN-7, class config).
    async fn no_start(
        &self,
        schedule: &Schedule,
        error: ApiError,
        now: Timestamp,
    ) -> Result<Step, ApiError> {
        let this_machine = matches!(
            error.code,
            // The content is not kept here.
            ErrorCode::NotFound
                | ErrorCode::CiSafety
                | ErrorCode::Store
                | ErrorCode::Internal
                | ErrorCode::Isolation
        );
        if this_machine {
            return Err(error);
        }
        let change = ChangeSchedule {
            id: schedule.id.clone(),
            by: Principal::system(),
            reason: format!("its start could not be made: {error}"),
            seen: None,
            now,
        };
        let given_up = self.store.schedule_give_up(change).await;
        given_up.map_err(store_error)?;
        Ok(Step::Done)
    }

    /// How long a run's step gets between the polite signal and the kill.
    async fn polite_time(&self, run: &Run) -> Duration {
        let spec = self.spec_of(run).await.ok();
        let seconds = spec
            .as_ref()
            .and_then(|spec| spec.steps().get(run.step))
            .map_or(0, |step| step.grace_seconds);
        Duration::from_secs(seconds.into())
    }
}
