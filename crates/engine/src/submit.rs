//! From a request to a durable run: check everything first, keep what will run, then one transaction.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moorline_api::{ApiError, ErrorDetail, JobView, SubmitRequest};
use moorline_core::attempt::{InputFile, Isolation, IsolationNeed, Usage};
use moorline_core::canonical;
use moorline_core::config::{LaneSettings, Settings};
use moorline_core::content_id::ContentId;
use moorline_core::error_code::{ErrorCode, RunStatus};
use moorline_core::ids::RunId;
use moorline_core::lane::{Lane, LaneError, LaneRules};
use moorline_core::run::{Run, StepRun, Trigger};
use moorline_core::schedule::ScheduledStart;
use moorline_core::schema::Validator;
use moorline_core::spec::{self, EffectiveStep, JobSpec, Mode};
use moorline_core::workflow::Flow;
use moorline_store::{NewRun, StoreError};
use serde_json::{Value, json};
use tracing::warn;

use crate::bundle::Bundle;
use crate::engine::Inner;
use crate::error::{io_error, store_error};
use crate::files;

/// Name of the spec inside a job directory.
pub(crate) const SPEC_FILE: &str = "job_spec.json";

/// A job that was read and checked.
pub(crate) struct Job {
    pub(crate) spec: Arc<JobSpec>,
    /// Canonical text of the spec (RFC 8785), and its content id.
    pub(crate) canonical: String,
    pub(crate) hash: ContentId,
    /// Its directory; absent when only a spec file was given.
    pub(crate) dir: Option<PathBuf>,
}

/// Reads and checks a job directory or a spec file; every violation is reported at once (D-SPEC-1).
pub(crate) fn load(path: &Path, lane: &LaneSettings) -> Result<Job, ApiError> {
    let (file, dir) = if path.is_dir() {
        (path.join(SPEC_FILE), Some(path.to_path_buf()))
    } else {
        (path.to_path_buf(), None)
    };
    let bytes = std::fs::read(&file).map_err(|error| {
        let message = format!("can not read the job spec {}: {error}", file.display());
        ApiError::new(ErrorCode::Spec, message)
            .hint("give a directory that holds `job_spec.json`, or the path of a spec file")
    })?;
    let invalid = |violations: spec::Violations| {
        let details = details(violations.iter());
        let count = details.len();
        let plural = if count == 1 {
            "violation"
        } else {
            "violations"
        };
        ApiError::new(
            ErrorCode::Spec,
            format!("{}: {count} {plural}", file.display()),
        )
        .with_details(details)
    };
    let spec = spec::load(&bytes).map_err(invalid)?;
    lane.check_job(&spec).map_err(invalid)?;
    let canonical = canonical::to_string(&spec)
        .map_err(|error| ApiError::new(ErrorCode::Spec, format!("{}: {error}", file.display())))?;
    let hash = ContentId::of_bytes(canonical.as_bytes());
    Ok(Job {
        spec: Arc::new(spec),
        canonical,
        hash,
        dir,
    })
}

/// The lane that a request names, with what it permits; the configured one when it names none.
pub(crate) fn lane<'s>(
    settings: &'s Settings,
    name: Option<&str>,
) -> Result<(Lane, &'s LaneSettings), ApiError> {
    let lane = match name {
        None => settings.lane.clone(),
        Some(name) => name.parse().map_err(|error: LaneError| {
            ApiError::new(ErrorCode::Usage, error.to_string()).hint(configured_lanes(settings))
        })?,
    };
    let found = lane_settings(settings, &lane)?;
    Ok((lane, found))
}

/// What a lane permits, and what it means outside.
pub(crate) fn lane_settings<'s>(
    settings: &'s Settings,
    lane: &Lane,
) -> Result<&'s LaneSettings, ApiError> {
    settings.lanes.get(lane).ok_or_else(|| {
        ApiError::new(ErrorCode::Config, format!("no lane `{lane}` is configured"))
            .hint(configured_lanes(settings))
    })
}

fn configured_lanes(settings: &Settings) -> String {
    let known: Vec<&str> = settings.lanes.keys().map(Lane::as_str).collect();
    format!("configured lanes are {}", listed(&known))
}

/// What `job validate` and `job explain` show.
pub(crate) fn view(
    settings: &Settings,
    path: &Path,
    lane_name: Option<&str>,
    ci: Option<&str>,
) -> Result<JobView, ApiError> {
    let (_, lane) = lane(settings, lane_name)?;
    let job = load(path, lane)?;
    let artifact_hash = match &job.dir {
        Some(dir) => Some(read_bundle(dir)?.id.to_string()),
        None => None,
    };
    Ok(JobView {
        job_id: job.spec.job_id.clone(),
        spec: serde_json::to_value(&*job.spec).unwrap_or(Value::Null),
        spec_hash: job.hash.to_string(),
        artifact_hash,
        default_mode: spec::resolve_mode(&job.spec, None, ci).unwrap_or(Mode::Mock),
    })
}

