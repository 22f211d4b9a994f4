//! The job types of seed 000, with mock steps.

use std::fs;
use std::path::{Path, PathBuf};

use moorline_testkit::moorline::Moorline;
use serde_json::{Value, json};

use crate::support::{copy_tree, json_of, ok, refused, repository};

const TYPES: [&str; 5] = [
    "intake-research",
    "generate-and-test",
    "repair-source",
    "bootstrap-source",
    "bootstrap-portfolio",
];

fn example(name: &str) -> PathBuf {
    repository().join("examples/job-types").join(name)
}

/// A copy of an example, to be changed.
fn copy(moorline: &Moorline, name: &str) -> PathBuf {
    let job = moorline.root().join(name);
    copy_tree(&example(name), &job);
    job
}

fn change_spec(job: &Path, change: impl FnOnce(&mut Value)) {
    let file = job.join("job_spec.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut spec);
    fs::write(&file, spec.to_string()).unwrap();
}

fn append(file: &Path, before: &str, line: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(before), "{} has no {before}", file.display());
    let text = text.replacen(before, &format!("{line}{before}"), 1);
    fs::write(file, text).unwrap();
}

/// What a run that a rule of its job type refused is told.
fn policy_failure(moorline: &Moorline, job: &Path) -> String {
    refused(moorline, &["run", job.to_str().unwrap()], 78);
    let run = json_of(moorline, &["runs", "show", "latest"]);
    let failure = &run["failure"];
    assert_eq!(failure["code"], "ERR_POLICY", "{run:#}");
    failure["reason"].as_str().unwrap().to_owned()
}

#[test]
fn every_job_type_has_an_example_that_runs_in_both_modes() {
    let moorline = Moorline::new().unwrap();
    for name in TYPES {
        let job = example(name);
        let job = job.to_str().unwrap();
        let spec = json_of(&moorline, &["job", "explain", job]);
        assert_eq!(spec["spec"]["job_type"], name.replace('-', "_"));
        for mode in ["real", "mock"] {
            let summary = json_of(&moorline, &["run", job, "--mode", mode]);
            assert_eq!(summary["status"], "success", "{name} {mode}: {summary:#}");
            assert_eq!(summary["mode"], mode);
        }
    }
}

/// D-JOB-1: whatever a step 1 job says of its files, code among them fails the run and nothing is exported.
#[test]
fn research_leaves_documents_and_nothing_else() {
    let moorline = Moorline::new().unwrap();
    let before = "    reply({\"status\": \"success\"";
    for (name, line) in [
        (
            "extract.py",
            "    (output / \"extract.py\").write_text(\"print()\")\n",
        ),
        (
            "notes.md",
            "    (output / \"notes.md\").write_text(\"#!/bin/sh\\n\")\n",
        ),
        (
            "data.json",
            "    (output / \"data.json\").write_bytes(b\"PK\\x03\\x04\")\n",
        ),
        (
            "SCHEDULE.json",
            "    (output / \"SCHEDULE.json\").write_text(\"{}\")\n",
        ),
        (
            "SourcePlan.md",
            "    (output / \"SourcePlan.md\").rename(output / \"Plan.md\")\n",
        ),
    ] {
        let moorline = Moorline::new().unwrap();
        let job = copy(&moorline, "intake-research");
        append(&job.join("research.py"), before, line);
        if name == "SourcePlan.md" {
            change_spec(&job, |spec| {
                spec["steps"][0]["outputs"]
                    .as_array_mut()
                    .unwrap()
                    .remove(1);
            });
        }
        let reason = policy_failure(&moorline, &job);
        assert!(
            reason.contains(name) && reason.contains("D-JOB-1"),
            "{name}: {reason}"
        );
        assert!(
            !moorline
                .state_dir()
                .join("exports")
                .join("first-bank-intake")
                .exists()
        );
    }
    // What is not decided does not advance.
    let job = copy(&moorline, "intake-research");
    fs::write(job.join("samples/answers.json"), "{}").unwrap();
    refused(&moorline, &["run", job.to_str().unwrap()], 65);
    // And a spec that declares code as an output of research is refused before anything runs.
    let job = moorline.root().join("declares");
    copy_tree(&example("intake-research"), &job);
    change_spec(&job, |spec| {
        let outputs = spec["steps"][0]["outputs"].as_array_mut().unwrap();
        outputs.push(json!({"path": "extract.py"}));
    });
    let told = refused(&moorline, &["run", job.to_str().unwrap()], 78);
    assert!(told.contains("D-JOB-1"), "{told}");
}

