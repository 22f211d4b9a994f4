//! Requests and responses.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use moorline_core::approval::ApprovalRequest;
use moorline_core::attempt::{Exit, IsolationNeed, LimitHit, MissingProtection, Protection, Usage};
use moorline_core::error_code::{FailureClass, RunStatus, SourceState};
use moorline_core::event::{EventKind, Level};
use moorline_core::ids::{AttemptId, RunId};
use moorline_core::lane::Lane;
use moorline_core::principal::Principal;
use moorline_core::run::{Run, Trigger};
use moorline_core::schedule::ScheduleId;
use moorline_core::source::Source;
use moorline_core::spec::Mode;
use moorline_core::stop::{Stop, StopScope};
use moorline_core::summary::RunSummary;
use moorline_core::workflow::{Flow, Workflow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Start a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SubmitRequest {
    /// The job directory, which holds `job_spec.json`; or `live:JOB`: what the lane points to for a job.
    pub job: PathBuf,
    /// Files for the job's declared inputs, by input name. `run:RUN` gives a run that failed, as one
    /// document: its summary, its inputs and what was archived.
    pub inputs: BTreeMap<String, PathBuf>,
    /// Values that replace those of the spec's `params`.
    pub params: Map<String, Value>,
    /// `mock` or `real`; absent means the job's default (D-RUN-8).
    pub mode: Option<Mode>,
    /// Lane; absent means `dev`.
    pub lane: Option<String>,
    /// Executor for steps that name none; absent means the installation's default.
    pub executor: Option<String>,
    /// How missing protections are treated; absent means the lane's rule.
    pub isolation: Option<IsolationNeed>,
    /// The same key gives the same run, also when asked at the same time (D-RUN-1).
    pub idempotency_key: Option<String>,
    /// Who asks.
    pub actor: Principal,
}

/// Show, wait for, or read the log of a run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunRequest {
    /// Id of the run, or a unique beginning of it, or `latest`.
    pub run: String,
}

/// A run, as shown.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunView {
    /// The summary as it stands; final once the status is terminal.
    pub summary: RunSummary,
    /// When the run became durable.
    pub created_at: Timestamp,
    /// Who asked for it.
    pub actor: String,
    /// The run that it repeats.
    pub retry_of: Option<RunId>,
    /// When its next attempt is due, when it waits for one.
    pub due_at: Option<Timestamp>,
    /// A wish to end it that is not carried out yet.
    pub cancel_requested: Option<String>,
    /// Every attempt, oldest first.
    pub attempts: Vec<AttemptView>,
    /// Counts the changes of the run.
    pub version: u64,
    /// Where it stands in its workflow, when its job has one.
    pub workflow: Option<WorkflowView>,
    /// Where its exported outputs are, on success.
    pub exported_to: Option<PathBuf>,
    /// Where what it left is kept for people, when it did not succeed and left something (D-RUN-7).
    pub archived_to: Option<PathBuf>,
    /// Where it is set apart, when a secret was found in it.
    pub quarantined_in: Option<PathBuf>,
    /// Where everything else of it is kept.
    pub kept_in: PathBuf,
}

/// An attempt, as shown.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AttemptView {
    /// Identity.
    pub id: AttemptId,
    /// Its step.
    pub step: String,
    /// 1 for the first attempt of the step.
    pub number: u32,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// When its end was recorded.
    pub ended_at: Option<Timestamp>,
    /// How its process ended.
    pub exit: Option<Exit>,
    /// Limits that it hit.
    pub limits_hit: Vec<LimitHit>,
    /// What it used.
    pub usage: Option<Usage>,
}

/// List runs; all conditions hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunListRequest {
    /// Only of these statuses; empty means all.
    pub statuses: Vec<RunStatus>,
    /// Only of this job.
    pub job_id: Option<String>,
    /// Only of this source.
    pub source_id: Option<String>,
    /// Only runs older than this one: the cursor of the next page.
    pub before: Option<RunId>,
    /// At most this many; 0 means 50.
    pub limit: u32,
}

