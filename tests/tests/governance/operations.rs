//! Every operation that changes something leaves exactly one record (D-AUDIT-1).
//!
//! One session at the command line does each of them once; a new operation without a line here fails the test.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use moorline_api::Operation;
use moorline_testkit::moorline::{Moorline, Output};
use moorline_testkit::receivers::http::{Answer, Receiver};
use moorline_testkit::wait;
use serde_json::{Value, json};

use crate::support::{Bank, JOB, SOURCE, job_spec, json_of, ok, repository, statement, write_job};

/// Who does everything here.
const ADA: &str = "human:ada";
/// How long a run may take to begin.
const PATIENCE: Duration = Duration::from_mins(1);

/// Operations that this session can not do, and the test that shows their record.
const ELSEWHERE: [(Operation, &str); 2] = [
    (Operation::ScheduleDeploy, "drift.rs, which has a Modal"),
    (Operation::ScheduleUndeploy, "drift.rs, which has a Modal"),
];

/// The session, and the operations that were seen to leave their record.
struct Session {
    moorline: Moorline,
    job: PathBuf,
    bank: Bank,
    alerts: Receiver,
    seen: BTreeSet<&'static str>,
}

impl Session {
    fn new() -> Self {
        let bank = Bank::open("a session", statement(&["-12.50"]));
        let alerts = Receiver::start().unwrap();
        let moorline = Moorline::new().unwrap().env("MOORLINE_PRINCIPAL", ADA);
        let settings = format!(
            "[alerts.ops]\nchannel = \"webhook\"\ntarget = \"{}\"\n",
            alerts.url("/alerts")
        );
        fs::write(moorline.work_dir().join("moorline.toml"), settings).unwrap();
        let job = moorline.root().join("job");
        write_job(&job, &job_spec(&bank));
        ok(&moorline, &["init"]);
        Self {
            moorline,
            job,
            bank,
            alerts,
            seen: BTreeSet::new(),
        }
    }

