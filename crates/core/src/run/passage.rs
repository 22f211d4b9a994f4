//! How a run moves through its workflow: from a step to the node after it, and through gates that choose by
//! themselves, until it comes to a step that is due, a gate that waits, or its end.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::machine::Draft;
use super::{Effect, Failure, RunStatus, Verdict};
use crate::approval::{ApprovalRequest, ApprovalStatus};
use crate::error_code::{ErrorCode, FailureClass};
use crate::event::{EventKind, Level};
use crate::ids::ApprovalId;
use crate::principal::{Principal, PrincipalKind, Role};
use crate::workflow::route::Taken;
use crate::workflow::{END, Gate, Passage, REJECT, Then, Workflow};

/// How many nodes a run comes to in one transition, at most. A workflow that was checked never comes near it.
const MAX_PASSAGES: u32 = 10_000;

/// A node to go to, and why.
pub(super) struct Way {
    pub(super) to: String,
    pub(super) because: Option<String>,
}

impl Draft<'_> {
    /// A success that breaks what the workflow says of the step is none (D-FLOW-2). Nothing to do for a run
    /// without a workflow.
    pub(super) fn held_to_the_workflow(&self, verdict: Verdict) -> Verdict {
        let (Some(_), Verdict::Success { data, .. }) = (&self.run.flow, &verdict) else {
            return verdict;
        };
        let Some(workflow) = self.workflow else {
            let reason = "the workflow of the run can not be read, so nothing decides what comes next (D-FLOW-7)";
            return Verdict::failure(FailureClass::Config, ErrorCode::Config, reason);
        };
        let step = self
            .run
            .current_step()
            .map_or("", |step| step.name.as_str());
        let produces = workflow
            .steps
            .get(step)
            .map_or(&[][..], |flow| flow.produces.as_slice());
        let invalid = |reason: String| {
            Verdict::failure(FailureClass::Validation, ErrorCode::Validation, reason)
        };
        if !data.is_object() && !data.is_null() {
            return invalid(
                "the `data` of its result is no object, as a step of a workflow gives (D-FLOW-2)"
                    .to_owned(),
            );
        }
        let left_out: Vec<String> = produces
            .iter()
            .filter(|key| data.get(key).is_none_or(serde_json::Value::is_null))
            .map(|key| format!("`{key}`"))
            .collect();
        if left_out.is_empty() {
            return verdict;
        }
        let left_out = left_out.join(", ");
        invalid(format!(
            "its result leaves out what the workflow says that it produces: {left_out} (D-FLOW-2)"
        ))
    }

    /// The step is done: its result is part of the state, and the run goes on by the graph.
    pub(super) fn leave_step(&mut self, workflow: &Workflow) {
        let Some(step) = self.run.steps.get(self.run.step) else {
            return;
        };
        let name = step.name.clone();
        let after = self.run.steps.get(self.run.step + 1);
        let after = after.map_or(END, |step| step.name.as_str()).to_owned();
        let Some(flow) = &mut self.run.flow else {
            return;
        };
        flow.permit = None;
        if let Some(data) = step.data.as_object() {
            flow.merge(data);
        }
        let then = workflow.steps.get(&name).and_then(|s| s.then.as_ref());
        let way = match then {
            None => Ok(Way {
                to: after,
                because: None,
            }),
            Some(Then::To(to)) => Ok(Way {
                to: to.clone(),
                because: None,
            }),
            Some(Then::By(routes)) => match routes.take(&flow.state) {
                Taken::To { node, because } => Ok(Way {
                    to: node.to_owned(),
                    because: Some(because),
                }),
                Taken::Missing {
                    evidence,
                    on_missing: Some(to),
                } => Ok(Way {
                    to: to.to_owned(),
                    because: Some(format!("nothing at {}", evidence.join(", "))),
                }),
                Taken::Missing {
                    evidence,
                    on_missing: None,
                } => Err(evidence.join(", ")),
            },
        };
        match way {
            Ok(way) => self.go(workflow, way),
            Err(missing) => {
                let reason = format!(
                    "no evidence, or none that can be compared, at {missing}: it decides what comes \
                     after `{name}` (D-FLOW-7)"
                );
                self.end_in_failure(Failure {
                    step: Some(name),
                    ..failure(FailureClass::Validation, reason)
                });
            }
        }
    }

    /// Goes to a node, and on through gates that choose by themselves.
    pub(super) fn go(&mut self, workflow: &Workflow, way: Way) {
        let mut next = Some(way);
        for _ in 0..MAX_PASSAGES {
            match next {
                Some(way) => next = self.come_to(workflow, way),
                None => return,
            }
        }
        let reason = "the gates of the workflow choose by themselves without end (D-FLOW-7)";
        self.end_in_failure(failure(FailureClass::Config, reason.to_owned()));
    }

    /// Comes to a node. Returns the way on, where nothing holds the run there.
    fn come_to(&mut self, workflow: &Workflow, way: Way) -> Option<Way> {
        let Way { to, because } = way;
        let now = self.now;
        if let Some(flow) = &mut self.run.flow {
            let visits = flow.visits.entry(to.clone()).or_default();
            *visits = visits.saturating_add(1);
            flow.at.clone_from(&to);
            flow.path.push(Passage {
                node: to.clone(),
                at: now,
                because: because.clone(),
            });
        }
        if to == END {
            self.end_in_success();
        } else if to == REJECT {
            let reason = because.unwrap_or_else(|| "the workflow rejects it".to_owned());
            self.end_with(failure(FailureClass::Rejected, reason), Level::Warn);
        } else if let Some(gate) = workflow.gate(&to) {
            return self.ask(workflow, gate);
        } else if let Some(index) = self.run.steps.iter().position(|step| step.name == to) {
            self.enter_step(workflow, index);
        } else {
            let reason = format!("the workflow leads to `{to}`, which is no node of it (D-FLOW-7)");
            self.end_in_failure(failure(FailureClass::Config, reason));
        }
        None
    }

    /// A step is due, with its retries anew. One that needs an approval uses up the decision that permits it
    /// (D-FLOW-7): its attempts of this visit are all under that one decision, and without it none is claimed.
    fn enter_step(&mut self, workflow: &Workflow, index: usize) {
        let (Some(step), Some(flow)) = (self.run.steps.get_mut(index), &mut self.run.flow) else {
            return;
        };
        let needs = workflow
            .steps
            .get(&step.name)
            .and_then(|flow| flow.needs_approval.as_ref());
        if let Some(gate) = needs {
            let Some(at) = flow.grants.iter().position(|grant| grant.gate == *gate) else {
                let reason = format!(
                    "step `{}` needs an approval of the gate `{gate}` that was not used yet, and there is \
                     none (D-FLOW-7)",
                    step.name
                );
                let step = Some(step.name.clone());
                let failure = failure(FailureClass::Policy, reason);
                self.end_in_failure(Failure { step, ..failure });
                return;
            };
            flow.permit = Some(flow.grants.remove(at));
        }
        step.attempts_before = step.attempts;
        step.done = false;
        self.run.step = index;
        self.run.status = RunStatus::Running;
        self.run.due_at = Some(self.now);
    }

    /// Comes to a gate: a rule of it chooses, or a request is opened and the run waits (D-FLOW-3).
    fn ask(&mut self, workflow: &Workflow, gate: &Gate) -> Option<Way> {
        let request = self.request(workflow, gate)?;
        let flow = self.run.flow.as_mut()?;
        let iterated = flow.iterations.get(&gate.name).copied().unwrap_or(0);
        let offered = gate.offered(&flow.state, iterated);
        if offered.is_empty() {
            let reason = format!("the gate `{}` has no option to offer (D-FLOW-1)", gate.name);
            self.end_in_failure(failure(FailureClass::Config, reason));
            return None;
        }
        flow.requests += 1;
        if let Some((option, because)) = gate.chooses(&offered, &flow.state) {
            return Some(self.choose_by_rule(workflow, option, request, &because));
        }
        flow.open = Some(request.id);
        self.run.status = RunStatus::AwaitingApproval;
        self.run.due_at = None;
        let options: Vec<&str> = request.options.iter().map(|o| o.name.as_str()).collect();
        let data = json!({
            "approval_id": request.id,
            "checkpoint": request.checkpoint,
            "phase": request.phase,
            "phase_name": request.phase_name,
            "title": request.title,
            "options": options,
            "recommended": request.recommended,
            "iteration": request.iteration,
            "expires_at": request.expires_at,
        });
        self.event(EventKind::ApprovalRequested, Level::Info, data);
        self.approvals.push(request);
        None
    }

    /// What a gate asks now.
    fn request(&self, workflow: &Workflow, gate: &Gate) -> Option<ApprovalRequest> {
        let run = &self.run;
        let flow = run.flow.as_ref()?;
        let state = &flow.state;
        let iterated = flow.iterations.get(&gate.name).copied().unwrap_or(0);
        let offered = gate.offered(state, iterated);
        let phase = workflow.phase_of(&gate.name);
        let context = gate.context.iter();
        let context = context.filter_map(|key| Some((key.clone(), state.get(key)?.clone())));
        let visits = flow.visits.get(&gate.name).copied().unwrap_or(1);
        let starter = || {
            // An actor that is no principal is a name of the machine's.
            let named = |_| Principal::named(PrincipalKind::Human, &run.actor);
            run.actor.parse().unwrap_or_else(named)
        };
        Some(ApprovalRequest {
            id: ApprovalId::derived(self.now, run.id, flow.requests),
            run_id: run.id,
            job_id: run.job_id.clone(),
            lane: run.lane.clone(),
            checkpoint: gate.name.clone(),
            phase: phase.map(|(number, _)| number),
            phase_name: phase.map(|(_, phase)| phase.name.clone()),
            title: gate.title.clone(),
            description: gate.description.clone(),
            context: context.collect(),
            options: offered.iter().map(|option| option.offer()).collect(),
            recommended: gate.recommends(&offered, state),
            evidence: gate.readings(state),
            iteration: visits.saturating_sub(1),
            status: ApprovalStatus::Pending,
            version: 1,
            opened_at: self.now,
            expires_at: later(self.now, gate.expires_after_seconds),
            on_expiry: gate.on_expiry,
            overdue: false,
            reminders: gate
                .reminders
                .iter()
                .map(|seconds| later(self.now, *seconds))
                .collect(),
            reminded: 0,
            least_role: gate.least_role.unwrap_or(Role::Approver),
            not_by: gate.two_person.then(starter),
            decision: None,
        })
    }

    /// The run is over: whatever it waited for is asked no more.
    pub(super) fn withdraw_open_request(&mut self) {
        let Some(flow) = &mut self.run.flow else {
            return;
        };
        let Some(approval) = flow.open.take() else {
            return;
        };
        let data = json!({"approval_id": approval, "checkpoint": flow.at});
        self.event(EventKind::ApprovalWithdrawn, Level::Info, data);
        self.effects.push(Effect::Withdraw { approval });
    }
}

/// A failure of the run itself, at no step.
pub(super) fn failure(class: FailureClass, reason: String) -> Failure {
    Failure {
        class,
        code: ErrorCode::of_class(class),
        reason,
        step: None,
        exit_code: None,
        signal: None,
    }
}

/// So many seconds after a time; the last of times where there is none.
fn later(at: Timestamp, seconds: u64) -> Timestamp {
    let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    at.checked_add(seconds).unwrap_or(Timestamp::MAX)
}
