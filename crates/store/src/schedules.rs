//! Schedules, and the evidence for their gates.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::content_id::ContentId;
use moorline_core::gate::{Evidence, GateState};
use moorline_core::ids::{ArtifactId, RunId};
use moorline_core::lane::Lane;
use moorline_core::principal::Principal;
use moorline_core::run::Run;
use moorline_core::schedule::machine::SkipCause;
use moorline_core::schedule::{Schedule, ScheduleId, ScheduleState};
use moorline_core::stop::StopScope;

use crate::error::StoreError;
use crate::types::NewRun;
use crate::versions::Seen;

/// Schedules, and the evidence for their gates. A part of [`Store`](crate::Store), under its contract.
///
/// Transitions are those of `moorline_core::schedule::machine`. Schedules come to be in the transaction of a
/// promotion and no other way (D-SCHED-1), and follow the ends of runs, stops and the states of sources in
/// the transactions of those.
#[async_trait]
pub trait ScheduleStore: Send + Sync {
    /// One schedule.
    async fn schedule_get(&self, id: &ScheduleId) -> Result<Option<Schedule>, StoreError>;

    /// Schedules by id; all conditions of the filter hold.
    async fn schedules_list(&self, filter: ScheduleFilter) -> Result<Vec<Schedule>, StoreError>;

    /// Schedules that are due at `now`, longest due first, at most `limit`.
    async fn schedules_due(&self, now: Timestamp, limit: u32) -> Result<Vec<Schedule>, StoreError>;

    /// The earliest time at which a schedule is due.
    async fn schedules_next(&self) -> Result<Option<Timestamp>, StoreError>;

    /// How the gates of a lane and job stand, read in one transaction.
    async fn gates_get(&self, lane: &Lane, job_id: &str) -> Result<GateReport, StoreError>;

    /// Keeps evidence for a gate. Refused unless it is about what the lane points to, and for
    /// [`Gate::FirstRunVerified`](moorline_core::gate::Gate::FirstRunVerified) unless a person names a
    /// successful run of exactly that (`run`).
    async fn evidence_record(
        &self,
        evidence: Evidence,
        run: Option<RunId>,
    ) -> Result<(), StoreError>;

    /// Enables a schedule, if every gate is met and nothing holds it; the facts are collected in the same
    /// transaction.
    async fn schedule_enable(&self, enable: EnableSchedule) -> Result<Schedule, StoreError>;

    /// Disables every schedule that the scope covers. It always succeeds, and once it has answered nothing
    /// of them starts, not even what was due before (D-SCHED-4); runs of them that had not begun are
    /// cancelled. Returns those that are covered.
    async fn schedule_disable(
        &self,
        disable: DisableSchedules,
    ) -> Result<Vec<Schedule>, StoreError>;

    /// Lets a paused schedule go on.
    async fn schedule_resume(&self, resume: ChangeSchedule) -> Result<Schedule, StoreError>;

    /// Deals with due starts of a schedule, in one transaction: moves the cursor, and makes the run durable
    /// or says why there is none. However many workers ask, a nominal time is dealt with once.
    async fn schedule_fire(&self, fire: FireSchedule) -> Result<Fired, StoreError>;

    /// Disables a schedule whose start can not even be made durable, and tells people.
    async fn schedule_give_up(&self, change: ChangeSchedule) -> Result<Schedule, StoreError>;
}

/// Which schedules to list; all conditions hold.
#[derive(Debug, Clone, Default)]
pub struct ScheduleFilter {
    /// Only of this lane.
    pub lane: Option<Lane>,
    /// Only of this source.
    pub source_id: Option<String>,
    /// Only in this state.
    pub state: Option<ScheduleState>,
}

/// A change of one schedule.
#[derive(Debug, Clone)]
pub struct ChangeSchedule {
    /// Which.
    pub id: ScheduleId,
    /// Who.
    pub by: Principal,
    /// Why.
    pub reason: String,
    /// The version that it must still be; none for a change of whatever is there.
    pub seen: Option<Seen>,
    /// Now.
    pub now: Timestamp,
}

/// A wish to enable a schedule.
#[derive(Debug, Clone)]
pub struct EnableSchedule {
    /// Which, who, why.
    pub change: ChangeSchedule,
    /// Whether the lane's settings permit schedules.
    pub lane_permits: bool,
}

/// A wish to disable schedules.
#[derive(Debug, Clone)]
pub struct DisableSchedules {
    /// Which: those that a stop of this scope would cover.
    pub scope: StopScope,
    /// Who.
    pub by: Principal,
    /// Why.
    pub reason: String,
    /// Now.
    pub now: Timestamp,
}

/// Due starts of a schedule, as its due times and its misfire policy ask for.
#[derive(Debug, Clone)]
pub struct FireSchedule {
    /// Which.
    pub id: ScheduleId,
    /// The version that was looked at: a schedule that changed since is looked at again.
    pub version: u64,
    /// Starts before the one to make, which fall away.
    pub missed: Option<Missed>,
    /// The start to make.
    pub start: Option<Start>,
    /// Now.
    pub now: Timestamp,
}

/// Starts that nothing could make in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// The last nominal time of them.
    pub through: Timestamp,
    /// How many.
    pub count: u32,
}

/// A start to make.
#[derive(Debug, Clone)]
pub struct Start {
    /// Its nominal time.
    pub fire_at: Timestamp,
    /// Its run, which names the schedule and the time.
    pub new: NewRun,
}

/// What became of due starts.
#[derive(Debug, Clone, PartialEq)]
pub enum Fired {
    /// A run was made durable.
    Started(Box<Run>),
    /// The start fell away. By overlap it leaves a run with the status `skipped` (D-RUN-2).
    Skipped {
        /// Why.
        cause: SkipCause,
        /// The run that says so.
        run: Option<Box<Run>>,
    },
    /// The start waits for the end of a run.
    Waiting {
        /// That run, when it was cancelled for it and is still alive.
        cancelled: Option<Box<Run>>,
    },
    /// There was nothing to start; what was missed fell away.
    Missed,
    /// The schedule is not as it was looked at: nothing was written.
    Stale,
}

/// How the gates of a lane and job stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateReport {
    /// The schedule, when there is one.
    pub schedule: Option<Schedule>,
    /// The artifact that they are about: the schedule's, or what the lane points to.
    pub artifact: Option<ArtifactId>,
    /// Its content.
    pub content: Option<ContentId>,
    /// Every gate, in their order.
    pub gates: Vec<GateState>,
}
