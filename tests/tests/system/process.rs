//! Processes that behave badly, bytes that must arrive, and what a run leaves.

use std::fs;
use std::time::{Duration, Instant};

use moorline_core::schema;
use moorline_testkit::moorline::Moorline;
use moorline_tests::{Job, repository, run};
use serde_json::json;

/// L21: a real child prints a real result line and succeeds; what it hands over is in the summary.
#[test]
fn a_result_line_is_a_result() {
    let moorline = Moorline::new().unwrap();
    let line = r#"::moorline {"type":"result","status":"success","transaction_count":4}"#;
    let job = Job::shell(&format!("echo '{line}'"), json!({"reply": "required"}));
    let (output, summary) = run(&moorline, job.path(), &[]);
    assert_eq!(
        (output.code, &summary["transaction_count"]),
        (Some(0), &json!(4)),
        "{output}"
    );
}

/// L20 and L22: replies that are not the contract are failures, each named.
#[test]
fn replies_that_are_not_the_contract_fail() {
    let moorline = Moorline::new().unwrap();
    let good = r#"echo '::moorline {"type":"result","status":"success"}'"#;
    for (script, step) in [
        (format!("{good}; {good}"), json!({})),
        ("echo '::moorline garbage'".to_owned(), json!({})),
        (
            r#"echo '::moorline {"type":"result"}'"#.to_owned(),
            json!({}),
        ),
        (
            r#"echo '::moorline {"type":"nonsense"}'"#.to_owned(),
            json!({}),
        ),
        ("true".to_owned(), json!({"reply": "required"})),
        (format!("{good}; exit 3"), json!({"reply": "required"})),
    ] {
        let (output, summary) = run(&moorline, Job::shell(&script, step).path(), &[]);
        assert_ne!(output.code, Some(0), "{script}\n{output}");
        assert_eq!(summary["status"], "failed", "{script}\n{output}");
    }
}

/// L22: 100 MB of stderr neither hang nor fill the disk, and a result behind them is found.
#[test]
fn a_flood_of_output_is_drained_capped_and_harmless() {
    let moorline = Moorline::new().unwrap();
    let script = r#"head -c 100000000 /dev/zero | tr '\0' 'x' >&2
        echo '::moorline {"type":"result","status":"success","transaction_count":1}'"#;
    let (output, summary) = run(&moorline, Job::shell(script, json!({})).path(), &[]);
    assert_eq!(
        (output.code, &summary["transaction_count"]),
        (Some(0), &json!(1)),
        "{}",
        output.stdout
    );
    let attempts = moorline.state_dir().join("attempts");
    let logs = fs::read_dir(attempts)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("log"));
    let log: u64 = logs
        .filter_map(|log| fs::metadata(log).ok())
        .map(|log| log.len())
        .sum();
    assert!(log > 0, "the attempt has no log");
    assert!(log < 40_000_000, "the log has {log} bytes");
}

/// L22: a grandchild that keeps the pipes open holds nothing up, and is gone afterwards.
#[test]
fn a_grandchild_that_keeps_the_pipe_open_is_not_waited_for() {
    for isolation in ["off", "best-effort"] {
        let moorline = Moorline::new().unwrap();
        let marker = format!("31{}", std::process::id());
        let script = format!("(setsid sleep {marker} &) ; echo done");
        #[expect(
            clippy::disallowed_methods,
            reason = "a bound of the test, with ten times slack"
        )]
        let begun = Instant::now();
        let (output, _) = run(
            &moorline,
            Job::shell(&script, json!({})).path(),
            &["--isolation", isolation],
        );
        assert_eq!(output.code, Some(0), "{output}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{isolation}");
        let left = moorline_testkit::process::matching(&format!("sleep\0{marker}")).unwrap();
        assert!(left.is_empty(), "{isolation}: {left:?}");
    }
}

