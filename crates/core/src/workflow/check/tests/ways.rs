//! Ways: reached, ended, and never round by themselves.

use serde_json::{Value, json};

use super::{changed, check, violations};

/// L38: every node is reached, and from each of them people can bring the run to its end.
#[test]
fn every_node_is_reached_and_can_be_ended() {
    let never = json!({"name": "never", "title": "?", "options": [{"name": "ok", "to": "end"}]});
    let only = |to: &str| json!([{"name": "only", "to": to}]);
    check(&[
        (
            &[("/workflow/gates/2", never)],
            &["/workflow/gates/2 D-FLOW-1c"],
        ),
        // Nothing leads to the report any more, nor to the end.
        (
            &[
                ("/workflow/gates/1/options", only("reject")),
                ("/workflow/gates/1/automatic", Value::Null),
                ("/workflow/gates/1/recommended", Value::Null),
            ],
            &["/steps/2 D-FLOW-1c", "/workflow D-FLOW-1c"],
        ),
        // Back to the plan alone: from the gate nobody comes to an end, nor from what leads to it.
        (
            &[("/workflow/gates/0/options/3", Value::Null)],
            &[
                "/steps/0 D-FLOW-1c",
                "/steps/1 D-FLOW-1c",
                "/workflow/gates/0 D-FLOW-1c",
            ],
        ),
        (
            &[
                ("/workflow/gates/1/options", only("check_cost")),
                ("/workflow/gates/1/automatic", Value::Null),
                ("/workflow/gates/1/recommended", Value::Null),
            ],
            &[
                "/steps/1 D-FLOW-1c",
                "/steps/2 D-FLOW-1c",
                "/workflow D-FLOW-1c",
                "/workflow/gates/1 D-FLOW-1c",
            ],
        ),
        // The only way to the end may not be offered.
        (
            &[
                (
                    "/workflow/gates/1/options/1/when",
                    json!([{"evidence": "/evidence/cost", "is": "at_least", "value": 1}]),
                ),
                ("/workflow/gates/1/options/0/iterate", json!(true)),
                ("/workflow/gates/1/options/0/to", json!("plan")),
            ],
            &[
                "/steps/1 D-FLOW-1c",
                "/steps/2 D-FLOW-1c",
                "/workflow D-FLOW-1c",
                "/workflow/gates/1 D-FLOW-1c",
                "/workflow/gates/1/options D-FLOW-1f",
            ],
        ),
    ]);
}

#[test]
fn no_loop_goes_round_without_a_person() {
    let found = violations(&changed(&[("/workflow/steps/plan/then", json!("plan"))]));
    let circle = found.iter().find(|v| v.rule == "D-FLOW-1d").unwrap();
    assert_eq!(
        (circle.pointer.as_str(), circle.message.as_str()),
        (
            "/steps/0",
            "goes round without a person and may never end: plan, plan"
        )
    );
    check(&[
        // By a rule, round and round.
        (
            &[("/workflow/gates/1/options/0/to", json!("launch"))],
            &[
                "/steps/1 D-FLOW-1d",
                "/steps/2 D-FLOW-1c",
                "/workflow D-FLOW-1c",
                "/workflow/steps/launch/needs_approval D-FLOW-7b",
            ],
        ),
        // The gate counts what iterates: that ends by itself.
        (
            &[
                ("/workflow/gates/1/options/0/to", json!("plan")),
                ("/workflow/gates/1/options/0/iterate", json!(true)),
                (
                    "/workflow/gates/1/options/2",
                    json!({"name": "go", "to": "report"}),
                ),
            ],
            &[],
        ),
    ]);
}

#[test]
fn a_gate_always_has_something_to_offer_and_iterations_come_back() {
    let when = json!([{"evidence": "/evidence/cost", "is": "at_least", "value": 1}]);
    check(&[
        (
            &[
                (
                    "/workflow/gates/0/options/0/when",
                    json!([{"evidence": "/plan", "is": "equal", "value": "x"}]),
                ),
                ("/workflow/gates/0/options/3/iterate", json!(true)),
                ("/workflow/gates/0/options/3/to", json!("plan")),
            ],
            &[
                "/steps/0 D-FLOW-1c",
                "/steps/1 D-FLOW-1c",
                "/workflow/gates/0 D-FLOW-1c",
                "/workflow/gates/0/options D-FLOW-1f",
            ],
        ),
        (&[("/workflow/gates/1/options/1/when", when)], &[]),
        (
            &[("/workflow/gates/0/options/3/iterate", json!(true))],
            &[
                "/steps/0 D-FLOW-1c",
                "/steps/1 D-FLOW-1c",
                "/workflow/gates/0 D-FLOW-1c",
                "/workflow/gates/0/options/3/to D-FLOW-1f",
            ],
        ),
        (
            &[(
                "/workflow/gates/1/options/2",
                json!({"name": "again", "to": "report", "iterate": true}),
            )],
            &["/workflow/gates/1/options/2/to D-FLOW-1f"],
        ),
        // The same question once more is an iteration.
        (
            &[(
                "/workflow/gates/1/options/2",
                json!({"name": "again", "to": "check_cost", "iterate": true}),
            )],
            &[],
        ),
        (
            &[("/workflow/gates/0/options", json!([]))],
            &["/workflow/gates/0/options schema"],
        ),
    ]);
}
