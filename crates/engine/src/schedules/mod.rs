//! Schedules and their gates.
//!
//! | module | what |
//! |---|---|
//! | [`tick`] | the scheduler: starts what is due |
//! | [`deploy`] | schedules at Modal, and drift |
//! | [`gates`] | evidence for the gates |
//! | [`probe`] | the egress probe |

mod deploy;
mod gates;
mod probe;
mod tick;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use moorline_api::{
    ApiError, GateRequest, GatesView, NextTime, Operation, RunRow, ScheduleChangeRequest,
    ScheduleDisableRequest, ScheduleListRequest, ScheduleNextRequest, ScheduleOperations,
    ScheduleRequest, ScheduleView, SubmitRequest, VerifyRunRequest,
};
use moorline_core::error_code::ErrorCode;
use moorline_core::gate::Evidence;
use moorline_core::schedule::times::Timing;
use moorline_core::schedule::{Schedule, ScheduleId};
use moorline_core::spec::Mode;
use moorline_core::stop::Stop;
use moorline_store::{ChangeSchedule, DisableSchedules, EnableSchedule, ScheduleFilter, Seen};

use crate::engine::{Engine, Inner};
use crate::error::store_error;
use crate::submit::Origin;

pub use tick::TickReport;

/// Times that `schedule next` gives at most.
const MOST_TIMES: u32 = 1_000;

#[async_trait]
impl ScheduleOperations for Engine {
    async fn schedule_list(
        &self,
        request: ScheduleListRequest,
    ) -> Result<Vec<ScheduleView>, ApiError> {
        let filter = ScheduleFilter {
            lane: request.lane,
            source_id: request.source_id,
            state: request.state,
        };
        let schedules = self.inner.store.schedules_list(filter).await;
        self.inner
            .schedule_views(schedules.map_err(store_error)?)
            .await
    }

    async fn schedule_show(&self, request: ScheduleRequest) -> Result<ScheduleView, ApiError> {
        let schedule = self.inner.schedule(&request.schedule).await?;
        self.inner.schedule_view(schedule).await
    }

    async fn schedule_next(&self, request: ScheduleNextRequest) -> Result<Vec<NextTime>, ApiError> {
        let schedule = self.inner.schedule(&request.schedule).await?;
        let timing = Timing::of(&schedule.document, schedule.anchor)?;
        let zone = TimeZone::get(&schedule.document.time_zone).map_err(|error| {
            ApiError::new(ErrorCode::Config, format!("the schedule's zone: {error}"))
        })?;
        let mut after = request.after.unwrap_or_else(|| self.inner.now());
        let mut times = Vec::new();
        while times.len() < usize::try_from(request.count.min(MOST_TIMES)).unwrap_or(0)
            && let Some(nominal) = timing.next_after(after)
        {
            times.push(NextTime {
                nominal,
                local: nominal.to_zoned(zone.clone()).to_string(),
                start_at: timing.due_at(&schedule.id, nominal),
            });
            after = nominal;
        }
        Ok(times)
    }

    async fn schedule_enable(
        &self,
        request: ScheduleChangeRequest,
    ) -> Result<ScheduleView, ApiError> {
        let inner = &self.inner;
        let subject = format!("schedule/{}", request.schedule);
        let work = async {
            let lane = inner.lane_settings(request.schedule.lane())?;
            let enable = EnableSchedule {
                change: inner.change(&request, self.seen()),
                lane_permits: lane.rules.schedules,
            };
            let enabled = inner.store.schedule_enable(enable).await;
            inner.schedule_view(enabled.map_err(store_error)?).await
        };
        let done = inner
            .guarded(Operation::ScheduleEnable, &request.actor, subject, work)
            .await;
        inner.changed.notify_waiters();
        done
    }

    async fn schedule_disable(
        &self,
        request: ScheduleDisableRequest,
    ) -> Result<Vec<ScheduleView>, ApiError> {
        let inner = &self.inner;
        let subject = format!("schedules/{}", request.scope);
        let work = async {
            let disable = DisableSchedules {
                scope: request.scope.clone(),
                by: request.actor.clone(),
                reason: request.reason.clone(),
                now: inner.now(),
            };
            let disabled = inner.store.schedule_disable(disable).await;
            inner.schedule_views(disabled.map_err(store_error)?).await
        };
        let done = inner
            .guarded(Operation::ScheduleDisable, &request.actor, subject, work)
            .await;
        inner.changed.notify_waiters();
        done
    }

