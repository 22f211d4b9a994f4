//! The audit trail, refusals and explanations.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use moorline_core::rules;
use moorline_testkit::moorline::{Moorline, Running};
use moorline_testkit::postgres::{self, TestDatabase};
use serde_json::{Value, json};

use crate::support::{json_of, ok, refused, repository};

/// Where the trail of a test is kept.
enum Place {
    Sqlite,
    Postgres(TestDatabase),
}

impl Place {
    fn both() -> [Self; 2] {
        [
            Self::Sqlite,
            Self::Postgres(postgres::create_database().unwrap()),
        ]
    }

    fn moorline(&self) -> Moorline {
        let moorline = Moorline::new().unwrap();
        match self {
            Self::Sqlite => moorline,
            Self::Postgres(database) => moorline.env("MOORLINE_STORE", database.url()),
        }
    }

    /// Changes the store behind Moorline's back.
    fn edit(&self, moorline: &Moorline, statement: &str) {
        match self {
            Self::Sqlite => sqlite(&moorline.state_dir().join("store.db"), statement),
            Self::Postgres(database) => database.execute(statement).unwrap(),
        }
    }
}

/// Runs SQL on a file of SQLite, with the library of another language.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever tampers uses what is there"
)]
fn sqlite(file: &Path, statement: &str) {
    const PROGRAM: &str = "import sqlite3, sys\n\
        database = sqlite3.connect(sys.argv[1], timeout=30)\n\
        database.executescript(sys.argv[2])\n\
        database.commit()\n";
    let mut python = Command::new("python3");
    python.args(["-c", PROGRAM]).arg(file).arg(statement);
    let output = Running::start(&mut python)
        .unwrap()
        .wait(Duration::from_mins(1))
        .unwrap();
    assert_eq!(output.code, Some(0), "{statement}\n{output}");
}

fn hello() -> String {
    let hello = repository().join("examples/hello");
    hello.to_str().unwrap().to_owned()
}

/// A trail of at least six records.
fn leave_a_trail(moorline: &Moorline) {
    ok(moorline, &["init"]);
    ok(moorline, &["run", &hello()]);
    for scope in ["job:a", "job:b"] {
        ok(moorline, &["stop", scope, "--reason", "a look"]);
        ok(moorline, &["release", scope, "--reason", "seen"]);
    }
}

/// L55: a record that was changed, removed or swapped with another is found and named, on both stores; and
/// so is it in an exported file, without either.
#[test]
fn tampering_with_the_trail_is_found_and_named() {
    for place in Place::both() {
        let edits = [
            (
                "UPDATE audit SET actor = 'human:eve' WHERE id = 3",
                "audit record 3 was changed",
            ),
            ("UPDATE audit SET data = 'x' WHERE id = 4", "audit record 4"),
            (
                "DELETE FROM audit WHERE id = 2",
                "audit record 3 does not follow",
            ),
            (
                "UPDATE audit SET id = 1000 WHERE id = 3; UPDATE audit SET id = 3 WHERE id = 4; \
                 UPDATE audit SET id = 4 WHERE id = 1000;",
                "audit record 3 does not follow",
            ),
            (
                "DELETE FROM audit WHERE id = 6",
                "the newest audit record is 5, the head says 6",
            ),
        ];
        for (edit, told) in edits {
            let place = match &place {
                Place::Sqlite => Place::Sqlite,
                Place::Postgres(_) => Place::Postgres(postgres::create_database().unwrap()),
            };
            let moorline = place.moorline();
            leave_a_trail(&moorline);
            ok(&moorline, &["audit", "verify"]);
            place.edit(&moorline, edit);
            let found = moorline.run(["audit", "verify"]).unwrap();
            assert_eq!(found.code, Some(1), "{edit}\n{found}");
            assert!(found.stderr.contains(told), "{edit}\n{found}");
            let report = moorline.run(["audit", "verify", "--json"]).unwrap();
            assert_eq!(report.code, Some(1), "{edit}\n{report}");
            assert_eq!(report.json().unwrap()["intact"], false, "{edit}");
            // A broken trail is not written out as if it were whole, and leaves no file behind.
            let out = moorline.root().join("broken.jsonl");
            let export = moorline
                .run(["audit", "export", "--out", out.to_str().unwrap()])
                .unwrap();
            assert_eq!(export.code, Some(1), "{edit}\n{export}");
            assert!(!out.exists() && !out.with_file_name("broken.jsonl.partial").exists());
        }
    }
}