/// L24: every argument arrives byte for byte; no shell reads them.
#[test]
fn arguments_arrive_byte_for_byte() {
    let texts = [
        "plain",
        "two words",
        "'single'",
        "\"double\"",
        "$(touch pwned)",
        "`id`",
        "a\nb\tc",
        "",
        "-rf",
        "*",
        "é 漢 🚢",
        "\\",
        "$HOME",
        "a;b|c&d>e<f",
    ];
    let long = "x".repeat(100_000);
    let show = "import sys,os,json,base64\n\
        args=[base64.b64encode(os.fsencode(a)).decode() for a in sys.argv[1:]]\n\
        json.dump(args,open(os.path.join(os.environ['MOORLINE_OUTPUT_DIR'],'args.json'),'w'))\n";
    let mut argv = vec![json!("python3"), json!("-B"), json!("show.py")];
    argv.extend(texts.iter().map(|text| json!(text)));
    argv.push(json!(long));
    // Bytes that are not UTF-8: ff fe 00-free.
    argv.push(json!({"base64": "//6A"}));
    let job = Job::new(json!({"steps": [{
        "name": "main", "argv": argv, "outputs": [{"path": "args.json", "format": "json"}]
    }]}))
    .file("show.py", show);
    for isolation in ["off", "best-effort"] {
        let moorline = Moorline::new().unwrap();
        let (output, _) = run(&moorline, job.path(), &["--isolation", isolation]);
        assert_eq!(output.code, Some(0), "{isolation}\n{output}");
        let exported = moorline.state_dir().join("exports/test/latest/args.json");
        let arrived: Vec<String> = serde_json::from_slice(&fs::read(exported).unwrap()).unwrap();
        let encode = |bytes: &[u8]| {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(bytes)
        };
        let mut expected: Vec<String> = texts.iter().map(|text| encode(text.as_bytes())).collect();
        expected.push(encode(long.as_bytes()));
        expected.push("//6A".to_owned());
        assert_eq!(arrived, expected, "{isolation}");
    }
}

/// L46: failures of auth and validation are not tried again, runtime failures are, as configured.
#[test]
fn only_runtime_failures_are_tried_again() {
    let moorline = Moorline::new().unwrap();
    let retries = json!({"retries": {"max": 2, "initial_delay_seconds": 0}});
    for (code, attempts) in [(75, 3), (1, 3), (65, 1), (77, 1), (78, 1)] {
        let job = Job::shell(&format!("exit {code}"), retries.clone());
        let (_, summary) = run(&moorline, job.path(), &[]);
        assert_eq!(summary["attempts"], attempts, "exit {code}: {summary}");
    }
    let job = Job::shell("test $MOORLINE_ATTEMPT = 3", retries);
    let (output, summary) = run(&moorline, job.path(), &[]);
    assert_eq!(
        (output.code, &summary["attempts"]),
        (Some(0), &json!(3)),
        "{output}"
    );
}

/// D-RUN-3: `runs show --json` is a summary by the published schema, while it runs and after.
#[test]
fn every_shown_run_satisfies_the_published_schema() {
    let moorline = Moorline::new().unwrap();
    let text = moorline.run(["job", "schema", "run_summary"]).unwrap();
    let validator = schema::Validator::compile(text.json().unwrap()).unwrap();
    let two_step = repository().join("examples/two-step");
    run(&moorline, &two_step, &[]);
    run(&moorline, Job::shell("exit 77", json!({})).path(), &[]);
    run(
        &moorline,
        Job::shell("true", json!({"outputs": [{"path": "missing"}]})).path(),
        &[],
    );
    let runs = moorline
        .run(["runs", "list", "--json"])
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(runs.as_array().unwrap().len(), 3);
    for row in runs.as_array().unwrap() {
        let id = row["run_id"].as_str().unwrap();
        let shown = moorline
            .run(["runs", "show", id, "--json"])
            .unwrap()
            .json()
            .unwrap();
        assert_eq!(validator.check(&shown), [], "{shown}");
        for field in [
            "run_id",
            "job_id",
            "source_id",
            "spec_version",
            "artifact_hash",
            "lane",
            "mode",
            "executor",
            "trigger",
            "attempts",
            "started_at",
            "ended_at",
            "transaction_count",
            "status",
            "failure",
            "outputs",
            "secret_names",
            "image_digest",
            "isolation",
            "resources",
            "cost",
        ] {
            assert!(shown.get(field).is_some(), "{field} is missing in {shown}");
        }
    }
}

