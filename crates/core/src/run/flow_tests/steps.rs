//! From step to step: results, routes, retries, approvals that are used up.

use serde_json::{Value, json};

use super::{Walk, choice, job, kinds};
use crate::approval::ApprovalStatus;
use crate::error_code::{ErrorCode, FailureClass, RunStatus};
use crate::run::{Command, Effect, Verdict, apply};

#[test]
fn a_run_goes_from_step_to_gate_to_step_to_its_end() {
    let mut walk = Walk::of(&job());
    let came = walk.step("plan", json!({"plan": "by boat", "extra": 1}));
    assert_eq!(
        kinds(&came),
        ["attempt.ended", "step.done", "approval.requested"]
    );
    assert_eq!(came.effects, []);
    let request = walk.open();
    assert_eq!(came.approvals, std::slice::from_ref(&request));
    assert_eq!(
        (
            request.checkpoint.as_str(),
            request.phase,
            request.phase_name.as_deref()
        ),
        ("approve_plan", Some(0), Some("discovery"))
    );
    assert_eq!(
        Value::Object(request.context.clone()),
        json!({"plan": "by boat"})
    );
    let names: Vec<&str> = request.options.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["approved", "iterate", "custom", "rejected"]);
    assert_eq!((request.version, request.iteration), (1, 0));
    assert_eq!(request.recommended.as_deref(), Some("approved"));
    let gone = walk.decide("approved");
    assert_eq!(kinds(&gone), ["approval.decided"]);
    walk.step("launch", json!({"evidence": {"resonance": 0.3, "cost": 1}}));
    assert_eq!(walk.open().checkpoint, "check_cost");
    walk.decide("yes");
    // The last step has no result and no `then`.
    let over = walk.step("report", Value::Null);
    assert_eq!(kinds(&over), ["attempt.ended", "step.done", "run.ended"]);
    assert_eq!(
        over.effects,
        [Effect::Source { class: None }, Effect::Summarise]
    );
    assert_eq!(walk.run.status, RunStatus::Success);
    let path: Vec<&str> = walk.flow().path.iter().map(|p| p.node.as_str()).collect();
    assert_eq!(
        path,
        [
            "plan",
            "approve_plan",
            "launch",
            "check_cost",
            "report",
            "end"
        ]
    );
    let expected = json!({"idea": "ferries", "segment": "islands", "plan": "by boat", "extra": 1,
        "evidence": {"resonance": 0.3, "cost": 1}});
    assert_eq!(Value::Object(walk.flow().state.clone()), expected);
}

/// L40, through a run: the boundary itself is not below it.
#[test]
fn a_run_is_routed_at_the_exact_boundary() {
    for (resonance, gate) in [
        (json!(0.299_999_999_999_999_93), "approve_plan"),
        (json!(0.3), "check_cost"),
        (json!("0.30"), "check_cost"),
        (json!(0), "approve_plan"),
    ] {
        let mut walk = Walk::of(&job());
        walk.step("plan", json!({"plan": 1}));
        walk.decide("approved");
        walk.step("launch", json!({"evidence": {"resonance": resonance}}));
        assert_eq!(walk.open().checkpoint, gate, "{resonance}");
    }
}

/// L41: a route that lacks its evidence leads nowhere; `otherwise` is not for that.
#[test]
fn missing_evidence_fails_a_run_or_leads_where_the_routes_say() {
    let launched = |document: &Value| {
        let mut walk = Walk::of(document);
        walk.step("plan", json!({"plan": 1}));
        walk.decide("approved");
        walk.step("launch", json!({"evidence": {"cost": 0}}));
        walk
    };
    let walk = launched(&job());
    let failure = walk.run.failure.unwrap();
    assert_eq!(
        (failure.class, failure.step.as_deref()),
        (FailureClass::Validation, Some("launch"))
    );
    assert!(
        failure.reason.contains("at /evidence/resonance"),
        "{}",
        failure.reason
    );
    let mut led = job();
    led["workflow"]["steps"]["launch"]["then"]["on_missing"] = json!("approve_plan");
    let walk = launched(&led);
    assert_eq!(walk.open().checkpoint, "approve_plan");
    let because = walk.flow().path.last().unwrap().because.clone();
    assert_eq!(because.as_deref(), Some("nothing at /evidence/resonance"));
}

/// L41, L42, L43: a gate chooses by itself on evidence that is all there, zero included; else a person is asked.
#[test]
fn a_gate_decides_by_itself_or_asks() {
    for (evidence, asked) in [
        (json!({"resonance": 1, "cost": 0}), false),
        (json!({"resonance": 1, "cost": 0.0}), false),
        (json!({"resonance": 1, "cost": 1}), true),
        (json!({"resonance": 1}), true),
        (json!({"resonance": 1, "cost": null}), true),
    ] {
        let mut walk = Walk::of(&job());
        walk.step("plan", json!({"plan": 1}));
        walk.decide("approved");
        let came = walk.step("launch", json!({"evidence": evidence}));
        let request = came.approvals.last().unwrap();
        assert_eq!(request.evidence.len(), 1);
        if asked {
            assert_eq!(request.status, ApprovalStatus::Pending, "{evidence}");
            assert_ne!(request.evidence[0].holds, Some(true));
            continue;
        }
        assert_eq!(request.status, ApprovalStatus::AutoApproved);
        let decision = request.decision.as_ref().unwrap();
        assert_eq!(decision.by.to_string(), "system:moorline");
        assert_eq!((request.version, decision.option.as_str()), (2, "yes"));
        assert_eq!(
            kinds(&came),
            ["attempt.ended", "step.done", "approval.decided"]
        );
        assert_eq!(
            (walk.flow().at.as_str(), walk.run.due_at),
            ("report", Some(walk.now))
        );
    }
}

