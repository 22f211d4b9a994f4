//! The [`ControlPlane`] seam.

use async_trait::async_trait;
use futures::stream::BoxStream;
use moorline_core::event::Event;
use moorline_core::stop::Stop;
use moorline_core::summary::RunSummary;

use crate::alerts::AlertOperations;
use crate::approvals::ApprovalOperations;
use crate::artifacts::ArtifactOperations;
use crate::deployments::DeploymentOperations;
use crate::emergencies::EmergencyOperations;
use crate::error::ApiError;
use crate::outputs::{OutputChunk, OutputRequest};
use crate::principals::PrincipalOperations;
use crate::reauth::ReauthOperations;
use crate::schedules::ScheduleOperations;
use crate::secrets::SecretOperations;
use crate::sources::SourceOperations;
use crate::tokens::TokenOperations;
use crate::trail::TrailOperations;
use crate::types::{
    EventsRequest, HealthReport, JobCheckRequest, JobRow, JobView, LogLine, LogsRequest,
    ReleaseRequest, RunChangeRequest, RunListRequest, RunRequest, RunRow, RunView,
    SecretCheckRequest, SecretKeyView, SourceView, StopReport, StopRequest, SubmitRequest,
};

/// Every operation of Moorline, in process or over a wire.
///
/// # Contract
/// * A submission is durable before it is answered (D-RUN-1).
/// * Who may do what is one table, [`authorization`](crate::authorization) (D-AUDIT-2).
/// * A mutating operation names its actor and leaves one audit record (D-AUDIT-1).
/// * Ending what has ended, and stopping what is stopped, succeeds (L19).
/// * `stop` answers after its gate is durable: nothing that it covers starts afterwards (D-STOP-2).
/// * Errors carry a code of the closed set and what to do.
#[async_trait]
pub trait ControlPlane:
    PrincipalOperations
    + ArtifactOperations
    + ScheduleOperations
    + DeploymentOperations
    + EmergencyOperations
    + SecretOperations
    + SourceOperations
    + ReauthOperations
    + AlertOperations
    + TrailOperations
    + ApprovalOperations
    + TokenOperations
    + Send
    + Sync
{
    /// Checks a job directory: schema, rules, the lane's rules; every violation at once.
    async fn job_check(&self, request: JobCheckRequest) -> Result<JobView, ApiError>;

    /// Lists the jobs that are known here: those that ran, and those that a lane points to.
    async fn job_list(&self) -> Result<Vec<JobRow>, ApiError>;

    /// Starts a run.
    async fn run_submit(&self, request: SubmitRequest) -> Result<RunRow, ApiError>;

    /// Shows a run.
    async fn run_get(&self, request: RunRequest) -> Result<RunView, ApiError>;

    /// Lists runs, newest first.
    async fn run_list(&self, request: RunListRequest) -> Result<Vec<RunRow>, ApiError>;

    /// Waits for the end of a run. A run that no living process drives is driven here.
    async fn run_wait(&self, request: RunRequest) -> Result<RunSummary, ApiError>;

    /// Cancels a run and waits until its process tree is gone.
    async fn run_cancel(&self, request: RunChangeRequest) -> Result<RunSummary, ApiError>;

    /// Starts a new run of what a run ran: same job, inputs and parameters.
    async fn run_retry(&self, request: RunChangeRequest) -> Result<RunRow, ApiError>;

    /// The log of a run, all attempts in order.
    fn run_logs(&self, request: LogsRequest) -> BoxStream<'static, Result<LogLine, ApiError>>;

    /// An output of a run, in pieces: the bytes that were recorded.
    fn run_output(
        &self,
        request: OutputRequest,
    ) -> BoxStream<'static, Result<OutputChunk, ApiError>>;

    /// Stops a run, a job, a source, a lane or everything, and waits until every process is gone.
    async fn stop(&self, request: StopRequest) -> Result<StopReport, ApiError>;

    /// Releases a stop; `false` when none of that scope was in force.
    async fn release(&self, request: ReleaseRequest) -> Result<bool, ApiError>;

    /// Stops in force.
    async fn stop_list(&self) -> Result<Vec<Stop>, ApiError>;

    /// Events, oldest first.
    async fn event_list(&self, request: EventsRequest) -> Result<Vec<Event>, ApiError>;

    /// Events behind a cursor, and those that come, without gap or repetition.
    fn event_watch(&self, request: EventsRequest) -> BoxStream<'static, Result<Event, ApiError>>;

    /// Sources and their states.
    async fn source_list(&self) -> Result<Vec<SourceView>, ApiError>;

    /// Whether each key of each secret of a job is there.
    async fn secret_check(
        &self,
        request: SecretCheckRequest,
    ) -> Result<Vec<SecretKeyView>, ApiError>;

    /// How state and executors are set up.
    async fn health(&self) -> Result<HealthReport, ApiError>;
}