/// L55: what is kept elsewhere is verified without a store, and shows a trail that was rewritten as a whole.
#[test]
fn an_export_is_verified_without_the_store() {
    let moorline = Moorline::new().unwrap();
    leave_a_trail(&moorline);
    let file = moorline.root().join("audit.jsonl");
    let file = file.to_str().unwrap();
    let written = json_of(&moorline, &["audit", "export", "--out", file]);
    let text = fs::read_to_string(file).unwrap();
    let again = ok(&moorline, &["audit", "export", "--out", "-"]);
    assert_eq!(again.stdout, text, "the same trail gives the same bytes");
    let header: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(
        header,
        json!({"format": "moorline-audit-v1", "records": written["records"], "head": written["head"]})
    );
    let lines = u64::try_from(text.lines().count()).unwrap();
    assert_eq!(Some(lines - 1), written["records"].as_u64());

    let elsewhere = Moorline::new().unwrap();
    let report = json_of(&elsewhere, &["audit", "verify", "--file", file]);
    assert_eq!(report["intact"], true, "{report:#}");
    assert_eq!(report["head"], written["head"]);
    assert!(!elsewhere.state_dir().exists(), "no store is needed");
    let head = written["head"].as_str().unwrap();
    ok(
        &elsewhere,
        &["audit", "verify", "--file", file, "--head", head],
    );
    ok(&moorline, &["audit", "verify", "--head", head]);
    let noted = moorline
        .run(["audit", "verify", "--head", "b3:noted"])
        .unwrap();
    assert_eq!(noted.code, Some(1), "{noted}");
    assert!(noted.stderr.contains("was rewritten"), "{noted}");

    let lines: Vec<&str> = text.lines().collect();
    let changed = text.replacen("human:", "human:e", 1);
    let removed = [&lines[..2], &lines[3..]].concat().join("\n") + "\n";
    let cut = lines[..lines.len() - 1].join("\n") + "\n";
    let half: String = text.chars().take(text.len() - 10).collect();
    for (damage, told) in [
        (changed, "audit record 1 was changed"),
        (removed, "audit record 3 does not follow"),
        (cut, "the newest audit record is"),
        (half, "is cut short"),
        (String::new(), "line 1 is not the header"),
    ] {
        let damaged = elsewhere.root().join("damaged.jsonl");
        fs::write(&damaged, damage).unwrap();
        let found = elsewhere
            .run(["audit", "verify", "--file", damaged.to_str().unwrap()])
            .unwrap();
        assert_eq!(found.code, Some(1), "{told}\n{found}");
        assert!(found.stderr.contains(told), "{told}\n{found}");
    }
}

