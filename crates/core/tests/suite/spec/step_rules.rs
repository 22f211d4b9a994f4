//! Rules on steps and what they leave.

use serde_json::{Value, json};

use crate::spec::samples::task;
use crate::spec::tables::{Case, check};

#[test]
fn steps_are_refused_by_rule() {
    let cases: &[Case<'_>] = &[
        (&[("/steps", Value::Null)], &[("/steps", "D-SPEC-2b")]),
        (&[("/steps", json!([]))], &[("/steps", "schema")]),
        (
            &[("/steps/1/name", json!("fetch"))],
            &[("/steps/1/name", "D-SPEC-3e")],
        ),
        (
            &[("/steps/1/name", json!("Normalise"))],
            &[("/steps/1/name", "schema")],
        ),
        (
            &[("/steps/0/argv", json!([]))],
            &[("/steps/0/argv", "schema")],
        ),
        (
            &[("/steps/0/argv", json!("python3 fetch.py"))],
            &[("/steps/0/argv", "schema")],
        ),
        (
            &[("/steps/0/argv/1", json!(7))],
            &[("/steps/0/argv/1", "schema")],
        ),
        (
            &[("/steps/0/argv/1", json!("a\u{0}b"))],
            &[("/steps/0/argv/1", "D-RUN-5")],
        ),
        (
            &[("/steps/0/argv/2", json!({"base64": "AA=="}))],
            &[("/steps/0/argv/2", "D-RUN-5")],
        ),
        (
            &[("/steps/0/argv/2", json!({"base64": "?"}))],
            &[("/steps/0/argv/2/base64", "schema")],
        ),
        (
            &[("/steps/0/argv/2", json!({"hex": "ff"}))],
            &[
                ("/steps/0/argv/2/hex", "schema"),
                ("/steps/0/argv/2/base64", "schema"),
            ],
        ),
        (
            &[("/steps/0/argv/0", json!(""))],
            &[("/steps/0/argv/0", "D-RUN-5")],
        ),
        (
            &[("/steps/0/env/A-B", json!("x"))],
            &[("/steps/0/env/A-B", "D-RUN-5")],
        ),
        (
            &[("/steps/0/env/A~1B", json!("x"))],
            &[("/steps/0/env/A~1B", "D-RUN-5")],
        ),
        (
            &[("/steps/0/env/MOORLINE_RUN_ID", json!("x"))],
            &[("/steps/0/env/MOORLINE_RUN_ID", "D-RUN-5")],
        ),
        (
            &[("/steps/0/env/X", json!("\u{0}"))],
            &[("/steps/0/env/X", "D-RUN-5")],
        ),
        (
            &[("/steps/0/env/AMEX_SESSION", json!("x"))],
            &[("/steps/0/env/AMEX_SESSION", "D-SEC-3")],
        ),
        (
            &[("/steps/0/env/X", json!(1))],
            &[("/steps/0/env/X", "schema")],
        ),
        (
            &[("/steps/1/secrets", json!(["amex-sesion"]))],
            &[("/steps/1/secrets/0", "D-SEC-4")],
        ),
        (
            &[("/steps/0/secrets/1", json!("amex-session"))],
            &[("/steps/0/secrets/1", "D-SEC-2")],
        ),
        (
            &[("/steps/0/timeout_seconds", json!(901))],
            &[("/steps/0/timeout_seconds", "D-SPEC-4a")],
        ),
        (
            &[("/steps/0/timeout_seconds", json!(86_401))],
            &[("/steps/0/timeout_seconds", "schema")],
        ),
        (
            &[("/steps/0/timeout_seconds", json!(0))],
            &[("/steps/0/timeout_seconds", "schema")],
        ),
        (
            &[("/steps/0/timeout_seconds", json!("5m"))],
            &[("/steps/0/timeout_seconds", "schema")],
        ),
        (
            &[("/steps/0/grace_seconds", json!(-1))],
            &[("/steps/0/grace_seconds", "schema")],
        ),
        (
            &[("/steps/0/resources/cpu", json!(0))],
            &[("/steps/0/resources/cpu", "schema")],
        ),
        (
            &[("/steps/0/egress", json!("all"))],
            &[("/steps/0/egress", "schema")],
        ),
        (
            &[("/steps/0/egress", json!({"allow": []}))],
            &[("/steps/0/egress/allow", "schema")],
        ),
        (
            &[("/steps/0/egress", json!({"allow": ["https://a.example/"]}))],
            &[("/steps/0/egress/allow/0", "D-SPEC-3j")],
        ),
        (
            &[("/steps/0/image", json!("repo@sha256:abc"))],
            &[("/steps/0/image", "D-SPEC-3k")],
        ),
        // L46: auth and validation failures are never retried.
        (
            &[(
                "/steps/0/retries/on",
                json!(["runtime", "auth", "validation"]),
            )],
            &[
                ("/steps/0/retries/on/1", "D-RUN-4"),
                ("/steps/0/retries/on/2", "D-RUN-4"),
            ],
        ),
        (
            &[("/steps/0/idempotent", json!(false))],
            &[("/steps/0/retries/on/1", "D-RUN-4")],
        ),
        (
            &[("/steps/0/retries/on/0", json!("sometimes"))],
            &[("/steps/0/retries/on/0", "schema")],
        ),
        (
            &[(
                "/failure_policy/retries",
                json!({"max": 1, "on": ["config"]}),
            )],
            &[("/failure_policy/retries/on/0", "D-RUN-4")],
        ),
        (
            &[("/steps/0/retries/max", json!(101))],
            &[("/steps/0/retries/max", "schema")],
        ),
        (
            &[("/steps/0/mounts/0/path", json!("data"))],
            &[("/steps/0/mounts/0/path", "D-SPEC-4b")],
        ),
        (
            &[("/steps/0/mounts/0/path", json!("/a/../b"))],
            &[("/steps/0/mounts/0/path", "D-SPEC-4b")],
        ),
        (
            &[("/steps/0/mounts/0/path", json!("/"))],
            &[("/steps/0/mounts/0/path", "D-SPEC-4b")],
        ),
        (
            &[(
                "/steps/0/mounts/1",
                json!({"volume": "runs", "path": "/data"}),
            )],
            &[("/steps/0/mounts/1/path", "D-SPEC-4b")],
        ),
        (
            &[("/steps/0/working_dir", json!("../other"))],
            &[("/steps/0/working_dir", "D-SPEC-4c")],
        ),
        (&[("/steps/0/working_dir", json!("."))], &[]),
        (
            &[("/steps/0/scaledown_window_seconds", json!(1))],
            &[("/steps/0/scaledown_window_seconds", "schema")],
        ),
        (
            &[("/steps/0/resources/gpu/0/type", Value::Null)],
            &[("/steps/0/resources/gpu/0/type", "schema")],
        ),
    ];
    check(&task(), cases);
}

