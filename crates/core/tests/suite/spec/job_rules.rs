//! Rules on the job as a whole, and on what is reported together.

use serde_json::{Value, json};

use crate::spec::samples::{task, v1};
use crate::spec::tables::{Case, check};

#[test]
fn v1_documents_are_refused_by_rule() {
    let cases: &[Case<'_>] = &[
        (
            &[("/objective", Value::Null)],
            &[("/objective", "D-SPEC-2a")],
        ),
        (
            &[("/cadence", Value::Null), ("/review", Value::Null)],
            &[("/cadence", "D-SPEC-2a"), ("/review", "D-SPEC-2a")],
        ),
        (
            &[("/objective", json!("too short"))],
            &[("/objective", "schema")],
        ),
        (&[("/job_type", json!("task"))], &[("/steps", "D-SPEC-2b")]),
        (
            &[("/job_type", json!("generate_and_tests"))],
            &[("/job_type", "schema")],
        ),
        (
            &[("/review/required", json!(false))],
            &[("/review/required", "schema")],
        ),
        (
            &[("/constraints/max_runtime_seconds", json!(59))],
            &[("/constraints/max_runtime_seconds", "schema")],
        ),
        (
            &[("/output/schema_version", json!("tx_v2"))],
            &[("/output/schema_version", "schema")],
        ),
        (
            &[("/output/formats/0", json!("csv"))],
            &[("/output/formats/0", "schema")],
        ),
        (
            &[("/time_zone", json!("Mars/Olympus"))],
            &[("/time_zone", "D-SPEC-3b")],
        ),
        (
            &[("/time_zone", json!("america/new_york"))],
            &[("/time_zone", "D-SPEC-3b")],
        ),
        (
            &[("/cadence/expr", json!("15 6 * *"))],
            &[("/cadence/expr", "D-SPEC-3a")],
        ),
        (
            &[("/cadence/expr", json!("0 0 31 6 *"))],
            &[("/cadence/expr", "D-SPEC-3a")],
        ),
        (
            &[("/cadence/expr", Value::Null)],
            &[("/cadence/expr", "D-SPEC-3a")],
        ),
        (
            &[("/cadence/period_seconds", json!(60))],
            &[("/cadence/period_seconds", "D-SPEC-3a")],
        ),
        (
            &[("/cadence", json!({"type": "periodic", "expr": "* * * * *"}))],
            &[
                ("/cadence/expr", "D-SPEC-3c"),
                ("/cadence/period_seconds", "D-SPEC-3c"),
            ],
        ),
        (
            &[(
                "/cadence",
                json!({"type": "none", "expr": "* * * * *", "period_seconds": 60}),
            )],
            &[
                ("/cadence/expr", "D-SPEC-3c"),
                ("/cadence/period_seconds", "D-SPEC-3c"),
            ],
        ),
        (
            &[(
                "/cadence",
                json!({"type": "periodic", "period_seconds": 59}),
            )],
            &[("/cadence/period_seconds", "schema")],
        ),
        (
            &[("/job_type", json!("intake_research"))],
            &[("/cadence/type", "D-SPEC-3i")],
        ),
        (
            &[("/portfolio/entities", json!([]))],
            &[("/portfolio/entities", "schema")],
        ),
        (
            &[(
                "/portfolio/entities/1",
                json!({"source_id": "chase", "tier_hint": 0, "preferred_methods": [], "lookback_days": 1}),
            )],
            &[("/portfolio/entities/1/source_id", "D-SPEC-3d")],
        ),
        (
            &[("/portfolio/entities/0/tier_hint", json!(2))],
            &[("/portfolio/entities/0/reauth", "D-SPEC-3g")],
        ),
        (
            &[("/portfolio/entities/0/tier_hint", json!(3))],
            &[("/portfolio/entities/0/tier_hint", "D-SPEC-3h")],
        ),
        (
            &[("/portfolio/entities/0/tier_hint", json!(4))],
            &[("/portfolio/entities/0/tier_hint", "schema")],
        ),
        (
            &[(
                "/portfolio/entities/0/preferred_methods/1",
                json!("portal_playwright"),
            )],
            &[("/portfolio/entities/0/preferred_methods/1", "D-SPEC-3f")],
        ),
        (
            &[("/portfolio/entities/0/lookback_days", json!(0))],
            &[("/portfolio/entities/0/lookback_days", "schema")],
        ),
        (
            &[
                ("/job_type", json!("intake_research")),
                ("/cadence", json!({"type": "none"})),
                ("/portfolio/entities/0/tier_hint", json!(2)),
            ],
            &[],
        ),
    ];
    check(&v1(), cases);
}

