//! Deciding the request that a run waits for, and what happens when nobody does (D-FLOW-4 to D-FLOW-7).
//!
//! A request is closed once: by a decision, its expiry, a rule of its gate, or the end of its run. Whatever
//! comes after is refused, unless it is the very same decision again, which is answered from what is stored.

use serde_json::{Map, Value, json};

use super::machine::Draft;
use super::passage::{Way, failure};
use super::{Effect, Refusal, RunStatus};
use crate::approval::{
    ApprovalRequest, ApprovalStatus, Choice, Decision, DecisionOutcome, OfferedOption,
};
use crate::denial::Denial;
use crate::error_code::{AlertLevel, ErrorCode, FailureClass};
use crate::event::{EventKind, Level};
use crate::principal::Principal;
use crate::workflow::{ExpiryPolicy, FeedbackRule, GateOption, Grant, REJECT, StepFlow, Workflow};

impl Draft<'_> {
    /// Somebody decides (D-FLOW-4). The same decision again is accepted and changes nothing (L34).
    pub(super) fn decide(
        &mut self,
        request: ApprovalRequest,
        choice: Choice,
    ) -> Result<(), Refusal> {
        if request.run_id != self.run.id {
            return Err(conflict("the request is of another run".to_owned()));
        }
        may_decide(&request, &choice)?;
        if is_repeated(&request, &choice) {
            return Ok(());
        }
        self.is_open(&request)?;
        if choice.version.is_some_and(|seen| seen != request.version) {
            let message = format!(
                "the request has changed: it is at version {}",
                request.version
            );
            return Err(conflict(message));
        }
        let Some(workflow) = self.workflow else {
            return Err(unreadable());
        };
        let (option, values) = self.chosen(workflow, &request, &choice)?;
        let words = |text: String| Some(text).filter(|text| !text.trim().is_empty());
        let decision = Decision {
            option: choice.option,
            by: choice.by,
            at: self.now,
            feedback: choice.feedback.and_then(words),
            input: choice.input,
            idempotency_key: choice.idempotency_key,
            outcome: option.outcome(),
            next: option.to.clone(),
            next_phase: workflow.phase_of(&option.to).map(|(number, _)| number),
        };
        let way = self.close(workflow, option, request, decision, values);
        self.go(workflow, way);
        Ok(())
    }

    /// A rule of a gate chooses (D-FLOW-7): as a decision of Moorline's own, in the same transition.
    pub(super) fn choose_by_rule(
        &mut self,
        workflow: &Workflow,
        option: &GateOption,
        request: ApprovalRequest,
        because: &str,
    ) -> Way {
        let state = self.run.flow.as_ref().map(|flow| &flow.state);
        let values = state.map_or_else(Map::new, |state| option.values(state, &Map::new()));
        let decision = Decision {
            option: option.name.clone(),
            by: Principal::system(),
            at: self.now,
            feedback: None,
            input: Map::new(),
            idempotency_key: None,
            outcome: option.outcome(),
            next: option.to.clone(),
            next_phase: workflow.phase_of(&option.to).map(|(number, _)| number),
        };
        let way = self.close(workflow, option, request, decision, values);
        Way {
            because: Some(format!("`{}` by rule: {because}", option.name)),
            ..way
        }
    }

    /// Closes a request with a decision: state, iterations and grants follow from the option. Returns the way
    /// that it opens.
    fn close(
        &mut self,
        workflow: &Workflow,
        option: &GateOption,
        mut request: ApprovalRequest,
        decision: Decision,
        values: Map<String, Value>,
    ) -> Way {
        let by = decision.by.to_string();
        let gate = request.checkpoint.clone();
        if let Some(flow) = &mut self.run.flow {
            flow.open = None;
            option.apply(&mut flow.state, values);
            if option.iterate {
                let count = flow.iterations.entry(gate.clone()).or_default();
                *count = count.saturating_add(1);
            }
            // A gate that is decided again takes back what it permitted before.
            flow.grants.retain(|grant| grant.gate != gate);
            let needed = |step: &StepFlow| step.needs_approval.as_ref() == Some(&gate);
            if option.approves() && workflow.steps.values().any(needed) {
                flow.grants.push(Grant {
                    gate: gate.clone(),
                    request: request.id,
                    by: by.clone(),
                });
            }
        }
        let data = json!({
            "approval_id": request.id,
            "checkpoint": gate,
            "option": option.name,
            "outcome": decision.outcome,
            "by": by,
            "next": decision.next,
            "next_phase": decision.next_phase,
        });
        let (status, level) = match decision.outcome {
            DecisionOutcome::Rejected => (ApprovalStatus::Rejected, Level::Warn),
            _ if decision.by.is_human() => (ApprovalStatus::Approved, Level::Info),
            _ => (ApprovalStatus::AutoApproved, Level::Info),
        };
        self.event(EventKind::ApprovalDecided, level, data);
        request.status = status;
        request.version += 1;
        request.reminders.clear();
        request.decision = Some(decision);
        self.approvals.push(request);
        let because = if option.to == REJECT {
            format!("rejected at the gate `{gate}` by {by}")
        } else {
            format!("`{}` by {by}", option.name)
        };
        Way {
            to: option.to.clone(),
            because: Some(because),
        }
    }

    /// Whether the run waits for this request, and its time is not over.
    fn is_open(&self, request: &ApprovalRequest) -> Result<(), Refusal> {
        let gate = &request.checkpoint;
        match (request.status, &request.decision) {
            (ApprovalStatus::Pending, _) => {}
            (ApprovalStatus::Expired, _) => return Err(expired(request)),
            (ApprovalStatus::Withdrawn, _) => {
                return Err(conflict(format!(
                    "the run ended before `{gate}` was decided"
                )));
            }
            (_, Some(decision)) => {
                return Err(conflict(format!(
                    "`{gate}` was decided already: `{}` by {} at {}",
                    decision.option, decision.by, decision.at
                )));
            }
            (status, None) => {
                return Err(conflict(format!("`{gate}` is {} already", status.as_str())));
            }
        }
        let open = self.run.flow.as_ref().and_then(|flow| flow.open);
        if open != Some(request.id) || self.run.status != RunStatus::AwaitingApproval {
            return Err(conflict(format!("the run does not wait for `{gate}`")));
        }
        // Nobody has to have looked: a request is over when its time is.
        if self.now >= request.expires_at && request.on_expiry != ExpiryPolicy::Hold {
            return Err(expired(request));
        }
        Ok(())
    }

    /// The option that was chosen, with what it sets, if it can be taken as it was asked for.
    fn chosen<'w>(
        &self,
        workflow: &'w Workflow,
        request: &ApprovalRequest,
        choice: &Choice,
    ) -> Result<(&'w GateOption, Map<String, Value>), Refusal> {
        let gate = workflow.gate(&request.checkpoint).ok_or_else(unreadable)?;
        let flow = self.run.flow.as_ref().ok_or_else(unreadable)?;
        let name = &choice.option;
        let option = gate.option(name);
        let iterated = flow.iterations.get(&gate.name).copied().unwrap_or(0);
        let why_not = option.and_then(|option| gate.why_not(option, &flow.state, iterated));
        if let Some(why) = why_not {
            return Err(conflict(format!(
                "the option `{name}` is not offered: {why}"
            )));
        }
        let offer = request.options.iter().find(|offer| offer.name == *name);
        let (Some(option), Some(offer)) = (option, offer) else {
            let known: Vec<&str> = request.options.iter().map(|o| o.name.as_str()).collect();
            let message = format!("`{}` does not offer such an option", request.checkpoint);
            let denial = Denial::new(ErrorCode::Inputs, "D-FLOW-4", message);
            return Err(denied(
                denial.hint(format!("choose one of: {}", known.join(", "))),
            ));
        };
        has_what_it_asks_for(offer, choice)?;
        let values = option.values(&flow.state, &choice.input);
        if !option.changes(&flow.state, &values) {
            let message = format!(
                "`{name}` must change {}, and what was given is there already",
                option.must_change.join(" or ")
            );
            let denial = Denial::new(ErrorCode::Inputs, "D-FLOW-5", message);
            return Err(denied(
                denial.hint("give another value, or choose another option"),
            ));
        }
        Ok((option, values))
    }

    /// The expiry or a reminder of a request is due (D-FLOW-6). What is not due, and what is closed, stays as
    /// it is. Reminders that came due together are one.
    pub(super) fn lapse(&mut self, mut request: ApprovalRequest) {
        let open = self.run.flow.as_ref().and_then(|flow| flow.open);
        let waits = open == Some(request.id)
            && request.run_id == self.run.id
            && request.status == ApprovalStatus::Pending
            && !request.overdue;
        if !waits {
            return;
        }
        if self.now >= request.expires_at {
            self.expire(request);
            return;
        }
        let before = request.reminders.len();
        request.reminders.retain(|at| *at > self.now);
        let due = before - request.reminders.len();
        if due == 0 {
            return;
        }
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        request.reminded = request.reminded.saturating_add(due);
        let level = match request.reminded {
            0 | 1 => AlertLevel::Info,
            2 => AlertLevel::Warning,
            _ => AlertLevel::Critical,
        };
        self.remind(&request, level);
        let data = json!({
            "approval_id": request.id,
            "checkpoint": request.checkpoint,
            "reminder": request.reminded,
            "level": level,
            "expires_at": request.expires_at,
        });
        self.event(EventKind::ApprovalReminded, Level::Warn, data);
        self.approvals.push(request);
    }

    fn expire(&mut self, mut request: ApprovalRequest) {
        let gate = request.checkpoint.clone();
        let data = json!({
            "approval_id": request.id,
            "checkpoint": gate,
            "policy": request.on_expiry,
            "expires_at": request.expires_at,
        });
        self.event(EventKind::ApprovalExpired, Level::Warn, data);
        request.version += 1;
        request.reminders.clear();
        if request.on_expiry == ExpiryPolicy::Hold {
            request.overdue = true;
            self.remind(&request, AlertLevel::Critical);
            self.approvals.push(request);
            return;
        }
        request.status = ApprovalStatus::Expired;
        let class = match request.on_expiry {
            ExpiryPolicy::AutoReject => FailureClass::Rejected,
            ExpiryPolicy::Fail | ExpiryPolicy::Hold => FailureClass::Expired,
        };
        self.approvals.push(request);
        if let Some(flow) = &mut self.run.flow {
            flow.open = None;
        }
        let reason = format!("nobody decided at the gate `{gate}` in time (D-FLOW-6)");
        self.end_with(failure(class, reason), Level::Warn);
    }

    fn remind(&mut self, request: &ApprovalRequest, level: AlertLevel) {
        self.effects.push(Effect::Remind {
            approval: request.id,
            checkpoint: request.checkpoint.clone(),
            level,
            overdue: request.overdue,
        });
    }
}

