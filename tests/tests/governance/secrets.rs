//! Secrets: set, rotate, revoke, audit, re-authentication.

use std::fs;
use std::time::Duration;

use moorline_testkit::moorline::{Moorline, Output};
use moorline_testkit::wait;
use moorline_tests::Job;
use serde_json::{Value, json};

use crate::support::{Bank, SOURCE, job_spec, json_of, ok, statement, write_job};

/// A job that says how long its secret is, so that tests see which one it was given.
fn job() -> Job {
    Job::new(json!({
        "secrets": [{"name": "token", "keys": ["TOKEN"]}],
        "steps": [{
            "name": "main",
            "argv": ["/bin/sh", "-c", "echo length ${#TOKEN}"],
            "egress": "none",
            "secrets": ["token"]
        }]
    }))
}

fn set(moorline: &Moorline, arguments: &[&str], value: &str) -> Output {
    let all = [&["secrets", "set"], arguments].concat();
    moorline.run_with_input(&all, value.as_bytes()).unwrap()
}

fn run(moorline: &Moorline, job: &Job, arguments: &[&str]) -> Output {
    let path = job.path().to_str().unwrap();
    let all = [&["run", path, "--mode", "real"], arguments].concat();
    moorline.run(&all).unwrap()
}

/// What the newest run printed.
fn printed(moorline: &Moorline) -> String {
    ok(moorline, &["runs", "logs", "latest"]).stdout
}

fn states(report: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| {
            (
                text(&finding["lane"]),
                format!("{}.{}", text(&finding["secret"]), text(&finding["key"])),
                text(&finding["state"]),
            )
        })
        .collect()
}

fn audit(moorline: &Moorline, arguments: &[&str]) -> (Option<i32>, Vec<(String, String, String)>) {
    let all = [&["secrets", "audit", "--json"], arguments].concat();
    let output = moorline.run(&all).unwrap();
    let report = output
        .json()
        .unwrap_or_else(|error| panic!("{error}\n{output}"));
    (output.code, states(&report))
}

fn finding(lane: &str, key: &str, state: &str) -> (String, String, String) {
    (lane.to_owned(), key.to_owned(), state.to_owned())
}

/// L57, D-SEC-7: a lane has what is kept for it alone; the environment and `secrets.env` count in `dev` only.
#[test]
fn lanes_have_secrets_of_their_own() {
    let moorline = Moorline::new().unwrap();
    let job = job();
    assert_eq!(
        set(&moorline, &["token", "--lane", "staging"], "four").code,
        Some(0)
    );
    let refused = run(&moorline, &job, &[]);
    assert_eq!(
        refused.code,
        Some(78),
        "dev found what is kept for staging\n{refused}"
    );
    assert!(refused.stderr.contains("ERR_MISSING_SECRET"), "{refused}");
    assert_eq!(run(&moorline, &job, &["--lane", "staging"]).code, Some(0));
    assert!(printed(&moorline).contains("length 4"));

    // In dev the environment comes before what is kept; in staging it neither supplies nor replaces.
    let with_env = Moorline::new()
        .unwrap()
        .env("TOKEN", "from-the-environment");
    assert_eq!(run(&with_env, &job, &[]).code, Some(0));
    assert!(printed(&with_env).contains("length 20"));
    let refused = run(&with_env, &job, &["--lane", "staging"]);
    assert_eq!(refused.code, Some(78), "{refused}");
    let file = with_env.state_dir().join("secrets.env");
    fs::write(&file, "TOKEN=in-a-file\n").unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let refused = run(&with_env, &job, &["--lane", "staging"]);
    assert_eq!(refused.code, Some(78), "{refused}");
    assert_eq!(
        set(&with_env, &["token", "--lane", "staging"], "kept").code,
        Some(0)
    );
    assert_eq!(run(&with_env, &job, &["--lane", "staging"]).code, Some(0));
    assert!(printed(&with_env).contains("length 4"));
}