#[test]
fn job_settings_are_refused_by_rule() {
    let filler = "abcd1234".repeat(4);
    let cases: &[Case<'_>] = &[
        (&[("/job_id", Value::Null)], &[("/job_id", "schema")]),
        (&[("/version", json!(0))], &[("/version", "schema")]),
        (&[("/version", json!(1.5))], &[("/version", "schema")]),
        (&[("/mode", json!("dry"))], &[("/mode", "schema")]),
        (&[("/title", json!(3))], &[("/title", "schema")]),
        (&[("/timezone", json!("UTC"))], &[("/timezone", "schema")]),
        (
            &[("/secrets/1/name", json!("amex-session"))],
            &[
                ("/secrets/1/name", "D-SEC-2"),
                ("/alerts/1/target_secret", "D-SEC-4"),
            ],
        ),
        (
            &[("/secrets/1/name", json!("hook url"))],
            &[
                ("/secrets/1/name", "D-SEC-2"),
                ("/alerts/1/target_secret", "D-SEC-4"),
            ],
        ),
        (
            &[(
                "/secrets/1/keys",
                json!(["HOOK-URL", "MOORLINE_X", "A", "A"]),
            )],
            &[
                ("/secrets/1/keys/0", "D-SEC-2"),
                ("/secrets/1/keys/1", "D-SEC-2"),
                ("/secrets/1/keys/3", "D-SEC-2"),
            ],
        ),
        (
            &[("/secrets/1/keys", json!([]))],
            &[("/secrets/1/keys", "schema")],
        ),
        (
            &[(
                "/portfolio/entities/0/session_artifacts/0/secret",
                json!("gone"),
            )],
            &[(
                "/portfolio/entities/0/session_artifacts/0/secret",
                "D-SEC-4",
            )],
        ),
        (&[("/egress/allow/0", json!("*"))], &[]),
        (
            &[("/egress/allow/0", json!("a:b:c"))],
            &[("/egress/allow/0", "D-SPEC-3j")],
        ),
        (
            &[("/params/days", json!("7"))],
            &[("/params/days", "D-SPEC-3o")],
        ),
        (
            &[("/params_schema/properties/days/type", json!("int"))],
            &[("/params_schema/properties/days/type", "D-SPEC-3o")],
        ),
        (
            &[(
                "/params_schema/properties/days",
                json!({"$ref": "https://example.com/s.json"}),
            )],
            &[("/params_schema", "D-SPEC-3o")],
        ),
        (
            &[("/params/big", json!(9_007_199_254_740_992_u64))],
            &[("/params/big", "D-SPEC-5")],
        ),
        (
            &[("/metadata/key", json!(format!("ghp_{filler}")))],
            &[("/metadata/key", "D-SEC-3")],
        ),
        (
            &[("/steps/0/env/K", json!(format!("sk-{filler}")))],
            &[("/steps/0/env/K", "D-SEC-3")],
        ),
        (
            &[("/inputs/A B", json!({}))],
            &[("/inputs/A B", "D-SPEC-3p")],
        ),
        (
            &[("/inputs/statement/default", json!("/etc/passwd"))],
            &[("/inputs/statement/default", "D-SPEC-4c")],
        ),
        (
            &[("/incremental/cursor_field", Value::Null)],
            &[("/incremental/cursor_field", "D-SPEC-3q")],
        ),
        (
            &[("/incremental/strategy", json!("full"))],
            &[("/incremental/cursor_field", "D-SPEC-3q")],
        ),
        // L43: 0 is a threshold.
        (&[("/validation/max_transactions", json!(0))], &[]),
        (
            &[
                ("/validation/min_transactions", json!(1)),
                ("/validation/max_transactions", json!(0)),
            ],
            &[("/validation/max_transactions", "D-SPEC-3s")],
        ),
        (
            &[("/alerts/0/target", json!("ops"))],
            &[("/alerts/0/target", "D-SPEC-3r")],
        ),
        (
            &[("/alerts/0/target", Value::Null)],
            &[("/alerts/0/target", "D-SPEC-3r")],
        ),
        (
            &[("/alerts/0/target_secret", json!("hook"))],
            &[("/alerts/0/target_secret", "D-SPEC-3r")],
        ),
        (
            &[(
                "/alerts/0",
                json!({"channel": "webhook", "target": "https://u:p@h.example/"}),
            )],
            &[("/alerts/0/target", "D-SPEC-3r")],
        ),
        (
            &[("/alerts/0/secret", json!("hook"))],
            &[("/alerts/0/secret", "D-SPEC-3r")],
        ),
        (
            &[("/alerts/1/secret", json!("unknown"))],
            &[("/alerts/1/secret", "D-SEC-4")],
        ),
        (
            &[(
                "/alerts/0",
                json!({"channel": "slack", "target": "http://chat.example/"}),
            )],
            &[("/alerts/0/target", "D-SPEC-3r")],
        ),
        (
            &[("/approval/date", json!("2026-02-30"))],
            &[("/approval/date", "schema")],
        ),
        (
            &[("/retention/logs_days", json!(0))],
            &[("/retention/logs_days", "schema")],
        ),
        (
            &[("/constraints/browser_automation", json!(false))],
            &[("/portfolio/entities/0/preferred_methods/1", "D-SPEC-3f")],
        ),
    ];
    check(&task(), cases);
}

