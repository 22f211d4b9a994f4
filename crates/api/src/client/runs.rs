//! Jobs, runs, stops, events: the trait itself.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use moorline_core::approval::ApprovalStatus;
use moorline_core::error_code::{ErrorCode, RunStatus};
use moorline_core::event::Event;
use moorline_core::stop::Stop;
use moorline_core::summary::RunSummary;
use reqwest::header::{HeaderName, HeaderValue};

use super::patience::Patience;
use super::wire::document;
use super::{Client, endpoint};
use crate::approvals::{ApprovalDecideRequest, ApprovalListRequest};
use crate::control_plane::ControlPlane;
use crate::error::ApiError;
use crate::outputs::{OutputChunk, OutputRequest};
use crate::types::{
    EventsRequest, HealthReport, JobCheckRequest, JobRow, JobView, LogLine, LogsRequest,
    ReleaseRequest, RunChangeRequest, RunListRequest, RunRequest, RunRow, RunView,
    SecretCheckRequest, SecretKeyView, SourceView, StopReport, StopRequest, SubmitRequest,
};

/// How long a server is asked to wait for the end of a run: less than proxies cut a silent connection after.
const WAIT: &str = "wait=25";
/// The pause before it is asked again; only a server that does not wait makes it count.
const AGAIN: Duration = Duration::from_millis(250);

#[async_trait]
impl ControlPlane for Client {
    async fn job_check(&self, mut request: JobCheckRequest) -> Result<JobView, ApiError> {
        let mut sent = self.sending();
        request.job = sent.job(&request.job).await?;
        let done = self.wire.call(endpoint::job_check(), &request).await;
        done.map_err(|error| sent.told(error))
    }

    async fn job_list(&self) -> Result<Vec<JobRow>, ApiError> {
        self.wire.call(endpoint::job_list(), &()).await
    }

    async fn run_submit(&self, mut request: SubmitRequest) -> Result<RunRow, ApiError> {
        // With a key a submission can be repeated when the answer was lost (D-RUN-1).
        request.idempotency_key = Some(self.keyed(request.idempotency_key.take()));
        let mut sent = self.sending();
        request.job = sent.job(&request.job).await?;
        for path in request.inputs.values_mut() {
            *path = sent.input(path).await?;
        }
        let done = self.wire.call_keyed(endpoint::run_submit(), &request).await;
        done.map_err(|error| sent.told(error))
    }

    async fn run_get(&self, request: RunRequest) -> Result<RunView, ApiError> {
        self.wire.call(endpoint::run_get(), &request).await
    }

    async fn run_list(&self, request: RunListRequest) -> Result<Vec<RunRow>, ApiError> {
        self.wire.call(endpoint::run_list(), &request).await
    }

    async fn run_wait(&self, mut request: RunRequest) -> Result<RunSummary, ApiError> {
        let mut patience = Patience::of(&self.wire);
        loop {
            let summary = match self.run_wait_once(&request).await {
                Ok(summary) => summary,
                // The run goes on without its server.
                Err(error) => {
                    patience.after(error).await?;
                    continue;
                }
            };
            patience.renew();
            if !matches!(summary.status, RunStatus::Queued | RunStatus::Running) {
                return Ok(summary);
            }
            // `latest` may be another one by then.
            request.run = summary.run_id.to_string();
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn run_cancel(&self, request: RunChangeRequest) -> Result<RunSummary, ApiError> {
        self.wire.call(endpoint::run_cancel(), &request).await
    }

    async fn run_retry(&self, request: RunChangeRequest) -> Result<RunRow, ApiError> {
        self.wire.call(endpoint::run_retry(), &request).await
    }

    fn run_logs(&self, request: LogsRequest) -> BoxStream<'static, Result<LogLine, ApiError>> {
        self.follow(request)
    }

    fn run_output(
        &self,
        request: OutputRequest,
    ) -> BoxStream<'static, Result<OutputChunk, ApiError>> {
        self.once(endpoint::run_output(), request)
    }

    async fn stop(&self, request: StopRequest) -> Result<StopReport, ApiError> {
        self.wire.call(endpoint::stop(), &request).await
    }

    async fn release(&self, request: ReleaseRequest) -> Result<bool, ApiError> {
        self.wire.call(endpoint::release(), &request).await
    }

    async fn stop_list(&self) -> Result<Vec<Stop>, ApiError> {
        self.wire.call(endpoint::stop_list(), &()).await
    }

    async fn event_list(&self, request: EventsRequest) -> Result<Vec<Event>, ApiError> {
        self.wire.call(endpoint::event_list(), &request).await
    }

    fn event_watch(&self, request: EventsRequest) -> BoxStream<'static, Result<Event, ApiError>> {
        self.follow(request)
    }

    async fn source_list(&self) -> Result<Vec<SourceView>, ApiError> {
        self.wire.call(endpoint::source_list(), &()).await
    }

    async fn secret_check(
        &self,
        mut request: SecretCheckRequest,
    ) -> Result<Vec<SecretKeyView>, ApiError> {
        let mut sent = self.sending();
        request.job = sent.job(&request.job).await?;
        let done = self.wire.call(endpoint::secret_check(), &request).await;
        done.map_err(|error| sent.told(error))
    }

    async fn health(&self) -> Result<HealthReport, ApiError> {
        self.wire.call(endpoint::health(), &()).await
    }
}

impl Client {
    /// Waits for the end of a run for as long as one request may.
    async fn run_wait_once(&self, request: &RunRequest) -> Result<RunSummary, ApiError> {
        let mut call = self.wire.of(endpoint::run_wait(), request)?;
        let prefer = HeaderName::from_static("prefer");
        call.headers.insert(prefer, HeaderValue::from_static(WAIT));
        document(self.wire.send(&call).await?).await
    }

    /// The idempotency key of a request: its own, or a new one.
    pub(super) fn keyed(&self, given: Option<String>) -> String {
        given.unwrap_or_else(|| self.ids.uuid().to_string())
    }

    /// The one open request of a run and a checkpoint.
    pub(super) async fn open_approval(
        &self,
        request: &ApprovalDecideRequest,
    ) -> Result<String, ApiError> {
        let list = ApprovalListRequest {
            run: request.run.clone(),
            ..ApprovalListRequest::default()
        };
        let listed = self.wire.call(endpoint::approval_list(), &list).await?;
        let mut of_checkpoint = listed.into_iter().filter(|approval| {
            let waits = approval.status == ApprovalStatus::Pending;
            let asked = request.checkpoint.as_ref();
            waits && asked.is_none_or(|checkpoint| *checkpoint == approval.checkpoint)
        });
        match (of_checkpoint.next(), of_checkpoint.next()) {
            (Some(only), None) => Ok(only.id.to_string()),
            (Some(_), Some(_)) => Err(ApiError::new(
                ErrorCode::Conflict,
                "several requests are open there: name one of them",
            )),
            (None, _) => Err(ApiError::new(
                ErrorCode::NotFound,
                "no such request is open",
            )),
        }
    }
}
