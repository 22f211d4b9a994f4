//! A failed run as the input of a run that repairs.

use std::fs;

use moorline_testkit::moorline::Moorline;
use moorline_tests::{Job, run};
use serde_json::{Value, json};

use super::{reads, state};

/// A job that reads the failed run and leaves what it saw.
fn repair() -> Job {
    let script = "python3 -c '\nimport json, os\nd = json.load(open(os.environ[\"MOORLINE_INPUT\"]))\n\
        failed = json.load(open(d[\"inputs\"][\"failed\"][\"path\"]))\n\
        json.dump(failed, open(os.environ[\"MOORLINE_OUTPUT_DIR\"] + \"/seen.json\", \"w\"))'";
    Job::new(json!({
        "job_id": "repair",
        "inputs": {"failed": {"required": true}},
        "steps": [{
            "name": "look", "argv": ["/bin/sh", "-c", script],
            "outputs": [{"path": "seen.json", "format": "json", "export": true}]
        }]
    }))
}

#[test]
fn a_repair_sees_what_the_failed_run_was_given_and_what_it_left() {
    let moorline = Moorline::new().unwrap();
    let rest = json!({"inputs": {"statement": {"required": true}}});
    let script = "echo half > $MOORLINE_OUTPUT_DIR/half.txt; exit 65";
    let broken = reads("bank", script, json!({}), rest);
    let statement = moorline.root().join("may.ofx");
    fs::write(&statement, "OFXHEADER:100\n").unwrap();
    let input = format!("statement={}", statement.display());
    let (_, failed) = run(&moorline, broken.path(), &["--input", &input]);
    assert_eq!(failed["failure"]["class"], "validation");
    let id = failed["run_id"].as_str().unwrap();
    let (output, repaired) = run(
        &moorline,
        repair().path(),
        &["--input", &format!("failed=run:{id}")],
    );
    assert_eq!(output.code, Some(0), "{output}");
    let run_id = repaired["run_id"].as_str().unwrap();
    let seen = moorline
        .state_dir()
        .join("exports/repair")
        .join(run_id)
        .join("seen.json");
    let seen: Value = serde_json::from_slice(&fs::read(seen).unwrap()).unwrap();
    assert_eq!(seen["summary"], failed);
    let named = |list: &str| {
        let files = seen[list].as_array().unwrap();
        let file = |file: &Value| (file["path"].clone(), file["text"].clone());
        files.iter().map(file).collect::<Vec<_>>()
    };
    assert_eq!(
        named("inputs"),
        [(json!("statement/may.ofx"), json!("OFXHEADER:100\n"))]
    );
    assert_eq!(
        named("archive"),
        [(json!("main-1/half.txt"), json!("half\n"))]
    );
    assert_eq!(
        state(&moorline, "bank"),
        "needs_repair",
        "a repair only prepares"
    );
    let left: Vec<_> = fs::read_dir(moorline.state_dir())
        .unwrap()
        .flatten()
        .collect();
    let stray = left
        .iter()
        .any(|entry| entry.file_name().to_string_lossy().starts_with(".tmp"));
    assert!(!stray, "nothing half-done stays: {left:?}");
}

#[test]
fn what_succeeded_or_leaked_is_no_input_of_a_repair() {
    let moorline = Moorline::new()
        .unwrap()
        .env("BANK_KEY", "canary-of-a-leak-0815");
    let works = reads("one", "true", json!({}), json!({}));
    run(&moorline, works.path(), &[]);
    let (output, refused) = run(
        &moorline,
        repair().path(),
        &["--input", "failed=run:latest"],
    );
    assert_eq!(output.code, Some(65), "{output}");
    let said = refused["error"]["message"].as_str().unwrap_or_default();
    assert!(said.contains("it succeeded"), "{refused:#}");
    let rest = json!({"secrets": [{"name": "bank", "keys": ["BANK_KEY"]}]});
    let step = json!({"secrets": ["bank"]});
    let leaks = reads("two", "echo $BANK_KEY > $MOORLINE_OUTPUT_DIR/a", step, rest);
    run(&moorline, leaks.path(), &["--mode", "real"]);
    let (output, refused) = run(
        &moorline,
        repair().path(),
        &["--input", "failed=run:latest"],
    );
    assert_eq!(output.code, Some(65), "{output}");
    let said = refused["error"]["message"].as_str().unwrap_or_default();
    assert!(said.contains("a secret was found"), "{refused:#}");
}
