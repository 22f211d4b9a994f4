//! Every row of the failure matrix that a job can bring about: run, source, outputs, alert.

use moorline_testkit::moorline::Moorline;
use moorline_tests::run;
use serde_json::{Value, json};

use super::super::support::ok;
use super::{alerts, files, reads, run_dir, state};

const SECRET: &str = "canary-value-of-the-bank-4711";

/// A row as a child process brings it about.
struct Row {
    class: &'static str,
    script: &'static str,
    step: Value,
    code: i32,
    status: &'static str,
    source: &'static str,
    /// Where the one file that the script writes ends up.
    kept: &'static [&'static str],
    alert: Option<&'static str>,
}

const WRITE: &str = "echo partial > $MOORLINE_OUTPUT_DIR/partial.txt; ";

fn rows() -> Vec<Row> {
    let archived: &[&str] = &["archive/main-1/partial.txt"];
    let row = |class, script, code, status, source| Row {
        class,
        script,
        step: json!({}),
        code,
        status,
        source,
        kept: archived,
        alert: Some("warning"),
    };
    vec![
        row("auth", "exit 77", 77, "needs_reauth", "needs_reauth"),
        row("validation", "exit 65", 65, "failed", "needs_repair"),
        row("runtime", "exit 75", 75, "failed", "paused"),
        Row {
            step: json!({"timeout_seconds": 1}),
            ..row("timeout", "exec sleep 1000", 124, "timed_out", "paused")
        },
        Row {
            kept: &[],
            ..row("config", "exit 78", 78, "failed", "blocked")
        },
        Row {
            step: json!({"egress": {"allow": ["127.0.0.1:1"]}}),
            alert: Some("critical"),
            ..row(
                "policy",
                "python3 -c 'import urllib.request as u; u.urlopen(\"http://forbidden.example/\")'",
                78,
                "failed",
                "blocked",
            )
        },
        Row {
            step: json!({"secrets": ["bank"]}),
            kept: &[
                "quarantine/main-1/leak.txt",
                "quarantine/main-1/partial.txt",
            ],
            alert: Some("critical"),
            ..row(
                "leak",
                "echo $BANK_KEY > $MOORLINE_OUTPUT_DIR/leak.txt",
                78,
                "failed",
                "quarantined",
            )
        },
    ]
}

/// D-RUN-7, end to end. Each source is another one, so no row leans on the one before.
#[test]
fn each_class_does_to_run_source_outputs_and_people_what_the_matrix_says() {
    let moorline = Moorline::new().unwrap().env("BANK_KEY", SECRET);
    let secrets = json!({"secrets": [{"name": "bank", "keys": ["BANK_KEY"]}]});
    for row in rows() {
        let script = format!("{WRITE}{}", row.script);
        let job = reads(row.class, &script, row.step.clone(), secrets.clone());
        let (output, summary) = run(&moorline, job.path(), &["--mode", "real"]);
        let class = row.class;
        assert_eq!(output.code, Some(row.code), "{class}: {output}");
        assert_eq!(summary["status"], row.status, "{class}");
        assert_eq!(summary["failure"]["class"], class, "{output}");
        assert_eq!(summary["effects"]["source_state"], row.source, "{class}");
        assert_eq!(state(&moorline, class), row.source, "{class}");
        assert_eq!(files(&run_dir(&moorline, &summary)), row.kept, "{class}");
        let told = alerts(&moorline);
        let told = told
            .iter()
            .filter(|alert| alert["run_id"] == summary["run_id"]);
        let levels: Vec<&str> = told.filter_map(|alert| alert["level"].as_str()).collect();
        assert_eq!(levels, row.alert.into_iter().collect::<Vec<_>>(), "{class}");
        let exports = moorline
            .state_dir()
            .join("exports")
            .join(format!("reads-{class}"));
        assert_eq!(files(&exports), Vec::<String>::new(), "{class}");
        let shown = moorline.run(["runs", "show", "latest"]).unwrap().stdout;
        let place = row.kept.first().and_then(|kept| kept.split('/').next());
        for (kind, label) in [("archive", "archived to"), ("quarantine", "quarantined")] {
            assert_eq!(
                shown.contains(label),
                place == Some(kind),
                "{class}: {shown}"
            );
        }
    }
}