    async fn schedule_resume(
        &self,
        request: ScheduleChangeRequest,
    ) -> Result<ScheduleView, ApiError> {
        let inner = &self.inner;
        let subject = format!("schedule/{}", request.schedule);
        let work = async {
            let resumed = inner
                .store
                .schedule_resume(inner.change(&request, self.seen()))
                .await;
            inner.schedule_view(resumed.map_err(store_error)?).await
        };
        let done = inner
            .guarded(Operation::ScheduleResume, &request.actor, subject, work)
            .await;
        inner.changed.notify_waiters();
        done
    }

    async fn schedule_run_now(&self, request: ScheduleChangeRequest) -> Result<RunRow, ApiError> {
        let inner = &self.inner;
        let id = &request.schedule;
        let work = async {
            let submit = SubmitRequest {
                job: inner.live_dir(id.lane(), id.job_id()).await?,
                inputs: std::collections::BTreeMap::new(),
                params: serde_json::Map::new(),
                mode: Some(Mode::Real),
                lane: Some(id.lane().to_string()),
                executor: None,
                isolation: None,
                idempotency_key: None,
                actor: request.actor.clone(),
            };
            let reason = request.reason.clone();
            let run = Box::pin(self.start_from(&submit, Origin::Now { reason })).await?;
            Ok(RunRow::from(&run))
        };
        let subject = format!("schedule/{id}");
        inner
            .guarded(Operation::ScheduleRunNow, &request.actor, subject, work)
            .await
    }

    async fn gate_show(&self, request: ScheduleRequest) -> Result<GatesView, ApiError> {
        self.inner.gates(&request.schedule).await
    }

    async fn gate_check_secrets(&self, request: GateRequest) -> Result<Evidence, ApiError> {
        let subject = format!("schedule/{}", request.schedule);
        let work = self.inner.check_secrets_gate(&request);
        let operation = Operation::GateCheckSecrets;
        self.inner
            .guarded(operation, &request.actor, subject, work)
            .await
    }

    async fn gate_probe_egress(&self, request: GateRequest) -> Result<Evidence, ApiError> {
        let subject = format!("schedule/{}", request.schedule);
        let work = self.inner.probe_egress_gate(&request);
        let operation = Operation::GateProbeEgress;
        self.inner
            .guarded(operation, &request.actor, subject, work)
            .await
    }

    async fn gate_verify_run(&self, request: VerifyRunRequest) -> Result<Evidence, ApiError> {
        let subject = format!("schedule/{}", request.schedule);
        let work = self.inner.verify_run_gate(&request);
        let operation = Operation::GateVerifyRun;
        self.inner
            .guarded(operation, &request.actor, subject, work)
            .await
    }
}

impl Inner {
    fn change(&self, request: &ScheduleChangeRequest, seen: Option<Seen>) -> ChangeSchedule {
        ChangeSchedule {
            id: request.schedule.clone(),
            by: request.actor.clone(),
            reason: request.reason.clone(),
            seen,
            now: self.now(),
        }
    }

    /// A schedule that must be there.
    pub(crate) async fn schedule(&self, id: &ScheduleId) -> Result<Schedule, ApiError> {
        let found = self.store.schedule_get(id).await.map_err(store_error)?;
        found.ok_or_else(|| {
            let message = format!("no schedule {id} (D-SCHED-1)");
            ApiError::new(ErrorCode::NotFound, message).hint(
                "promoting an artifact with a cadence makes one; `moorline schedule list` shows them",
            )
        })
    }

    async fn schedule_view(&self, schedule: Schedule) -> Result<ScheduleView, ApiError> {
        let stops = self.store.stops_list().await.map_err(store_error)?;
        Ok(view(schedule, &stops))
    }

    async fn schedule_views(
        &self,
        schedules: Vec<Schedule>,
    ) -> Result<Vec<ScheduleView>, ApiError> {
        let stops = self.store.stops_list().await.map_err(store_error)?;
        let views = schedules.into_iter().map(|schedule| view(schedule, &stops));
        Ok(views.collect())
    }
}

fn view(schedule: Schedule, stops: &[Stop]) -> ScheduleView {
    let stop = stops
        .iter()
        .find(|stop| schedule.covered_by(&stop.scope))
        .cloned();
    ScheduleView::of(schedule, stop)
}
