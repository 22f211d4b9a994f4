//! What was done about deployed schedules, on record.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::principal::Principal;
use moorline_core::schedule::ScheduleId;
use serde_json::Value;

use crate::error::StoreError;

/// Deployments of schedules. A part of [`Store`](crate::Store), under its contract.
///
/// Deliberately absent: a state. What is deployed is asked of the platform each time, and what ought to be
/// follows from the schedules.
#[async_trait]
pub trait DeploymentStore: Send + Sync {
    /// Puts a deployment, or its end, on the audit record.
    async fn deployment_record(&self, record: RecordDeployment) -> Result<(), StoreError>;

    /// Tells of a schedule that differs from what is deployed: an event.
    async fn drift_record(&self, record: RecordDrift) -> Result<(), StoreError>;
}

/// A schedule was deployed, or taken away.
#[derive(Debug, Clone)]
pub struct RecordDeployment {
    /// Which.
    pub schedule: ScheduleId,
    /// `schedule.deploy` or `schedule.undeploy`.
    pub operation: &'static str,
    /// Who.
    pub by: Principal,
    /// Why.
    pub reason: String,
    /// What came of it.
    pub data: Value,
    /// Now.
    pub now: Timestamp,
}

/// A difference between a schedule and what is deployed.
#[derive(Debug, Clone)]
pub struct RecordDrift {
    /// The job that it is about.
    pub job_id: String,
    /// The finding.
    pub data: Value,
    /// Now.
    pub now: Timestamp,
}
