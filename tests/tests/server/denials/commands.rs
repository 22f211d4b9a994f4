//! How each operation is asked for on the command line: one table for every test of denials.

use moorline_api::routes::ROUTES;

/// What somebody of another project is told, who asks with names and ids of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Other {
    /// That it is not there.
    Absent,
    /// What there is of that name in their own project: nothing of this one.
    Own,
    /// Nothing: the command names no object, or one that it brings along; why.
    Brings(&'static str),
    /// Something else is in the way, whatever the name: exit code and error code.
    Refused(i32, &'static str),
}

use Other::{Absent, Brings, Own, Refused};

/// A way to ask for an operation.
pub(super) enum Asked {
    /// By a command of its own. Words in capitals stand for things of the estate.
    By(&'static [&'static str], Other),
    /// Within another command, which asks for more than one: which, and why there is none of its own.
    Within(&'static str, &'static str),
}

use Asked::{By, Within};

const SUBMITS: Other = Brings("what is sent becomes an object of the sender's project");

/// Every route of the list, by how the command line asks for it; some in more than one way.
pub(super) const COMMANDS: &[(&str, Asked)] = &[
    ("job_check", By(&["job", "validate", "JOB"], SUBMITS)),
    ("job_list", By(&["job", "list"], Own)),
    ("run_submit", By(&["run", "JOB"], SUBMITS)),
    // What a lane does not point to is refused by the rule of lanes, whoever asks.
    (
        "run_submit",
        By(
            &["run", "--live", "JOB_ID", "--lane", "prod"],
            Refused(78, "ERR_POLICY"),
        ),
    ),
    ("run_get", By(&["runs", "show", "RUN"], Absent)),
    ("run_list", By(&["runs", "list"], Own)),
    ("run_list", By(&["runs", "list", "--job", "JOB_ID"], Own)),
    ("run_list", By(&["runs", "list", "--before", "RUN"], Absent)),
    ("run_wait", By(&["runs", "wait", "RUN"], Absent)),
    ("run_cancel", By(&["runs", "cancel", "RUN"], Absent)),
    ("run_retry", By(&["runs", "retry", "RUN"], Absent)),
    ("run_logs", By(&["runs", "logs", "RUN"], Absent)),
    ("run_logs", By(&["runs", "logs", "RUN", "-f"], Absent)),
    (
        "run_output",
        By(&["runs", "output", "RUN", "a.txt", "--out", "OUT"], Absent),
    ),
    ("stop", By(&["stop", "run:RUN", "--reason", "x"], Absent)),
    (
        "release",
        By(&["release", "run:RUN", "--reason", "x"], Absent),
    ),
    ("stop_list", By(&["stop", "--list"], Own)),
    ("event_list", By(&["events", "list"], Own)),
    ("event_list", By(&["events", "list", "--run", "RUN"], Own)),
    (
        "event_watch",
        By(&["events", "watch", "--after", "0", "--count", "1"], Own),
    ),
    (
        "event_watch",
        By(&["events", "watch", "--run", "RUN", "--count", "1"], Absent),
    ),
    ("health", By(&["doctor"], Own)),
    ("approval_list", By(&["approvals", "list"], Own)),
    (
        "approval_list",
        By(&["approvals", "list", "--run", "RUN"], Own),
    ),
    (
        "approval_list",
        By(&["approvals", "list", "--before", "APPROVAL"], Absent),
    ),
    (
        "approval_show",
        By(&["approvals", "show", "APPROVAL"], Absent),
    ),
    (
        "approval_decide",
        By(&["approvals", "decide", "APPROVAL", "approved"], Absent),
    ),
    (
        "approval_decide",
        By(&["approvals", "decide", "RUN", "approved"], Absent),
    ),
    (
        "approval_link",
        By(
            &["approvals", "link", "APPROVAL", "--to", "human:bob"],
            Absent,
        ),
    ),
    (
        "artifact_submit",
        By(&["artifact", "submit", "JOB"], SUBMITS),
    ),
    (
        "artifact_review",
        By(&["artifact", "review", "ARTIFACT"], Absent),
    ),
    ("artifact_list", By(&["artifact", "list"], Own)),
    (
        "artifact_show",
        By(&["artifact", "show", "ARTIFACT"], Absent),
    ),
    (
        "artifact_diff",
        By(&["artifact", "diff", "ARTIFACT"], Absent),
    ),
    (
        "artifact_attest",
        Within(
            "artifact approve",
            "it is what is asked for before a decision is signed",
        ),
    ),
    (
        "artifact_approve",
        By(
            &["artifact", "approve", "ARTIFACT", "--reason", "x"],
            Absent,
        ),
    ),
    (
        "artifact_reject",
        By(&["artifact", "reject", "ARTIFACT", "--reason", "x"], Absent),
    ),
    (
        "artifact_request_changes",
        By(
            &[
                "artifact",
                "request-changes",
                "ARTIFACT",
                "--change",
                "y",
                "--reason",
                "x",
            ],
            Absent,
        ),
    ),
    (
        "artifact_security_review",
        By(
            &["artifact", "security-review", "ARTIFACT", "--reason", "x"],
            Absent,
        ),
    ),
    (
        "artifact_archive",
        By(
            &["artifact", "archive", "ARTIFACT", "--reason", "x"],
            Absent,
        ),
    ),
    (
        "artifact_promote",
        By(
            &[
                "artifact", "promote", "ARTIFACT", "--lane", "staging", "--reason", "x",
            ],
            Absent,
        ),
    ),
    (
        "artifact_rollback",
        By(
            &[
                "artifact", "rollback", "JOB_ID", "--lane", "prod", "--reason", "x",
            ],
            Refused(1, "ERR_CONFLICT"),
        ),
    ),
    (
        "artifact_history",
        By(&["artifact", "history", "JOB_ID", "--lane", "prod"], Own),
    ),
    (
        "artifact_verify",
        By(&["artifact", "verify", "ARTIFACT"], Absent),
    ),
    (
        "artifact_export",
        By(&["artifact", "export", "ARTIFACT", "--out", "OUT"], Absent),
    ),
    ("artifact_project", By(&["artifact", "project"], Own)),
    ("schedule_list", By(&["schedule", "list"], Own)),
    (
        "schedule_show",
        By(&["schedule", "show", "SCHEDULE"], Absent),
    ),
    (
        "schedule_next",
        By(&["schedule", "next", "SCHEDULE"], Absent),
    ),
    (
        "schedule_enable",
        By(&["schedule", "enable", "SCHEDULE"], Absent),
    ),
    (
        "schedule_disable",
        By(&["schedule", "disable", "SCHEDULE"], Absent),
    ),
    (
        "schedule_disable",
        By(&["schedule", "disable", "--all"], Own),
    ),
    (
        "schedule_resume",
        By(&["schedule", "resume", "SCHEDULE"], Absent),
    ),
    (
        "schedule_run_now",
        By(
            &["schedule", "run-now", "SCHEDULE"],
            Refused(78, "ERR_POLICY"),
        ),
    ),
    // Without a Modal workspace nothing can be compared, which is drift.
    (
        "schedule_drift",
        By(
            &["schedule", "drift"],
            Brings("what is deployed is in a workspace, which there is none"),
        ),
    ),
    (
        "schedule_deploy",
        By(&["schedule", "deploy", "SCHEDULE"], Absent),
    ),
    (
        "schedule_undeploy",
        By(
            &["schedule", "undeploy", "SCHEDULE"],
            Refused(78, "ERR_CONFIG"),
        ),
    ),
    ("gate_show", By(&["gates", "show", "SCHEDULE"], Own)),
    (
        "gate_check_secrets",
        By(&["gates", "check-secrets", "SCHEDULE"], Absent),
    ),
    (
        "gate_probe_egress",
        By(&["gates", "probe-egress", "SCHEDULE"], Absent),
    ),
    (
        "gate_verify_run",
        By(&["gates", "verify-run", "SCHEDULE", "--run", "RUN"], Absent),
    ),
    ("source_list", By(&["sources", "list"], Own)),
    ("source_show", By(&["sources", "show", "SOURCE"], Absent)),
    (
        "source_pause",
        By(&["sources", "pause", "SOURCE", "--reason", "x"], Absent),
    ),
    (
        "source_resume",
        By(&["sources", "resume", "SOURCE", "--reason", "x"], Absent),
    ),
    ("reauth_begin", By(&["sources", "reauth", "SOURCE"], Absent)),
    (
        "reauth_store",
        Within(
            "sources reauth",
            "it takes what the first step of it asked for",
        ),
    ),
    (
        "reauth_probe",
        Within("sources reauth", "it is the last step of it"),
    ),
    ("secret_list", By(&["secrets", "list"], Own)),
    (
        "secret_check",
        By(
            &["secrets", "check", "JOB"],
            Brings("what is checked is the job that was sent"),
        ),
    ),
    (
        "secret_rotate",
        By(
            &["secrets", "rotate", "SECRET", "--key", "ACME_SESSION"],
            Refused(1, "ERR_CONFLICT"),
        ),
    ),
    (
        "secret_set",
        By(&["secrets", "set", "SECRET", "--key", "ACME_SESSION"], Own),
    ),
    (
        "secret_revoke",
        By(&["secrets", "revoke", "SECRET", "--reason", "x"], Own),
    ),
    ("secret_audit", By(&["secrets", "audit"], Own)),
    ("principal_list", By(&["principal", "list"], Own)),
    (
        "principal_get",
        By(&["principal", "show", "PRINCIPAL"], Own),
    ),
    ("principal_whoami", By(&["principal", "whoami"], Own)),
    (
        "principal_remove",
        By(
            &["principal", "remove", "PRINCIPAL", "--reason", "x"],
            Absent,
        ),
    ),
    ("token_list", By(&["tokens", "list"], Own)),
    (
        "token_create",
        By(&["tokens", "create", "ci", "--principal", "ci:github"], Own),
    ),
    ("token_revoke", By(&["tokens", "revoke", "TOKEN"], Absent)),
    ("alert_list", By(&["alerts", "list"], Own)),
    ("alert_show", By(&["alerts", "show", "ALERT"], Absent)),
    (
        "alert_replay",
        By(&["alerts", "replay", "ALERT", "--reason", "x"], Absent),
    ),
    ("alert_test", By(&["alerts", "test", "nowhere"], Absent)),
    ("audit_list", By(&["audit", "list"], Own)),
    ("audit_verify", By(&["audit", "verify"], Own)),
    (
        "audit_export",
        By(&["audit", "export", "--out", "OUT"], Own),
    ),
    ("explain", By(&["explain", "run", "RUN"], Absent)),
    ("explain", By(&["explain", "refusal", "REFUSAL"], Absent)),
    ("explain", By(&["explain", "schedule", "SCHEDULE"], Absent)),
    (
        "emergency_run",
        By(&["emergency", "run", "--resume", "EMERGENCY"], Absent),
    ),
    ("emergency_list", By(&["emergency", "list"], Own)),
    (
        "emergency_show",
        By(&["emergency", "show", "EMERGENCY"], Absent),
    ),
    // Last, since it puts a name of theirs on record in one's own project.
    (
        "principal_set",
        By(
            &[
                "principal",
                "set",
                "PRINCIPAL",
                "--role",
                "operator",
                "--reason",
                "x",
            ],
            Own,
        ),
    ),
];

/// An operation that is added has to say here how its denials are tried.
#[test]
fn every_operation_has_a_command_whose_denials_are_tried() {
    let missing: Vec<&str> = ROUTES
        .iter()
        .map(|route| route.name)
        .filter(|route| !COMMANDS.iter().any(|(name, _)| name == route))
        .collect();
    assert_eq!(missing, [] as [&str; 0], "not in the table of commands");
    for (name, asked) in COMMANDS {
        assert!(
            ROUTES.iter().any(|route| route.name == *name),
            "`{name}` is no route"
        );
        if let Within(command, why) = asked {
            let words: Vec<&str> = command.split(' ').collect();
            let found = COMMANDS
                .iter()
                .any(|(_, asked)| matches!(asked, By(all, _) if all.starts_with(&words)));
            assert!(found && !why.is_empty(), "`{name}` within `{command}`");
        }
    }
}
