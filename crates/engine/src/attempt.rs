//! One claimed attempt: launch it or find it again, wait for its end, judge it, record it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use moorline_api::ApiError;
use moorline_core::attempt::{
    Attempt, Exit, Handle, InputFile, Isolation, Limits, LogStats, Mount, Observation, Outcome,
    StepData, Usage,
};
use moorline_core::content_id::ContentId;
use moorline_core::error_code::{ErrorCode, FailureClass, RunStatus};
use moorline_core::ids::RunId;
use moorline_core::protocol::Reply;
use moorline_core::run::{Failure, LiveAttempt, Refusal, Run, Verdict, judge};
use moorline_core::spec::{EffectiveStep, JobSpec, ReplyRule, Step};
use moorline_executor::{Executor, ExecutorError};
use moorline_secrets::Redactor;
use moorline_store::{FinishAttempt, StoreError};
use tokio::sync::Notify;
use tracing::{Instrument as _, debug, field, info_span, warn};

use crate::bundle;
use crate::engine::Inner;
use crate::error::{io_error, is_unavailable, store_error};
use crate::progress::Telling;
use crate::secrets::StepSecrets;
use crate::{dirs, export, job_types, outputs};

/// Everything that driving one attempt needs.
pub(crate) struct Plan {
    pub(crate) spec: Arc<JobSpec>,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) attempt: Attempt,
    pub(crate) reply_required: bool,
}

/// What becomes of the next step once one is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Claim it in the same transaction: this process goes on driving.
    Claim,
    /// Leave it due, for whoever drives.
    LeaveDue,
}

impl Plan {
    /// The step of this attempt.
    pub(crate) fn step(&self) -> Option<&Step> {
        self.spec
            .steps()
            .iter()
            .find(|step| step.name == self.attempt.step)
    }
}

impl Inner {
    /// Drives a claimed run until nothing of it is claimed here: to its end, or until it waits.
    pub(crate) async fn drive(&self, mut run: Run) -> Result<Run, ApiError> {
        while let Some(live) = run.attempt.clone() {
            if live.driver != self.driver {
                break;
            }
            let span = info_span!(
                "attempt",
                run_id = %run.id,
                attempt_id = %live.id,
                number = live.number,
                status = field::Empty,
            );
            // Boxed: it holds the attempt, and is part of every future that leads here.
            run = Box::pin(self.drive_attempt(&run, &live))
                .instrument(span.clone())
                .await?;
            span.record("status", run.status.as_str());
            self.changed.notify_waiters();
        }
        if run.status.is_terminal() {
            self.settle(&run).await?;
        }
        Ok(run)
    }

    /// Carries out the effects of a run that is over.
    pub(crate) async fn settle(&self, run: &Run) -> Result<(), ApiError> {
        let exports = run
            .steps
            .iter()
            .any(|step| step.outputs.iter().any(|output| output.export));
        let nothing = match run.status {
            RunStatus::Success => !exports,
            _ => run.attempts == 0,
        };
        // Most runs leave nothing to carry out, and then the outbox needs no look.
        if nothing {
            return Ok(());
        }
        // One at a time here; another process that does the same at this moment does no harm.
        let _one = self.settling.lock().await;
        for row in self
            .store
            .outbox_pending(Some(run.id))
            .await
            .map_err(store_error)?
        {
            self.bring_outputs(run).await?;
            let event = export::carry_out(&self.config.dirs, run, &row.effect)
                .map_err(io_error("publish or archive the outputs"))?;
            let done = moorline_store::OutboxDone {
                id: row.id,
                event,
                now: self.now(),
            };
            self.store.outbox_done(done).await.map_err(store_error)?;
        }
        self.changed.notify_waiters();
        Ok(())
    }