/// Who may decide: a person, with the role that the gate asks for, and not the one who started the run where
/// two are asked for.
fn may_decide(request: &ApprovalRequest, choice: &Choice) -> Result<(), Refusal> {
    let gate = &request.checkpoint;
    let by = &choice.by;
    let forbidden = |message: String, hint: &str| {
        let denial = Denial::new(ErrorCode::Forbidden, "D-FLOW-4", message);
        Err(denied(denial.hint(hint)))
    };
    if !by.is_human() {
        let message = format!("{by} is no person, and only a person decides at a gate");
        return forbidden(message, "have a person decide");
    }
    if choice.role < request.least_role {
        let (role, least) = (choice.role, request.least_role);
        let message = format!("`{gate}` asks for the role {least}, and {by} is {role}");
        return forbidden(message, "ask someone who has that role");
    }
    if request.not_by.as_ref() == Some(by) {
        let message = format!("`{gate}` asks for two persons, and {by} started the run");
        return forbidden(message, "ask somebody else to decide");
    }
    Ok(())
}

/// Whether this very decision was taken: under the same key, for the same option, by the same person.
fn is_repeated(request: &ApprovalRequest, choice: &Choice) -> bool {
    request.decision.as_ref().is_some_and(|known| {
        choice.idempotency_key.is_some()
            && known.idempotency_key == choice.idempotency_key
            && known.option == choice.option
            && known.by == choice.by
    })
}

