use super::*;

/// A record of `tx_v1`.
const RECORD: &str = r#"{"source_id":"bank","account_id":"1","transaction_id":"a","posted_at":"2026-01-02T00:00:00Z","ingested_at":"2026-01-03T00:00:00Z","amount":-1.50,"currency":"USD","description":"Coffee","raw":{}}"#;

/// A spec of seed 000 in which everything is decided.
fn decided(job_type: &str, cadence: &serde_json::Value) -> serde_json::Value {
    serde_json::json!({
        "job_id": "bank", "job_type": job_type, "objective": "Normalise statements every morning",
        "time_zone": "America/New_York", "cadence": cadence,
        "portfolio": {"entities": [{"source_id": "chase", "tier_hint": 1, "step_up": "none",
            "preferred_methods": ["csv_export"], "lookback_days": 30}]},
        "output": {"schema_version": "tx_v1", "formats": ["jsonl"],
            "storage": {"raw_path": "runs/", "normalized_path": "exports/"}},
        "constraints": {"max_runtime_seconds": 600, "browser_automation": false},
        "review": {"required": true},
        "steps": [{"name": "extract", "argv": ["python3", "-m", "extractor"], "egress": "none"}],
        "incremental": {"strategy": "full", "backfill_days": 30}, "dedupe": {"strategy": "keep_first"},
        "secrets": [], "tool_permissions": {}, "retention": {"runs_days": 90}, "failure_policy": {},
        "alerts": [], "validation": {"min_transactions": 0}
    })
}

fn file(files: &mut Files, path: &str, text: impl Into<String>) {
    files.insert(path, Entry::file(false, text.into().into_bytes()));
}

fn with_spec(spec: &serde_json::Value) -> Files {
    let mut files = Files::default();
    file(&mut files, SPEC, spec.to_string());
    files
}

fn extractor_of(spec: &serde_json::Value) -> Files {
    let mut files = with_spec(spec);
    for document in ["TEST_REPORT.md", "RUNBOOK.md", "RISKS.md"] {
        file(&mut files, document, "# All is well\n");
    }
    file(&mut files, SAMPLE, format!("{RECORD}\n"));
    file(&mut files, "extractor/main.py", "print()\n");
    file(&mut files, "extractor/tests/test_main.py", "assert True\n");
    files
}

fn research_of(spec: &serde_json::Value, planned: Option<&serde_json::Value>) -> Files {
    let mut files = with_spec(spec);
    for document in documents(JobType::IntakeResearch) {
        file(&mut files, document, "# Found out\n");
    }
    if let Some(planned) = planned {
        file(&mut files, PLANNED_SPEC, planned.to_string());
    }
    files
}

fn check(files: &Files, research: Option<&Files>) -> Vec<(String, String)> {
    let spec = SpecFile::read(files, SPEC).unwrap();
    findings(files, Some(&spec), research)
        .into_iter()
        .map(|finding| (finding.at, finding.rule))
        .collect()
}

fn at(found: &[(&str, &str)]) -> Vec<(String, String)> {
    found
        .iter()
        .map(|(at, rule)| ((*at).to_owned(), (*rule).to_owned()))
        .collect()
}

fn none() -> serde_json::Value {
    serde_json::json!({"type": "none"})
}

#[test]
fn a_complete_artifact_has_no_findings() {
    for job_type in ["generate_and_test", "repair_source", "bootstrap_source"] {
        let files = extractor_of(&decided(job_type, &none()));
        assert_eq!(check(&files, None), []);
    }
    let mut task = with_spec(&serde_json::json!(
        {"job_id": "hello", "steps": [{"name": "main", "argv": ["true"]}]}
    ));
    file(&mut task, "RUNBOOK.md", "run it");
    assert_eq!(check(&task, None), []);
}

#[test]
fn everything_that_is_missing_is_said_at_once() {
    let files = with_spec(&decided("generate_and_test", &none()));
    assert_eq!(
        check(&files, None),
        at(&[
            ("RISKS.md", "D-ART-1"),
            ("RUNBOOK.md", "D-ART-1"),
            ("TEST_REPORT.md", "D-ART-1"),
            ("extractor", "D-ART-1"),
            ("sample_output.jsonl", "D-ART-1"),
        ])
    );
    let research = with_spec(&decided("intake_research", &none()));
    assert_eq!(
        check(&research, None),
        at(&[
            ("DecisionBrief.md", "D-ART-1"),
            ("RiskAssessment.md", "D-ART-1"),
            ("SourcePlan.md", "D-ART-1"),
        ])
    );
}

#[test]
fn documents_samples_and_tests_must_say_something() {
    let mut files = extractor_of(&decided("generate_and_test", &none()));
    file(&mut files, "RISKS.md", " \n");
    file(&mut files, SAMPLE, format!("{RECORD}\n{{}}\n"));
    files.remove("extractor/tests/test_main.py");
    let found = check(&files, None);
    assert!(found.contains(&("RISKS.md".to_owned(), RULE.to_owned())));
    assert!(found.contains(&("sample_output.jsonl:2".to_owned(), RULE.to_owned())));
    assert!(found.contains(&("extractor".to_owned(), RULE.to_owned())));
}

