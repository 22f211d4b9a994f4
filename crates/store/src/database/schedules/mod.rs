//! [`ScheduleStore`] for both engines.
//!
//! | module | what |
//! |---|---|
//! | [`rows`] | reading and writing a schedule, with its events and its audit record |
//! | [`change`] | what people do: enable, disable, resume |
//! | [`fire`] | due starts |
//! | [`follow`] | what follows from promotions, ends of runs, sources and stops, in their transactions |
//! | [`gates`] | evidence, and how the gates stand |

mod change;
mod fire;
mod follow;
mod gates;
mod rows;

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::gate::Evidence;
use moorline_core::ids::RunId;
use moorline_core::lane::Lane;
use moorline_core::schedule::{Schedule, ScheduleId};

use crate::database::backend::Backend;
use crate::error::StoreError;
use crate::schedules::{
    ChangeSchedule, DisableSchedules, EnableSchedule, FireSchedule, Fired, GateReport,
    ScheduleFilter, ScheduleStore,
};

pub(crate) use follow::{after_archive, after_promotion, after_run, after_source, stop_covered};

#[async_trait]
impl<B: Backend> ScheduleStore for B {
    async fn schedule_get(&self, id: &ScheduleId) -> Result<Option<Schedule>, StoreError> {
        self.read(rows::Get(id.clone())).await
    }

    async fn schedules_list(&self, filter: ScheduleFilter) -> Result<Vec<Schedule>, StoreError> {
        self.read(rows::List(filter)).await
    }

    async fn schedules_due(&self, now: Timestamp, limit: u32) -> Result<Vec<Schedule>, StoreError> {
        self.read(rows::Due { now, limit }).await
    }

    async fn schedules_next(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(rows::Next).await
    }

    async fn gates_get(&self, lane: &Lane, job_id: &str) -> Result<GateReport, StoreError> {
        let (lane, job_id) = (lane.clone(), job_id.to_owned());
        self.write(gates::Stand { lane, job_id }).await
    }

    async fn evidence_record(
        &self,
        evidence: Evidence,
        run: Option<RunId>,
    ) -> Result<(), StoreError> {
        self.write(gates::Record { evidence, run }).await
    }

    async fn schedule_enable(&self, enable: EnableSchedule) -> Result<Schedule, StoreError> {
        self.write(change::Enable(enable)).await
    }

    async fn schedule_disable(
        &self,
        disable: DisableSchedules,
    ) -> Result<Vec<Schedule>, StoreError> {
        self.write(change::Disable(disable)).await
    }

    async fn schedule_resume(&self, resume: ChangeSchedule) -> Result<Schedule, StoreError> {
        self.write(change::Resume(resume)).await
    }

    async fn schedule_fire(&self, fire: FireSchedule) -> Result<Fired, StoreError> {
        self.write(fire::Fire(fire)).await
    }

    async fn schedule_give_up(&self, change: ChangeSchedule) -> Result<Schedule, StoreError> {
        self.write(change::GiveUp(change)).await
    }
}