    async fn drive_attempt(&self, run: &Run, live: &LiveAttempt) -> Result<Run, ApiError> {
        let plan = match self.plan(run, live).await {
            Ok(plan) => plan,
            // What it needs could not be asked for; that says nothing about the attempt.
            Err(error) if is_unavailable(&error) => return Err(error),
            Err(error) => return self.finish_unlaunched(run, &error).await,
        };
        let handle = match &live.handle {
            Some(handle) => {
                // An attempt that was taken over: whoever wished its end may have died before the executor
                // heard of it. Asking again changes nothing.
                if run.cancel.is_some() {
                    self.cancel_attempt(&plan, handle, plan.attempt.limits.grace)
                        .await;
                }
                handle.clone()
            }
            // A wish to end the run came before the launch. A driver that died may have begun one all the
            // same, and its supervisor may come to it only now.
            None if run.cancel.is_some() => {
                let launched = plan.executor.withdraw(&plan.attempt).await;
                let Some(handle) = launched.map_err(|error| executor_error(&error))? else {
                    let reason = "ended by request before it started";
                    let error = ApiError::new(ErrorCode::Cancelled, reason);
                    return self.finish_unlaunched(run, &error).await;
                };
                handle
            }
            None => match self.launch(run, &plan).await {
                Ok(handle) => handle,
                Err(error) if is_unavailable(&error) => return Err(error),
                Err(error) => return self.finish_unlaunched(run, &error).await,
            },
        };
        let recorded = async {
            if live.handle.is_some() {
                return Ok(());
            }
            let now = self.now();
            let recorded = self
                .store
                .attempt_launched(run.id, run.token, handle.clone(), now)
                .await?;
            if recorded.cancel.is_some() {
                // The wish came between claim and launch, when there was no handle to send it to.
                self.cancel_attempt(&plan, &handle, Duration::ZERO).await;
            }
            Ok::<(), StoreError>(())
        };
        let mut telling = Telling::new(&plan, live);
        let over = Notify::new();
        let outcome = async {
            let outcome = plan.executor.wait(&handle).await;
            over.notify_one();
            self.lost_when_unknown(outcome)
        };
        let listening = self.listen(run, &plan, &handle, &mut telling, over.notified());
        // The commit and the job run side by side; the end is recorded after both.
        let (recorded, outcome, ()) = tokio::join!(recorded, outcome, Box::pin(listening));
        match recorded {
            Err(StoreError::Refused(Refusal::Stale)) => return self.reload(run.id).await,
            Err(error) => return Err(store_error(error)),
            Ok(()) => {}
        }
        let outcome = outcome.map_err(|error| executor_error(&error))?;
        self.hear_out(run, &plan, &handle, &outcome, telling).await;
        let next = if self.leaves() {
            Next::LeaveDue
        } else {
            Next::Claim
        };
        self.finish(run, &plan, &handle, outcome, next).await
    }

    /// Records the end of an attempt whose outcome is known. What it said is recorded before.
    pub(crate) async fn finish(
        &self,
        run: &Run,
        plan: &Plan,
        handle: &Handle,
        outcome: Outcome,
        next: Next,
    ) -> Result<Run, ApiError> {
        let mut verdict = judge(&outcome, &plan.attempt.step, plan.reply_required);
        let collected = match outcome.exit {
            Exit::NotStarted { .. } | Exit::Lost { .. } => Ok(Vec::new()),
            _ => plan.executor.collect(handle).await,
        };
        let secrets = match self.attempt_secrets(run, plan).await {
            // Without them a leak would go unseen (L47).
            Err(error) if is_unavailable(&error) => return Err(error),
            found => found.unwrap_or_default(),
        };
        let values = &secrets.values;
        verdict = match (verdict, collected) {
            (
                Verdict::Success {
                    data,
                    transaction_count,
                    ..
                },
                Ok(files),
            ) => {
                if self.is_shared() {
                    // It holds the schemas of outputs; the attempt may have been launched elsewhere.
                    self.bring_bundle(&run.artifact_hash).await?;
                }
                let checked = outputs::check(plan, run, &files, values, data, transaction_count);
                outputs::keep(&self.config.dirs, run, plan, &files, &checked)
                    .map_err(io_error("keep the outputs"))?;
                if let Verdict::Success { outputs, .. } = &checked {
                    self.share_outputs(run, &plan.attempt.step, outputs).await?;
                }
                checked
            }
            (Verdict::Success { .. }, Err(error)) => {
                let reason = format!("its outputs can not be read: {error}");
                Verdict::failure(FailureClass::Validation, ErrorCode::Validation, reason)
            }
            (Verdict::Failure(failure), files) => {
                let files = files.unwrap_or_default();
                let failure = outputs::check_partial(failure, &files, values);
                outputs::keep(&self.config.dirs, run, plan, &files, &failure)
                    .map_err(io_error("keep partial outputs"))?;
                failure
            }
        };
        let exit_code = match outcome.exit {
            Exit::Exited { code } => Some(code),
            _ => None,
        };
        if let Verdict::Failure(failure) = &mut verdict {
            failure
                .step
                .get_or_insert_with(|| plan.attempt.step.clone());
            // Whatever wrote the reason: it is stored, shown and sent (L47).
            failure.reason = Redactor::from(values).redact(&failure.reason).into_owned();
            failure.exit_code = failure.exit_code.or(exit_code);
        }
        self.share_log(plan.executor.as_ref(), handle).await;
        let report = serde_json::to_value(&outcome).unwrap_or_default();
        let now = self.now();
        self.record(FinishAttempt {
            run: run.id,
            token: run.token,
            verdict,
            usage: outcome.usage,
            isolation: outcome.isolation,
            exit_code,
            outcome: report,
            claim_next: (next == Next::Claim).then(|| self.claim_ticket(now)),
            now,
        })
        .await
    }

