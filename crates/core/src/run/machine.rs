//! The transitions of a run.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    Applied, CancelKind, CancelRequest, Command, Effect, Failure, LiveAttempt, Refusal, Run,
    Verdict,
};
use crate::approval::ApprovalRequest;
use crate::attempt::Handle;
use crate::error_code::{ErrorCode, FailureClass, FailureOccurrence, OutputsRule, RunStatus};
use crate::event::{EventKind, Level, NewEvent};
use crate::workflow::Workflow;

/// Applies a command to a run: a total, pure function of its arguments.
///
/// Ending what has ended, and asking a second time for what was asked, is accepted and changes nothing.
///
/// # Errors
/// [`Refusal`] when the run's state does not allow the command; the run is then unchanged.
pub fn apply(run: &Run, command: Command, now: Timestamp) -> Result<Applied, Refusal> {
    apply_in(run, None, command, now)
}

/// [`apply`] for a run whose job has a workflow, which a transition that ends a step or decides a request
/// needs; the others do without it. A run without a workflow never looks at it.
///
/// A run of a workflow that is not given, or does not have what the run stands at, goes nowhere by guess: it
/// fails, or the decision is refused (L42).
///
/// # Errors
/// As [`apply`], and what a decision is refused for (D-FLOW-4).
pub fn apply_in(
    run: &Run,
    workflow: Option<&Workflow>,
    command: Command,
    now: Timestamp,
) -> Result<Applied, Refusal> {
    let mut next = Draft {
        run: run.clone(),
        workflow,
        now,
        events: Vec::new(),
        effects: Vec::new(),
        approvals: Vec::new(),
    };
    match command {
        Command::Claim { attempt_id, driver } => {
            let due = run.due_at.is_some_and(|at| at <= now);
            if !due || run.attempt.is_some() || run.status.is_terminal() {
                return Err(Refusal::NotDue { due_at: run.due_at });
            }
            next.claim(attempt_id, driver);
        }
        Command::Launched { token, handle } => {
            next.require_token(token)?;
            if let Some(attempt) = &mut next.run.attempt {
                let data = json!({"attempt_id": attempt.id, "number": attempt.number});
                let fallback = gpu_fallback(&handle);
                attempt.handle = Some(handle);
                next.event(EventKind::AttemptLaunched, Level::Info, data);
                if let Some(fallback) = fallback {
                    next.event(EventKind::GpuFallback, Level::Warn, fallback);
                }
            }
        }
        Command::TakeOver { attempt_id, driver } => match &mut next.run.attempt {
            Some(attempt) if attempt.id == attempt_id => {
                let data = json!({"attempt_id": attempt_id, "from": attempt.driver, "to": driver});
                attempt.driver = driver;
                next.run.token += 1;
                next.event(EventKind::AttemptAdopted, Level::Warn, data);
            }
            _ => return Err(Refusal::NotLive),
        },
        Command::Finish {
            token,
            verdict,
            usage,
            isolation,
            exit_code,
        } => {
            next.require_token(token)?;
            next.run.usage = next.run.usage.plus(usage);
            next.run.isolation = std::mem::take(&mut next.run.isolation).and(&isolation);
            next.finish(verdict, exit_code);
        }
        Command::Skip { reason } => {
            if run.status != RunStatus::Queued || run.attempts > 0 {
                return Err(Refusal::Begun);
            }
            next.end_with(
                Failure {
                    class: FailureClass::Overlap,
                    code: ErrorCode::Overlap,
                    reason,
                    step: None,
                    exit_code: None,
                    signal: None,
                },
                Level::Warn,
            );
        }
        Command::Decide { request, choice } => next.decide(*request, choice)?,
        Command::Lapse { request } => next.lapse(*request),
        Command::Cancel {
            kind,
            actor,
            reason,
        } => next.cancel(kind, actor, reason),
    }
    if !next.events.is_empty() {
        next.run.version += 1;
    }
    Ok(Applied {
        run: next.run,
        events: next.events,
        effects: next.effects,
        approvals: next.approvals,
    })
}

