//! What is in the state, and which approvals are unused, on every way.

use serde_json::json;

use super::{changed, check, violations};

#[test]
fn what_a_step_uses_is_there_on_every_way() {
    check(&[
        (
            &[("/workflow/steps/plan/uses/2", json!("note"))],
            &["/workflow/steps/plan/uses/2 D-FLOW-1e"],
        ),
        (
            &[("/workflow/steps/plan/uses/2", json!("region"))],
            &["/workflow/steps/plan/uses/2 D-FLOW-1e"],
        ),
        (
            &[
                ("/workflow/steps/plan/uses/2", json!("region")),
                ("/params_schema/required", json!(["region"])),
                ("/params/region", json!("eu")),
            ],
            &[],
        ),
        (
            &[(
                "/workflow/steps/report",
                json!({"uses": ["evidence", "plan"]}),
            )],
            &[],
        ),
        // The gate removes the plan on one of its ways, and the launch uses it.
        (
            &[("/workflow/gates/0/options/0/invalidates", json!(["plan"]))],
            &["/workflow/steps/launch/uses/0 D-FLOW-1e"],
        ),
        (
            &[("/steps/0/argv/2", json!("--to={{nobody}}"))],
            &["/steps/0/argv/2 D-FLOW-1e"],
        ),
        (
            &[("/steps/2/env", json!({"X": "{{idea}}"}))],
            &["/steps/2/env/X D-FLOW-1e"],
        ),
        (&[("/steps/2/env", json!({"X": "{{ idea }} {{}}"}))], &[]),
        (
            &[("/workflow/gates/0/context/1", json!("nothing"))],
            &["/workflow/gates/0/context/1 D-FLOW-1e"],
        ),
        (
            &[(
                "/workflow/gates/0/options/1/invalidates/1",
                json!("nothing"),
            )],
            &["/workflow/gates/0/options/1/invalidates/1 D-FLOW-1e"],
        ),
        (
            &[(
                "/workflow/gates/0/options/2/sets/segment/from",
                json!("/nothing/0"),
            )],
            &["/workflow/gates/0/options/2/sets/segment/from D-FLOW-1e"],
        ),
        (
            &[(
                "/workflow/steps/launch/then/routes/0/when/0/evidence",
                json!("/evidnce"),
            )],
            &["/workflow/steps/launch/then/routes/0/when/0/evidence D-FLOW-1e"],
        ),
        (
            &[(
                "/workflow/gates/1/automatic/rules/0/when/0/evidence",
                json!("/cost"),
            )],
            &["/workflow/gates/1/automatic/rules/0/when/0/evidence D-FLOW-1e"],
        ),
        (
            &[(
                "/workflow/gates/1/recommended/routes/0/when/0/evidence",
                json!("/cost"),
            )],
            &["/workflow/gates/1/recommended/routes/0/when/0/evidence D-FLOW-1e"],
        ),
    ]);
    let unknown = violations(&changed(&[(
        "/workflow/steps/plan/uses/2",
        json!("region"),
    )]));
    assert_eq!(
        unknown[0].message,
        "is not there on every way that leads to the step"
    );
}

#[test]
fn a_step_that_spends_comes_after_its_gate_on_every_way() {
    check(&[
        (
            &[("/workflow/steps/launch/needs_approval", json!("nobody"))],
            &["/workflow/steps/launch/needs_approval D-FLOW-1b"],
        ),
        (
            &[("/workflow/steps/launch/needs_approval", json!("check_cost"))],
            &["/workflow/steps/launch/needs_approval D-FLOW-7b"],
        ),
        (
            &[("/workflow/start", json!("launch"))],
            &[
                "/workflow/steps/launch/needs_approval D-FLOW-7b",
                "/workflow/steps/launch/uses/0 D-FLOW-1e",
            ],
        ),
        // What repeats or changes direction approves nothing.
        (
            &[
                ("/workflow/gates/0/options/0/pivot", json!(true)),
                (
                    "/workflow/gates/0/options/0/must_change",
                    json!(["segment"]),
                ),
                (
                    "/workflow/gates/0/options/0/sets",
                    json!({"segment": {"input": "Which"}}),
                ),
            ],
            &["/workflow/steps/launch/needs_approval D-FLOW-7b"],
        ),
        // Two steps, one approval: the first uses it up.
        (
            &[(
                "/workflow/steps/report",
                json!({"needs_approval": "approve_plan"}),
            )],
            &["/workflow/steps/report/needs_approval D-FLOW-7b"],
        ),
    ]);
}
