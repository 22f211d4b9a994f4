//! Schedules and their gates.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::content_id::ContentId;
use moorline_core::gate::{Evidence, GateState};
use moorline_core::ids::{ArtifactId, RunId};
use moorline_core::lane::Lane;
use moorline_core::principal::Principal;
use moorline_core::schedule::{Schedule, ScheduleDocument, ScheduleId, ScheduleState};
use moorline_core::stop::{Stop, StopScope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::types::RunRow;

/// Schedules and their gates. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
///
/// No operation makes a schedule: promoting an artifact with a cadence does (D-SCHED-1).
#[async_trait]
pub trait ScheduleOperations: Send + Sync {
    /// Lists schedules, by lane and job.
    async fn schedule_list(
        &self,
        request: ScheduleListRequest,
    ) -> Result<Vec<ScheduleView>, ApiError>;

    /// Shows a schedule: where it stands, since when, by whom, why, and its next times.
    async fn schedule_show(&self, request: ScheduleRequest) -> Result<ScheduleView, ApiError>;

    /// The next nominal times of a schedule, whether it is enabled or not.
    async fn schedule_next(&self, request: ScheduleNextRequest) -> Result<Vec<NextTime>, ApiError>;

    /// Enables a schedule. Only a person may, and every gate must be met: a refusal names every one that is
    /// not (D-SCHED-2). Enabling what is enabled succeeds.
    async fn schedule_enable(
        &self,
        request: ScheduleChangeRequest,
    ) -> Result<ScheduleView, ApiError>;

    /// Disables schedules: always allowed, and done when it answers, also for a start that is due already
    /// (D-SCHED-4). Gives those that are covered.
    async fn schedule_disable(
        &self,
        request: ScheduleDisableRequest,
    ) -> Result<Vec<ScheduleView>, ApiError>;

    /// Lets a paused schedule go on. Only a person may; what was due meanwhile is not made up for.
    async fn schedule_resume(
        &self,
        request: ScheduleChangeRequest,
    ) -> Result<ScheduleView, ApiError>;

    /// Starts what the lane points to, now and once, whatever state the schedule is in.
    async fn schedule_run_now(&self, request: ScheduleChangeRequest) -> Result<RunRow, ApiError>;

    /// How the gates stand.
    async fn gate_show(&self, request: ScheduleRequest) -> Result<GatesView, ApiError>;

    /// Looks whether every required key of every declared secret is there, and records what it found.
    async fn gate_check_secrets(&self, request: GateRequest) -> Result<Evidence, ApiError>;

    /// Probes that the declared egress rule is in force, and records what it found.
    async fn gate_probe_egress(&self, request: GateRequest) -> Result<Evidence, ApiError>;

    /// Records that a person looked at a run of exactly this content and found it as it should be.
    async fn gate_verify_run(&self, request: VerifyRunRequest) -> Result<Evidence, ApiError>;
}

/// List schedules; all conditions hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleListRequest {
    /// Only of this lane.
    pub lane: Option<Lane>,
    /// Only of this source.
    pub source_id: Option<String>,
    /// Only in this state.
    pub state: Option<ScheduleState>,
}

/// Name a schedule.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    /// Which.
    pub schedule: ScheduleId,
}

/// Ask for the next times of a schedule.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleNextRequest {
    /// Which.
    pub schedule: ScheduleId,
    /// How many, at most 1000.
    pub count: u32,
    /// Only later than this; absent means now.
    pub after: Option<Timestamp>,
}

/// Change a schedule.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleChangeRequest {
    /// Which.
    pub schedule: ScheduleId,
    /// Who asks.
    pub actor: Principal,
    /// Why.
    pub reason: String,
}

/// Disable schedules.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleDisableRequest {
    /// Which: those that a stop of this scope would cover.
    pub scope: StopScope,
    /// Who asks.
    pub actor: Principal,
    /// Why.
    pub reason: String,
}

/// Look at a gate of a schedule.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateRequest {
    /// Which schedule; the lane must point to an artifact of its job.
    pub schedule: ScheduleId,
    /// Who looks.
    pub actor: Principal,
}

/// Record that a first run was as it should be.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyRunRequest {
    /// Which schedule.
    pub schedule: ScheduleId,
    /// Id of the run, or a unique beginning of it, or `latest`.
    pub run: String,
    /// Who looked: a person.
    pub actor: Principal,
    /// What they saw.
    pub note: String,
}

/// A schedule, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleView {
    /// Which: `lane/job`.
    pub schedule: ScheduleId,
    /// Whether it starts anything.
    pub state: ScheduleState,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Who brought it there.
    pub by: Principal,
    /// Why.
    pub reason: String,
    /// The source that its runs count for.
    pub source_id: Option<String>,
    /// The artifact that it starts.
    pub artifact: ArtifactId,
    /// Its content.
    pub content: ContentId,
    /// When it starts it.
    pub document: ScheduleDocument,
    /// A stop that covers it.
    pub stop: Option<Stop>,
    /// When it is due next, jitter included; none while it is not enabled.
    pub next_at: Option<Timestamp>,
    /// The start that waits for the end of a run.
    pub queued: Option<Timestamp>,
    /// The newest run that it started.
    pub last_run: Option<RunId>,
    /// Failed runs in a row.
    pub failed_in_a_row: u32,
    /// Skipped starts in a row.
    pub skipped_in_a_row: u32,
    /// Times up to here are dealt with.
    pub cursor: Timestamp,
}

impl ScheduleView {
    /// A schedule, with the stop that covers it.
    pub fn of(schedule: Schedule, stop: Option<Stop>) -> Self {
        Self {
            schedule: schedule.id,
            state: schedule.state,
            since: schedule.since,
            by: schedule.by,
            reason: schedule.reason,
            source_id: schedule.source_id,
            artifact: schedule.artifact,
            content: schedule.content,
            document: schedule.document,
            stop,
            next_at: schedule.next_at,
            queued: schedule.queued,
            last_run: schedule.last_run,
            failed_in_a_row: schedule.failed_in_a_row,
            skipped_in_a_row: schedule.skipped_in_a_row,
            cursor: schedule.cursor,
        }
    }
}

/// A time at which a schedule is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NextTime {
    /// The nominal time, UTC.
    pub nominal: Timestamp,
    /// The same on the clocks of the schedule's zone, with the offset: `2026-03-29T03:00:00+02:00[Europe/Berlin]`.
    pub local: String,
    /// When the start is made: the nominal time and its jitter.
    pub start_at: Timestamp,
}

/// The gates of a schedule, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GatesView {
    /// Which: `lane/job`.
    pub schedule: ScheduleId,
    /// Where it stands; none when there is no schedule, as for a job without a cadence.
    pub state: Option<ScheduleState>,
    /// The artifact that the gates are about; none when the lane points to none.
    pub artifact: Option<ArtifactId>,
    /// Its content.
    pub content: Option<ContentId>,
    /// Whether every gate is met.
    pub met: bool,
    /// Every gate.
    pub gates: Vec<GateState>,
}