/// One line of a list of runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRow {
    /// The run.
    pub run_id: RunId,
    /// The job.
    pub job_id: String,
    /// The source it reads.
    pub source_id: Option<String>,
    /// Lane name.
    pub lane: String,
    /// `mock` or `real`.
    pub mode: Mode,
    /// Where it stands.
    pub status: RunStatus,
    /// What asked for it.
    pub trigger: Trigger,
    /// The step that runs or is due, with its number: `2/3 load`; or the gate at which the run waits.
    pub step: Option<String>,
    /// Attempts launched.
    pub attempts: u32,
    /// When it became durable.
    pub created_at: Timestamp,
    /// First claim.
    pub started_at: Option<Timestamp>,
    /// End.
    pub ended_at: Option<Timestamp>,
    /// Class of its failure.
    pub failure_class: Option<FailureClass>,
    /// Reason of its failure.
    pub failure_reason: Option<String>,
    /// Transactions it reported.
    pub transaction_count: Option<u64>,
}

impl From<&Run> for RunRow {
    fn from(run: &Run) -> Self {
        // A run that waits for a person is at no step, but at a gate.
        let gate = run.flow.as_ref().map(|flow| flow.at.clone());
        let step = run
            .current_step()
            .filter(|_| !run.status.is_terminal())
            .map(|step| format!("{}/{} {}", run.step + 1, run.steps.len(), step.name));
        let step = match run.status {
            RunStatus::AwaitingApproval => gate,
            _ => step,
        };
        Self {
            run_id: run.id,
            job_id: run.job_id.clone(),
            source_id: run.source_id.clone(),
            lane: run.lane.to_string(),
            mode: run.mode,
            status: run.status,
            trigger: run.trigger,
            step,
            attempts: run.attempts,
            created_at: run.created_at,
            started_at: run.started_at,
            ended_at: run.ended_at,
            failure_class: run.failure.as_ref().map(|f| f.class),
            failure_reason: run.failure.as_ref().map(|f| f.reason.clone()),
            transaction_count: run.transaction_count,
        }
    }
}

/// Cancel or retry a run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunChangeRequest {
    /// Id of the run, or a unique beginning of it, or `latest`.
    pub run: String,
    /// Who asks.
    pub actor: Principal,
    /// Why.
    pub reason: String,
    /// Seconds between the polite signal and the kill; absent means the step's own.
    pub grace_seconds: Option<f64>,
}

/// Read a run's log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LogsRequest {
    /// Id of the run, or a unique beginning of it, or `latest`.
    pub run: String,
    /// Go on until the run is over.
    #[serde(default)]
    pub follow: bool,
    /// Only this step.
    pub step: Option<String>,
    /// Only behind this line: the cursor, which counts the lines of the log, or of the step when one is named.
    #[serde(default)]
    pub after: u64,
}

/// One line of a run's log, redacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// Its number in the log, or in that of the step that was asked for; from 1.
    pub line: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The step.
    pub step: String,
    /// Number of the attempt of that step.
    pub attempt: u32,
    /// `stdout`, `stderr` or `system`.
    pub stream: String,
    /// Text without line end.
    pub text: String,
}

/// Engage a stop.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StopRequest {
    /// What it covers. A run may be given by a unique beginning of its id.
    pub scope: StopScope,
    /// Who asks.
    pub actor: Principal,
    /// Why.
    pub reason: String,
    /// Seconds between the polite signal and the kill; absent means 0: at once.
    pub grace_seconds: Option<f64>,
}

/// What a stop did. The gate is in force, whatever the lists say.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StopReport {
    /// The stop of that scope that is in force: this one, or an earlier one that stays as it is.
    pub stop: Stop,
    /// Schedules that it covers and that were enabled or paused before; they are disabled now, and a release
    /// enables none of them.
    pub schedules: Vec<ScheduleId>,
    /// Schedules of its scope that were deployed at a platform and are there no more.
    pub undeployed: Vec<ScheduleId>,
    /// Runs that had a live attempt when the stop came into force.
    pub running: Vec<RunId>,
    /// Of those, runs whose process tree is gone.
    pub dead: Vec<RunId>,
    /// Of those, runs that could not be reached yet, each with the reason; and schedules that may still be
    /// deployed, as `schedule/lane/job`. A repeated `stop` tries again.
    pub unreached: BTreeMap<String, String>,
    /// From the request to the gate being durable, milliseconds: nothing started after it.
    pub acknowledged_ms: f64,
    /// From the request to the end of the last run being recorded, milliseconds.
    pub elapsed_ms: f64,
}