    /// An attempt that its executor knows nothing of is lost: its machine is gone, or what was known of it.
    fn lost_when_unknown(
        &self,
        asked: Result<Outcome, ExecutorError>,
    ) -> Result<Outcome, ExecutorError> {
        match asked {
            Err(ExecutorError::NotFound { .. }) => Ok(lost(self.now())),
            asked => asked,
        }
    }

    /// Records that an attempt of a machine that is gone is lost. Whether it was started nobody can tell, so it
    /// is repeated only where that does no harm (D-RUN-4).
    pub(crate) async fn finish_lost(&self, run: &Run) -> Result<Run, ApiError> {
        let error = ApiError::new(ErrorCode::Lost, ELSEWHERE);
        self.finish_unlaunched(run, &error).await
    }

    async fn record(&self, finish: FinishAttempt) -> Result<Run, ApiError> {
        let run = finish.run;
        match self.store.attempt_finish(finish).await {
            Ok(run) => Ok(run),
            // Someone took this attempt over; what it comes to is theirs to say (L45).
            Err(StoreError::Refused(Refusal::Stale)) => self.reload(run).await,
            Err(error) => Err(store_error(error)),
        }
    }

    async fn reload(&self, run: RunId) -> Result<Run, ApiError> {
        debug!(%run, "another driver took the attempt over");
        let found = self.store.run_get(run).await.map_err(store_error)?;
        found.ok_or_else(|| ApiError::new(ErrorCode::NotFound, format!("no such run {run}")))
    }

    async fn launch(&self, run: &Run, plan: &Plan) -> Result<Handle, ApiError> {
        self.bring_run(run).await?;
        for mount in &plan.attempt.mounts {
            let failed = io_error(format!("make the volume {}", mount.source.display()));
            dirs::private_dir(&mount.source).map_err(failed)?;
        }
        let secrets = self.attempt_secrets(run, plan).await?;
        let mut attempt = plan.attempt.clone();
        attempt.secret_objects = secrets.objects;
        let mut answer = plan.executor.launch(&attempt, &secrets.values).await;
        if let Err(ExecutorError::Unknown { reason }) = &answer {
            // Launching again is safe: it starts nothing that was started before.
            warn!(run = %run.id, reason, "asking again whether the attempt was launched");
            answer = plan.executor.launch(&attempt, &secrets.values).await;
        }
        answer.map_err(|error| executor_error(&error))
    }

    /// The attempt was not launched and will not be: the run learns why.
    async fn finish_unlaunched(&self, run: &Run, error: &ApiError) -> Result<Run, ApiError> {
        let class = error.code.class().unwrap_or(FailureClass::Runtime);
        let verdict = Verdict::Failure(Failure {
            class,
            code: error.code,
            reason: error.message.clone(),
            step: run.current_step().map(|step| step.name.clone()),
            exit_code: None,
            signal: None,
        });
        let outcome = serde_json::json!({"exit": {"how": "not_started", "reason": error.message}});
        let now = self.now();
        self.record(FinishAttempt {
            run: run.id,
            token: run.token,
            verdict,
            usage: Usage::default(),
            isolation: run.isolation.clone(),
            exit_code: None,
            outcome,
            claim_next: Some(self.claim_ticket(now)),
            now,
        })
        .await
    }

