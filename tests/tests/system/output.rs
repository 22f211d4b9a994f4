//! What commands print and what they exit with.

use moorline_testkit::moorline::Moorline;
use moorline_tests::{Job, repository, run};
use serde_json::json;

/// L17 and `contracts`: the exit code of `run` for each way a job can end.
#[test]
fn run_exits_with_the_code_of_its_class() {
    let moorline = Moorline::new().unwrap();
    let reply = |line: &str| format!("echo '::moorline {line}'");
    let error = |class: &str| {
        reply(&format!(
            r#"{{"type":"result","status":"error","class":"{class}","reason":"why"}}"#
        ))
    };
    let cases = [
        ("exit 0".to_owned(), json!({}), 0, "success", ""),
        ("exit 3".to_owned(), json!({}), 75, "failed", "runtime"),
        ("exit 65".to_owned(), json!({}), 65, "failed", "validation"),
        ("exit 75".to_owned(), json!({}), 75, "failed", "runtime"),
        ("exit 77".to_owned(), json!({}), 77, "needs_reauth", "auth"),
        ("exit 78".to_owned(), json!({}), 78, "failed", "config"),
        ("kill -9 $$".to_owned(), json!({}), 75, "failed", "runtime"),
        (
            "sleep 60".to_owned(),
            json!({"timeout_seconds": 1, "grace_seconds": 0}),
            124,
            "timed_out",
            "timeout",
        ),
        (error("auth"), json!({}), 77, "needs_reauth", "auth"),
        (error("validation"), json!({}), 65, "failed", "validation"),
        (error("config"), json!({}), 78, "failed", "config"),
        (error("runtime"), json!({}), 75, "failed", "runtime"),
    ];
    for (script, step, code, status, class) in cases {
        let job = Job::shell(&script, step);
        let (output, summary) = run(&moorline, job.path(), &[]);
        assert_eq!(output.code, Some(code), "{script}\n{output}");
        assert_eq!(summary["status"], status, "{script}\n{output}");
        let found = summary["failure"]["class"].as_str().unwrap_or("");
        assert_eq!(found, class, "{script}\n{output}");
    }
}

/// L23: the child's own code and signal are in the summary, and nothing is called what it was not.
#[test]
fn the_summary_has_the_childs_own_exit_code() {
    let moorline = Moorline::new().unwrap();
    let (_, summary) = run(&moorline, Job::shell("exit 3", json!({})).path(), &[]);
    assert_eq!(summary["failure"]["exit_code"], 3);
    assert_eq!(summary["steps"][0]["exit_code"], 3);
    let (_, summary) = run(&moorline, Job::shell("kill -11 $$", json!({})).path(), &[]);
    assert_eq!(summary["failure"]["signal"], 11, "{summary}");
}

/// L16: with `--json` exactly one document is on stdout, for success and for every kind of refusal.
#[test]
fn json_is_exactly_one_document() {
    let moorline = Moorline::new().unwrap();
    let hello = repository().join("examples/hello");
    let hello = hello.to_str().unwrap();
    for arguments in [
        vec!["run", hello, "--json"],
        vec!["runs", "list", "--json"],
        vec!["runs", "show", "latest", "--json"],
        vec!["runs", "logs", "latest", "--json"],
        vec!["runs", "wait", "--all", "--json"],
        vec!["runs", "cancel", "latest", "--json"],
        vec!["runs", "show", "ffffffff", "--json"],
        vec!["run", "/nowhere", "--json"],
        vec!["run", hello, "--input", "nosuch=x", "--json"],
        vec!["run", hello, "--lane", "NOPE", "--json"],
        vec!["job", "validate", hello, "--json"],
        vec!["job", "explain", hello, "--json"],
        vec!["job", "schema"],
        vec!["app-name", "a/b@1", "--json"],
        vec!["app-name", "A", "--json"],
        vec!["secrets", "check", hello, "--json"],
        vec!["stop", "job:none", "--json"],
        vec!["stop", "--list", "--json"],
        vec!["release", "job:none", "--reason", "r", "--json"],
        vec!["events", "list", "--json"],
        vec!["events", "list", "--kind", "no.such", "--json"],
        vec!["sources", "list", "--json"],
        vec!["audit", "verify", "--json"],
        vec!["doctor", "--json"],
        vec!["init", "--json"],
        vec!["no-such-command", "--json"],
    ] {
        let output = moorline.run(&arguments).unwrap();
        assert!(output.json().is_ok(), "{arguments:?}\n{output}");
    }
}