/// L46, L44: auth and validation are never tried again, what is tried again alerts once, at its end.
#[test]
fn attempts_are_counted_and_people_are_told_once() {
    let moorline = Moorline::new().unwrap();
    let retries = json!({"failure_policy": {"retries": {"max": 2, "initial_delay_seconds": 0.01}}});
    ok(&moorline, &["init"]);
    for (source, script, attempts) in [
        ("auth", "exit 77", 1),
        ("validation", "exit 65", 1),
        ("config", "exit 78", 1),
        ("runtime", "exit 75", 3),
    ] {
        let before = alerts(&moorline).len();
        let job = reads(source, script, json!({}), retries.clone());
        let (output, summary) = run(&moorline, job.path(), &[]);
        assert_eq!(summary["attempts"], attempts, "{output}");
        assert_eq!(alerts(&moorline).len(), before + 1, "{source}");
    }
}

/// A success in the end alerts nobody, however many attempts failed before.
#[test]
fn an_attempt_that_is_followed_by_a_success_alerts_nobody() {
    let moorline = Moorline::new().unwrap();
    let retries = json!({"failure_policy": {"retries": {"max": 2, "initial_delay_seconds": 0.01}}});
    let job = reads(
        "s",
        "[ $MOORLINE_ATTEMPT = 3 ] || exit 75",
        json!({}),
        retries,
    );
    let (output, summary) = run(&moorline, job.path(), &[]);
    assert_eq!(
        (output.code, &summary["attempts"]),
        (Some(0), &json!(3)),
        "{output}"
    );
    assert_eq!(alerts(&moorline), Vec::<Value>::new());
    assert_eq!(state(&moorline, "s"), "active");
}

/// A leak in what a failed attempt left is worse than the failure, and is not tried again.
#[test]
fn a_leak_outranks_the_failure_that_it_came_with() {
    let moorline = Moorline::new().unwrap().env("BANK_KEY", SECRET);
    let rest = json!({
        "secrets": [{"name": "bank", "keys": ["BANK_KEY"]}],
        "failure_policy": {"retries": {"max": 2, "initial_delay_seconds": 0.01}}
    });
    let script = "echo $BANK_KEY > $MOORLINE_OUTPUT_DIR/leak.txt; exit 75";
    let job = reads("s", script, json!({"secrets": ["bank"]}), rest);
    let (output, summary) = run(&moorline, job.path(), &["--mode", "real"]);
    assert_eq!(summary["failure"]["class"], "leak", "{output}");
    assert_eq!(summary["attempts"], 1);
    assert_eq!(
        files(&run_dir(&moorline, &summary)),
        ["quarantine/main-1/leak.txt"]
    );
}

/// L47: a reason that holds a secret is stored, shown and listed redacted.
#[test]
fn a_reason_is_stored_redacted() {
    let moorline = Moorline::new().unwrap().env("BANK_KEY", SECRET);
    let line = r#"::moorline {\"type\":\"result\",\"status\":\"error\",\"class\":\"auth\",\"reason\":\"refused $BANK_KEY\"}"#;
    let script = format!("echo \"{line}\"; exit 77");
    let rest = json!({"secrets": [{"name": "bank", "keys": ["BANK_KEY"]}]});
    let job = reads("s", &script, json!({"secrets": ["bank"]}), rest);
    let (output, summary) = run(&moorline, job.path(), &["--mode", "real"]);
    let reason = summary["failure"]["reason"].as_str().unwrap_or_default();
    assert_eq!(reason, "refused [redacted:BANK_KEY]", "{output}");
    for command in [["alerts", "list"], ["events", "list"], ["audit", "list"]] {
        let shown = moorline.run(command).unwrap();
        assert!(!format!("{shown}").contains(SECRET), "{command:?}: {shown}");
    }
}

/// `failure_policy.pause_after_failed_runs`; a person's cancellation counts for nothing.
#[test]
fn a_source_pauses_after_as_many_failed_runs_as_its_job_says() {
    let moorline = Moorline::new().unwrap();
    let rest = json!({"failure_policy": {"pause_after_failed_runs": 2}});
    let job = reads("s", "exit 75", json!({}), rest);
    for wanted in ["active", "paused"] {
        run(&moorline, job.path(), &[]);
        assert_eq!(state(&moorline, "s"), wanted);
    }
    // The same trouble is one alert that was seen twice.
    let told = alerts(&moorline);
    let seen: Vec<&Value> = told.iter().map(|alert| &alert["count"]).collect();
    assert_eq!(seen, [2]);
    let works = reads("s", "true", json!({}), json!({}));
    run(&moorline, works.path(), &[]);
    assert_eq!(state(&moorline, "s"), "active");
    assert_ne!(alerts(&moorline)[0]["closed_at"], Value::Null);
}