    /// Every record of the trail, oldest first.
    fn records(&self) -> Vec<Value> {
        let export = ok(&self.moorline, &["audit", "export", "--out", "-"]);
        let lines = export.stdout.lines().skip(1);
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Does an operation; it leaves one record by Ada, of this subject, with a reason where one was given.
    fn does(&mut self, operation: Operation, subject: &str, arguments: &[&str]) {
        self.leaves(operation, operation.as_str(), subject, arguments);
    }

    fn leaves(&mut self, operation: Operation, name: &str, subject: &str, arguments: &[&str]) {
        self.leaves_by(operation, name, subject, arguments, |moorline| {
            moorline.run(arguments).unwrap()
        });
    }

    fn leaves_by(
        &mut self,
        operation: Operation,
        name: &str,
        subject: &str,
        arguments: &[&str],
        run: impl FnOnce(&Moorline) -> Output,
    ) {
        let before = self.records().len();
        let done = run(&self.moorline);
        assert_eq!(done.code, Some(0), "{arguments:?}\n{done}");
        let after = self.records();
        let new: Vec<&Value> = after[before..]
            .iter()
            .filter(|record| record["operation"] == name && record["actor"] == ADA)
            .collect();
        // A re-authentication is a guided flow, and each step of it is on record.
        let steps = if operation == Operation::SourceReauth {
            4
        } else {
            1
        };
        assert_eq!(new.len(), steps, "{name}: {:#?}", &after[before..]);
        let record = new[0];
        let found = record["subject"].as_str().unwrap();
        assert!(
            found.starts_with(subject),
            "{name} of {found}, not of {subject}"
        );
        if let Some(at) = arguments.iter().position(|word| *word == "--reason") {
            assert_eq!(record["reason"], arguments[at + 1], "{name}");
        }
        self.seen.insert(operation.as_str());
    }

    fn with_input(&mut self, operation: Operation, subject: &str, arguments: &[&str], input: &str) {
        self.leaves_by(
            operation,
            operation.as_str(),
            subject,
            arguments,
            |moorline| {
                moorline
                    .run_with_input(arguments, input.as_bytes())
                    .unwrap()
            },
        );
    }

    /// A new version of the job, submitted.
    fn submit(&mut self, why: &str) {
        let runbook = self.job.join("RUNBOOK.md");
        let text = fs::read_to_string(&runbook).unwrap();
        fs::write(&runbook, format!("{text}\n{why}\n")).unwrap();
        let job = self.job.to_str().unwrap().to_owned();
        ok(&self.moorline, &["artifact", "submit", &job]);
    }
}

#[test]
fn every_operation_that_changes_something_leaves_one_record() {
    let mut session = Session::new();
    runs_and_stops(&mut session);
    approvals(&mut session);
    tokens(&mut session);
    artifacts(&mut session);
    secrets_and_gates(&mut session);
    schedules_and_sources(&mut session);
    principals_and_alerts(&mut session);
    the_end(&mut session);
    let covered: BTreeSet<&str> = session
        .seen
        .iter()
        .copied()
        .chain(ELSEWHERE.iter().map(|(operation, _)| operation.as_str()))
        .collect();
    let wanted: BTreeSet<&str> = Operation::ALL
        .iter()
        .filter(|operation| operation.mutates())
        .map(|operation| operation.as_str())
        .collect();
    let missing: Vec<_> = wanted.difference(&covered).collect();
    assert!(missing.is_empty(), "no record is shown for {missing:?}");
    ok(&session.moorline, &["audit", "verify"]);
}

fn runs_and_stops(session: &mut Session) {
    let hello = repository().join("examples/hello");
    let hello = hello.to_str().unwrap();
    session.does(Operation::RunSubmit, "run/", &["run", hello]);
    let again = ["runs", "retry", "latest", "--reason", "once more"];
    session.leaves_by(Operation::RunRetry, "run.retry", "run/", &[], |moorline| {
        moorline.run(again).unwrap()
    });

    let sleeps = session.moorline.root().join("sleeps");
    fs::create_dir(&sleeps).unwrap();
    let spec = json!({
        "job_id": "sleeps",
        "steps": [{"name": "main", "argv": ["sleep", "600"], "egress": "none", "grace_seconds": 0}]
    });
    fs::write(sleeps.join("job_spec.json"), spec.to_string()).unwrap();
    let asleep = session
        .moorline
        .spawn(["run", sleeps.to_str().unwrap()])
        .unwrap();
    wait::until(PATIENCE, "the job runs", || {
        let runs = json_of(&session.moorline, &["runs", "list", "--job", "sleeps"]);
        runs[0]["status"] == "running"
    })
    .unwrap();
    let cancel = ["runs", "cancel", "latest", "--reason", "seen enough"];
    session.does(Operation::RunCancel, "run/", &cancel);
    asleep.wait(PATIENCE).unwrap();

    session.does(
        Operation::Stop,
        "stop/job:x",
        &["stop", "job:x", "--reason", "a look"],
    );
    session.does(
        Operation::Release,
        "stop/job:x",
        &["release", "job:x", "--reason", "seen"],
    );
}

fn approvals(session: &mut Session) {
    let asks = session.moorline.root().join("asks");
    fs::create_dir(&asks).unwrap();
    let spec = json!({
        "job_id": "asks",
        "steps": [{"name": "plan", "argv": ["/bin/true"]}],
        "workflow": {
            "steps": {"plan": {"then": "approve"}},
            "gates": [{
                "name": "approve", "title": "Good?",
                "options": [{"name": "approved", "to": "end"}, {"name": "rejected", "to": "reject"}]
            }]
        }
    });
    fs::write(asks.join("job_spec.json"), spec.to_string()).unwrap();
    let waits = session
        .moorline
        .run(["run", asks.to_str().unwrap()])
        .unwrap();
    assert_eq!(waits.code, Some(3), "{waits}");
    let link = ["approvals", "link", "latest", "--to", ADA];
    session.does(Operation::ApprovalLink, "token/", &link);
    let decide = ["approvals", "decide", "latest", "approved"];
    session.does(Operation::ApprovalDecide, "approval/", &decide);
}

fn tokens(session: &mut Session) {
    let create = ["tokens", "create", "laptop"];
    session.does(Operation::TokenCreate, "token/", &create);
    let tokens = json_of(&session.moorline, &["tokens", "list"]);
    let token = tokens[0]["id"].as_str().unwrap().to_owned();
    let revoke = [
        "tokens",
        "revoke",
        &token,
        "--reason",
        "the laptop was lost",
    ];
    session.does(Operation::TokenRevoke, "token/", &revoke);
}

fn artifacts(session: &mut Session) {
    let job = session.job.to_str().unwrap().to_owned();
    session.does(
        Operation::ArtifactSubmit,
        "artifact/",
        &["artifact", "submit", &job],
    );
    let decide = |verb: &'static str| ["artifact", verb, "latest", "--reason", "read it all"];
    session.does(Operation::ArtifactReject, "artifact/", &decide("reject"));
    session.submit("second");
    let mut changes = decide("request-changes").to_vec();
    changes.extend(["--change", "say more"]);
    session.does(Operation::ArtifactRequestChanges, "artifact/", &changes);
    session.submit("third");
    session.does(Operation::ArtifactApprove, "artifact/", &decide("approve"));
    session.does(
        Operation::ArtifactSecurityReview,
        "artifact/",
        &decide("security-review"),
    );
    let promote = [
        "artifact", "promote", "latest", "--lane", "prod", "--reason", "reviewed",
    ];
    session.does(Operation::ArtifactPromote, "artifact/", &promote);
    session.submit("fourth");
    ok(&session.moorline, &decide("approve"));
    ok(&session.moorline, &promote);
    let back = [
        "artifact",
        "rollback",
        JOB,
        "--lane",
        "prod",
        "--reason",
        "the third was right",
    ];
    session.does(Operation::ArtifactRollback, "artifact/", &back);
    session.submit("fifth");
    ok(&session.moorline, &decide("approve"));
    session.does(Operation::ArtifactArchive, "artifact/", &decide("archive"));
}

fn secrets_and_gates(session: &mut Session) {
    let keys = [
        "first-bank-session",
        "--lane",
        "prod",
        "--key",
        "FIRST_BANK_SESSION",
    ];
    let set = [&["secrets", "set"], &keys[..]].concat();
    session.with_input(
        Operation::SecretSet,
        "secret/prod/",
        &set,
        "another session",
    );
    let rotate = [&["secrets", "rotate"], &keys[..]].concat();
    session.with_input(
        Operation::SecretRotate,
        "secret/prod/",
        &rotate,
        "a session",
    );
    let schedule = format!("prod/{JOB}");
    let subject = format!("schedule/{schedule}");
    let gate = |verb: &'static str| ["gates".to_owned(), verb.to_owned(), schedule.clone()];
    for (operation, verb) in [
        (Operation::GateCheckSecrets, "check-secrets"),
        (Operation::GateProbeEgress, "probe-egress"),
    ] {
        let arguments = gate(verb);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        session.does(operation, &subject, &arguments);
    }
    session.leaves(
        Operation::ScheduleRunNow,
        // What it starts is a run like any other.
        "run.submit",
        "run/",
        &["schedule", "run-now", &schedule],
    );
    assert_eq!(session.bank.served(), 1);
    let verify = [
        "gates",
        "verify-run",
        &schedule,
        "--run",
        "latest",
        "--note",
        "as on the statement",
    ];
    session.does(Operation::GateVerifyRun, &subject, &verify);
}

fn schedules_and_sources(session: &mut Session) {
    let schedule = format!("prod/{JOB}");
    let subject = format!("schedule/{schedule}");
    let change = |verb: &'static str| {
        ["schedule", verb, &schedule, "--reason", "it is time"].map(str::to_owned)
    };
    let mut does = |operation: Operation, verb: &'static str| {
        let arguments = change(verb);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        session.does(operation, &subject, &arguments);
    };
    does(Operation::ScheduleEnable, "enable");
    does(Operation::ScheduleDisable, "disable");
    does(Operation::ScheduleEnable, "enable");
    let source = format!("source/{SOURCE}");
    let pause = ["sources", "pause", SOURCE, "--reason", "the bank is closed"];
    session.does(Operation::SourcePause, &source, &pause);
    let resume = ["sources", "resume", SOURCE, "--reason", "it is open"];
    session.does(Operation::SourceResume, &source, &resume);
    let go_on = [
        "schedule",
        "resume",
        &schedule,
        "--reason",
        "the bank is open",
    ];
    session.does(Operation::ScheduleResume, &subject, &go_on);
    fs::write(
        session.moorline.root().join("home/new-session"),
        "a new session",
    )
    .unwrap();
    session.bank.wants("a new session");
    let reauth = ["sources", "reauth", SOURCE, "--lane", "prod"];
    session.does(Operation::SourceReauth, &source, &reauth);
}