fn read_bundle(dir: &Path) -> Result<Bundle, ApiError> {
    Bundle::read(dir).map_err(|error| {
        ApiError::new(
            ErrorCode::Config,
            format!("can not read the job directory {}: {error}", dir.display()),
        )
        .hint("a job directory holds plain files, and links that stay inside it")
    })
}

/// Where a submission comes from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// Someone asked for it.
    Asked,
    /// Someone did not want to wait for the next start of a schedule.
    Now {
        /// Why.
        reason: String,
    },
    /// Someone asked for what a run ran.
    Retry {
        /// That run.
        of: RunId,
        /// Why.
        reason: String,
    },
    /// A schedule is due.
    Schedule(ScheduledStart),
    /// A fresh session is tried.
    Reauth,
}

impl Inner {
    /// Checks a submission and makes it durable. With `claim`, this process becomes its driver at once.
    pub(crate) async fn submit(
        &self,
        request: &SubmitRequest,
        origin: Origin,
        claim: bool,
    ) -> Result<Run, ApiError> {
        let mut new = self.prepare(request, origin).await?;
        if claim {
            self.become_driver().await?;
            new.claim = Some(self.claim_ticket(new.run.created_at));
        }
        let (id, inputs) = (new.run.id, new.run.inputs.clone());
        let submitted = self.store.run_submit(new).await;
        let stray = match &submitted {
            Ok(submitted) => !submitted.created,
            // Whether the run came to be is not known, and it would need its inputs.
            Err(StoreError::Unavailable { .. }) => false,
            Err(_) => true,
        };
        if stray {
            self.forget_prepared(id, &inputs).await;
        }
        let submitted = submitted.map_err(store_error)?;
        self.changed.notify_waiters();
        Ok(submitted.run)
    }

    /// The kept inputs of a run that did not come to be: nothing half-done stays behind.
    pub(crate) async fn forget_prepared(&self, id: RunId, inputs: &BTreeMap<String, InputFile>) {
        let _ignored = std::fs::remove_dir_all(self.config.dirs.run(id));
        if let Err(error) = self.unshare_inputs(id, inputs).await {
            warn!(run = %id, %error, "could not remove what was kept of a run that did not come to be");
        }
    }

    /// Checks a submission, and keeps what it will run: everything but the transaction.
    ///
    /// For a schedule, executors and secrets are not looked at: where they are missing, the run is made and
    /// fails by the failure matrix, which disables the schedule and tells people (D-RUN-7).
    pub(crate) async fn prepare(
        &self,
        request: &SubmitRequest,
        origin: Origin,
    ) -> Result<NewRun, ApiError> {
        let (lane, settings) = lane(&self.config.settings, request.lane.as_deref())?;
        let rules = &settings.rules;
        let path = self.job_dir(&lane, &request.job).await?;
        let job = load(&path, settings)?;
        let spec = &job.spec;
        let Some(dir) = &job.dir else {
            return Err(ApiError::new(
                ErrorCode::Usage,
                "a run needs a job directory, not a single file",
            )
            .hint("give the directory that holds `job_spec.json`"));
        };
        if spec.steps().is_empty() {
            let message = format!("the job {} has no steps to run (D-SPEC-2)", spec.job_id);
            return Err(ApiError::new(ErrorCode::Config, message)
                .hint("add `steps`; `moorline job schema` shows their form"));
        }
        let mode = spec::resolve_mode(spec, request.mode, self.config.ci.as_deref())
            .map_err(|error| ApiError::new(ErrorCode::CiSafety, error.to_string()))?;
        let mut why = None;
        let (trigger, retry_of, schedule) = match origin {
            Origin::Asked => (Trigger::Manual, None, None),
            Origin::Now { reason } => {
                why = Some(reason);
                (Trigger::Manual, None, None)
            }
            Origin::Retry { of, reason } => {
                why = Some(reason);
                (Trigger::Retry, Some(of), None)
            }
            Origin::Schedule(start) => (Trigger::Schedule, None, Some(start)),
            Origin::Reauth => (Trigger::Reauth, None, None),
        };
        if schedule.is_none() {
            self.check_executors(spec, request)?;
            let executor = request
                .executor
                .as_ref()
                .unwrap_or(&self.config.default_executor);
            self.check_secrets(spec, &lane, mode, executor).await?;
        }
        let isolation_need = isolation_need(request.isolation, rules)?;
        let params = merge_params(spec, request)?;
        let bundle = read_bundle(dir)?;
        let now = self.now();
        let id = RunId::new(self.ids.uuid());
        // Removed when the run's own copy of it is kept.
        let staged = self.stage_failed_runs(&request.inputs).await?;
        let inputs = resolve_inputs(spec, &staged.inputs, dir)?;
        let fingerprint = fingerprint(&bundle.id, &lane, mode, request, &inputs)?;
        bundle
            .keep(&self.config.dirs.artifacts())
            .map_err(io_error("keep the job directory"))?;
        let inputs = self.keep_inputs(id, inputs)?;
        self.share_bundle(&bundle.id).await?;
        self.share_inputs(id, &inputs).await?;
        // Every machine can go on from what is stored: the state is a part of the run from its beginning.
        let (flow, step) = match Flow::start(spec, &params, now) {
            Some((flow, step)) => (Some(Box::new(flow)), step),
            None => (None, 0),
        };
        let run = Run {
            id,
            job_id: spec.job_id.clone(),
            source_id: spec.source_id().map(str::to_owned),
            spec_version: spec.version,
            spec_hash: job.hash,
            artifact_hash: bundle.id,
            lane,
            mode,
            executor: request
                .executor
                .clone()
                .unwrap_or_else(|| self.config.default_executor.clone()),
            trigger,
            actor: request.actor.to_string(),
            retry_of,
            schedule,
            params,
            inputs,
            isolation_need,
            status: RunStatus::Queued,
            created_at: now,
            started_at: None,
            ended_at: None,
            steps: spec.effective_steps().map(step_run).collect(),
            step,
            flow,
            attempt: None,
            due_at: Some(now),
            attempts: 0,
            token: 0,
            cancel: None,
            failure: None,
            transaction_count: None,
            usage: Usage::default(),
            isolation: Isolation::default(),
            secret_names: secret_names(spec, mode),
            image_digest: spec.steps().iter().find_map(|step| step.image.clone()),
            version: 0,
        };
        self.remember_spec(job.hash, Arc::clone(spec));
        Ok(NewRun {
            run,
            spec: job.canonical,
            idempotency_key: request.idempotency_key.clone(),
            fingerprint,
            claim: None,
            reason: why.filter(|reason| !reason.trim().is_empty()),
            requires_promotion: rules.requires_approval,
        })
    }

