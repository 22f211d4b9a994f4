//! Upgrades: state of the program before this one, and that program still running beside it.
//!
//! The older program is a binary of the commit that `tests/upgrade/commit` names. It is built by
//! `cargo xtask upgrade`, from the history that is there, and named by `MOORLINE_TEST_OLDER`; a build takes minutes,
//! so it is a step of its own. Without it these tests say so and check what needs no older binary: the schema
//! before this one, with rows that such a program wrote, is tested in `crates/store/tests/suite/upgrade`.

use std::fs;

use moorline_testkit::env;
use moorline_testkit::moorline::{Moorline, Running, Signal, binary};
use moorline_testkit::moorlined::ServerOptions;
use serde_json::json;

use super::support::PATIENCE;

fn write_job(moorline: &Moorline) -> String {
    let job = moorline.work_dir().join("hello");
    fs::create_dir_all(&job).unwrap();
    let spec = json!({"job_id": "hello", "steps": [
        {"name": "greet", "argv": ["/bin/sh", "-c", "echo hello"], "egress": "none"}
    ]});
    fs::write(job.join("job_spec.json"), spec.to_string()).unwrap();
    job.display().to_string()
}

/// The documented exit codes: 0 when nothing is left to do, 1 when something is.
#[test]
fn what_is_to_be_migrated_is_told_by_the_exit_code() {
    let server = Moorline::of_binary(binary("moorlined").unwrap()).unwrap();
    let check = || server.run(["migrate", "--check"]).unwrap();
    let before = check();
    assert_eq!(before.code, Some(1), "{before}");
    assert_eq!(check().code, Some(1), "a look changes nothing");
    let migrated = server.run(["migrate"]).unwrap();
    assert_eq!(migrated.code, Some(0), "{migrated}");
    let after = check();
    assert_eq!(after.code, Some(0), "{after}");
}

/// An older worker goes on beside a newer server on the same state; one that starts now is refused, and says
/// what to do.
#[test]
fn an_older_program_goes_on_beside_this_one() {
    let Some(older) = env::read(env::OLDER) else {
        println!(
            "no older binary (`cargo xtask upgrade` builds one): only the fixture of the older schema was used"
        );
        return;
    };
    let older = Moorline::of_binary(older).unwrap();
    let job = write_job(&older);
    let first = older.run(["run", &job]).unwrap();
    assert_eq!(first.code, Some(0), "{first}");
    let mut worker = older.spawn(["work"]).unwrap();

    // The newer server comes to the same state, and brings the schema up to date under the older worker.
    let state = older.state_dir();
    let newer = Moorline::new().unwrap();
    let newer = |arguments: &[&str]| {
        let mut command = newer.bare_command();
        let running = Running::start(command.arg("--state").arg(&state).args(arguments));
        running.unwrap().wait(PATIENCE).unwrap()
    };
    let server = ServerOptions::of(older).start().unwrap();
    let second = newer(&["run", &job]);
    assert_eq!(second.code, Some(0), "{second}");
    let runs = newer(&["runs", "list", "--json"]).json().unwrap();
    assert_eq!(runs.as_array().map(Vec::len), Some(2), "{runs:#}");

    let refused = server.moorline().run(["runs", "list"]).unwrap();
    assert!(
        refused.stderr.contains("newer than this program's 2"),
        "{refused}"
    );
    worker.signal(Signal::TERM).unwrap();
    let worker = worker.wait(PATIENCE).unwrap();
    assert_eq!(worker.code, Some(0), "{worker}");
    assert!(!worker.stderr.contains("ERR_"), "{worker}");
}
