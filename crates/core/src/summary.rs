//! The run summary (D-RUN-3): the one document that every run leaves, published as a JSON Schema.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attempt::{Isolation, Usage};
use crate::content_id::ContentId;
use crate::error_code::{FailureClass, RunStatus, ScheduleEffect, SourceState};
use crate::ids::RunId;
use crate::money::Cost;
use crate::run::{Failure, OutputRef, Run, Trigger};
use crate::spec::Mode;

/// What a run came to. Every field is always present; what does not apply is null, zero or empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunSummary {
    /// The run.
    pub run_id: RunId,
    /// The job.
    pub job_id: String,
    /// The outside system that it read.
    pub source_id: Option<String>,
    /// Version of the job spec.
    pub spec_version: u32,
    /// Content id of the job directory that ran.
    pub artifact_hash: ContentId,
    /// Lane name.
    pub lane: String,
    /// `mock` or `real`.
    pub mode: Mode,
    /// Name of the executor.
    pub executor: String,
    /// What asked for the run.
    pub trigger: Trigger,
    /// Attempts launched, all steps.
    pub attempts: u32,
    /// First claim, RFC 3339 UTC; null when the run ended before any attempt.
    pub started_at: Option<Timestamp>,
    /// End, RFC 3339 UTC; null while the run goes on (`runs show` of a live run; never in a stored summary).
    pub ended_at: Option<Timestamp>,
    /// Transactions that the job reported and validation confirmed; null when the job does not count any.
    pub transaction_count: Option<u64>,
    /// Status; terminal in every stored summary.
    pub status: RunStatus,
    /// Why it failed; null on success.
    pub failure: Option<Failure>,
    /// Output files: on success the exported and kept ones of every step.
    pub outputs: Vec<OutputRef>,
    /// Names of the secrets that its steps were given; never values.
    pub secret_names: Vec<String>,
    /// The pinned image digest, when it ran in an image.
    pub image_digest: Option<String>,
    /// What stood between the job and the host.
    pub isolation: Isolation,
    /// What it used.
    pub resources: Usage,
    /// What it cost.
    pub cost: Cost,
    /// Its steps.
    pub steps: Vec<StepSummary>,
    /// What followed from it, by the failure matrix (D-RUN-7).
    pub effects: SummaryEffects,
}

/// One step in a summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepSummary {
    /// Step name.
    pub name: String,
    /// Attempts launched.
    pub attempts: u32,
    /// Whether it is done.
    pub done: bool,
    /// Exit code of its latest attempt, when that exited by itself.
    pub exit_code: Option<i32>,
}

/// What a run did to its surroundings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SummaryEffects {
    /// State of the source after the run; null when the job has none.
    pub source_state: Option<SourceState>,
    /// What the failure class asks of the job's schedule.
    pub schedule: ScheduleEffect,
}

impl RunSummary {
    /// The summary of a run as it stands. It is stored once, when the run is over.
    pub fn of(run: &Run, source_state: Option<SourceState>) -> Self {
        let class: Option<FailureClass> = run.failure.as_ref().map(|f| f.class);
        Self {
            run_id: run.id,
            job_id: run.job_id.clone(),
            source_id: run.source_id.clone(),
            spec_version: run.spec_version,
            artifact_hash: run.artifact_hash,
            lane: run.lane.to_string(),
            mode: run.mode,
            executor: run.executor.clone(),
            trigger: run.trigger,
            attempts: run.attempts,
            started_at: run.started_at,
            ended_at: run.ended_at,
            transaction_count: run.transaction_count,
            status: run.status,
            failure: run.failure.clone(),
            outputs: run
                .steps
                .iter()
                .flat_map(|step| step.outputs.clone())
                .collect(),
            secret_names: run.secret_names.clone(),
            image_digest: run.image_digest.clone(),
            isolation: run.isolation.clone(),
            resources: run.usage,
            cost: Cost::zero(),
            steps: run
                .steps
                .iter()
                .map(|step| StepSummary {
                    name: step.name.clone(),
                    attempts: step.attempts,
                    done: step.done,
                    exit_code: step.exit_code,
                })
                .collect(),
            effects: SummaryEffects {
                source_state,
                schedule: class.map_or(ScheduleEffect::Unchanged, |c| c.rule().schedule),
            },
        }
    }
}
