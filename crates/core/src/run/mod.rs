//! The run aggregate as data, and its state machine as a pure function ([`apply`]).
//!
//! A run executes one version of a job: its steps in order, each step by one or more attempts. The store
//! calls [`apply`] inside the transaction that writes its result, and the property tests call the very
//! same function. Nothing here does I/O or reads a clock.
//!
//! Deliberately absent: how an attempt is started or watched (the executor), and how outputs are
//! checked (the engine does that before it reports [`Command::Finish`]).

mod command;
mod decide;
#[cfg(test)]
mod flow_tests;
mod judge;
mod machine;
mod passage;
mod tell;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::attempt::{Handle, InputFile, Isolation, IsolationNeed, Usage};
use crate::content_id::ContentId;
use crate::error_code::{ErrorCode, FailureClass, RunStatus};
use crate::ids::{AttemptId, DriverId, RunId};
use crate::lane::Lane;
use crate::schedule::ScheduledStart;
use crate::spec::{Mode, Retries};
use crate::workflow::Flow;

pub use command::{Applied, Command, Effect, Refusal};
pub use judge::{Verdict, judge};
pub use machine::{apply, apply_in};
pub use tell::tell;

/// One execution of one job version, with everything its next transition depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Identity.
    pub id: RunId,
    /// The job.
    pub job_id: String,
    /// The outside system it reads, if any.
    pub source_id: Option<String>,
    /// `version` of the spec.
    pub spec_version: u32,
    /// Content id of the canonical spec.
    pub spec_hash: ContentId,
    /// Content id of the job directory that runs.
    pub artifact_hash: ContentId,
    /// Lane name.
    pub lane: Lane,
    /// Mock or real.
    pub mode: Mode,
    /// Name of the executor its attempts run on.
    pub executor: String,
    /// What asked for it.
    pub trigger: Trigger,
    /// Who asked for it.
    pub actor: String,
    /// The run that this one repeats.
    pub retry_of: Option<RunId>,
    /// The schedule that started it, and for which time.
    #[serde(default)]
    pub schedule: Option<ScheduledStart>,
    /// The job's parameters, defaults filled in.
    pub params: Map<String, Value>,
    /// Input files by name, as the installation keeps them.
    pub inputs: BTreeMap<String, InputFile>,
    /// How missing protections are treated.
    pub isolation_need: IsolationNeed,
    /// Where it stands.
    pub status: RunStatus,
    /// When it became durable.
    pub created_at: Timestamp,
    /// First claim of its first attempt.
    pub started_at: Option<Timestamp>,
    /// When it reached its terminal status.
    pub ended_at: Option<Timestamp>,
    /// Its steps in order.
    pub steps: Vec<StepRun>,
    /// Index of the step that runs or is due.
    pub step: usize,
    /// Where it stands in its job's workflow, if the job has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Box<Flow>>,
    /// The attempt that is alive, if any.
    pub attempt: Option<LiveAttempt>,
    /// When the next attempt may be claimed; absent while one is alive and when the run is over.
    pub due_at: Option<Timestamp>,
    /// Attempts launched so far, all steps.
    pub attempts: u32,
    /// Fencing token: grows with every claim and take-over; a write that presents an older one is stale.
    pub token: u64,
    /// A wish to end it, not yet carried out.
    pub cancel: Option<CancelRequest>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Transactions reported by its last successful step.
    pub transaction_count: Option<u64>,
    /// Sum over its attempts.
    pub usage: Usage,
    /// What its attempts had in common.
    pub isolation: Isolation,
    /// Names of the secrets its steps declare; never values.
    pub secret_names: Vec<String>,
    /// The pinned image, when there is one.
    pub image_digest: Option<String>,
    /// Counts applied commands that changed something.
    pub version: u64,
}

/// One step of a run: its rules, copied from the spec when the run was submitted, and its progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRun {
    /// Step name.
    pub name: String,
    /// When a failed attempt is followed by another.
    pub retries: Retries,
    /// Whether repeating a lost or preempted attempt is harmless.
    pub idempotent: bool,
    /// Attempts launched.
    pub attempts: u32,
    /// Attempts that were launched before the step was entered last: its retries count from there.
    #[serde(default, skip_serializing_if = "crate::spec::is_default")]
    pub attempts_before: u32,
    /// Whether it is done.
    pub done: bool,
    /// `data` of its result line.
    pub data: Value,
    /// Its validated output files.
    pub outputs: Vec<OutputRef>,
    /// Exit code of its latest attempt.
    pub exit_code: Option<i32>,
}

/// The attempt of a run that is alive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveAttempt {
    /// Identity.
    pub id: AttemptId,
    /// 1 for the first attempt of its step.
    pub number: u32,
    /// Who drives it.
    pub driver: DriverId,
    /// Where it runs; absent until the launch is recorded.
    pub handle: Option<Handle>,
    /// How many events that tell what it says (progress, metrics) are recorded.
    #[serde(default, skip_serializing_if = "crate::spec::is_default")]
    pub told: u64,
}

/// A wish to end a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequest {
    /// `cancelled` by `runs cancel`, `killed` by `stop`.
    pub kind: CancelKind,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// How a run is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelKind {
    /// A person cancelled this run.
    Cancelled,
    /// A stop is in force.
    Killed,
}

/// What asked for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A person or a program, directly.
    Manual,
    /// `runs retry`.
    Retry,
    /// A schedule.
    Schedule,
    /// A re-authentication, to try the fresh session.
    Reauth,
}

/// Why a run failed: the class decides what follows (D-RUN-7), the rest tells a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// Decides run status, source and schedule effect, retries and alerts.
    pub class: FailureClass,
    /// One of the closed set of codes.
    pub code: ErrorCode,
    /// One line, redacted.
    pub reason: String,
    /// The step that failed.
    pub step: Option<String>,
    /// The process's own exit code.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// An output file of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputRef {
    /// Relative path, canonical.
    pub path: String,
    /// BLAKE3 content id.
    pub hash: ContentId,
    /// Bytes.
    pub size: u64,
    /// Whether it is published when the run succeeds.
    pub export: bool,
}

impl Run {
    /// Whether one of its attempts is alive.
    pub const fn is_live(&self) -> bool {
        self.attempt.is_some()
    }

    /// The step that runs or is due; `None` once every step is done.
    pub fn current_step(&self) -> Option<&StepRun> {
        self.steps.get(self.step)
    }
}
