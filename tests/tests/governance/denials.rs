//! The authorisation table through the binary: each operation that changes something, by who may not do it.

use std::fs;

use moorline_api::{Operation, authorization};
use moorline_testkit::moorline::Moorline;

use super::lanes::acting;
use super::support::{Bank, JOB, SOURCE, job_spec, ok, statement, write_job};

/// The schedule that the job would have, written so that nothing has to be looked up.
const SCHEDULE: &str = "prod/bank-daily";

/// How the command line asks for an operation; nothing for those that change nothing.
///
/// The match has no catch-all: an operation that is added has to say here how its denial is tried.
fn command(operation: Operation) -> &'static [&'static str] {
    use Operation as O;
    match operation {
        O::JobCheck
        | O::RunGet
        | O::RunList
        | O::RunWait
        | O::RunLogs
        | O::RunOutput
        | O::StopList
        | O::EventList
        | O::EventWatch
        | O::AuditList
        | O::AuditVerify
        | O::AuditExport
        | O::Explain
        | O::SourceList
        | O::AlertList
        | O::SecretList
        | O::SecretCheck
        | O::SecretAudit
        | O::PrincipalList
        | O::ArtifactReview
        | O::ArtifactList
        | O::ArtifactShow
        | O::ArtifactDiff
        | O::ArtifactHistory
        | O::ArtifactVerify
        | O::ArtifactExport
        | O::ArtifactProject
        | O::ScheduleList
        | O::ScheduleShow
        | O::ScheduleNext
        | O::ScheduleDrift
        | O::GateShow
        | O::EmergencyList
        | O::EmergencyShow
        | O::ApprovalList
        | O::ApprovalShow
        | O::TokenList
        | O::JobList
        | O::Health => &[],
        O::ApprovalDecide => &["approvals", "decide", "latest", "approved"],
        O::ApprovalLink => &["approvals", "link", "latest", "--to", "human:bob"],
        O::TokenCreate => &["tokens", "create", "ci", "--reason", "x"],
        O::TokenRevoke => &["tokens", "revoke", "latest", "--reason", "x"],
        O::RunSubmit => &["run", "JOB"],
        O::RunCancel => &["runs", "cancel", "latest"],
        O::RunRetry => &["runs", "retry", "latest"],
        O::Stop => &["stop", "all", "--reason", "x"],
        O::Release => &["release", "all", "--reason", "x"],
        O::SourcePause => &["sources", "pause", SOURCE, "--reason", "x"],
        O::SourceResume => &["sources", "resume", SOURCE, "--reason", "x"],
        O::SourceReauth => &["sources", "reauth", SOURCE],
        O::AlertReplay => &["alerts", "replay", "latest", "--reason", "x"],
        O::AlertTest => &["alerts", "test", "ops"],
        O::SecretSet => &["secrets", "set", "first-bank-session"],
        O::SecretRotate => &["secrets", "rotate", "first-bank-session"],
        O::SecretRevoke => &["secrets", "revoke", "--all", "--reason", "x"],
        O::PrincipalSet => &[
            "principal",
            "set",
            "human:eve",
            "--role",
            "admin",
            "--reason",
            "x",
        ],
        O::PrincipalRemove => &["principal", "remove", "human:bob", "--reason", "x"],
        O::ArtifactSubmit => &["artifact", "submit", "JOB"],
        O::ArtifactApprove => &["artifact", "approve", "latest", "--reason", "x"],
        O::ArtifactReject => &["artifact", "reject", "latest", "--reason", "x"],
        O::ArtifactRequestChanges => &[
            "artifact",
            "request-changes",
            "latest",
            "--reason",
            "x",
            "--change",
            "y",
        ],
        O::ArtifactSecurityReview => &["artifact", "security-review", "latest", "--reason", "x"],
        O::ArtifactArchive => &["artifact", "archive", "latest", "--reason", "x"],
        O::ArtifactPromote => &["artifact", "promote", "latest", "--reason", "x"],
        O::ArtifactRollback => &["artifact", "rollback", JOB, "--reason", "x"],
        O::ScheduleEnable => &["schedule", "enable", SCHEDULE, "--reason", "x"],
        O::ScheduleDisable => &["schedule", "disable", SCHEDULE, "--reason", "x"],
        O::ScheduleResume => &["schedule", "resume", SCHEDULE, "--reason", "x"],
        O::ScheduleRunNow => &["schedule", "run-now", SCHEDULE],
        O::ScheduleDeploy => &["schedule", "deploy", SCHEDULE],
        O::ScheduleUndeploy => &["schedule", "undeploy", SCHEDULE],
        O::GateCheckSecrets => &["gates", "check-secrets", SCHEDULE],
        O::GateProbeEgress => &["gates", "probe-egress", SCHEDULE],
        O::GateVerifyRun => &["gates", "verify-run", SCHEDULE, "--run", "latest"],
        O::Emergency => &["emergency", "run", "--reason", "x"],
    }
}

/// A project with people and programs of several roles, a run, and an artifact that waits for a decision.
fn stage() -> (Moorline, String, Bank) {
    let bank = Bank::open("session", statement(&["1.00"]));
    let moorline = Moorline::new().unwrap();
    let project = "[principals]\n\"human:vera\" = \"viewer\"\n\"agent:codex\" = \"admin\"\n\
        \"ci:github\" = \"admin\"\n\"human:bob\" = \"admin\"\n\
        [alerts.ops]\nchannel = \"webhook\"\ntarget = \"http://127.0.0.1:9/\"\n";
    fs::write(moorline.work_dir().join("moorline.toml"), project).unwrap();
    let job = moorline.root().join("job");
    write_job(&job, &job_spec(&bank));
    let job = job.to_str().unwrap().to_owned();
    ok(&moorline, &["artifact", "submit", &job]);
    drop(moorline.run(["run", &job, "--mode", "mock"]).unwrap());
    (moorline, job, bank)
}

/// D-AUDIT-2, L74: whatever else is the case, who may not do it is told so, by the rule.
#[test]
fn each_change_is_denied_to_who_only_looks_and_each_decision_to_programs() {
    let (moorline, job, _bank) = stage();
    let before = audit_head(&moorline);
    let mut tried = 0;
    for operation in Operation::ALL {
        let words = command(*operation);
        assert_eq!(
            words.is_empty(),
            !operation.mutates(),
            "{}",
            operation.as_str()
        );
        if words.is_empty() {
            continue;
        }
        let words: Vec<&str> = words
            .iter()
            .map(|word| if *word == "JOB" { job.as_str() } else { word })
            .collect();
        let mut denied = vec![("human:vera", "D-AUDIT-2")];
        if let Some(rule) = authorization::rule(*operation).humans_only {
            denied.push(("agent:codex", rule));
            denied.push(("ci:github", rule));
        }
        for (who, rule) in denied {
            let told = acting(&moorline, who, &words);
            assert_eq!(told.code, Some(77), "{who}: {words:?}: {told}");
            let said = told.stderr.contains("ERR_FORBIDDEN") && told.stderr.contains(rule);
            assert!(said, "{who}: {words:?}: not by {rule}: {told}");
            tried += 1;
        }
    }
    assert!(tried > 60, "{tried}");
    assert_eq!(
        audit_head(&moorline),
        before,
        "a denied operation changed something"
    );
}

/// The number of records of the audit chain: nothing that is denied adds one.
fn audit_head(moorline: &Moorline) -> String {
    let verified = ok(moorline, &["audit", "verify", "--json"]);
    verified.json().unwrap()["records"].to_string()
}
