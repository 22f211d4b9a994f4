//! Runs, verdicts and times for the cases.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use moorline_core::attempt::{Handle, Isolation, IsolationNeed, Usage};
use moorline_core::clock::{Clock as _, Ids as _, ManualClock, SystemIds};
use moorline_core::content_id::ContentId;
use moorline_core::error_code::{ErrorCode, FailureClass, RunStatus};
use moorline_core::ids::{AttemptId, DriverId, RunId};
use moorline_core::lane::Lane;
use moorline_core::run::{CancelKind, OutputRef, Run, StepRun, Trigger, Verdict};
use moorline_core::spec::{Mode, Retries};
use moorline_core::stop::{Stop, StopScope};
use serde_json::{Map, Value, json};

use super::Failure;
use crate::store::Store;
use crate::types::{CancelRun, ClaimDue, FinishAttempt, NewRun};

/// What a run of a case is like.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Its job.
    pub job: &'static str,
    /// Its source.
    pub source: Option<&'static str>,
    /// Its lane.
    pub lane: Lane,
    /// Names of its steps.
    pub steps: &'static [&'static str],
    /// When a step of it is tried again.
    pub retries: Retries,
}

impl Default for Shape {
    /// One step, no source, no retry.
    fn default() -> Self {
        Self {
            job: "statement",
            source: None,
            lane: Lane::DEV,
            steps: &["extract"],
            retries: Retries::none(),
        }
    }
}

/// A clock that stands still until it is told to move, new ids, and what can be made of them.
#[derive(Debug)]
pub struct World {
    clock: ManualClock,
    ids: SystemIds,
    /// The driver that the helpers act for.
    pub driver: DriverId,
}

impl Default for World {
    fn default() -> Self {
        let start = Timestamp::from_second(1_790_000_000).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            clock: ManualClock::new(start),
            ids: SystemIds,
            driver: DriverId::new(SystemIds.uuid()),
        }
    }
}

impl World {
    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Some time from now, when a lease ends.
    pub fn lease(&self) -> Timestamp {
        self.now()
            .checked_add(Duration::from_secs(30))
            .unwrap_or(Timestamp::MAX)
    }

    /// A new id.
    pub fn attempt_id(&self) -> AttemptId {
        AttemptId::new(self.ids.uuid())
    }

    /// A new id.
    pub fn driver_id(&self) -> DriverId {
        DriverId::new(self.ids.uuid())
    }

    /// A new run, due now.
    pub fn run(&self, shape: &Shape) -> Run {
        let now = self.now();
        Run {
            id: RunId::new(self.ids.uuid()),
            job_id: shape.job.to_owned(),
            source_id: shape.source.map(str::to_owned),
            spec_version: 1,
            spec_hash: ContentId::of_bytes(spec(shape).as_bytes()),
            artifact_hash: ContentId::of_bytes(shape.job.as_bytes()),
            lane: shape.lane.clone(),
            mode: Mode::Real,
            executor: "local".to_owned(),
            trigger: Trigger::Manual,
            actor: "ada".to_owned(),
            retry_of: None,
            schedule: None,
            params: Map::new(),
            inputs: BTreeMap::new(),
            isolation_need: IsolationNeed::BestEffort,
            status: RunStatus::Queued,
            created_at: now,
            started_at: None,
            ended_at: None,
            steps: shape
                .steps
                .iter()
                .map(|name| step(name, &shape.retries))
                .collect(),
            step: 0,
            flow: None,
            attempt: None,
            due_at: Some(now),
            attempts: 0,
            token: 0,
            cancel: None,
            failure: None,
            transaction_count: None,
            usage: Usage::default(),
            isolation: Isolation::default(),
            secret_names: vec!["bank".to_owned()],
            image_digest: None,
            version: 0,
        }
    }

    /// A submission of a new run, without key and without claim.
    pub fn new_run(&self, shape: &Shape) -> NewRun {
        NewRun {
            run: self.run(shape),
            spec: spec(shape),
            idempotency_key: None,
            fingerprint: ContentId::of_bytes(shape.job.as_bytes()),
            claim: None,
            reason: None,
            requires_promotion: false,
        }
    }

    /// Submits a new run.
    pub async fn submit(&self, store: &dyn Store, shape: &Shape) -> Result<Run, Failure> {
        Ok(store.run_submit(self.new_run(shape)).await?.run)
    }