#[test]
fn the_trail_is_listed_newest_first_by_what_is_asked() {
    for place in Place::both() {
        let moorline = place.moorline().env("MOORLINE_PRINCIPAL", "human:ada");
        leave_a_trail(&moorline);
        let all = json_of(&moorline, &["audit", "list"]);
        let all = all.as_array().unwrap();
        let ids: Vec<u64> = all.iter().map(|r| r["id"].as_u64().unwrap()).collect();
        let newest = u64::try_from(ids.len()).unwrap();
        assert_eq!(ids, (1..=newest).rev().collect::<Vec<_>>());
        let subjects = |arguments: &[&str]| -> Vec<String> {
            let found = json_of(&moorline, &[&["audit", "list"], arguments].concat());
            let found = found.as_array().unwrap().clone();
            found
                .iter()
                .map(|r| r["subject"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(
            subjects(&["--operation", "stop.engage"]),
            ["stop/job:b", "stop/job:a"]
        );
        assert_eq!(
            subjects(&["--subject", "stop/", "--limit", "1"]),
            ["stop/job:b"]
        );
        assert_eq!(
            subjects(&["--subject", "stop/job:a"]),
            ["stop/job:a", "stop/job:a"]
        );
        assert_eq!(
            subjects(&["--actor", "human:ada", "--before", "3"]).len(),
            1
        );
        assert_eq!(subjects(&["--since", "2999-01-01"]), [""; 0]);
        assert_eq!(subjects(&["--until", "2999-01-01"]).len(), ids.len());
        let told = refused(&moorline, &["audit", "list", "--since", "yesterday"], 2);
        assert!(told.contains("2026-03-01"), "{told}");
        refused(&moorline, &["audit", "list", "--limit", "1001"], 2);
    }
}

/// D-AUDIT-4: a refusal is on record with its rules, and whoever is refused is told where.
#[test]
fn a_refusal_says_which_rule_what_was_missing_and_how_it_stands_now() {
    for place in Place::both() {
        let moorline = place.moorline().env("MOORLINE_PRINCIPAL", "human:ada");
        ok(&moorline, &["init"]);
        ok(&moorline, &["stop", "all", "--reason", "unsafe output"]);
        let told = refused(&moorline, &["run", &hello()], 78);
        let id = told
            .split("`moorline explain refusal ")
            .nth(1)
            .and_then(|rest| rest.split('`').next())
            .unwrap_or_else(|| panic!("no refusal is named: {told}"));
        assert!(
            told.contains("`moorline release` lifts it"),
            "the hint is kept: {told}"
        );

        let explained = json_of(&moorline, &["explain", "refusal", id]);
        let point = &explained["points"][0];
        assert_eq!(point["rule"]["id"], "D-STOP-1", "{explained:#}");
        assert_eq!(point["rule"]["says"], rules::statement("D-STOP-1").unwrap());
        assert_eq!(point["evidence"][0]["by"], "human:ada");
        let now = &explained["points"][1];
        assert_eq!(
            (&now["topic"], &now["holds"]),
            (&json!("now"), &json!(false)),
            "{explained:#}"
        );
        ok(&moorline, &["release", "all", "--reason", "looked into"]);
        let after = json_of(&moorline, &["explain", "refusal", "latest"]);
        assert_eq!(after["subject"], format!("refusal/{id}"));
        assert_eq!(after["points"][1]["holds"], true, "{after:#}");

        // A refusal changes nothing, so the trail does not have it; and what is missing is no refusal.
        let head = json_of(&moorline, &["audit", "verify"])["records"].clone();
        let moorline = moorline.env("MOORLINE_PRINCIPAL", "agent:planner");
        let told = refused(&moorline, &["release", "all", "--reason", "done"], 77);
        assert!(told.contains("moorline explain refusal"), "{told}");
        assert_eq!(json_of(&moorline, &["audit", "verify"])["records"], head);
        let missing = refused(&moorline, &["runs", "cancel", "0190ffff"], 1);
        assert!(!missing.contains("explain refusal"), "{missing}");
        refused(&moorline, &["explain", "refusal", "ffff"], 1);
    }
}

/// What a person typed may look like a secret; a refusal on record does not repeat it.
#[test]
fn a_refusal_on_record_is_redacted() {
    let moorline = Moorline::new().unwrap();
    ok(&moorline, &["init"]);
    ok(
        &moorline,
        &[
            "stop",
            "all",
            "--reason",
            "found ghp_0123456789abcdefghijABCDEFGHIJ012345 in it",
        ],
    );
    refused(&moorline, &["run", &hello()], 78);
    let explained = json_of(&moorline, &["explain", "refusal", "latest"]);
    assert!(
        !explained["summary"].to_string().contains("ghp_0123456789"),
        "{explained:#}"
    );
}

#[test]
fn a_run_is_explained_by_rule_and_evidence() {
    let moorline = Moorline::new().unwrap();
    let job = moorline.root().join("job");
    fs::create_dir(&job).unwrap();
    let spec = json!({
        "job_id": "fails",
        "steps": [{"name": "main", "argv": ["/bin/sh", "-c", "exit 75"], "egress": "none",
                   "retries": {"max": 1, "initial_delay_seconds": 0}}]
    });
    fs::write(job.join("job_spec.json"), spec.to_string()).unwrap();
    refused(&moorline, &["run", job.to_str().unwrap()], 75);
    let explained = json_of(&moorline, &["explain", "run", "latest"]);
    let point = |topic: &str| {
        let points = explained["points"].as_array().unwrap();
        let found = points.iter().find(|point| point["topic"] == topic);
        found
            .unwrap_or_else(|| panic!("no {topic}: {explained:#}"))
            .clone()
    };
    assert_eq!(point("outcome")["rule"]["id"], "D-RUN-7");
    assert!(
        point("outcome")["says"]
            .as_str()
            .unwrap()
            .contains("class `runtime`")
    );
    assert_eq!(
        point("retries")["says"],
        "2 attempts: all 1 retries are spent"
    );
    assert_eq!(
        point("schedule")["says"],
        "class `runtime` asks for the schedule to be `paused`"
    );
    assert_eq!(point("alert")["says"], "people were alerted");
    assert!(
        point("origin")["evidence"][0]["source"]
            .as_str()
            .unwrap()
            .starts_with("audit/")
    );
    assert!(explained["since"].is_string());
    let text = ok(&moorline, &["explain", "run", "latest"]).stdout;
    assert!(
        text.contains("rule D-RUN-7:") && text.contains("since "),
        "{text}"
    );
}

/// D-AUDIT-4: every rule that the program can cite says in a sentence what it demands.
#[test]
fn every_rule_that_is_cited_can_be_explained() {
    let mut cited = BTreeSet::new();
    let mut pending = vec![repository().join("crates")];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // Tests may cite what is not there; the table itself proves nothing.
            if path.is_dir() && !matches!(&*name, "tests" | "target" | "examples" | "conformance") {
                pending.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs")
                && !matches!(&*name, "tests.rs" | "rules.rs")
            {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
                for rule in rules::cited(code) {
                    cited.insert((rule, path.clone()));
                }
            }
        }
    }
    assert!(cited.len() > 50, "the sources were not found: {cited:?}");
    let unknown: Vec<_> = cited
        .into_iter()
        .filter(|(rule, _)| rules::statement(rule).is_none())
        .collect();
    assert!(
        unknown.is_empty(),
        "rules without a statement: {unknown:#?}"
    );
    let moorline = Moorline::new().unwrap();
    let told = json_of(&moorline, &["explain", "rule", "D-ART-4"]);
    assert_eq!(told["summary"], rules::statement("D-ART-4").unwrap());
    assert!(!moorline.state_dir().exists());
    refused(&moorline, &["explain", "rule", "D-NONE-1"], 1);
}
