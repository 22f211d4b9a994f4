//! The engine as a [`ControlPlane`]: each operation in terms of store, drivers and executors.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use moorline_api::{
    ApiError, AttemptView, ControlPlane, EventsRequest, HealthReport, JobCheckRequest, JobRow,
    JobView, LogLine, LogsRequest, Operation, OutputChunk, OutputRequest, ReleaseRequest,
    RunChangeRequest, RunListRequest, RunRequest, RunRow, RunView, SecretCheckRequest,
    SecretKeyView, SourceView, StopReport, StopRequest, SubmitRequest,
};
use moorline_core::attempt::Outcome;
use moorline_core::config::Settings;
use moorline_core::error_code::{ErrorCode, RunStatus};
use moorline_core::event::Event;
use moorline_core::ids::RunId;
use moorline_core::run::{CancelKind, Run};
use moorline_core::stop::Stop;
use moorline_core::summary::RunSummary;
use moorline_executor::ExecutorError;
use moorline_store::{AttemptRecord, CancelRun, EventFilter, RunFilter, Seen};

use crate::beginning::{is_beginning, only};
use crate::engine::{Engine, Inner};
use crate::error::store_error;
use crate::{export, fetch, health, logs, submit, watch};

#[async_trait]
impl ControlPlane for Engine {
    async fn job_check(&self, request: JobCheckRequest) -> Result<JobView, ApiError> {
        submit::view(
            &self.inner.config.settings,
            &request.job,
            request.lane.as_deref(),
            self.inner.config.ci.as_deref(),
        )
    }

    async fn job_list(&self) -> Result<Vec<JobRow>, ApiError> {
        self.inner.jobs().await
    }

    async fn run_submit(&self, request: SubmitRequest) -> Result<RunRow, ApiError> {
        let subject = format!("job/{}", request.job.display());
        let work = Box::pin(self.start_from(&request, submit::Origin::Asked));
        let run = self
            .inner
            .guarded(Operation::RunSubmit, &request.actor, subject, work)
            .await?;
        Ok(RunRow::from(&run))
    }

    async fn run_get(&self, request: RunRequest) -> Result<RunView, ApiError> {
        let id = self.inner.find(&request.run).await?;
        self.inner.view(id).await
    }

    async fn run_list(&self, request: RunListRequest) -> Result<Vec<RunRow>, ApiError> {
        let filter = RunFilter {
            statuses: request.statuses,
            job_id: request.job_id,
            source_id: request.source_id,
            before: request.before,
            limit: request.limit,
        };
        let runs = self
            .inner
            .store
            .runs_list(filter)
            .await
            .map_err(store_error)?;
        Ok(runs.iter().map(RunRow::from).collect())
    }

    async fn run_wait(&self, request: RunRequest) -> Result<RunSummary, ApiError> {
        let id = self.inner.find(&request.run).await?;
        self.inner.wait(id).await
    }

    async fn run_cancel(&self, request: RunChangeRequest) -> Result<RunSummary, ApiError> {
        let subject = format!("run/{}", request.run);
        let actor = request.actor.clone();
        self.inner
            .guarded(
                Operation::RunCancel,
                &actor,
                subject,
                Box::pin(self.inner.cancel(request, self.seen())),
            )
            .await
    }

    async fn run_retry(&self, request: RunChangeRequest) -> Result<RunRow, ApiError> {
        let subject = format!("run/{}", request.run);
        let actor = request.actor.clone();
        self.inner
            .guarded(
                Operation::RunRetry,
                &actor,
                subject,
                Box::pin(self.retry(request)),
            )
            .await
    }