/// What an executor's handle says of GPUs that were asked for before the one it got: members `gpu` and
/// `gpu_passed_over`, a list. Nothing where the first choice came, or GPUs are not spoken of.
fn gpu_fallback(handle: &Handle) -> Option<Value> {
    let passed_over = handle
        .data
        .get("gpu_passed_over")?
        .as_array()
        .filter(|list| !list.is_empty())?;
    let attempt_id = handle.attempt_id;
    let got = handle.data.get("gpu");
    Some(json!({"attempt_id": attempt_id, "passed_over": passed_over, "got": got}))
}

/// The run being changed, with what the change gives rise to. How it moves through a workflow is in
/// [`passage`](super::passage), how requests are decided in [`decide`](super::decide).
pub(super) struct Draft<'w> {
    pub(super) run: Run,
    pub(super) workflow: Option<&'w Workflow>,
    pub(super) now: Timestamp,
    pub(super) events: Vec<NewEvent>,
    pub(super) effects: Vec<Effect>,
    pub(super) approvals: Vec<ApprovalRequest>,
}

impl Draft<'_> {
    pub(super) fn event(&mut self, kind: EventKind, level: Level, data: Value) {
        self.events.push(NewEvent { kind, level, data });
    }

    /// A write is current only while its attempt is alive under its token.
    fn require_token(&self, token: u64) -> Result<(), Refusal> {
        if self.run.attempt.is_some() && self.run.token == token {
            Ok(())
        } else {
            Err(Refusal::Stale)
        }
    }

    fn claim(&mut self, attempt_id: crate::ids::AttemptId, driver: crate::ids::DriverId) {
        let run = &mut self.run;
        let first = run.started_at.is_none();
        run.token += 1;
        run.attempts += 1;
        run.due_at = None;
        run.status = RunStatus::Running;
        run.started_at.get_or_insert(self.now);
        let mut number = 1;
        let mut step_name = String::new();
        if let Some(step) = run.steps.get_mut(run.step) {
            step.attempts += 1;
            number = step.attempts;
            step_name.clone_from(&step.name);
        }
        run.attempt = Some(LiveAttempt {
            id: attempt_id,
            number,
            driver,
            handle: None,
            told: 0,
        });
        if first {
            self.event(EventKind::RunStarted, Level::Info, json!({}));
        }
        let data = json!({"attempt_id": attempt_id, "step": step_name, "number": number});
        self.event(EventKind::AttemptClaimed, Level::Info, data);
    }

    fn finish(&mut self, verdict: Verdict, exit_code: Option<i32>) {
        let verdict = self.held_to_the_workflow(verdict);
        let attempt = self.run.attempt.take();
        if let Some(step) = self.run.steps.get_mut(self.run.step) {
            step.exit_code = exit_code;
            let (level, class) = match &verdict {
                Verdict::Success { .. } => (Level::Info, None),
                Verdict::Failure(failure) => (Level::Warn, Some(failure.class)),
            };
            let data = json!({
                "attempt_id": attempt.as_ref().map(|a| a.id),
                "step": step.name,
                "number": attempt.as_ref().map(|a| a.number),
                "exit_code": exit_code,
                "class": class,
            });
            self.event(EventKind::AttemptEnded, level, data);
        }
        // A wish to end the run wins over whatever the attempt came to: nothing of it is exported.
        if let Some(wish) = self.run.cancel.clone() {
            self.end_on_request(&wish);
            return;
        }
        match verdict {
            Verdict::Success {
                data,
                outputs,
                transaction_count,
            } => {
                if let Some(step) = self.run.steps.get_mut(self.run.step) {
                    step.done = true;
                    step.data = data;
                    step.outputs = outputs;
                    let event = json!({"step": step.name, "outputs": step.outputs.len()});
                    self.event(EventKind::StepDone, Level::Info, event);
                }
                if transaction_count.is_some() {
                    self.run.transaction_count = transaction_count;
                }
                match (self.workflow, &self.run.flow) {
                    (Some(workflow), Some(_)) => self.leave_step(workflow),
                    // The verdict would be a failure, had the workflow not been there.
                    (_, _) => self.next_in_order(),
                }
            }
            Verdict::Failure(failure) => match self.retry_delay(&failure) {
                Some(delay) => self.schedule_retry(&failure, delay),
                None => self.end_in_failure(failure),
            },
        }
    }

    /// The step after this one, or the end: the way of a job without a workflow.
    fn next_in_order(&mut self) {
        self.run.step += 1;
        if self.run.step < self.run.steps.len() {
            self.run.due_at = Some(self.now);
        } else {
            self.end_in_success();
        }
    }

    /// How long to wait before the next attempt, or `None` when the matrix or the step forbids one.
    fn retry_delay(&self, failure: &Failure) -> Option<Duration> {
        let step = self.run.steps.get(self.run.step)?;
        // A step that a workflow comes back to has its retries anew.
        let made = step.attempts.saturating_sub(step.attempts_before);
        let attempts_left = (step.retries.max + 1).saturating_sub(made);
        let configured = step.retries.on.contains(&failure.class);
        let allowed = configured
            && failure
                .class
                .rule()
                .retry
                .allows(step.idempotent, attempts_left);
        allowed.then(|| step.retries.delay(made))
    }

    fn schedule_retry(&mut self, failure: &Failure, delay: Duration) {
        let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::ZERO);
        let due_at = self.now.checked_add(delay).unwrap_or(self.now);
        self.run.due_at = Some(due_at);
        let data = json!({"class": failure.class, "reason": failure.reason, "due_at": due_at});
        self.event(EventKind::RetryScheduled, Level::Warn, data);
    }

    pub(super) fn end_in_success(&mut self) {
        self.effects.push(Effect::Source { class: None });
        if self
            .run
            .steps
            .iter()
            .any(|step| step.outputs.iter().any(|o| o.export))
        {
            self.effects.push(Effect::Export);
        }
        self.end(RunStatus::Success, Level::Info);
    }

    pub(super) fn end_in_failure(&mut self, failure: Failure) {
        self.end_with(failure, Level::Error);
    }

    fn cancel(&mut self, kind: CancelKind, actor: String, reason: String) {
        // A stop outranks a cancellation that is still under way; everything else is a repetition.
        let known = self.run.cancel.as_ref().map(|wish| wish.kind);
        let repeats = known == Some(kind) || known == Some(CancelKind::Killed);
        if self.run.status.is_terminal() || repeats {
            return;
        }
        let wish = CancelRequest {
            kind,
            actor,
            reason,
            at: self.now,
        };
        let data = json!({"kind": kind, "actor": wish.actor, "reason": wish.reason});
        self.event(EventKind::CancelRequested, Level::Warn, data);
        self.run.cancel = Some(wish.clone());
        if self.run.attempt.is_none() {
            self.end_on_request(&wish);
        }
    }

    fn end_on_request(&mut self, wish: &CancelRequest) {
        let (class, code) = match wish.kind {
            CancelKind::Cancelled => (FailureClass::Cancelled, ErrorCode::Cancelled),
            CancelKind::Killed => (FailureClass::Stopped, ErrorCode::Stopped),
        };
        // A run that waits at a gate is at no step.
        let step = self
            .run
            .steps
            .get(self.run.step)
            .filter(|_| self.run.status != RunStatus::AwaitingApproval);
        let failure = Failure {
            class,
            code,
            reason: wish.reason.clone(),
            step: step.map(|step| step.name.clone()),
            exit_code: None,
            signal: None,
        };
        self.end_with(failure, Level::Warn);
    }

    /// Ends the run by the failure matrix (D-RUN-7).
    pub(super) fn end_with(&mut self, failure: Failure, level: Level) {
        let rule = failure.class.rule();
        let occurrence = FailureOccurrence {
            retried: false,
            egress: failure.code == ErrorCode::Egress,
            in_a_row: 1,
            repeats: 0,
        };
        self.effects.push(Effect::Source {
            class: Some(failure.class),
        });
        if rule.outputs != OutputsRule::None && self.run.attempts > 0 {
            self.effects.push(Effect::Archive);
        }
        if let Some(alert) = rule.alert.level(occurrence) {
            self.effects.push(Effect::Alert {
                class: failure.class,
                level: alert,
            });
        }
        self.run.failure = Some(failure);
        self.end(rule.run, level);
    }

    fn end(&mut self, status: RunStatus, level: Level) {
        self.withdraw_open_request();
        self.run.status = status;
        self.run.ended_at = Some(self.now);
        self.run.due_at = None;
        self.effects.push(Effect::Summarise);
        let failure = self.run.failure.as_ref();
        let data = json!({
            "status": status,
            "class": failure.map(|f| f.class),
            "code": failure.map(|f| f.code),
            "reason": failure.map(|f| f.reason.clone()),
        });
        self.event(EventKind::RunEnded, level, data);
    }
}