/// Whether a decision brings what its option asks for, and nothing else.
fn has_what_it_asks_for(offer: &OfferedOption, choice: &Choice) -> Result<(), Refusal> {
    let inputs = |message: String, hint: &str| {
        let denial = Denial::new(ErrorCode::Inputs, "D-FLOW-4", message);
        Err(denied(denial.hint(hint)))
    };
    let name = &offer.name;
    let words = choice.feedback.as_deref().unwrap_or_default().trim();
    if offer.feedback == FeedbackRule::Required && words.is_empty() {
        let message = format!("the option `{name}` wants words: say why");
        return inputs(message, "give `feedback`");
    }
    let missing = |key: &str| choice.input.get(key).is_none_or(Value::is_null);
    if let Some(input) = offer.inputs.iter().find(|input| missing(&input.key)) {
        let message = format!(
            "the option `{name}` asks for `{}`: {}",
            input.key, input.title
        );
        return inputs(message, "give it in `input`, under that key");
    }
    let known = |key: &String| offer.inputs.iter().any(|input| input.key == *key);
    if let Some(key) = choice.input.keys().find(|key| !known(key)) {
        let message = format!("the option `{name}` does not ask for `{key}`");
        return inputs(message, "leave it out of `input`");
    }
    Ok(())
}

fn denied(denial: Denial) -> Refusal {
    Refusal::Denied(Box::new(denial))
}

fn conflict(message: String) -> Refusal {
    let denial = Denial::new(ErrorCode::Conflict, "D-FLOW-4", message);
    denied(denial.hint("look at the request as it is now: `moorline approvals show`"))
}

fn expired(request: &ApprovalRequest) -> Refusal {
    let (gate, at) = (&request.checkpoint, request.expires_at);
    let message = format!("the time to decide `{gate}` was over at {at}");
    let denial = Denial::new(ErrorCode::Expired, "D-FLOW-6", message);
    denied(denial.hint(ErrorCode::Expired.info().hint))
}

/// L42: what can not be read decides nothing.
fn unreadable() -> Refusal {
    let message = "the workflow of the run can not be read, or has no such gate";
    let denial = Denial::new(ErrorCode::Config, "D-FLOW-7", message);
    denied(denial.hint("nothing was decided; restore the job's spec, or cancel the run"))
}