/// D-SEC-3: an argument is seen by every process, so a value there is refused, and not repeated.
#[test]
fn a_value_is_never_an_argument() {
    let moorline = Moorline::new().unwrap();
    for arguments in [
        vec!["secrets", "set", "token", "hunter2-argument"],
        vec!["secrets", "set", "token", "--value", "hunter2-argument"],
        vec!["secrets", "set", "token", "--value=hunter2-argument"],
        vec!["secrets", "rotate", "token", "hunter2-argument"],
        vec!["secrets", "set", "token", "--key", "TOKEN=hunter2-argument"],
    ] {
        let refused = moorline.run(&arguments).unwrap();
        assert_eq!(refused.code, Some(2), "{arguments:?}\n{refused}");
        let shown = format!("{refused}");
        assert!(
            !shown.contains("hunter2"),
            "{arguments:?} repeated it\n{shown}"
        );
    }
    assert!(!moorline.state_dir().join("secrets.age").exists());
}

#[test]
fn several_keys_come_as_lines_and_the_others_stay() {
    let moorline = Moorline::new().unwrap();
    let keys = [
        "registry-auth",
        "--key",
        "REGISTRY_USERNAME",
        "--key",
        "REGISTRY_PASSWORD",
    ];
    let refused = set(&moorline, &keys, "one value");
    assert_eq!(refused.code, Some(2), "{refused}");
    let lines = "REGISTRY_USERNAME=ada\nREGISTRY_PASSWORD='a b'\n";
    let both = [&keys[..], &["--dotenv"]].concat();
    assert_eq!(
        set(&moorline, &both, "REGISTRY_USERNAME=ada\nOTHER=1\n").code,
        Some(2)
    );
    assert_eq!(
        set(&moorline, &both, "REGISTRY_USERNAME=ada\n").code,
        Some(2)
    );
    let done = set(&moorline, &both, lines);
    assert_eq!(done.code, Some(0), "{done}");
    let rotate = [
        "secrets",
        "rotate",
        "registry-auth",
        "--key",
        "REGISTRY_PASSWORD",
    ];
    let same = moorline.run_with_input(rotate, b"a b").unwrap();
    assert_eq!(same.code, Some(1), "{same}");
    assert!(same.stderr.contains("D-SEC-8"), "{same}");
    assert!(
        same.stderr.contains("the value is the one that is there"),
        "{same}"
    );
    let other = moorline.run_with_input(rotate, b"c d\n").unwrap();
    assert_eq!(other.code, Some(0), "{other}");
    let listed = json_of(&moorline, &["secrets", "list"]);
    let keys: Vec<&Value> = listed[0]["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["key"])
        .collect();
    assert_eq!(keys, ["REGISTRY_PASSWORD", "REGISTRY_USERNAME"]);
    assert_eq!(listed[0]["object"], "LONG_HORIZON_AGENT_REGISTRY_AUTH");
    let never_set = moorline
        .run_with_input(["secrets", "rotate", "other"], b"x")
        .unwrap();
    assert!(
        never_set.stderr.contains("it was never set here"),
        "{never_set}"
    );
}

/// Several processes at once: no key is lost, and what is recorded is what is kept.
#[test]
fn sets_at_the_same_time_lose_nothing() {
    let moorline = Moorline::new().unwrap();
    ok(&moorline, &["init"]);
    std::thread::scope(|scope| {
        for n in 0..6 {
            let moorline = &moorline;
            scope.spawn(move || {
                let key = format!("KEY_{}", n / 2);
                let done = set(moorline, &["shared", "--key", &key], &format!("value {n}"));
                assert_eq!(done.code, Some(0), "{done}");
            });
        }
    });
    let (_, found) = audit(&moorline, &["--lane", "dev"]);
    let wanted =
        ["KEY_0", "KEY_1", "KEY_2"].map(|key| finding("dev", &format!("shared.{key}"), "ok"));
    let keys: Vec<_> = found
        .into_iter()
        .filter(|(_, _, state)| state != "unused")
        .collect();
    assert_eq!(keys, wanted);
}

/// Drift between what is kept and what is recorded, what nobody uses, what is needed and not there.
#[test]
fn an_audit_tells_every_way_in_which_secrets_can_be_wrong() {
    let moorline = Moorline::new().unwrap();
    let job = job();
    assert_eq!(set(&moorline, &["token"], "dev value").code, Some(0));
    assert_eq!(run(&moorline, &job, &[]).code, Some(0));
    let clean = audit(&moorline, &["--lane", "dev"]);
    assert_eq!(clean, (Some(0), vec![finding("dev", "token.TOKEN", "ok")]));

    assert_eq!(set(&moorline, &["leftover"], "unused").code, Some(0));
    assert_eq!(
        set(&moorline, &["session", "--ttl", "12"], "ends soon").code,
        Some(0)
    );
    assert_eq!(
        set(&moorline, &["copied", "--lane", "prod"], "dev value").code,
        Some(0)
    );
    let path = job.path().to_str().unwrap();
    let (code, found) = audit(&moorline, &["--job", path]);
    assert_eq!(code, Some(78));
    let wanted = [
        finding("dev", "leftover.LEFTOVER", "ok"),
        finding("dev", "leftover.", "unused"),
        finding("dev", "session.SESSION", "ok"),
        finding("dev", "session.", "expiring"),
        finding("dev", "session.", "unused"),
        finding("dev", "token.TOKEN", "ok"),
        finding("dev", "token.TOKEN", "shared"),
        finding("prod", "copied.COPIED", "ok"),
        finding("prod", "copied.", "unused"),
        finding("prod", "token.TOKEN", "absent"),
        finding("staging", "token.TOKEN", "absent"),
    ];
    let sorted = |mut all: Vec<(String, String, String)>| {
        all.sort();
        all
    };
    assert_eq!(sorted(found), sorted(wanted.to_vec()));

    // Somebody puts an older file back: what is kept is not what was recorded.
    let file = moorline.state_dir().join("secrets.age");
    let older = fs::read(&file).unwrap();
    let rotated = moorline
        .run_with_input(["secrets", "rotate", "token"], b"new value")
        .unwrap();
    assert_eq!(rotated.code, Some(0), "{rotated}");
    assert_eq!(set(&moorline, &["later"], "only recorded").code, Some(0));
    fs::write(&file, older).unwrap();
    let (code, found) = audit(&moorline, &["--lane", "dev"]);
    assert_eq!(code, Some(78));
    for wanted in [
        finding("dev", "token.TOKEN", "changed"),
        finding("dev", "later.LATER", "missing"),
    ] {
        assert!(found.contains(&wanted), "{wanted:?} is not in {found:?}");
    }
}

/// D-SEC-8: what holds it is stopped first, then it is gone; one audit record, without a value.
#[test]
fn revoking_stops_the_runs_that_hold_it_and_is_one_record() {
    let moorline = Moorline::new().unwrap();
    let job = Job::new(json!({
        "secrets": [{"name": "token", "keys": ["TOKEN"]}],
        "steps": [{
            "name": "main",
            "argv": ["/bin/sh", "-c", "echo ready; exec sleep 1000"],
            "egress": "none",
            "secrets": ["token"],
            "timeout_seconds": 900
        }]
    }));
    for lane in ["dev", "staging"] {
        assert_eq!(
            set(&moorline, &["token", "--lane", lane], &format!("of {lane}")).code,
            Some(0)
        );
    }
    let path = job.path().to_str().unwrap();
    let running = moorline.spawn(["run", path, "--mode", "real"]).unwrap();
    let ready =
        || running.stderr_so_far().contains("ready") || running.stdout_so_far().contains("ready");
    wait::until(Duration::from_secs(30), "the job's first line", ready)
        .unwrap_or_else(|error| panic!("{error}: {}", running.stderr_so_far()));
    let report = json_of(
        &moorline,
        &["secrets", "revoke", "token", "--reason", "seen in a log"],
    );
    assert_eq!(report["removed"], json!(["dev/LONG_HORIZON_AGENT_TOKEN"]));
    assert_eq!(report["stopped"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(report["left"], json!({}));
    let ended = running.wait(Duration::from_secs(30)).unwrap();
    assert_eq!(ended.code, Some(137), "{ended}");
    assert_eq!(
        run(&moorline, &job, &[]).code,
        Some(78),
        "a run was given what is revoked"
    );

    // Staging has its own; all of them go by one command, and again is no error.
    let all = [
        "secrets",
        "revoke",
        "--all",
        "--reason",
        "laptop was stolen",
    ];
    let report = json_of(&moorline, &all);
    assert_eq!(
        report["removed"],
        json!(["staging/LONG_HORIZON_AGENT_TOKEN"])
    );
    assert_eq!(json_of(&moorline, &all)["removed"], json!([]));
    assert_eq!(json_of(&moorline, &["secrets", "list"]), json!([]));
    let records = json_of(
        &moorline,
        &["audit", "list", "--operation", "secret.revoke"],
    );
    let records = records.as_array().unwrap();
    assert_eq!(records.len(), 3, "one record for each command: {records:?}");
    assert!(
        !format!("{records:?}").contains("of staging"),
        "{records:?}"
    );
}

/// Only people with the role set secrets; a pipeline and an agent are refused.
#[test]
fn agents_and_pipelines_set_and_revoke_nothing() {
    for who in ["agent:codex", "ci:main"] {
        let moorline = Moorline::new().unwrap().env("MOORLINE_PRINCIPAL", who);
        let refused = set(&moorline, &["token"], "hunter2-refused");
        assert_ne!(refused.code, Some(0), "{who}\n{refused}");
        assert!(refused.stderr.contains("ERR_FORBIDDEN"), "{who}\n{refused}");
        assert!(!moorline.state_dir().join("secrets.age").exists());
        let all = ["secrets", "revoke", "--all", "--reason", "test"];
        assert!(
            moorline.run(all).unwrap().stderr.contains("ERR_FORBIDDEN"),
            "{who}"
        );
    }
}

/// D-SEC-9, seed 000's tier 2: refresh, straight into the secret, a probe run; a person enables.
#[test]
fn a_person_re_authenticates_a_source() {
    let bank = Bank::open("first-session", statement(&["1.00", "-2.00"]));
    let moorline = Moorline::new().unwrap();
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("job");
    write_job(&directory, &job_spec(&bank));
    let path = directory.to_str().unwrap();
    let key = ["first-bank-session", "--key", "FIRST_BANK_SESSION"];
    assert_eq!(set(&moorline, &key, "first-session").code, Some(0));
    let first = moorline.run(["run", path, "--mode", "real"]).unwrap();
    assert_eq!(first.code, Some(0), "{first}");

    // The session expires: the source needs a person.
    bank.wants("second-session");
    let expired = moorline.run(["run", path, "--mode", "real"]).unwrap();
    assert_eq!(expired.code, Some(77), "{expired}");
    let state =
        |moorline: &Moorline| json_of(moorline, &["sources", "show", SOURCE])["state"].clone();
    assert_eq!(state(&moorline), "needs_reauth");

    // A wrong session is kept and tried, and changes nothing about that.
    let new_session = moorline.root().join("home/new-session");
    fs::write(&new_session, "a-wrong-session").unwrap();
    let reauth = ["sources", "reauth", SOURCE];
    let wrong = moorline.run(reauth).unwrap();
    assert_eq!(wrong.code, Some(77), "{wrong}");
    assert!(wrong.stderr.contains("Sign on at First Bank"), "{wrong}");
    assert_eq!(state(&moorline), "needs_reauth");

    // A command that fails changes nothing at all.
    fs::remove_file(&new_session).unwrap();
    let before = json_of(&moorline, &["secrets", "list"]);
    let empty = moorline.run(reauth).unwrap();
    assert!(
        empty.stderr.contains("the command wrote no session"),
        "{empty}"
    );
    assert_eq!(json_of(&moorline, &["secrets", "list"]), before);

    fs::write(&new_session, "second-session\n").unwrap();
    let report = json_of(&moorline, &reauth);
    assert_eq!(report["reauth"]["stage"], "done");
    assert_eq!(report["probe"]["trigger"], "reauth");
    assert_eq!(state(&moorline), "active");
    let listed = json_of(&moorline, &["secrets", "list"]);
    assert_eq!(listed[0]["source_id"], SOURCE);
    assert!(listed[0]["expires_at"].is_string(), "{listed}");
    let records = json_of(
        &moorline,
        &["audit", "list", "--operation", "source.reauth"],
    );
    let mut stages: Vec<&str> = records
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|record| record["data"]["stage"].as_str())
        .collect();
    stages.reverse();
    assert_eq!(
        stages,
        [
            "refreshing",
            "stored",
            "probing",
            "failed",     // the wrong session
            "refreshing", // the empty one
            "refreshing",
            "stored",
            "probing",
            "done",
        ]
    );
    // Nobody but a person, and not in a pipeline.
    for (name, value) in [("MOORLINE_PRINCIPAL", "agent:codex"), ("CI", "true")] {
        let mut command = moorline.command(reauth);
        command.env(name, value);
        let running = moorline_testkit::moorline::Running::start(&mut command).unwrap();
        let refused = running.wait(Duration::from_secs(30)).unwrap();
        assert_ne!(refused.code, Some(0), "{name}\n{refused}");
        assert!(!refused.stderr.contains("Sign on at"), "{name}\n{refused}");
    }
}
