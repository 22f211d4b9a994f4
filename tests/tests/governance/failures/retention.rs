//! What is kept no longer than its job wants.

use std::fs;

use moorline_testkit::moorline::Moorline;
use moorline_tests::run;
use serde_json::json;

use super::super::support::{TestClock, json_of, ok};
use super::{files, reads, run_dir};

/// L58: the worker removes what is ours and old enough, and nothing else; what a run came to stays.
#[test]
fn a_worker_removes_what_a_job_keeps_no_longer() {
    let place = tempfile::tempdir().unwrap();
    let clock = TestClock::at(place.path(), "2026-03-01T06:00:00Z");
    let moorline = Moorline::new()
        .unwrap()
        .env("MOORLINE_TEST_CLOCK", clock.path());
    let keep = json!({"retention": {"runs_days": 1, "logs_days": 1, "exports_days": 1}});
    let script = "echo hello; echo x > $MOORLINE_OUTPUT_DIR/out.txt";
    let outputs = json!({"outputs": [{"path": "out.txt", "format": "any", "export": true}]});
    let job = reads("bank", script, outputs.clone(), keep);
    let (_, old) = run(&moorline, job.path(), &[]);
    let forever = reads("other", script, outputs, json!({}));
    let (_, kept) = run(&moorline, forever.path(), &[]);
    clock.set("2026-03-02T05:59:00Z");
    let (_, newer) = run(&moorline, job.path(), &[]);
    // Not ours: a directory of that place by another name, and one that only looks like a run.
    let strangers = ["notes", "01980000-0000-7000-8000-000000000001"];
    for stranger in strangers {
        let dir = moorline.state_dir().join("runs").join(stranger);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("mine.txt"), "mine").unwrap();
    }
    let exports = moorline.state_dir().join("exports/reads-bank");
    let exported = |summary: &serde_json::Value| {
        exports
            .join(summary["run_id"].as_str().unwrap())
            .join("out.txt")
            .is_file()
    };
    ok(&moorline, &["work", "--once"]);
    assert!(exported(&old), "a day is not over");
    clock.set("2026-03-02T06:30:00Z");
    ok(&moorline, &["work", "--once"]);
    assert_eq!(files(&run_dir(&moorline, &old)), Vec::<String>::new());
    assert_eq!(files(&run_dir(&moorline, &kept)), ["outputs/main/out.txt"]);
    assert_eq!(files(&run_dir(&moorline, &newer)), ["outputs/main/out.txt"]);
    assert_eq!((exported(&old), exported(&newer)), (false, true));
    for stranger in strangers {
        let dir = moorline.state_dir().join("runs").join(stranger);
        assert_eq!(files(&dir), ["mine.txt"], "{stranger}");
    }
    let id = old["run_id"].as_str().unwrap();
    assert_eq!(
        json_of(&moorline, &["runs", "show", id]),
        old,
        "its summary stays"
    );
    let audit = ok(&moorline, &["audit", "verify"]);
    assert_eq!(audit.code, Some(0));
    // What `latest` points to stays, however old it is.
    clock.set("2026-04-01T00:00:00Z");
    ok(&moorline, &["work", "--once"]);
    assert!(exported(&newer));
    assert_eq!(files(&run_dir(&moorline, &newer)), Vec::<String>::new());
}