    /// A wish to claim up to `count` attempts.
    pub fn claim_many(&self, count: usize) -> ClaimDue {
        ClaimDue {
            driver: self.driver,
            attempt_ids: (0..count).map(|_| self.attempt_id()).collect(),
            only: None,
            lease_until: self.lease(),
            now: self.now(),
        }
    }

    /// A wish to claim one run.
    pub fn claim_of(&self, run: RunId) -> ClaimDue {
        ClaimDue {
            only: Some(run),
            ..self.claim_many(1)
        }
    }

    /// Claims one run, which must be due.
    pub async fn claim(&self, store: &dyn Store, run: RunId) -> Result<Run, Failure> {
        let claimed = store
            .run_claim_due(self.claim_of(run))
            .await?
            .into_iter()
            .next();
        claimed.ok_or_else(|| Failure::new(format!("run {run} is due and could not be claimed")))
    }

    /// Submits a run and claims it.
    pub async fn started(&self, store: &dyn Store, shape: &Shape) -> Result<Run, Failure> {
        let run = self.submit(store, shape).await?;
        self.claim(store, run.id).await
    }

    /// The end of the live attempt of a run.
    pub fn finish(&self, run: &Run, verdict: Verdict) -> FinishAttempt {
        let success = matches!(verdict, Verdict::Success { .. });
        FinishAttempt {
            run: run.id,
            token: run.token,
            verdict,
            usage: Usage {
                cpu_seconds: 0.1,
                peak_memory_bytes: 1 << 20,
                wall_seconds: 0.3,
            },
            isolation: Isolation {
                backend: "process".to_owned(),
                ..Isolation::default()
            },
            exit_code: Some(i32::from(!success)),
            outcome: json!({"exit": {"how": "exited", "code": i32::from(!success)}}),
            claim_next: None,
            now: self.now(),
        }
    }

    /// A success without anything to export.
    pub fn success() -> Verdict {
        success(false)
    }

    /// A success with a file to export.
    pub fn success_with_export() -> Verdict {
        success(true)
    }

    /// A handle of an attempt.
    pub fn handle(attempt_id: AttemptId) -> Handle {
        handle(attempt_id)
    }

    /// A cancellation by a person.
    pub fn cancel(&self, run: RunId) -> CancelRun {
        CancelRun {
            run,
            kind: CancelKind::Cancelled,
            actor: "ada".to_owned(),
            reason: "wrong statement".to_owned(),
            seen: None,
            now: self.now(),
        }
    }

    /// A stop from now on.
    pub fn stop(&self, scope: StopScope) -> Stop {
        let reason = "the bank called".to_owned();
        Stop {
            scope,
            actor: "ada".to_owned(),
            reason,
            since: self.now(),
        }
    }
}

/// The job spec of a shape; its content does not matter to a store.
pub(super) fn spec(shape: &Shape) -> String {
    json!({"job_id": shape.job, "steps": shape.steps}).to_string()
}

fn step(name: &str, retries: &Retries) -> StepRun {
    StepRun {
        name: name.to_owned(),
        retries: retries.clone(),
        idempotent: false,
        attempts: 0,
        attempts_before: 0,
        done: false,
        data: Value::Null,
        outputs: Vec::new(),
        exit_code: None,
    }
}

/// A success with one output.
pub(super) fn success(export: bool) -> Verdict {
    let output = OutputRef {
        path: "transactions.jsonl".to_owned(),
        hash: ContentId::of_bytes(b"{}"),
        size: 2,
        export,
    };
    let data = json!({"balance": "12.34"});
    Verdict::Success {
        data,
        outputs: vec![output],
        transaction_count: Some(3),
    }
}

/// A failure of a class.
pub(super) fn failure(class: FailureClass) -> Verdict {
    Verdict::failure(class, ErrorCode::of_class(class), "it did not work")
}

/// A handle of an attempt.
pub(super) fn handle(attempt_id: AttemptId) -> Handle {
    Handle {
        executor: "local".to_owned(),
        attempt_id,
        data: json!({"pid": 4711}),
    }
}

/// A handle of the live attempt of a run.
pub(super) fn handle_of(run: &Run) -> Result<Handle, Failure> {
    let attempt = run
        .attempt
        .as_ref()
        .ok_or_else(|| Failure::new("no live attempt".to_owned()))?;
    Ok(handle(attempt.id))
}