#[test]
fn a_misspelt_command_is_answered_with_the_nearest() {
    let moorline = Moorline::new().unwrap();
    let output = moorline.run(["rnus", "list"]).unwrap();
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("runs"), "{output}");
}

/// Bad input gets one error that names what, where, which rule and what to do, for all there is at once.
#[test]
fn every_violation_of_a_spec_is_told_at_once() {
    let moorline = Moorline::new().unwrap();
    let job = Job::new(json!({
        "job_id": "x",
        "stepz": [],
        "steps": [
            {"name": "a", "argv": ["true"], "timeout_seconds": 90_000},
            {"name": "a", "argv": []}
        ]
    }));
    let path = job.path().to_str().unwrap();
    let output = moorline.run(["job", "validate", path, "--json"]).unwrap();
    assert_eq!(output.code, Some(78), "{output}");
    let error = output.json().unwrap();
    let places: Vec<&str> = error["error"]["details"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|d| d["at"].as_str())
        .collect();
    for place in [
        "/stepz",
        "/steps/0/timeout_seconds",
        "/steps/1/argv",
        "/steps/1/name",
    ] {
        assert!(places.contains(&place), "{place} is not among {places:?}");
    }
    assert!(output.stderr.contains("`steps`"), "no suggestion\n{output}");
}

/// D-SPEC-3: the production lane demands what the dev lane does not.
#[test]
fn the_prod_lane_checks_more() {
    let moorline = Moorline::new().unwrap();
    let job = Job::new(json!({"steps": [
        {"name": "a", "argv": ["true"], "egress": "open", "image": "busybox:latest", "interactive": true}
    ]}));
    let path = job.path().to_str().unwrap();
    assert_eq!(
        moorline.run(["job", "validate", path]).unwrap().code,
        Some(0)
    );
    let prod = moorline
        .run(["job", "validate", path, "--lane", "prod", "--json"])
        .unwrap();
    assert_eq!(prod.code, Some(78), "{prod}");
    assert!(
        prod.json().unwrap()["error"]["details"]
            .as_array()
            .unwrap()
            .len()
            >= 3,
        "{prod}"
    );
}

#[test]
fn help_of_every_command_has_examples() {
    let moorline = Moorline::new().unwrap();
    for command in [
        vec!["run"],
        vec!["init"],
        vec!["runs", "list"],
        vec!["runs", "show"],
        vec!["runs", "logs"],
        vec!["runs", "wait"],
        vec!["runs", "cancel"],
        vec!["runs", "retry"],
        vec!["job", "validate"],
        vec!["job", "schema"],
        vec!["job", "explain"],
        vec!["app-name"],
        vec!["secrets", "check"],
        vec!["stop"],
        vec!["release"],
        vec!["events", "list"],
        vec!["events", "watch"],
        vec!["sources", "list"],
        vec!["audit", "verify"],
        vec!["doctor"],
        vec!["completions"],
        vec!["man"],
    ] {
        let mut arguments = command.clone();
        arguments.push("--help");
        let output = moorline.run(&arguments).unwrap();
        assert_eq!(output.code, Some(0), "{command:?}");
        assert!(
            output.stdout.contains("Examples:\n  moorline "),
            "{command:?}\n{output}"
        );
    }
}

/// A reader that goes away is a quiet end.
#[test]
fn a_closed_pipe_is_no_panic() {
    let moorline = Moorline::new().unwrap();
    let mut command = moorline.command(["job", "schema"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
}
