//! The documents that the tests start from.

use moorline_core::spec::{self, JobSpec, Violations};
use serde_json::{Value, json};

/// The JobSpec v1 document of seed 000's contract.
pub(crate) const V1: &str = r#"{"job_id":"5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a01","job_type":"generate_and_test","objective":"Normalise checking-account statements every morning","time_zone":"America/New_York",
 "cadence":{"type":"cron","expr":"15 6 * * *"},"portfolio":{"entities":[{"source_id":"chase","tier_hint":1,"preferred_methods":["csv_export"],"lookback_days":30}]},
 "output":{"schema_version":"tx_v1","formats":["jsonl"],"storage":{"raw_path":"runs/","normalized_path":"exports/"}},
 "constraints":{"max_runtime_seconds":600},"review":{"required":true}}"#;

pub(crate) fn v1() -> Value {
    serde_json::from_str(V1).unwrap()
}

/// A general job that uses about everything.
pub(crate) fn task() -> Value {
    json!({
        "$schema": "urn:moorline:schema:job_spec",
        "job_id": "statements",
        "version": 3,
        "title": "Statements",
        "metadata": {"team": {"any": ["thing", 1, null]}},
        "time_zone": "Europe/Zurich",
        "cadence": {"type": "periodic", "period_seconds": 3600},
        "portfolio": {"entities": [{
            "source_id": "amex", "tier_hint": 2, "preferred_methods": ["oauth", "portal_playwright"],
            "lookback_days": 7, "step_up": "totp",
            "session_artifacts": [{"secret": "amex-session", "ttl_hours": 720}],
            "reauth": {"instructions": "sign on and save the session", "argv": ["./reauth"]},
        }]},
        "constraints": {"max_runtime_seconds": 900, "browser_automation": true},
        "inputs": {"statement": {"description": "what the bank sent", "default": "sample/a.ofx"}},
        "params": {"days": 7},
        "params_schema": {"type": "object", "properties": {"days": {"type": "integer"}}},
        "secrets": [
            {"name": "amex-session", "type": "session", "keys": ["AMEX_SESSION"]},
            {"name": "hook", "keys": ["HOOK_URL"], "required": false},
        ],
        "egress": {"allow": ["*.americanexpress.com:443"]},
        "steps": [
            {
                "name": "fetch", "argv": ["python3", "fetch.py", {"base64": "/w=="}],
                "working_dir": "extractor", "env": {"TZ": "UTC"}, "secrets": ["amex-session"],
                "resources": {"cpu": 0.5, "memory_mb": 512, "disk_mb": 100, "pids": 64,
                    "gpu": [{"type": "A10G", "queue_timeout_seconds": 60}, {"type": "T4", "count": 2}]},
                "timeout_seconds": 600, "grace_seconds": 0, "idempotent": true,
                "retries": {"max": 3, "initial_delay_seconds": 0.5, "backoff": 1.5,
                    "on": ["runtime", "preempted"]},
                "mounts": [{"volume": "exports", "path": "/data", "read_only": false}],
                "outputs": [{"path": "raw.json", "export": false}], "reply": "required",
            },
            {
                "name": "normalise", "argv": ["python3", "normalise.py"], "egress": "none",
                "outputs": [{"path": "transactions.jsonl", "schema": "tx_v1"},
                    {"path": "report.json", "schema": "schemas/report.json", "required": false}],
            },
        ],
        "validation": {"min_transactions": 0, "max_transactions": 100_000},
        "failure_policy": {"pause_after_failed_runs": 3},
        "alerts": [{"channel": "email", "target": "ops@example.com"},
            {"channel": "webhook", "target_secret": "hook", "min_level": "critical"}],
        "retention": {"runs_days": 90, "logs_days": 30},
        "dedupe": {"strategy": "keep_last"},
        "incremental": {"strategy": "cursor", "cursor_field": "posted_at", "backfill_days": 90},
        "tool_permissions": {"shell": "restricted"},
        "approval": {"by": "ada", "date": "2026-02-28"},
    })
}

pub(crate) fn load(document: &Value) -> Result<JobSpec, Violations> {
    spec::load(&serde_json::to_vec(document).unwrap())
}
