//! Mock and real, `CI`, and secrets that are not there.

use std::fs;

use moorline_testkit::moorline::Moorline;
use moorline_tests::{Job, run};
use serde_json::{Value, json};

/// A job that needs a secret, and leaves a file when its process was started.
fn needs_secrets() -> Job {
    Job::new(json!({
        "secrets": [
            {"name": "market", "keys": ["MARKET_KEY", "MARKET_PIN"]},
            {"name": "mail", "keys": ["MAIL_KEY"]},
            {"name": "extra", "keys": ["EXTRA_KEY"], "required": false}
        ],
        "steps": [{
            "name": "main",
            "argv": ["/bin/sh", "-c", "env | grep -c _KEY= ; echo \"mode $MOORLINE_MODE\""],
            "secrets": ["market", "mail", "extra"]
        }]
    }))
}

fn with_ci(ci: Option<&str>) -> Moorline {
    let moorline = Moorline::new()
        .unwrap()
        .env("MARKET_KEY", "k-1234567")
        .env("MARKET_PIN", "p-1234567")
        .env("MAIL_KEY", "m-1234567");
    match ci {
        Some(value) => moorline.env("CI", value),
        None => moorline,
    }
}

/// L13: the truth table of `CI` and mode, for a job that needs secrets.
#[test]
fn ci_refuses_real_mode_and_defaults_to_mock() {
    let job = needs_secrets();
    let off = [None, Some(""), Some("0"), Some("false"), Some("no")];
    let on = [Some("1"), Some("yes"), Some("true"), Some("True")];
    for ci in off.iter().chain(&on) {
        let moorline = with_ci(*ci);
        for mode in [None, Some("mock"), Some("real")] {
            let arguments: Vec<&str> = mode.map(|mode| vec!["--mode", mode]).unwrap_or_default();
            let (output, summary) = run(&moorline, job.path(), &arguments);
            let refused = mode == Some("real") && on.contains(ci);
            let shown = format!("CI={ci:?} mode={mode:?}\n{output}");
            if refused {
                assert_eq!(output.code, Some(78), "{shown}");
                assert_eq!(summary["error"]["code"], "ERR_CI_SAFETY", "{shown}");
            } else {
                assert_eq!(output.code, Some(0), "{shown}");
                assert_eq!(summary["mode"], mode.unwrap_or("mock"), "{shown}");
            }
        }
    }
}

/// D-RUN-8: a job without secrets and network runs real by default, also under `CI`.
#[test]
fn a_self_contained_job_runs_real_under_ci() {
    let moorline = Moorline::new().unwrap().env("CI", "true");
    let job = Job::shell("true", json!({}));
    let (output, summary) = run(&moorline, job.path(), &[]);
    assert_eq!(
        (output.code, &summary["mode"]),
        (Some(0), &json!("real")),
        "{output}"
    );
}

/// L14: mock mode needs no secret and is given none, also when they are there.
#[test]
fn mock_mode_needs_no_secret_and_is_given_none() {
    let job = needs_secrets();
    for moorline in [Moorline::new().unwrap(), with_ci(None)] {
        let (output, summary) = run(&moorline, job.path(), &["--mode", "mock"]);
        assert_eq!(output.code, Some(0), "{output}");
        assert_eq!(summary["secret_names"], json!([]));
        let log = moorline.run(["runs", "logs", "latest"]).unwrap();
        assert_eq!(log.stdout, "0\nmode mock\n", "{log}");
    }
}

/// L15: in real mode every missing secret is named, no value is shown, and nothing was launched.
#[test]
fn missing_secrets_are_all_named_and_nothing_is_launched() {
    let moorline = Moorline::new()
        .unwrap()
        .env("MARKET_KEY", "value-that-is-there");
    let (output, error) = run(&moorline, needs_secrets().path(), &["--mode", "real"]);
    assert_eq!(output.code, Some(78), "{output}");
    assert_eq!(error["error"]["code"], "ERR_MISSING_SECRET");
    for key in ["MARKET_PIN", "MAIL_KEY"] {
        assert!(output.stderr.contains(key), "{key} is not named\n{output}");
    }
    assert!(!output.stderr.contains("EXTRA_KEY"), "{output}");
    assert!(
        !format!("{output}").contains("value-that-is-there"),
        "{output}"
    );
    let runs = moorline.run(["runs", "list", "--json"]).unwrap();
    assert_eq!(runs.json().unwrap(), json!([]));
    assert_eq!(
        fs::read_dir(moorline.state_dir().join("attempts"))
            .unwrap()
            .count(),
        0
    );
}

/// D-SEC-4: each step gets the secrets that it declares, and no others.
#[test]
fn a_step_is_given_its_own_secrets_only() {
    let step = |name: &str, secret: &str| {
        let show = format!("env | grep -o '^[AB]_KEY' > $MOORLINE_OUTPUT_DIR/{name}; true");
        json!({"name": name, "argv": ["/bin/sh", "-c", show], "secrets": [secret]})
    };
    let job = Job::new(json!({
        "secrets": [{"name": "a", "keys": ["A_KEY"]}, {"name": "b", "keys": ["B_KEY"]}],
        "steps": [step("one", "a"), step("two", "b")]
    }));
    let moorline = Moorline::new()
        .unwrap()
        .env("A_KEY", "aaaa-1111")
        .env("B_KEY", "bbbb-2222");
    let (output, summary) = run(&moorline, job.path(), &["--mode", "real"]);
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(summary["secret_names"], json!(["a", "b"]));
    let kept = moorline
        .state_dir()
        .join("runs")
        .join(summary["run_id"].as_str().unwrap());
    assert_eq!(
        fs::read_to_string(kept.join("outputs/one/one")).unwrap(),
        "A_KEY\n"
    );
    assert_eq!(
        fs::read_to_string(kept.join("outputs/two/two")).unwrap(),
        "B_KEY\n"
    );
}

#[test]
fn secrets_check_tells_of_each_key_and_never_of_a_value() {
    let moorline = Moorline::new()
        .unwrap()
        .env("MARKET_KEY", "value-that-is-there");
    let job = needs_secrets();
    let path = job.path().to_str().unwrap();
    let output = moorline.run(["secrets", "check", path, "--json"]).unwrap();
    assert_eq!(output.code, Some(78), "{output}");
    let keys = output.json().unwrap();
    let state = |key: &str| -> Option<bool> {
        keys.as_array()?.iter().find(|k| k["key"] == key)?["present"].as_bool()
    };
    assert_eq!(state("MARKET_KEY"), Some(true));
    assert_eq!(state("MARKET_PIN"), Some(false));
    assert_eq!(state("EXTRA_KEY"), Some(false));
    assert!(
        !format!("{output}").contains("value-that-is-there"),
        "{output}"
    );
    let found: Vec<&Value> = keys
        .as_array()
        .unwrap()
        .iter()
        .filter(|k| k["present"] == true)
        .collect();
    assert_eq!(found[0]["found_in"], "environment");
}
