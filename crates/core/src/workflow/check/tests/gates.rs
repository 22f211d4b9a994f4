//! What gates offer and how they decide by themselves.

use serde_json::{Value, json};

use super::{COST, PLAN, broken, changed, check};

/// L39: a pivot that changes nothing does not even load.
#[test]
fn options_set_what_they_must_change() {
    check(&[
        (
            &[("/workflow/gates/0/options/2/must_change", Value::Null)],
            &["/workflow/gates/0/options/2/must_change D-FLOW-5a"],
        ),
        (
            &[("/workflow/gates/0/options/2/must_change/1", json!("plan"))],
            &["/workflow/gates/0/options/2/must_change/1 D-FLOW-5a"],
        ),
        (
            &[(
                "/workflow/gates/0/options/2/invalidates/2",
                json!("segment"),
            )],
            &["/workflow/gates/0/options/2/invalidates/2 D-FLOW-5a"],
        ),
        (
            &[("/workflow/gates/0/options/2/iterate", json!(true))],
            &["/workflow/gates/0/options/2/pivot D-FLOW-5a"],
        ),
        (
            &[("/workflow/gates/0/options/3/pivot", json!(true))],
            &["/workflow/gates/0/options/3/to D-FLOW-5a"],
        ),
        (
            &[(
                "/workflow/gates/0/options/0/sets",
                json!({"x": {"value": null}}),
            )],
            &["/workflow/gates/0/options/0/sets/x/value D-FLOW-5a"],
        ),
        (
            &[(
                "/workflow/gates/0/options/2/sets/segment/from",
                json!("segments"),
            )],
            &["/workflow/gates/0/options/2/sets/segment/from D-FLOW-1b"],
        ),
    ]);
}

#[test]
fn gates_decide_by_themselves_only_what_needs_no_person() {
    check(&[
        (
            &[("/workflow/gates/1/automatic/rules/0/choose", json!("maybe"))],
            &["/workflow/gates/1/automatic/rules/0/choose D-FLOW-7a"],
        ),
        (
            &[("/workflow/gates/1/options/0/feedback", json!("required"))],
            &["/workflow/gates/1/automatic/rules/0/choose D-FLOW-7a"],
        ),
        (
            &[(
                "/workflow/gates/1/options/0/sets",
                json!({"x": {"input": "What?"}}),
            )],
            &["/workflow/gates/1/automatic/rules/0/choose D-FLOW-7a"],
        ),
        (
            &[
                (
                    "/workflow/gates/1/automatic/rules/0/when/0/is",
                    json!("at_most"),
                ),
                (
                    "/workflow/gates/1/automatic/rules/0/when/0/value",
                    json!("low"),
                ),
            ],
            &["/workflow/gates/1/automatic/rules/0/when/0/value D-FLOW-7a"],
        ),
        (
            &[("/workflow/gates/0/recommended", json!("maybe"))],
            &["/workflow/gates/0/recommended D-FLOW-7a"],
        ),
        (
            &[("/workflow/gates/1/recommended/otherwise", json!("maybe"))],
            &["/workflow/gates/1/recommended/otherwise D-FLOW-7a"],
        ),
        (
            &[("/workflow/gates/1/automatic/rules", json!([]))],
            &["/workflow/gates/1/automatic/rules schema"],
        ),
    ]);
}

/// L43 for time: a reminder at the very second of the expiry comes too late.
#[test]
fn reminders_grow_and_come_before_the_expiry() {
    let at = |list: Value| {
        changed(&[
            ("/workflow/gates/0/reminders", list),
            ("/workflow/gates/0/expires_after_seconds", json!(100)),
        ])
    };
    assert_eq!(broken(&at(json!([1, 99]))), [""; 0]);
    assert_eq!(
        broken(&at(json!([1, 100]))),
        [format!("{PLAN}/reminders/1 D-FLOW-6a")]
    );
    assert_eq!(
        broken(&at(json!([5, 5]))),
        [format!("{PLAN}/reminders/1 D-FLOW-6a")]
    );
    assert_eq!(
        broken(&at(json!([0]))),
        [format!("{PLAN}/reminders/0 schema")]
    );
    let never = changed(&[("/workflow/gates/1/expires_after_seconds", json!(0))]);
    assert_eq!(
        broken(&never),
        [format!("{COST}/expires_after_seconds schema")]
    );
}
