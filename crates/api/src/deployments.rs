//! Schedules deployed to a platform, and drift.

use async_trait::async_trait;
use moorline_core::lane::Lane;
use moorline_core::schedule::ScheduleId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::schedules::ScheduleChangeRequest;

/// Schedules deployed to a platform. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
///
/// What is deployed is the second layer: every start is looked at by the installation's own gate (D-SCHED-5).
#[async_trait]
pub trait DeploymentOperations: Send + Sync {
    /// Deploys an enabled schedule to Modal, in the place of what was deployed of it.
    async fn schedule_deploy(
        &self,
        request: ScheduleChangeRequest,
    ) -> Result<DeploymentView, ApiError>;

    /// Takes a deployed schedule away. Taking away what is not there succeeds.
    async fn schedule_undeploy(
        &self,
        request: ScheduleChangeRequest,
    ) -> Result<DeploymentView, ApiError>;

    /// Compares schedules with what is deployed. What can not be verified is drift (D-PROC-5).
    async fn schedule_drift(&self, request: DriftRequest) -> Result<DriftReport, ApiError>;
}

/// Compare schedules with what is deployed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DriftRequest {
    /// Only of this lane; otherwise of every lane that permits schedules.
    pub lane: Option<Lane>,
}

/// What a deployment came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeploymentView {
    /// Which schedule.
    pub schedule: ScheduleId,
    /// The app at Modal.
    pub app: String,
    /// Whether it is deployed now.
    pub deployed: bool,
    /// Whether this changed anything.
    pub changed: bool,
    /// The app's page, when it was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftReport {
    /// Whether anything differs or could not be verified.
    pub drift: bool,
    /// Each schedule and each deployed app that was looked at.
    pub findings: Vec<DriftFinding>,
}

/// One schedule or app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftFinding {
    /// The lane.
    pub lane: Lane,
    /// The schedule; none for an app that no schedule of the lane has.
    pub schedule: Option<ScheduleId>,
    /// The app; none when not even that could be told.
    pub app: Option<String>,
    /// How the two stand.
    pub state: DriftState,
    /// Each difference, in one line.
    pub differences: Vec<String>,
    /// What to do; none when nothing is to be done.
    pub hint: Option<String>,
}

/// How a schedule and what is deployed stand to each other.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DriftState {
    /// Enabled and deployed as it is, or neither.
    Equal,
    /// Enabled, and not deployed.
    Missing,
    /// Deployed, and not enabled or not known.
    Extra,
    /// Deployed in another way than it is.
    Different,
    /// The platform could not be asked.
    Unverified,
}

impl DriftState {
    /// Whether it is drift.
    pub const fn is_drift(self) -> bool {
        !matches!(self, Self::Equal)
    }

    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Different => "different",
            Self::Unverified => "unverified",
        }
    }
}