fn principals_and_alerts(session: &mut Session) {
    let set = [
        "principal",
        "set",
        "human:bob",
        "--role",
        "approver",
        "--reason",
        "reviews",
    ];
    session.does(Operation::PrincipalSet, "principal/human:bob", &set);
    let remove = ["principal", "remove", "human:bob", "--reason", "left"];
    session.does(Operation::PrincipalRemove, "principal/human:bob", &remove);
    session.does(
        Operation::AlertTest,
        "destination/ops",
        &["alerts", "test", "ops"],
    );
    // The receiver wants nothing of the next one, so that it is given up.
    session.alerts.answer([Answer::status(410)]);
    session.moorline.run(["alerts", "test", "ops"]).unwrap();
    let replay = [
        "alerts",
        "replay",
        "latest",
        "--reason",
        "the receiver is back",
    ];
    session.does(Operation::AlertReplay, "alert/", &replay);
}

fn the_end(session: &mut Session) {
    let revoke = [
        "secrets",
        "revoke",
        "first-bank-session",
        "--lane",
        "prod",
        "--reason",
        "seen in a log",
    ];
    session.does(Operation::SecretRevoke, "secret/prod/", &revoke);
    let emergency = ["emergency", "run", "--reason", "a token was seen"];
    session.does(Operation::Emergency, "emergency/", &emergency);
}
