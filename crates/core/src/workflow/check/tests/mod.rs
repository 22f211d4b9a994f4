//! Each rule by what breaks it, and by what does not.

mod gates;
mod keys;
mod ways;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::spec::{self, RULES, Violation};

/// A job with two steps, a gate that iterates and pivots, and a gate that decides by itself.
fn job() -> Value {
    json!({
        "job_id": "j",
        "params": {"idea": "ferries", "note": null},
        "params_schema": {"properties": {"idea": {"type": "string"}, "region": {"type": "string"}}},
        "steps": [
            {"name": "plan", "argv": ["./plan", "{{idea}}"], "env": {"SEGMENT": "{{segment}}"}},
            {"name": "launch", "argv": ["./launch"]},
            {"name": "report", "argv": ["./report"]},
        ],
        "workflow": {
            "phases": [{"name": "discovery"}, {"name": "launch", "title": "Launch"}],
            "state": {"segment": "islands"},
            "steps": {
                "plan": {"phase": "discovery", "uses": ["idea", "segment"],
                         "produces": ["plan", "segments"], "then": "approve_plan"},
                "launch": {"phase": "launch", "uses": ["plan"], "produces": ["evidence"],
                           "needs_approval": "approve_plan", "then": {
                    "routes": [{"when": [{"evidence": "/evidence/resonance", "is": "less_than", "value": 0.3}],
                                "to": "approve_plan"}],
                    "otherwise": "check_cost", "on_missing": "approve_plan"}},
            },
            "gates": [
                {"name": "approve_plan", "phase": "discovery", "title": "Is this the plan?",
                 "context": ["plan"], "recommended": "approved", "reminders": [60, 3600],
                 "options": [
                    {"name": "approved", "to": "launch"},
                    {"name": "iterate", "to": "plan", "iterate": true, "invalidates": ["plan"]},
                    {"name": "segment_1", "to": "plan", "pivot": true, "must_change": ["segment"],
                     "sets": {"segment": {"from": "/segments/0"}}, "invalidates": ["plan", "evidence"]},
                    {"name": "rejected", "to": "reject", "feedback": "required"},
                 ]},
                {"name": "check_cost", "phase": "launch", "title": "Is it worth it?",
                 "automatic": {"rules": [
                    {"when": [{"evidence": "/evidence/cost", "is": "equal", "value": 0}], "choose": "yes"}]},
                 "recommended": {"routes": [
                    {"when": [{"evidence": "/evidence/cost", "is": "at_most", "value": 10}], "to": "yes"}],
                    "otherwise": "no"},
                 "options": [{"name": "yes", "to": "report"}, {"name": "no", "to": "reject"}]},
            ],
        },
    })
}

fn violations(document: &Value) -> Vec<Violation> {
    match spec::from_value(document.clone()) {
        Ok(_) => Vec::new(),
        Err(found) => found.into_vec(),
    }
}

fn broken(document: &Value) -> Vec<String> {
    let found = violations(document);
    let ids: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
    found
        .iter()
        .inspect(|violation| assert!(ids.contains(violation.rule.as_str()), "{violation}"))
        .map(|violation| format!("{} {}", violation.pointer, violation.rule))
        .collect()
}

/// Sets members; null removes one.
fn changed(changes: &[(&str, Value)]) -> Value {
    let mut document = job();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match document.pointer_mut(parent).expect(pointer) {
            Value::Array(items) => match name.parse::<usize>().unwrap() {
                at if at == items.len() => items.push(value.clone()),
                at if value.is_null() => drop(items.remove(at)),
                at => items[at] = value.clone(),
            },
            Value::Object(members) if value.is_null() => drop(members.remove(name)),
            Value::Object(members) => drop(members.insert(name.to_owned(), value.clone())),
            _ => panic!("{pointer}"),
        }
    }
    document
}

