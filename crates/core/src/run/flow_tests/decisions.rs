//! Decisions (D-FLOW-4, D-FLOW-5): who, what, once.

use serde_json::{Map, Value, json};

use super::{Walk, choice, denied, job, kinds};
use crate::approval::{ApprovalStatus, Choice, DecisionOutcome};
use crate::error_code::{ErrorCode, FailureClass, RunStatus};
use crate::principal::Role;
use crate::run::{CancelKind, Command, Effect};

fn at_the_plan() -> Walk {
    let mut walk = Walk::of(&job());
    walk.step("plan", json!({"plan": 1}));
    walk
}

fn given(option: &str, input: Value) -> Choice {
    let Value::Object(input) = input else {
        panic!("{input}");
    };
    Choice {
        input,
        ..choice(option)
    }
}

/// L37: iterating works three times; then it is not offered any more, and refused by name.
#[test]
fn a_gate_is_asked_again_at_most_so_often() {
    let mut walk = at_the_plan();
    for iteration in 0..3 {
        let request = walk.open();
        assert_eq!(request.iteration, iteration);
        let decided = walk.decide("iterate");
        let decision = decided.approvals[0].decision.clone().unwrap();
        assert_eq!(decision.outcome, DecisionOutcome::Iterate);
        assert_eq!(
            (decision.next.as_str(), decision.next_phase),
            ("plan", Some(0))
        );
        assert!(!walk.flow().state.contains_key("plan"));
        walk.step("plan", json!({"plan": iteration}));
        assert_ne!(walk.open().id, request.id);
    }
    assert_eq!(walk.flow().iterations["approve_plan"], 3);
    let offered: Vec<String> = walk.open().options.into_iter().map(|o| o.name).collect();
    assert_eq!(offered, ["approved", "custom", "rejected"]);
    let (code, _, message) = denied(walk.choose(choice("iterate")));
    assert_eq!(code, ErrorCode::Conflict);
    assert!(
        message.ends_with("it was chosen 3 times already, the most"),
        "{message}"
    );
}

/// L39: a pivot that would change nothing is refused, and one that changes is taken.
#[test]
fn a_pivot_must_change_what_it_says() {
    let mut walk = at_the_plan();
    let same = denied(walk.choose(given("custom", json!({"segment": "islands"}))));
    assert_eq!((same.0, same.1.as_str()), (ErrorCode::Inputs, "D-FLOW-5"));
    assert_eq!(walk.run.status, RunStatus::AwaitingApproval);
    let turned = walk
        .choose(given("custom", json!({"segment": "lakes"})))
        .unwrap();
    let decision = turned.approvals[0].decision.clone().unwrap();
    assert_eq!(decision.outcome, DecisionOutcome::Pivot);
    assert_eq!(walk.flow().state["segment"], json!("lakes"));
    assert_eq!(
        (walk.flow().at.as_str(), walk.flow().grants.len()),
        ("plan", 0)
    );
}

/// L36: rejected is final.
#[test]
fn a_rejection_ends_the_run_for_good() {
    let mut walk = at_the_plan();
    let request = walk.open();
    let wordless = denied(walk.choose(choice("rejected")));
    assert_eq!(
        (wordless.0, wordless.1.as_str()),
        (ErrorCode::Inputs, "D-FLOW-4")
    );
    let why = |words: &str| Choice {
        feedback: Some(words.to_owned()),
        ..choice("rejected")
    };
    assert_eq!(denied(walk.choose(why(" \n"))).0, ErrorCode::Inputs);
    let rejected = walk.choose(why("too dear")).unwrap();
    assert_eq!(kinds(&rejected), ["approval.decided", "run.ended"]);
    assert_eq!(
        rejected.effects,
        [
            Effect::Source {
                class: Some(FailureClass::Rejected)
            },
            Effect::Archive,
            Effect::Summarise
        ]
    );
    assert_eq!(walk.run.status, RunStatus::Failed);
    let failure = walk.run.failure.clone().unwrap();
    assert_eq!(
        (failure.code, failure.reason.as_str()),
        (
            ErrorCode::Rejected,
            "rejected at the gate `approve_plan` by human:grace"
        )
    );
    let closed = walk.requests[&request.id].clone();
    assert_eq!(closed.status, ApprovalStatus::Rejected);
    for option in ["approved", "rejected"] {
        let decide = Command::Decide {
            request: Box::new(closed.clone()),
            choice: choice(option),
        };
        assert_eq!(denied(walk.try_command(decide)).0, ErrorCode::Conflict);
    }
}

/// L33, L34: a request is decided once; the same decision again is answered and changes nothing.
#[test]
fn a_decision_takes_effect_once() {
    let mut walk = at_the_plan();
    let open = walk.open();
    let mut first = choice("approved");
    first.idempotency_key = Some("k1".to_owned());
    walk.choose(first.clone()).unwrap();
    let closed = Box::new(walk.requests[&open.id].clone());
    let mut again = |choice: Choice| {
        let before = walk.clone();
        let request = closed.clone();
        let answer = walk.try_command(Command::Decide { request, choice });
        assert_eq!((&walk.run, &walk.requests), (&before.run, &before.requests));
        answer
    };
    let repeated = again(first.clone()).unwrap();
    assert_eq!((repeated.events.len(), repeated.approvals.len()), (0, 0));
    let mut others = [first.clone(), first.clone(), first.clone(), first];
    others[0].option = "iterate".to_owned();
    others[1].idempotency_key = Some("k2".to_owned());
    others[2].idempotency_key = None;
    others[3].by = "human:ada".parse().unwrap();
    for other in others {
        let (code, rule, message) = denied(again(other));
        assert_eq!((code, rule.as_str()), (ErrorCode::Conflict, "D-FLOW-4"));
        assert!(
            message.starts_with("`approve_plan` was decided already: `approved` by human:grace")
        );
    }
}