    fn check_executors(&self, spec: &JobSpec, request: &SubmitRequest) -> Result<(), ApiError> {
        let default = request
            .executor
            .as_ref()
            .unwrap_or(&self.config.default_executor);
        for step in spec.steps() {
            let name = step.executor.as_ref().unwrap_or(default);
            if !self.executors.contains_key(name) {
                let known: Vec<&str> = self.executors.keys().map(String::as_str).collect();
                let message = format!(
                    "step {} asks for the executor `{name}`, which is not configured",
                    step.name
                );
                return Err(ApiError::new(ErrorCode::Config, message)
                    .hint(format!("configured executors: {}", known.join(", "))));
            }
        }
        Ok(())
    }

    /// Copies the inputs into the run's own directory, synced: what is acknowledged can be run.
    fn keep_inputs(
        &self,
        id: RunId,
        inputs: BTreeMap<String, ResolvedInput>,
    ) -> Result<BTreeMap<String, InputFile>, ApiError> {
        let mut kept = BTreeMap::new();
        for (name, input) in inputs {
            let path = format!("{name}/{}", input.file_name);
            let source = self.config.dirs.run(id).join("inputs").join(&path);
            files::copy_synced(&input.source, &source)
                .map_err(io_error(format!("keep the input `{name}`")))?;
            kept.insert(
                name,
                InputFile {
                    source,
                    path,
                    size: input.size,
                },
            );
        }
        Ok(kept)
    }
}

fn step_run(effective: EffectiveStep<'_>) -> StepRun {
    StepRun {
        name: effective.step.name.clone(),
        retries: effective.retries,
        idempotent: effective.step.idempotent,
        attempts: 0,
        attempts_before: 0,
        done: false,
        data: Value::Null,
        outputs: Vec::new(),
        exit_code: None,
    }
}