#[test]
fn a_schedule_is_there_exactly_where_the_spec_has_a_cadence_and_equals_it() {
    let cron = serde_json::json!({"type": "cron", "expr": "15 6 * * *"});
    let spec = decided("generate_and_test", &cron);
    let mut files = extractor_of(&spec);
    assert_eq!(check(&files, None), at(&[("SCHEDULE.json", "D-SCHED-1")]));
    let wanted = SpecFile::read(&files, SPEC).unwrap().schedule().unwrap();
    // The order of the keys and white space do not matter.
    let text = serde_json::to_string_pretty(&wanted).unwrap();
    file(&mut files, "SCHEDULE.json", text.clone());
    assert_eq!(check(&files, None), []);
    file(&mut files, "SCHEDULE.json", text.replace("15 6", "15 7"));
    assert_eq!(
        check(&files, None),
        at(&[("SCHEDULE.json:/expr", "D-SCHED-1")])
    );
    let mut without = extractor_of(&decided("generate_and_test", &none()));
    file(&mut without, "SCHEDULE.json", text);
    assert_eq!(check(&without, None), at(&[("SCHEDULE.json", "D-SCHED-1")]));
}

#[test]
fn research_holds_no_code_and_no_schedule() {
    let mut files = research_of(&decided("intake_research", &none()), None);
    assert_eq!(check(&files, None), []);
    file(&mut files, "extractor/main.py", "print()");
    file(&mut files, "tool", "#!/bin/sh\n");
    files.insert("notes.txt", Entry::file(true, *b"x"));
    file(&mut files, "SCHEDULE.json", "{}");
    assert_eq!(
        check(&files, None),
        at(&[
            ("SCHEDULE.json", "D-SCHED-1"),
            ("extractor/main.py", "D-ART-1"),
            ("notes.txt", "D-ART-1"),
            ("tool", "D-ART-1"),
        ])
    );
}

#[test]
fn step_two_alters_nothing_of_the_planned_job() {
    let planned = decided("generate_and_test", &none());
    let research = research_of(&decided("intake_research", &none()), Some(&planned));
    assert_eq!(check(&research, None), []);
    let files = extractor_of(&planned);
    assert_eq!(check(&files, Some(&research)), []);

    let mut wider = planned;
    wider["metadata"] = serde_json::json!({"ticket": 7});
    assert_eq!(check(&extractor_of(&wider), Some(&research)), []);
    wider["egress"] = serde_json::json!({"allow": ["evil.example.com"]});
    wider["constraints"]["max_runtime_seconds"] = serde_json::json!(900);
    assert_eq!(
        check(&extractor_of(&wider), Some(&research)),
        at(&[
            ("job_spec.json:/constraints", "D-SPEC-5"),
            ("job_spec.json:/egress", "D-SPEC-5"),
        ])
    );
}

#[test]
fn what_is_undecided_does_not_advance() {
    let mut spec = decided("generate_and_test", &none());
    for field in ["retention", "alerts", "dedupe"] {
        spec.as_object_mut().unwrap().remove(field);
    }
    let mut files = extractor_of(&spec);
    let undecided = at(&[
        ("job_spec.json:/alerts", "D-ART-1"),
        ("job_spec.json:/dedupe", "D-ART-1"),
        ("job_spec.json:/retention", "D-ART-1"),
    ]);
    assert_eq!(check(&files, None), undecided);
    file(
        &mut files,
        checklist::CHECKLIST,
        r#"{"retention": "default", "dedupe": "default", "alerts": {"deferred": "in May"}}"#,
    );
    assert_eq!(check(&files, None), []);
    file(
        &mut files,
        checklist::CHECKLIST,
        r#"{"retention": "default", "dedupe": "default", "alerts": {"deferred": ""}, "x": "default"}"#,
    );
    assert_eq!(
        check(&files, None),
        at(&[
            ("CHECKLIST.json:/alerts", "D-ART-1"),
            ("CHECKLIST.json:/x", "D-ART-1"),
        ])
    );
}

#[test]
fn programs_are_refused_anywhere_and_binary_files_outside_of_samples() {
    let mut files = extractor_of(&decided("generate_and_test", &none()));
    for (path, bytes) in [
        ("extractor/tool", &b"\x7fELF\x02\x01"[..]),
        ("extractor/__pycache__/main.pyc", b"x"),
        ("logo.bin", b"a\0b"),
        ("samples/tool", b"\x7fELF"),
        ("samples/statement.dat", b"a\0b"),
        ("MZ.txt", b"MZ is how this text begins"),
    ] {
        files.insert(path, Entry::file(false, bytes));
    }
    assert_eq!(
        check(&files, None),
        at(&[
            ("extractor/__pycache__/main.pyc", "D-ART-1"),
            ("extractor/tool", "D-ART-1"),
            ("logo.bin", "D-ART-1"),
            ("samples/tool", "D-ART-1"),
        ])
    );
}

#[test]
fn too_much_is_refused() {
    let mut files = extractor_of(&decided("generate_and_test", &none()));
    files.insert(
        "samples/large.csv",
        Entry::File {
            executable: false,
            content: ContentId::of_bytes(b"large"),
            size: MAX_TOTAL_BYTES + 1,
            bytes: None,
        },
    );
    assert_eq!(
        check(&files, None),
        at(&[(".", "D-ART-1"), ("samples/large.csv", "D-ART-1")])
    );
}