/// L32: of another run, of another version, or an option that is not offered: no effect.
#[test]
fn a_decision_names_what_is_there() {
    let mut walk = at_the_plan();
    let mut request = walk.open();
    request.run_id = crate::ids::RunId::new(uuid::Uuid::from_u128(99));
    let decide = Command::Decide {
        request: Box::new(request),
        choice: choice("approved"),
    };
    assert_eq!(denied(walk.try_command(decide)).0, ErrorCode::Conflict);
    for version in [0, 2] {
        let seen = Choice {
            version: Some(version),
            ..choice("approved")
        };
        assert_eq!(denied(walk.choose(seen)).0, ErrorCode::Conflict);
    }
    for (choice, code, message) in [
        (
            choice("maybe"),
            ErrorCode::Inputs,
            "`approve_plan` does not offer such an option",
        ),
        (
            choice("custom"),
            ErrorCode::Inputs,
            "the option `custom` asks for `segment`: Which one",
        ),
        (
            given("custom", json!({"segment": null})),
            ErrorCode::Inputs,
            "the option `custom` asks for `segment`: Which one",
        ),
        (
            given("approved", json!({"plan": "mine"})),
            ErrorCode::Inputs,
            "the option `approved` does not ask for `plan`",
        ),
    ] {
        let refused = denied(walk.choose(choice));
        assert_eq!((refused.0, refused.2.as_str()), (code, message));
    }
    let seen = Choice {
        version: Some(1),
        ..choice("approved")
    };
    walk.choose(seen).unwrap();
}

#[test]
fn only_a_person_with_the_role_decides_and_two_where_two_are_asked_for() {
    let mut document = job();
    document["workflow"]["gates"][0]["two_person"] = json!(true);
    document["workflow"]["gates"][0]["least_role"] = json!("admin");
    let mut walk = Walk::of(&document);
    walk.step("plan", json!({"plan": 1}));
    let by = |who: &str, role| Choice {
        by: who.parse().unwrap(),
        role,
        ..choice("approved")
    };
    for (choice, message) in [
        (
            by("agent:bot", Role::Admin),
            "agent:bot is no person, and only a person decides at a gate",
        ),
        (
            by("ci:main", Role::Admin),
            "ci:main is no person, and only a person decides at a gate",
        ),
        (
            by("human:grace", Role::Approver),
            "`approve_plan` asks for the role admin, and human:grace is approver",
        ),
        // The run is hers.
        (
            by("human:ada", Role::Admin),
            "`approve_plan` asks for two persons, and human:ada started the run",
        ),
    ] {
        let (code, rule, told) = denied(walk.choose(choice));
        assert_eq!(
            (code, rule.as_str(), told.as_str()),
            (ErrorCode::Forbidden, "D-FLOW-4", message)
        );
    }
    walk.choose(by("human:grace", Role::Admin)).unwrap();
}

#[test]
fn the_end_of_a_run_withdraws_what_it_waits_for() {
    for (kind, status) in [
        (CancelKind::Cancelled, RunStatus::Cancelled),
        (CancelKind::Killed, RunStatus::Killed),
    ] {
        let mut walk = at_the_plan();
        let request = walk.open();
        let ended = walk.command(Command::Cancel {
            kind,
            actor: "human:ada".to_owned(),
            reason: "enough".to_owned(),
        });
        assert_eq!(
            kinds(&ended),
            ["run.cancel_requested", "approval.withdrawn", "run.ended"]
        );
        assert!(ended.effects.contains(&Effect::Withdraw {
            approval: request.id
        }));
        assert_eq!(
            (walk.run.status, walk.run.failure.clone().unwrap().step),
            (status, None)
        );
        let closed = &walk.requests[&request.id];
        assert_eq!(
            (closed.status, closed.version),
            (ApprovalStatus::Withdrawn, 2)
        );
        assert_eq!(closed.clone().withdrawn(), *closed);
        let decide = Command::Decide {
            request: Box::new(closed.clone()),
            choice: choice("approved"),
        };
        assert_eq!(denied(walk.try_command(decide)).0, ErrorCode::Conflict);
    }
}

#[test]
fn what_an_option_sets_is_there_and_what_it_invalidates_is_gone() {
    let mut document = job();
    document["workflow"]["gates"][0]["options"][0]["sets"] =
        json!({"budget": {"value": 0}, "kept": {"from": "/plan/0"}});
    let mut walk = Walk::of(&document);
    walk.step("plan", json!({"plan": ["boat"]}));
    walk.decide("approved");
    let expected = json!({"idea": "ferries", "segment": "islands", "plan": ["boat"], "budget": 0, "kept": "boat"});
    assert_eq!(Value::Object(walk.flow().state.clone()), expected);
    let chosen = walk
        .requests
        .values()
        .next()
        .unwrap()
        .decision
        .clone()
        .unwrap();
    assert_eq!(
        (chosen.input, chosen.outcome),
        (Map::new(), DecisionOutcome::Resumed)
    );
}