    pub(crate) async fn cancel_attempt(&self, plan: &Plan, handle: &Handle, grace: Duration) {
        if let Err(error) = plan.executor.cancel(handle, grace).await {
            warn!(attempt = %handle.attempt_id, %error, "could not cancel the attempt");
        }
    }

    pub(crate) async fn attempt_secrets(
        &self,
        run: &Run,
        plan: &Plan,
    ) -> Result<StepSecrets, ApiError> {
        match plan.step() {
            Some(step) => {
                let executor = step.executor.as_ref().unwrap_or(&run.executor);
                self.resolve_secrets(&plan.spec, step, &run.lane, run.mode, executor)
                    .await
            }
            None => Ok(StepSecrets::default()),
        }
    }

    /// The spec of a run, from memory or from the store.
    pub(crate) async fn spec_of(&self, run: &Run) -> Result<Arc<JobSpec>, ApiError> {
        self.stored_spec(&run.spec_hash).await?.ok_or_else(|| {
            let message = format!("the spec of run {} is not in the store", run.id);
            ApiError::new(ErrorCode::Store, message)
        })
    }

    /// A spec by its hash, from memory or from the store.
    pub(crate) async fn stored_spec(
        &self,
        hash: &ContentId,
    ) -> Result<Option<Arc<JobSpec>>, ApiError> {
        if let Some(spec) = self.known_spec(hash) {
            return Ok(Some(spec));
        }
        let Some(text) = self.store.spec_get(hash).await.map_err(store_error)? else {
            return Ok(None);
        };
        let spec: JobSpec = serde_json::from_str(&text).map_err(|error| {
            let message = format!("the spec {hash} in the store can not be read");
            ApiError::new(ErrorCode::Store, message).because(error)
        })?;
        let spec = Arc::new(spec);
        self.remember_spec(*hash, Arc::clone(&spec));
        Ok(Some(spec))
    }

    /// The executor that a step of this run uses.
    pub(crate) fn executor_of(
        &self,
        run: &Run,
        step: &Step,
    ) -> Result<Arc<dyn Executor>, ApiError> {
        let name = step.executor.as_ref().unwrap_or(&run.executor);
        self.executors.get(name).cloned().ok_or_else(|| {
            ApiError::new(
                ErrorCode::Config,
                format!("the executor `{name}` is not configured"),
            )
        })
    }

    /// Builds the attempt that a claimed run stands for; the same claim gives the same attempt.
    pub(crate) async fn plan(&self, run: &Run, live: &LiveAttempt) -> Result<Plan, ApiError> {
        let spec = self.spec_of(run).await?;
        let Some(effective) = spec.effective_steps().nth(run.step) else {
            let message = format!("run {} is past its last step", run.id);
            return Err(ApiError::new(ErrorCode::Internal, message));
        };
        let step = effective.step;
        let executor = self.executor_of(run, step)?;
        let filled = self.fill_in(run, &spec, step).await?;
        let tools = self
            .lane_settings(&run.lane)?
            .tools_of(&spec.tool_permissions);
        let attempt = Attempt {
            id: live.id,
            run_id: run.id,
            owner: self.config.dirs.root().display().to_string(),
            job_id: run.job_id.clone(),
            source_id: run.source_id.clone(),
            lane: run.lane.to_string(),
            mode: run.mode,
            step: step.name.clone(),
            number: live.number,
            argv: filled.argv,
            env: job_types::told(&filled.env, &tools),
            bundle: bundle::location(&self.config.dirs.artifacts(), &run.artifact_hash),
            working_dir: step.working_dir.clone(),
            params: run.params.clone(),
            inputs: self.inputs_of(run),
            steps: self.earlier_steps(run),
            workflow: filled.workflow,
            mounts: self.mounts(step),
            limits: limits(&effective),
            egress: effective.egress.clone(),
            isolation: run.isolation_need,
            image: step.image.clone(),
            gpu: step.resources.gpu.clone(),
            warm_start: step.installs_dependencies,
            // Known when its secrets are, at the launch.
            secret_objects: Vec::new(),
        };
        let reply_required = step.reply == ReplyRule::Required;
        Ok(Plan {
            executor,
            attempt,
            reply_required,
            spec: Arc::clone(&spec),
        })
    }