/// Names of the logical secrets that the steps are given; mock mode gives none (D-SEC-4).
fn secret_names(spec: &JobSpec, mode: Mode) -> Vec<String> {
    if mode == Mode::Mock {
        return Vec::new();
    }
    let mut names: Vec<String> = spec
        .steps()
        .iter()
        .flat_map(|step| step.secrets.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn isolation_need(
    asked: Option<IsolationNeed>,
    rules: &LaneRules,
) -> Result<IsolationNeed, ApiError> {
    match asked {
        Some(need) if rules.requires_isolation && need != IsolationNeed::Required => {
            let message = format!(
                "the lane `{}` requires full isolation; it can not be lowered",
                rules.lane
            );
            Err(ApiError::new(ErrorCode::Policy, message))
        }
        Some(need) => Ok(need),
        None if rules.requires_isolation => Ok(IsolationNeed::Required),
        None => Ok(IsolationNeed::BestEffort),
    }
}

fn merge_params(
    spec: &JobSpec,
    request: &SubmitRequest,
) -> Result<serde_json::Map<String, Value>, ApiError> {
    let mut params = spec.params.clone();
    for (name, value) in &request.params {
        if !spec.params.contains_key(name) {
            let known: Vec<&str> = spec.params.keys().map(String::as_str).collect();
            let message = format!("the job {} declares no parameter `{name}`", spec.job_id);
            return Err(ApiError::new(ErrorCode::Inputs, message)
                .hint(format!("declared parameters: {}", listed(&known))));
        }
        params.insert(name.clone(), value.clone());
    }
    check_params(spec, &params)?;
    Ok(params)
}

/// Checks parameters against the job's own schema for them.
fn check_params(spec: &JobSpec, params: &serde_json::Map<String, Value>) -> Result<(), ApiError> {
    let Some(document) = &spec.params_schema else {
        return Ok(());
    };
    let validator = Validator::compile(Value::Object(document.clone())).map_err(|error| {
        ApiError::new(
            ErrorCode::Spec,
            format!("`params_schema` is not a JSON Schema: {error}"),
        )
    })?;
    let violations = validator.check(&Value::Object(params.clone()));
    if violations.is_empty() {
        return Ok(());
    }
    let message = format!(
        "the parameters of {} do not satisfy its `params_schema`",
        spec.job_id
    );
    Err(ApiError::new(ErrorCode::Inputs, message).with_details(details(&violations)))
}

fn details<'v>(violations: impl IntoIterator<Item = &'v spec::Violation>) -> Vec<ErrorDetail> {
    violations
        .into_iter()
        .map(|v| ErrorDetail {
            at: v.pointer.clone(),
            rule: v.rule.clone(),
            message: v.message.clone(),
            hint: v.hint.clone(),
        })
        .collect()
}

struct ResolvedInput {
    source: PathBuf,
    file_name: String,
    size: u64,
    hash: ContentId,
}

fn resolve_inputs(
    spec: &JobSpec,
    inputs: &BTreeMap<String, PathBuf>,
    dir: &Path,
) -> Result<BTreeMap<String, ResolvedInput>, ApiError> {
    let names: Vec<&str> = spec.inputs.keys().map(String::as_str).collect();
    let declared = || format!("declared inputs: {}", listed(&names));
    for name in inputs.keys() {
        if !spec.inputs.contains_key(name) {
            let message = format!("the job {} declares no input `{name}`", spec.job_id);
            return Err(ApiError::new(ErrorCode::Inputs, message).hint(declared()));
        }
    }
    let mut resolved = BTreeMap::new();
    for (name, declaration) in &spec.inputs {
        let source = match (inputs.get(name), &declaration.default) {
            (Some(given), _) => given.clone(),
            (None, Some(default)) => dir.join(default),
            (None, None) if !declaration.required => continue,
            (None, None) => {
                let message = format!("the job {} needs the input `{name}`", spec.job_id);
                return Err(ApiError::new(ErrorCode::Inputs, message)
                    .hint(format!("give it with `--input {name}=FILE`")));
            }
        };
        let unreadable = |error: std::io::Error| {
            let message = format!(
                "can not read the input `{name}` from {}: {error}",
                source.display()
            );
            ApiError::new(ErrorCode::Inputs, message).hint("give the path of a readable file")
        };
        let file = std::fs::File::open(&source).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(unreadable(std::io::Error::other("not a regular file")));
        }
        let file_name = source
            .file_name()
            .and_then(|file_name| file_name.to_str())
            .ok_or_else(|| unreadable(std::io::Error::other("its name is not UTF-8")))?
            .to_owned();
        let hash = ContentId::of_reader(file).map_err(unreadable)?;
        resolved.insert(
            name.clone(),
            ResolvedInput {
                source,
                file_name,
                size: metadata.len(),
                hash,
            },
        );
    }
    Ok(resolved)
}

/// Everything that the submission asks for, so that one idempotency key never stands for two things.
fn fingerprint(
    bundle: &ContentId,
    lane: &Lane,
    mode: Mode,
    request: &SubmitRequest,
    inputs: &BTreeMap<String, ResolvedInput>,
) -> Result<ContentId, ApiError> {
    let inputs: BTreeMap<&String, &ContentId> =
        inputs.iter().map(|(name, i)| (name, &i.hash)).collect();
    let asked = json!({
        "bundle": bundle,
        "lane": lane,
        "mode": mode,
        "executor": request.executor,
        "params": request.params,
        "inputs": inputs,
    });
    ContentId::of_json(&asked).map_err(|error| ApiError::new(ErrorCode::Inputs, error.to_string()))
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