/// D-RUN-1: the same idempotency key gives the same run; for something else it is refused.
#[test]
fn an_idempotency_key_stands_for_one_run() {
    let moorline = Moorline::new().unwrap();
    let job = Job::shell("true", json!({}));
    let key = ["--idempotency-key", "monday"];
    let (_, first) = run(&moorline, job.path(), &key);
    let (_, second) = run(&moorline, job.path(), &key);
    assert_eq!(first["run_id"], second["run_id"]);
    let other = Job::shell("false", json!({}));
    let (output, error) = run(&moorline, other.path(), &key);
    assert_eq!(error["error"]["code"], "ERR_CONFLICT", "{output}");
}

/// D-RUN-6: outputs are checked before they count, and failures never reach the exports.
#[test]
fn outputs_are_exported_only_after_they_were_found_valid() {
    let moorline = Moorline::new().unwrap();
    let schema = r#"{"type": "object", "required": ["a"], "additionalProperties": false, "properties": {"a": {"type": "integer"}}}"#;
    let job = |lines: &str| {
        let script = format!("printf '{lines}' > $MOORLINE_OUTPUT_DIR/rows.jsonl");
        Job::shell(
            &script,
            json!({"outputs": [{"path": "rows.jsonl", "schema": "row.json", "format": "jsonl"}]}),
        )
        .file("row.json", schema)
    };
    let latest = moorline.state_dir().join("exports/test/latest/rows.jsonl");
    let (output, _) = run(&moorline, job(r#"{"a": 1}\n"#).path(), &[]);
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(fs::read_to_string(&latest).unwrap(), "{\"a\": 1}\n");
    for lines in [r#"{"a": 1}\n{"a": "x"}\n"#, r#"{"b": 1}\n"#, r"not json\n"] {
        let (output, summary) = run(&moorline, job(lines).path(), &[]);
        assert_eq!(
            (output.code, &summary["failure"]["class"]),
            (Some(65), &json!("validation")),
            "{output}"
        );
        assert_eq!(summary["outputs"], json!([]));
        assert_eq!(fs::read_to_string(&latest).unwrap(), "{\"a\": 1}\n");
        let run_id = summary["run_id"].as_str().unwrap();
        assert!(
            !moorline
                .state_dir()
                .join("exports/test")
                .join(run_id)
                .exists()
        );
        let archived = moorline
            .state_dir()
            .join("runs")
            .join(run_id)
            .join("archive/main-1/rows.jsonl");
        assert!(archived.exists(), "{} is missing", archived.display());
    }
}

/// L54 for outputs: a secret in an output is a leak; the source is quarantined and nothing is exported.
#[test]
fn a_secret_in_an_output_is_a_leak() {
    let moorline = Moorline::new()
        .unwrap()
        .env("LEAKED_KEY", "correct-horse-battery");
    for script in [
        "echo $LEAKED_KEY > $MOORLINE_OUTPUT_DIR/out.txt",
        "printf %s $LEAKED_KEY | base64 > $MOORLINE_OUTPUT_DIR/out.txt",
    ] {
        let job = Job::new(json!({
            "secrets": [{"name": "leaked", "keys": ["LEAKED_KEY"]}],
            "steps": [{"name": "main", "argv": ["/bin/sh", "-c", script], "secrets": ["leaked"],
                "outputs": [{"path": "out.txt"}]}]
        }));
        let (output, summary) = run(&moorline, job.path(), &["--mode", "real"]);
        assert_eq!(output.code, Some(78), "{output}");
        assert_eq!(summary["failure"]["class"], "leak", "{output}");
        assert!(!moorline.state_dir().join("exports/test").exists());
        assert!(
            !format!("{output}").contains("correct-horse-battery"),
            "{output}"
        );
    }
}