    /// Data and output files of the steps before the current one; in a workflow, of those that the run has been
    /// through and not come back to.
    fn earlier_steps(&self, run: &Run) -> BTreeMap<String, StepData> {
        run.steps
            .iter()
            .enumerate()
            .filter(|(index, step)| match run.flow {
                Some(_) => step.done && *index != run.step,
                None => *index < run.step,
            })
            .map(|(_, step)| step)
            .map(|step| {
                let kept = export::kept_outputs(&self.config.dirs, run, &step.name);
                let outputs = step
                    .outputs
                    .iter()
                    .map(|output| InputFile {
                        source: kept.join(&output.path),
                        path: format!("steps/{}/{}", step.name, output.path),
                        size: output.size,
                    })
                    .collect();
                (
                    step.name.clone(),
                    StepData {
                        data: step.data.clone(),
                        outputs,
                    },
                )
            })
            .collect()
    }

    /// Volumes are directories of the installation, made at the first launch that uses them.
    fn mounts(&self, step: &Step) -> Vec<Mount> {
        let volumes: PathBuf = self.config.dirs.volumes();
        step.mounts
            .iter()
            .map(|mount| Mount {
                source: volumes.join(&mount.volume),
                path: mount.path.clone(),
                read_only: mount.read_only,
            })
            .collect()
    }
}

fn limits(effective: &EffectiveStep<'_>) -> Limits {
    let step = effective.step;
    let mebibytes = |n: Option<u64>| n.map(|n| n.saturating_mul(1 << 20));
    Limits {
        timeout: effective.timeout,
        grace: effective.grace,
        cpu: step.resources.cpu,
        memory_bytes: mebibytes(step.resources.memory_mb),
        disk_bytes: mebibytes(step.resources.disk_mb),
        pids: step.resources.pids,
        ..Limits::default()
    }
}

/// Why an attempt is lost with its machine.
const ELSEWHERE: &str = "the machine that it ran on is gone";

/// What becomes of an attempt that nobody can tell anything of.
fn lost(now: Timestamp) -> Outcome {
    Outcome {
        exit: Exit::Lost {
            reason: ELSEWHERE.to_owned(),
        },
        limits_hit: Vec::new(),
        started_at: None,
        ended_at: now,
        usage: Usage::default(),
        isolation: Isolation::default(),
        reply: Reply::default(),
        egress_denied: Vec::new(),
        log: LogStats::default(),
    }
}

/// What an executor's error means for the run.
pub(crate) fn executor_error(error: &ExecutorError) -> ApiError {
    let code = match error {
        ExecutorError::Isolation { .. } => ErrorCode::Isolation,
        ExecutorError::Unsupported { .. } => ErrorCode::Config,
        ExecutorError::Start { .. }
        | ExecutorError::NotFound { .. }
        | ExecutorError::StillRunning
        | ExecutorError::Unknown { .. }
        | ExecutorError::Io { .. } => ErrorCode::AdapterInvocation,
    };
    let mut message = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        message = format!("{message}: {source}");
    }
    ApiError::new(code, message)
}

/// What the executor says of an attempt that may be over, without waiting.
pub(crate) async fn peek(
    executor: &Arc<dyn Executor>,
    handle: &Handle,
    now: Timestamp,
) -> Result<Option<Outcome>, ApiError> {
    match executor.observe(handle).await {
        Ok(Observation::Over(outcome)) => Ok(Some(*outcome)),
        Ok(Observation::Running) => Ok(None),
        Err(ExecutorError::NotFound { .. }) => Ok(Some(lost(now))),
        Err(error) => Err(executor_error(&error)),
    }
}
