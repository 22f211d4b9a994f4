//! Runs through workflows, as the store walks them.

mod decisions;
mod lapses;
mod random;
mod steps;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::tests::queued;
use super::*;
use crate::approval::{ApprovalRequest, ApprovalStatus, Choice};
use crate::ids::ApprovalId;
use crate::principal::Role;
use crate::spec::{self, JobSpec};
use crate::workflow::{Flow, render};

/// A job with a plan, a gate over it, a launch that the gate permits, and a gate that may decide by itself.
pub(super) fn job() -> Value {
    json!({
        "job_id": "j",
        "params": {"idea": "ferries"},
        "steps": [
            {"name": "plan", "argv": ["./plan", "{{idea}}"], "retries": {"max": 1}},
            {"name": "launch", "argv": ["./launch"], "retries": {"max": 1}},
            {"name": "report", "argv": ["./report"]},
        ],
        "workflow": {
            "phases": [{"name": "discovery"}, {"name": "launch"}],
            "state": {"segment": "islands"},
            "steps": {
                "plan": {"phase": "discovery", "uses": ["idea", "segment"], "produces": ["plan"],
                         "then": "approve_plan"},
                "launch": {"phase": "launch", "uses": ["plan"], "produces": ["evidence"],
                           "needs_approval": "approve_plan", "then": {
                    "routes": [{"when": [{"evidence": "/evidence/resonance", "is": "less_than", "value": 0.3}],
                                "to": "approve_plan"}],
                    "otherwise": "check_cost"}},
            },
            "gates": [
                {"name": "approve_plan", "phase": "discovery", "title": "Is this the plan?",
                 "description": "It is what is launched.", "context": ["plan", "evidence"],
                 "recommended": "approved", "expires_after_seconds": 1000, "reminders": [100, 200, 300],
                 "options": [
                    {"name": "approved", "to": "launch"},
                    {"name": "iterate", "to": "plan", "iterate": true, "invalidates": ["plan"]},
                    {"name": "custom", "to": "plan", "pivot": true, "must_change": ["segment"],
                     "sets": {"segment": {"input": "Which one"}}, "invalidates": ["plan"]},
                    {"name": "rejected", "to": "reject", "feedback": "required"},
                 ]},
                {"name": "check_cost", "phase": "launch", "title": "Is it worth it?",
                 "automatic": {"rules": [
                    {"when": [{"evidence": "/evidence/cost", "is": "equal", "value": 0}], "choose": "yes"}]},
                 "options": [{"name": "yes", "to": "report"}, {"name": "no", "to": "reject"}]},
            ],
        },
    })
}

/// A run with its requests, changed by commands as a store changes them.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    pub(super) spec: JobSpec,
    pub(super) run: Run,
    pub(super) requests: BTreeMap<ApprovalId, ApprovalRequest>,
    pub(super) now: Timestamp,
    commands: u128,
}

impl Walk {
    pub(super) fn of(document: &Value) -> Self {
        let spec = spec::from_value(document.clone()).unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut run = queued(spec.steps().len(), 0);
        for (step, declared) in run.steps.iter_mut().zip(spec.effective_steps()) {
            step.name.clone_from(&declared.step.name);
            step.retries = declared.retries;
        }
        let (flow, index) = Flow::start(&spec, &spec.params, now).unwrap();
        run.flow = Some(Box::new(flow));
        run.step = index;
        Self {
            spec,
            run,
            requests: BTreeMap::new(),
            now,
            commands: 0,
        }
    }

    pub(super) fn pass(&mut self, seconds: i64) {
        self.now = self
            .now
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap();
    }

    pub(super) fn flow(&self) -> &Flow {
        self.run.flow.as_ref().unwrap()
    }

    pub(super) fn try_command(&mut self, command: Command) -> Result<Applied, Refusal> {
        let applied = apply_in(&self.run, self.spec.workflow.as_ref(), command, self.now)?;
        self.run = applied.run.clone();
        for request in &applied.approvals {
            self.requests.insert(request.id, request.clone());
        }
        for effect in &applied.effects {
            if let Effect::Withdraw { approval } = effect {
                let request = self.requests.remove(approval).unwrap();
                self.requests.insert(*approval, request.withdrawn());
            }
        }
        self.holds();
        Ok(applied)
    }