/// L08: two outputs that are one file are refused before anything runs.
#[test]
fn output_paths_are_canonical_and_unique() {
    let cases: &[Case<'_>] = &[
        (
            &[("/steps/1/outputs/1/path", json!("transactions.jsonl"))],
            &[("/steps/1/outputs/1/path", "D-RUN-6")],
        ),
        (
            &[("/steps/1/outputs/1/path", json!("./transactions.jsonl"))],
            &[("/steps/1/outputs/1/path", "D-RUN-6")],
        ),
        (
            &[("/steps/1/outputs/1/path", json!("a/../../b"))],
            &[("/steps/1/outputs/1/path", "D-RUN-6")],
        ),
        (
            &[("/steps/1/outputs/1/path", json!("/etc/passwd"))],
            &[("/steps/1/outputs/1/path", "D-RUN-6")],
        ),
        (
            &[("/steps/1/outputs/1/path", json!(""))],
            &[("/steps/1/outputs/1/path", "D-RUN-6")],
        ),
        // Two steps may each keep a file of one name, but only one of them can export it.
        (&[("/steps/0/outputs/0/path", json!("report.json"))], &[]),
        (
            &[
                ("/steps/0/outputs/0/path", json!("report.json")),
                ("/steps/0/outputs/0/export", json!(true)),
            ],
            &[("/steps/1/outputs/1/path", "D-RUN-6")],
        ),
        (
            &[("/steps/1/outputs/0/format", json!("json"))],
            &[("/steps/1/outputs/0/format", "D-RUN-6")],
        ),
        (
            &[("/steps/1/outputs/1/format", json!("any"))],
            &[("/steps/1/outputs/1/format", "D-RUN-6")],
        ),
        (
            &[("/steps/1/outputs/1/schema", json!("/etc/report.json"))],
            &[("/steps/1/outputs/1/schema", "D-SPEC-4c")],
        ),
    ];
    check(&task(), cases);
}