    fn run_logs(&self, request: LogsRequest) -> BoxStream<'static, Result<LogLine, ApiError>> {
        logs::stream(self.clone(), request)
    }

    fn run_output(
        &self,
        request: OutputRequest,
    ) -> BoxStream<'static, Result<OutputChunk, ApiError>> {
        fetch::stream(self.clone(), request)
    }

    async fn stop(&self, request: StopRequest) -> Result<StopReport, ApiError> {
        let subject = format!("stop/{}", request.scope);
        let actor = request.actor.clone();
        // Boxed: it holds what it waits for, hundreds of runs at a time.
        let work = Box::pin(self.inner.stop(request));
        self.inner
            .guarded(Operation::Stop, &actor, subject, work)
            .await
    }

    async fn release(&self, request: ReleaseRequest) -> Result<bool, ApiError> {
        let subject = format!("stop/{}", request.scope);
        let actor = request.actor.clone();
        self.inner
            .guarded(
                Operation::Release,
                &actor,
                subject,
                self.inner.release(request),
            )
            .await
    }

    async fn stop_list(&self) -> Result<Vec<Stop>, ApiError> {
        self.inner.store.stops_list().await.map_err(store_error)
    }

    async fn event_list(&self, request: EventsRequest) -> Result<Vec<Event>, ApiError> {
        let filter = self.inner.event_filter(request).await?;
        self.inner
            .store
            .events_list(filter)
            .await
            .map_err(store_error)
    }

    fn event_watch(&self, request: EventsRequest) -> BoxStream<'static, Result<Event, ApiError>> {
        watch::stream(self.clone(), request)
    }

    async fn source_list(&self) -> Result<Vec<SourceView>, ApiError> {
        let sources = self.inner.store.sources_list().await.map_err(store_error)?;
        Ok(sources.into_iter().map(SourceView::from).collect())
    }

    async fn secret_check(
        &self,
        request: SecretCheckRequest,
    ) -> Result<Vec<SecretKeyView>, ApiError> {
        let settings = &self.inner.config.settings;
        let (lane, rules) = submit::lane(settings, request.lane.as_deref())?;
        let job = submit::load(&request.job, rules)?;
        self.inner.secret_report(&job.spec, &lane).await
    }

    async fn health(&self) -> Result<HealthReport, ApiError> {
        Ok(health::report(&self.inner).await)
    }
}

impl Engine {
    /// Records what ended while no driver was alive; starts nothing. Returns how many runs wait for
    /// someone to drive them (`resume_all`, or `run_wait` of one).
    ///
    /// # Errors
    /// When the store or the state directory can not be read.
    pub async fn tidy(&self) -> Result<usize, ApiError> {
        self.inner.tidy().await
    }

    /// Starts again what a run ran, whole: same bytes, inputs, parameters, lane and mode.
    async fn retry(&self, request: RunChangeRequest) -> Result<RunRow, ApiError> {
        let id = self.inner.find(&request.run).await?;
        let old = self.inner.must_get(id).await?;
        if !old.status.is_terminal() {
            let message = format!("run {id} is not over yet");
            return Err(ApiError::new(ErrorCode::Conflict, message).hint(format!(
                "wait for it with `moorline runs wait {id}`, or cancel it first"
            )));
        }
        self.inner.bring_inputs(&old).await?;
        let again = SubmitRequest {
            job: self.inner.bring_bundle(&old.artifact_hash).await?,
            inputs: self
                .inner
                .inputs_of(&old)
                .iter()
                .map(|(name, file)| (name.clone(), file.source.clone()))
                .collect(),
            params: old.params.clone(),
            mode: Some(old.mode),
            lane: Some(old.lane.to_string()),
            executor: Some(old.executor.clone()),
            isolation: Some(old.isolation_need),
            idempotency_key: None,
            actor: request.actor,
        };
        let reason = request.reason;
        let run = self
            .start_from(&again, submit::Origin::Retry { of: id, reason })
            .await?;
        Ok(RunRow::from(&run))
    }

    /// Makes a run durable and carries it in the background.
    pub(crate) async fn start_from(
        &self,
        request: &SubmitRequest,
        origin: submit::Origin,
    ) -> Result<Run, ApiError> {
        let slot = std::sync::Arc::clone(&self.inner.slots)
            .try_acquire_owned()
            .ok();
        let run = Box::pin(self.inner.submit(request, origin, slot.is_some())).await?;
        let ours = run
            .attempt
            .as_ref()
            .is_none_or(|live| live.driver == self.inner.driver);
        if ours && !run.status.is_terminal() {
            self.carry_on(run.clone(), slot).await;
        }
        Ok(run)
    }
}