#[test]
fn a_result_that_leaves_out_what_is_promised_is_a_validation_failure() {
    for data in [
        Value::Null,
        json!({}),
        json!({"plan": null}),
        json!("by boat"),
        json!([1]),
    ] {
        let mut walk = Walk::of(&job());
        let failed = walk.step("plan", data.clone());
        assert_eq!(
            failed.events[0].data["class"],
            json!("validation"),
            "{data}"
        );
        let failure = walk.run.failure.unwrap();
        assert_eq!(failure.code, ErrorCode::Validation);
        assert!(failure.reason.ends_with("(D-FLOW-2)"), "{}", failure.reason);
    }
}

/// L42: without its workflow a run of one goes nowhere, in whatever order its steps stand.
#[test]
fn without_its_workflow_a_run_fails_and_nothing_is_decided() {
    let mut walk = Walk::of(&job());
    walk.claim();
    let success = Verdict::Success {
        data: json!({"plan": 1}),
        outputs: Vec::new(),
        transaction_count: None,
    };
    let finish = Command::Finish {
        token: walk.run.token,
        verdict: success,
        usage: crate::attempt::Usage::default(),
        isolation: crate::attempt::Isolation::default(),
        exit_code: Some(0),
    };
    let failed = apply(&walk.run, finish, walk.now).unwrap();
    let failure = failed.run.failure.unwrap();
    assert_eq!(
        (failed.run.status, failure.code),
        (RunStatus::Failed, ErrorCode::Config)
    );

    let mut walk = Walk::of(&job());
    walk.step("plan", json!({"plan": 1}));
    let request = Box::new(walk.open());
    let decide = Command::Decide {
        request,
        choice: choice("approved"),
    };
    let refused = super::denied(apply(&walk.run, decide, walk.now));
    assert_eq!(
        (refused.0, refused.1.as_str()),
        (ErrorCode::Config, "D-FLOW-7")
    );
}

/// L42: what a workflow that was never checked gets wrong stops the run, loudly.
#[test]
fn a_broken_graph_fails_closed() {
    let mut walk = Walk::of(&job());
    let workflow = walk.spec.workflow.as_mut().unwrap();
    workflow.gates[0].options[0].to = "nowhere".to_owned();
    walk.step("plan", json!({"plan": 1}));
    walk.decide("approved");
    assert_eq!(walk.run.failure.unwrap().class, FailureClass::Config);

    let mut walk = Walk::of(&job());
    walk.spec.workflow.as_mut().unwrap().gates[0]
        .options
        .clear();
    walk.step("plan", json!({"plan": 1}));
    assert_eq!(walk.run.failure.unwrap().class, FailureClass::Config);
}

#[test]
fn a_step_that_is_entered_again_has_its_retries_anew() {
    let runtime = || Verdict::failure(FailureClass::Runtime, ErrorCode::Runtime, "why");
    let mut walk = Walk::of(&job());
    for visit in 1..=3 {
        let retried = walk.attempt(runtime());
        assert_eq!(
            kinds(&retried),
            ["attempt.ended", "run.retry_scheduled"],
            "{visit}"
        );
        walk.pass(60);
        walk.step("plan", json!({"plan": visit}));
        walk.decide("iterate");
        assert_eq!(walk.flow().visits["plan"], visit + 1);
    }
    assert_eq!(
        (
            walk.run.steps[0].attempts,
            walk.run.steps[0].attempts_before
        ),
        (6, 6)
    );
    walk.attempt(runtime());
    walk.pass(60);
    walk.attempt(runtime());
    assert_eq!(walk.run.status, RunStatus::Failed);
}

/// D-FLOW-7: an approval is for one visit of its step, with all attempts of it.
#[test]
fn an_approval_is_used_up_by_the_step_that_needs_it() {
    let mut walk = Walk::of(&job());
    walk.step("plan", json!({"plan": 1}));
    let request = walk.open().id;
    walk.decide("approved");
    let permit = walk.flow().permit.clone().unwrap();
    assert_eq!(
        (permit.request, permit.by.as_str()),
        (request, "human:grace")
    );
    assert_eq!(walk.flow().grants, []);
    walk.attempt(Verdict::failure(
        FailureClass::Runtime,
        ErrorCode::Runtime,
        "why",
    ));
    walk.pass(60);
    assert_eq!(walk.flow().permit, Some(permit));
    walk.step("launch", json!({"evidence": {"resonance": 1}}));
    assert_eq!(walk.flow().permit, None);
    // Back to the launch, past the gate: a way that loading refuses.
    walk.spec.workflow.as_mut().unwrap().gates[1].options[0].to = "launch".to_owned();
    walk.decide("yes");
    let failure = walk.run.failure.unwrap();
    assert_eq!(
        (failure.class, failure.step.as_deref()),
        (FailureClass::Policy, Some("launch"))
    );
    assert_eq!(walk.run.attempts, 3);
}