/// D-JOB-2: what a step 2 job writes down as the spec is what a person decided.
#[test]
fn generated_artifacts_keep_to_the_spec_that_was_decided() {
    let before = "    decided[\"steps\"] = [HOW]";
    for (what, line) in [
        (
            "cadence",
            "    decided[\"cadence\"] = {\"type\": \"cron\", \"expr\": \"0 * * * *\"}\n",
        ),
        (
            "egress",
            "    decided[\"egress\"] = {\"allow\": [\"evil.example\"]}\n",
        ),
        (
            "approval",
            "    decided[\"approval\"] = {\"by\": \"me\", \"date\": \"2026-03-01\"}\n",
        ),
        (
            "secrets",
            "    decided[\"secrets\"] = [{\"name\": \"more\", \"keys\": [\"MORE\"]}]\n",
        ),
        (
            "objective",
            "    decided[\"objective\"] = \"Something else entirely\"\n",
        ),
    ] {
        let moorline = Moorline::new().unwrap();
        let job = copy(&moorline, "generate-and-test");
        append(&job.join("generate.py"), before, line);
        let reason = policy_failure(&moorline, &job);
        assert!(
            reason.contains(what) && reason.contains("D-JOB-2"),
            "{what}: {reason}"
        );
        let explained = ok(&moorline, &["explain", "run", "latest"]).stdout;
        assert!(explained.contains("class `policy`"), "{explained}");
    }
    let moorline = Moorline::new().unwrap();
    let job = copy(&moorline, "generate-and-test");
    let schedule = "    (artifact / \"SCHEDULE.json\").write_text(json.dumps({\"type\": \"cron\", \
        \"expr\": \"* * * * *\", \"time_zone\": \"UTC\", \"job_id\": \"first-bank\", \
        \"spec_hash\": \"b3:\" + \"0\" * 64}))\n";
    append(
        &job.join("generate.py"),
        "    reply({\"status\": \"success\"",
        schedule,
    );
    let reason = policy_failure(&moorline, &job);
    assert!(
        reason.contains("SCHEDULE.json") && reason.contains("D-JOB-2"),
        "{reason}"
    );
}

/// The tests that step 2 wrote are run, and a failing one fails the run.
#[test]
fn generated_code_is_tested_in_the_sandbox() {
    let moorline = Moorline::new().unwrap();
    let job = copy(&moorline, "generate-and-test");
    let tests = job.join("template/tests/test_extractor.py");
    let text = fs::read_to_string(&tests)
        .unwrap()
        .replace("-4.20,'", "-4.21,'");
    fs::write(&tests, text).unwrap();
    refused(&moorline, &["run", job.to_str().unwrap()], 65);
    let run = json_of(&moorline, &["runs", "show", "latest"]);
    let reason = &run["failure"]["reason"];
    assert_eq!(reason, "1 of 2 tests failed", "{run:#}");
}

/// D-JOB-3: a job is told which tools it may use, and a spec that needs another is refused.
#[test]
fn a_job_uses_the_tools_that_lane_and_spec_permit() {
    let moorline = Moorline::new().unwrap();
    let job = moorline.root().join("tools");
    fs::create_dir(&job).unwrap();
    let spec = |permissions: Value, egress: Value| {
        json!({
            "job_id": "tools", "tool_permissions": permissions,
            "steps": [{"name": "main", "argv": ["/bin/sh", "-c", "echo \"$MOORLINE_TOOLS\" > \"$MOORLINE_OUTPUT_DIR/tools.json\""],
                       "egress": egress, "outputs": [{"path": "tools.json"}]}]
        })
    };
    let write = |spec: Value| fs::write(job.join("job_spec.json"), spec.to_string()).unwrap();
    let path = job.to_str().unwrap();
    write(spec(json!({"web_fetch": "forbidden"}), json!("none")));
    let summary = json_of(&moorline, &["run", path]);
    assert_eq!(summary["status"], "success", "{summary:#}");
    let exported = moorline.state_dir().join("exports/tools/latest/tools.json");
    let told: Value = serde_json::from_slice(&fs::read(exported).unwrap()).unwrap();
    assert_eq!(told["web_fetch"], "forbidden", "{told}");
    for (permissions, egress, place) in [
        (
            json!({"shell": "forbidden"}),
            json!("none"),
            "/steps/0/argv",
        ),
        (
            json!({"web_fetch": "forbidden"}),
            json!({"allow": ["api.example.com"]}),
            "/steps/0/egress",
        ),
        (
            json!({"web_fetch": "restricted"}),
            json!("open"),
            "/steps/0/egress",
        ),
        (
            json!({"install_dependencies": "forbidden"}),
            json!({"allow": ["pypi.org"]}),
            "/steps/0/egress",
        ),
    ] {
        write(spec(permissions.clone(), egress));
        let told = refused(&moorline, &["job", "validate", path], 78);
        assert!(
            told.contains("D-JOB-3") && told.contains(place),
            "{permissions}: {told}"
        );
    }
}

/// D-JOB-4, L05: an image definition is pinned to the last package, and tells what builds it.
#[test]
fn an_image_definition_is_pinned_and_has_an_identity() {
    let moorline = Moorline::new().unwrap();
    let file = repository().join("examples/images/extractor.toml");
    let checked = json_of(&moorline, &["job", "image", file.to_str().unwrap()]);
    assert!(
        checked["id"].as_str().unwrap().starts_with("b3:"),
        "{checked:#}"
    );
    let lines = ok(
        &moorline,
        &["job", "image", file.to_str().unwrap(), "--dockerfile"],
    )
    .stdout;
    assert!(
        lines.starts_with("FROM docker.io/library/python@sha256:"),
        "{lines}"
    );
    let floating = moorline.root().join("floating.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&floating, text.replace("lxml==6.0.2", "lxml")).unwrap();
    let told = refused(&moorline, &["job", "image", floating.to_str().unwrap()], 78);
    assert!(
        told.contains("python[0]") && told.contains("D-JOB-4"),
        "{told}"
    );
    assert!(!moorline.state_dir().exists());
}