    pub(super) fn command(&mut self, command: Command) -> Applied {
        self.try_command(command).unwrap()
    }

    pub(super) fn claim(&mut self) {
        self.commands += 1;
        self.command(Command::Claim {
            attempt_id: AttemptId::new(Uuid::from_u128(self.commands)),
            driver: DriverId::new(Uuid::from_u128(1)),
        });
    }

    /// One attempt of the step that is due, and what it comes to.
    pub(super) fn attempt(&mut self, verdict: Verdict) -> Applied {
        self.claim();
        self.command(Command::Finish {
            token: self.run.token,
            verdict,
            usage: Usage::default(),
            isolation: Isolation::default(),
            exit_code: Some(0),
        })
    }

    /// The step that is due succeeds with this result.
    pub(super) fn step(&mut self, name: &str, data: Value) -> Applied {
        assert_eq!(self.run.current_step().unwrap().name, name);
        self.attempt(Verdict::Success {
            data,
            outputs: Vec::new(),
            transaction_count: None,
        })
    }

    pub(super) fn open(&self) -> ApprovalRequest {
        self.requests[&self.flow().open.expect("no request is open")].clone()
    }

    pub(super) fn choose(&mut self, choice: Choice) -> Result<Applied, Refusal> {
        let request = Box::new(self.open());
        self.try_command(Command::Decide { request, choice })
    }

    pub(super) fn decide(&mut self, option: &str) -> Applied {
        self.choose(choice(option)).unwrap()
    }

    pub(super) fn lapse(&mut self) -> Applied {
        let request = Box::new(self.open());
        self.command(Command::Lapse { request })
    }

    /// What holds after every command, whatever came before.
    fn holds(&self) {
        let (run, flow) = (&self.run, self.flow());
        let pending: Vec<ApprovalId> = self
            .requests
            .values()
            .filter(|request| request.status == ApprovalStatus::Pending)
            .map(|request| request.id)
            .collect();
        // At most one request is open, and the run waits for it alone.
        assert_eq!(pending, Vec::from_iter(flow.open), "{run:?}");
        let waits = run.status == RunStatus::AwaitingApproval;
        assert_eq!(waits, flow.open.is_some());
        if waits {
            assert_eq!((run.attempt.as_ref(), run.due_at), (None, None));
        }
        assert_eq!(run.status.is_terminal(), run.ended_at.is_some());
        if !waits && !run.status.is_terminal() {
            assert!(run.attempt.is_some() ^ run.due_at.is_some());
            // What the step uses is there, as it was promised when the workflow was loaded.
            let step = &self.spec.steps()[run.step];
            assert_eq!(step.name, flow.at);
            let declared = self.spec.workflow.as_ref().unwrap().steps.get(&step.name);
            for key in declared.iter().flat_map(|declared| &declared.uses) {
                assert!(flow.state.contains_key(key), "{key} {flow:?}");
            }
            for arg in &step.argv {
                render(arg.as_bytes(), &flow.state).unwrap();
            }
        }
        assert!(flow.state.values().all(|value| !value.is_null()));
        assert_eq!(self.requests.len(), usize::try_from(flow.requests).unwrap());
    }
}

pub(super) fn choice(option: &str) -> Choice {
    Choice {
        option: option.to_owned(),
        by: "human:grace".parse().unwrap(),
        role: Role::Approver,
        feedback: None,
        input: Map::new(),
        idempotency_key: None,
        version: None,
    }
}

pub(super) fn kinds(applied: &Applied) -> Vec<&'static str> {
    applied.events.iter().map(|e| e.kind.as_str()).collect()
}

/// Code, rule and message of a refusal.
pub(super) fn denied<T: std::fmt::Debug>(
    refused: Result<T, Refusal>,
) -> (ErrorCode, String, String) {
    match refused.unwrap_err() {
        Refusal::Denied(denial) => (denial.code, denial.rule, denial.message),
        other => panic!("{other:?}"),
    }
}
