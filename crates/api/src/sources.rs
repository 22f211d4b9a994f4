//! Sources, as people steer them.

use async_trait::async_trait;
use moorline_core::principal::Principal;
use moorline_core::schedule::{ScheduleId, ScheduleState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::types::{RunRow, SourceView};

/// Sources, as people steer them. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait SourceOperations: Send + Sync {
    /// A source, what reads it, and what a person has to do before a schedule may.
    async fn source_show(&self, request: SourceRequest) -> Result<SourceDetail, ApiError>;

    /// Holds a source: no schedule starts a run of it until a person resumes it, and its enabled schedules
    /// pause with it. Pausing a paused one succeeds.
    async fn source_pause(&self, request: SourceChangeRequest) -> Result<SourceView, ApiError>;

    /// Says that a source may be read again (D-RUN-7). Its schedules stay as they are: enabling or resuming
    /// one is another decision. Only a person may.
    async fn source_resume(&self, request: SourceResumeRequest) -> Result<SourceView, ApiError>;
}

/// A source and what belongs to it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SourceDetail {
    /// The source.
    #[serde(flatten)]
    pub source: SourceView,
    /// Whether a schedule may start a run of it.
    pub admits_schedules: bool,
    /// What a person has to do first, when not.
    pub hint: Option<String>,
    /// The schedules that read it.
    pub schedules: Vec<SourceSchedule>,
    /// Its newest runs, newest first.
    pub runs: Vec<RunRow>,
}

/// A schedule that reads a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceSchedule {
    /// The schedule.
    pub schedule: ScheduleId,
    /// Whether it starts anything.
    pub state: ScheduleState,
}

/// Show a source.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SourceRequest {
    /// Its id.
    pub source_id: String,
}

/// Pause a source.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceChangeRequest {
    /// The source.
    pub source_id: String,
    /// Who asks.
    pub actor: Principal,
    /// Why.
    pub reason: String,
}

/// Resume a source.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceResumeRequest {
    /// The source.
    pub source_id: String,
    /// Who asks; only a person may.
    pub actor: Principal,
    /// Why.
    pub reason: String,
    /// That the person has looked into the leak; a quarantined source needs it.
    #[serde(default)]
    pub looked_into: bool,
}