/// D-SPEC-1: every violation at once, though the document breaks the schema in several places, and none
/// that is the echo of another.
#[test]
fn schema_and_rules_are_reported_together() {
    let cases: &[Case<'_>] = &[
        (
            &[
                ("/cadence", json!({"type": "cron", "expr": "never"})),
                ("/steps/0/timout_seconds", json!(5)),
                ("/steps/0/argv", json!("sh -c true")),
                ("/steps/0/outputs/0/path", Value::Null),
                ("/steps/0/mounts/0/path", json!("relative")),
                ("/steps/0/env/1", json!("x")),
                ("/steps/1/name", json!("fetch")),
                ("/steps/1/secrets", json!(["gone"])),
                ("/colour", json!("red")),
            ],
            &[
                ("/cadence/expr", "D-SPEC-3a"),
                ("/steps/0/timout_seconds", "schema"),
                ("/steps/0/argv", "schema"),
                ("/steps/0/outputs/0/path", "schema"),
                ("/steps/0/env/1", "D-RUN-5"),
                ("/steps/0/mounts/0/path", "D-SPEC-4b"),
                ("/steps/1/name", "D-SPEC-3e"),
                ("/steps/1/secrets/0", "D-SEC-4"),
                ("/colour", "schema"),
            ],
        ),
        // Whether the secret is declared can not be told while a declaration is unreadable.
        (
            &[
                ("/secrets/1/name", json!(5)),
                ("/steps/1/secrets", json!(["gone"])),
            ],
            &[("/secrets/1/name", "schema")],
        ),
        // An unknown field does not hide the rules on the fields around it.
        (
            &[
                ("/steps/1/nam", json!("x")),
                ("/steps/1/egress", json!({"allow": ["a b"]})),
            ],
            &[
                ("/steps/1/nam", "schema"),
                ("/steps/1/egress/allow/0", "D-SPEC-3j"),
            ],
        ),
    ];
    check(&task(), cases);
}