/// What is changed in the job, and exactly what is wrong then.
type Case<'a> = (&'a [(&'a str, Value)], &'a [&'a str]);

fn check(cases: &[Case<'_>]) {
    assert_eq!(broken(&job()), [""; 0], "{:?}", violations(&job()));
    for (changes, expected) in cases {
        assert_eq!(broken(&changed(changes)), *expected, "{changes:?}");
    }
}

const PLAN: &str = "/workflow/gates/0";
const COST: &str = "/workflow/gates/1";

#[test]
fn names_are_unique_and_what_is_named_is_there() {
    check(&[
        (
            &[("/steps/2/name", json!("end"))],
            &[
                "/steps/2/name D-FLOW-1a",
                "/workflow/gates/1/options/0/to D-FLOW-1b",
            ],
        ),
        (
            &[
                ("/workflow/gates/1/name", json!("plan")),
                ("/workflow/steps/launch/then", json!("plan")),
            ],
            &["/workflow/gates/1/name D-FLOW-1a"],
        ),
        (
            &[("/workflow/gates/1/name", json!("Cost"))],
            &[
                "/workflow/gates/1/name schema",
                "/workflow/steps/launch/then/otherwise D-FLOW-1b",
            ],
        ),
        (
            &[("/workflow/phases/1/name", json!("discovery"))],
            &[
                "/workflow/gates/1/phase D-FLOW-1b",
                "/workflow/phases/1/name D-FLOW-1a",
                "/workflow/steps/launch/phase D-FLOW-1b",
            ],
        ),
        (
            &[("/workflow/gates/0/options/1/name", json!("approved"))],
            &["/workflow/gates/0/options/1/name D-FLOW-1a"],
        ),
        (
            &[("/workflow/steps/nobody", json!({}))],
            &["/workflow/steps/nobody D-FLOW-1b"],
        ),
        (
            &[("/workflow/start", json!("approve_plan"))],
            &["/workflow/start D-FLOW-1b"],
        ),
        (
            &[("/workflow/start", json!("nobody"))],
            &["/workflow/start D-FLOW-1b"],
        ),
        (
            &[("/workflow/gates/0/options/0/to", json!("lanch"))],
            &["/workflow/gates/0/options/0/to D-FLOW-1b"],
        ),
        (
            &[("/workflow/steps/launch/then/on_missing", json!("nobody"))],
            &["/workflow/steps/launch/then/on_missing D-FLOW-1b"],
        ),
        (
            &[("/workflow/steps/plan/produces/2", json!("a b"))],
            &["/workflow/steps/plan/produces/2 D-FLOW-1a"],
        ),
        (
            &[("/workflow/state/a b", json!(1))],
            &["/workflow/state/a b D-FLOW-1a"],
        ),
        (
            &[("/workflow/gates/0/options/2/sets/a.b", json!({"value": 1}))],
            &["/workflow/gates/0/options/2/sets/a.b D-FLOW-1a"],
        ),
        (
            &[(
                "/workflow/gates/1/options/0/when",
                json!([{"evidence": "evidence", "is": "equal", "value": 1}]),
            )],
            &["/workflow/gates/1/options/0/when/0/evidence D-FLOW-1b"],
        ),
    ]);
    let lanch = changed(&[("/workflow/gates/0/options/0/to", json!("lanch"))]);
    assert_eq!(
        violations(&lanch)[0].hint.as_deref(),
        Some("did you mean `launch`?")
    );
    let without = json!({"job_id": "j", "job_type": "intake_research", "workflow": {}});
    assert!(broken(&without).contains(&"/workflow D-FLOW-1b".to_owned()));
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let document = changed(&[
        ("/workflow/phases/1/name", json!("discovery")),
        ("/workflow/gates/0/options/0/to", json!("nobody")),
        ("/workflow/gates/1/automatic/rules/0/choose", json!("maybe")),
        ("/workflow/steps/plan/uses/2", json!("nothing")),
        ("/workflow/gates/0/reminders/2", json!(1)),
        ("/steps/2/argv", json!([])),
    ]);
    assert_eq!(
        broken(&document),
        [
            "/steps/2/argv schema",
            "/workflow/gates/0/options/0/to D-FLOW-1b",
            "/workflow/gates/0/reminders/2 D-FLOW-6a",
            "/workflow/gates/1/automatic/rules/0/choose D-FLOW-7a",
            "/workflow/gates/1/phase D-FLOW-1b",
            "/workflow/phases/1/name D-FLOW-1a",
            "/workflow/steps/launch/phase D-FLOW-1b",
            "/workflow/steps/plan/uses/2 D-FLOW-1e",
        ]
    );
}

/// The example that ships: five phases, ten checkpoints of seed 003 and two pivots.
#[test]
fn the_validation_workflow_loads() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/validation-workflow/job_spec.json"
    );
    let spec = spec::load(&std::fs::read(file).unwrap()).unwrap();
    let workflow = spec.workflow.as_ref().unwrap();
    assert_eq!(super::check(&spec, workflow), []);
    assert_eq!((workflow.phases.len(), workflow.gates.len()), (5, 12));
}

/// What the documentation shows is a job that loads.
#[test]
fn the_documented_workflow_loads() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/workflows.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, rest) = text.split_once("```json\n").unwrap();
    let (document, _) = rest.split_once("\n```").unwrap();
    let spec = spec::load(document.as_bytes()).unwrap();
    assert_eq!(spec.workflow.unwrap().gates.len(), 3);
}