/// Release a stop.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseRequest {
    /// What the stop covers.
    pub scope: StopScope,
    /// Who asks.
    pub actor: Principal,
    /// Why.
    pub reason: String,
}

/// List or follow events; all conditions hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventsRequest {
    /// Only with a greater id: the cursor.
    pub after: u64,
    /// Only of these kinds; empty means all.
    pub kinds: Vec<EventKind>,
    /// Only at least this level.
    pub level: Option<Level>,
    /// Only of this run (id or a unique beginning of it).
    pub run: Option<String>,
    /// Only of this job.
    pub job_id: Option<String>,
    /// At most this many; 0 means 100.
    pub limit: u32,
    /// The newest ones instead of the first ones behind `after`.
    pub newest: bool,
}

/// What verifying the audit chain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditReport {
    /// Whether the chain is whole.
    pub intact: bool,
    /// Records checked.
    pub records: u64,
    /// Hash of the newest record; keep it elsewhere to notice a chain that was rewritten as a whole.
    pub head: String,
    /// The first thing that is wrong.
    pub problem: Option<String>,
}

/// A source, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceView {
    /// Its id.
    pub source_id: String,
    /// Its state.
    pub state: SourceState,
    /// Whether a person holds it: then no successful run makes it active.
    pub held: bool,
    /// The run that changed it last; none when a person did.
    pub run_id: Option<RunId>,
    /// Who changed it last.
    pub by: Principal,
    /// Why.
    pub reason: Option<String>,
    /// Failed runs in a row, runtime and timeout.
    pub failed_in_a_row: u32,
    /// Since when it is as it is.
    pub updated_at: Timestamp,
}

impl From<Source> for SourceView {
    fn from(source: Source) -> Self {
        Self {
            source_id: source.source_id,
            state: source.state,
            held: source.held,
            run_id: source.run_id,
            by: source.by,
            reason: source.reason,
            failed_in_a_row: source.failed_in_a_row,
            updated_at: source.updated_at,
        }
    }
}

/// Check that a job's secrets are there.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SecretCheckRequest {
    /// The job directory.
    pub job: PathBuf,
    /// Lane; absent means `dev`.
    pub lane: Option<String>,
}

/// One key of one secret: whether it is there, and never its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyView {
    /// The logical secret.
    pub secret: String,
    /// The environment variable.
    pub key: String,
    /// Whether the job can not run without it.
    pub required: bool,
    /// Whether it is there.
    pub present: bool,
    /// Which source has it.
    pub found_in: Option<String>,
}

/// Check a job directory.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct JobCheckRequest {
    /// The job directory or a spec file.
    pub job: PathBuf,
    /// Lane whose rules apply too; absent means `dev`.
    pub lane: Option<String>,
}

/// What a job is, once checked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct JobView {
    /// Job id.
    pub job_id: String,
    /// The spec with every default filled in.
    pub spec: Value,
    /// Content id of the canonical spec.
    pub spec_hash: String,
    /// Content id of the job directory; absent for a single file.
    pub artifact_hash: Option<String>,
    /// The mode it runs in when none is asked for (D-RUN-8).
    pub default_mode: Mode,
}

/// A job that is known here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobRow {
    /// Job id.
    pub job_id: String,
    /// What people call it.
    pub title: Option<String>,
    /// The lanes that point to a version of it.
    pub live_in: Vec<Lane>,
    /// Its schedules.
    pub schedules: Vec<ScheduleId>,
    /// Its newest run.
    pub last_run: Option<RunRow>,
}

/// Where a run stands in its job's workflow, and the graph itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowView {
    /// The graph.
    pub graph: Workflow,
    /// Names of the job's steps, in the order of its spec.
    pub steps: Vec<String>,
    /// Where the run stands.
    pub flow: Flow,
    /// Every request of the run, oldest first.
    pub approvals: Vec<ApprovalRequest>,
}

/// How state and executors are set up.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct HealthReport {
    /// Whether everything that a run in the dev lane needs is there.
    pub ok: bool,
    /// Every check.
    pub checks: Vec<HealthCheck>,
    /// Protections that the local executor can give.
    pub protections: Vec<Protection>,
    /// Protections that it can not give here.
    pub missing: Vec<MissingProtection>,
}

/// One check of [`HealthReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthCheck {
    /// What was checked.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do when it is not.
    pub hint: Option<String>,
}