impl Inner {
    /// A run by its id, a unique beginning of it, or `latest`.
    pub(crate) async fn find(&self, text: &str) -> Result<RunId, ApiError> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        if text == "latest" {
            let newest = RunFilter {
                limit: 1,
                ..RunFilter::default()
            };
            let runs = self.store.runs_list(newest).await.map_err(store_error)?;
            return runs.first().map(|run| run.id).ok_or_else(|| {
                ApiError::new(ErrorCode::NotFound, "there are no runs yet")
                    .hint("`moorline run DIR` makes one")
            });
        }
        let found = if is_beginning(text) {
            self.store.run_find(text).await.map_err(store_error)?
        } else {
            Vec::new()
        };
        only(found, text, "runs", || {
            ApiError::new(ErrorCode::NotFound, format!("no run `{text}`")).hint(
                "`moorline runs list` shows the ids; a unique beginning of eight characters or `latest` will do",
            )
        })
    }

    async fn view(&self, id: RunId) -> Result<RunView, ApiError> {
        let run = self.must_get(id).await?;
        let summary = match self.store.summary_get(id).await.map_err(store_error)? {
            Some(summary) => summary,
            None => RunSummary::of(&run, None),
        };
        let attempts = self.store.attempts_list(id).await.map_err(store_error)?;
        let exported_to = (run.status == RunStatus::Success
            && summary.outputs.iter().any(|output| output.export))
        .then(|| export::export_dir(&self.config.dirs, &run));
        Ok(RunView {
            summary,
            created_at: run.created_at,
            actor: run.actor.clone(),
            retry_of: run.retry_of,
            due_at: run.due_at,
            cancel_requested: run
                .cancel
                .as_ref()
                .filter(|_| !run.status.is_terminal())
                .map(|wish| wish.reason.clone()),
            attempts: attempts.into_iter().map(attempt_view).collect(),
            version: run.version,
            workflow: self.workflow_view(&run).await?,
            exported_to,
            archived_to: Some(export::archive_dir(&self.config.dirs, &run))
                .filter(|dir| dir.exists()),
            quarantined_in: Some(export::quarantine_dir(&self.config.dirs, &run))
                .filter(|dir| dir.exists()),
            kept_in: self.config.dirs.run(id),
        })
    }

    /// How long an attempt gets between the polite signal and the kill.
    pub(crate) async fn grace(&self, run: &Run, asked: Option<f64>) -> Result<Duration, ApiError> {
        if let Some(seconds) = asked {
            return Duration::try_from_secs_f64(seconds).map_err(|error| {
                ApiError::new(
                    ErrorCode::Usage,
                    format!("`{seconds}` is no time of grace: {error}"),
                )
            });
        }
        // Where nothing runs, nobody has to be given time: such a run can be ended whatever became of its spec.
        if run.attempt.is_none() {
            return Ok(Duration::ZERO);
        }
        let spec = self.spec_of(run).await?;
        let step = spec.steps().get(run.step);
        Ok(Duration::from_secs(
            step.map_or(0, |step| u64::from(step.grace_seconds)),
        ))
    }

    /// Sends the end of a run to the executor that has its live attempt. `Ok` when there is none, or
    /// when its driver has not launched it yet: the driver then sees the wish itself.
    pub(crate) async fn end(&self, run: &Run, grace: Duration) -> Result<(), ApiError> {
        let Some(live) = &run.attempt else {
            return Ok(());
        };
        let Some(handle) = self.find_handle(run).await? else {
            return Ok(());
        };
        let plan = self.plan(run, live).await?;
        match plan.executor.cancel(&handle, grace).await {
            // It is on another machine, whose driver sees the wish in the store.
            Err(ExecutorError::NotFound { .. }) if self.is_shared() => Ok(()),
            told => told.map_err(|error| crate::attempt::executor_error(&error)),
        }
    }

    /// Asks for the end of a run and waits until its process tree is gone.
    async fn cancel(
        &self,
        request: RunChangeRequest,
        seen: Option<Seen>,
    ) -> Result<RunSummary, ApiError> {
        let id = self.find(&request.run).await?;
        let cancel = CancelRun {
            run: id,
            kind: CancelKind::Cancelled,
            actor: request.actor.to_string(),
            reason: request.reason,
            seen,
            now: self.now(),
        };
        let run = self.store.run_cancel(cancel).await.map_err(store_error)?;
        self.changed.notify_waiters();
        let grace = self.grace(&run, request.grace_seconds).await?;
        self.end(&run, grace).await?;
        self.wait(id).await
    }

    pub(crate) async fn event_filter(
        &self,
        request: EventsRequest,
    ) -> Result<EventFilter, ApiError> {
        let run_id = match &request.run {
            Some(text) => Some(self.find(text).await?),
            None => None,
        };
        Ok(EventFilter {
            after: request.after,
            kinds: request.kinds,
            level: request.level,
            run_id,
            job_id: request.job_id,
            limit: request.limit,
            newest: request.newest,
        })
    }
}

fn attempt_view(record: AttemptRecord) -> AttemptView {
    let outcome: Option<Outcome> = record
        .outcome
        .and_then(|report| serde_json::from_value(report).ok());
    AttemptView {
        id: record.id,
        step: record.step,
        number: record.number,
        claimed_at: record.claimed_at,
        ended_at: record.ended_at,
        exit: outcome.as_ref().map(|o| o.exit.clone()),
        limits_hit: outcome
            .as_ref()
            .map(|o| o.limits_hit.clone())
            .unwrap_or_default(),
        usage: outcome.as_ref().map(|o| o.usage),
    }
}

impl Engine {
    /// Checks a job without an engine: no store is opened and nothing is written.
    ///
    /// # Errors
    /// Everything that is wrong with the job.
    pub fn check_job(
        settings: &Settings,
        request: &JobCheckRequest,
        ci: Option<&str>,
    ) -> Result<JobView, ApiError> {
        submit::view(settings, &request.job, request.lane.as_deref(), ci)
    }
}
