//! Sources, as people steer them.

use moorline_testkit::moorline::Moorline;
use moorline_tests::run;
use serde_json::json;

use super::super::support::{json_of, ok, refused};
use super::{reads, state};

#[test]
fn a_person_pauses_and_resumes_a_source() {
    let moorline = Moorline::new().unwrap();
    let works = reads("bank", "true", json!({}), json!({}));
    run(&moorline, works.path(), &[]);
    let paused = json_of(
        &moorline,
        &["sources", "pause", "bank", "--reason", "maintenance"],
    );
    assert_eq!(
        (&paused["state"], &paused["held"]),
        (&json!("paused"), &json!(true))
    );
    run(&moorline, works.path(), &[]);
    assert_eq!(state(&moorline, "bank"), "paused", "a person holds it");
    let shown = ok(&moorline, &["sources", "show", "bank"]).stdout;
    assert!(
        shown.contains("maintenance") && shown.contains("sources resume"),
        "{shown}"
    );
    let said = refused(
        &moorline,
        &["sources", "resume", "bank", "--reason", " "],
        2,
    );
    assert!(said.contains("needs a reason"), "{said}");
    ok(
        &moorline,
        &["sources", "resume", "bank", "--reason", "it is over"],
    );
    assert_eq!(state(&moorline, "bank"), "active");
    let audit = json_of(&moorline, &["audit", "list"]);
    let acts: Vec<&str> = audit
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|record| record["operation"].as_str())
        .filter(|operation| operation.starts_with("source."))
        .collect();
    assert_eq!(acts.len(), 2, "{acts:?}");
    refused(
        &moorline,
        &["sources", "pause", "nobody", "--reason", "r"],
        1,
    );
}

/// D-ART-4: an agent may hold a source, and never let it go.
#[test]
fn an_agent_pauses_and_never_resumes() {
    let moorline = Moorline::new().unwrap();
    let works = reads("bank", "true", json!({}), json!({}));
    run(&moorline, works.path(), &[]);
    let agent = |arguments: &[&str]| {
        let mut command = moorline.command(arguments);
        command.env("MOORLINE_PRINCIPAL", "agent:helper");
        let running = moorline_testkit::moorline::Running::start(&mut command).unwrap();
        running.wait(std::time::Duration::from_mins(1)).unwrap()
    };
    let paused = agent(&["sources", "pause", "bank", "--reason", "odd amounts"]);
    assert_eq!(paused.code, Some(0), "{paused}");
    let resumed = agent(&["sources", "resume", "bank", "--reason", "fine"]);
    assert_eq!(resumed.code, Some(77), "{resumed}");
    assert!(resumed.stderr.contains("only a person may"), "{resumed}");
    assert_eq!(state(&moorline, "bank"), "paused");
}

#[test]
fn a_quarantined_source_needs_someone_who_looked_into_it() {
    let moorline = Moorline::new()
        .unwrap()
        .env("BANK_KEY", "canary-of-a-leak-0815");
    let rest = json!({"secrets": [{"name": "bank", "keys": ["BANK_KEY"]}]});
    let step = json!({"secrets": ["bank"]});
    let leaks = reads(
        "bank",
        "echo $BANK_KEY > $MOORLINE_OUTPUT_DIR/a",
        step,
        rest,
    );
    run(&moorline, leaks.path(), &["--mode", "real"]);
    let works = reads("bank", "true", json!({}), json!({}));
    run(&moorline, works.path(), &[]);
    assert_eq!(
        state(&moorline, "bank"),
        "quarantined",
        "a success does not undo a leak"
    );
    let said = refused(
        &moorline,
        &["sources", "resume", "bank", "--reason", "r"],
        1,
    );
    assert!(
        said.contains("--looked-into") && said.contains("D-RUN-7"),
        "{said}"
    );
    let resume = [
        "sources",
        "resume",
        "bank",
        "--looked-into",
        "--reason",
        "key rotated",
    ];
    ok(&moorline, &resume);
    assert_eq!(state(&moorline, "bank"), "active");
}
