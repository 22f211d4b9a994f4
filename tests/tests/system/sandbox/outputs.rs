//! What a job leaves in its output directory is taken as files and never as anything else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use moorline_testkit::canary::Canary;
use serde_json::json;

use super::range::Range;
use super::trial::{Job, Ran, Trial, User};

/// Runs `leave.py`, and fails when anything of the flag came out.
fn leave(kind: &str, user: User, sandboxed: bool) -> (Trial, Ran) {
    let (range, trial) = (Range::new(user), Trial::new(user));
    let job = Job::new(&["leave.py", kind], json!({"file": range.file()}));
    let job = job.step(json!({"outputs": [{"path": "result.txt"}]}));
    let ran = trial.run(&if sandboxed {
        job
    } else {
        job.without_a_sandbox()
    });
    let flag = Canary::of(&range.flag);
    for directory in ["exports", "runs", "artifacts"] {
        let leaks = flag
            .leaks_below(&trial.moorline.state_dir().join(directory))
            .unwrap_or_default();
        assert_eq!(leaks, [], "`{kind}`: {ran}");
    }
    range.assert_untouched();
    (trial, ran)
}

fn exported(trial: &Trial) -> PathBuf {
    trial
        .moorline
        .state_dir()
        .join("exports/attack/latest/result.txt")
}

/// The control: a plain file is exported, so what is refused below is refused for what it is.
#[test]
fn a_plain_file_is_exported() {
    let (trial, ran) = leave("file", User::Own, true);
    assert_eq!(ran.ending(), "success", "{ran}");
    assert_eq!(fs::read_to_string(exported(&trial)).unwrap(), "a result\n");
}

#[test]
fn links_pipes_and_sockets_are_refused_by_name() {
    for (kind, named) in [
        ("symbolic-link", "result.txt"),
        ("linked-directory", "sub"),
        ("pipe", "result.txt"),
        ("socket", "result.txt"),
    ] {
        for sandboxed in [true, false] {
            let (trial, ran) = leave(kind, User::Own, sandboxed);
            assert_eq!(ran.summary["status"], "failed", "`{kind}`: {ran}");
            let reason = ran.summary["failure"]["reason"].as_str().unwrap();
            assert!(reason.contains(named), "`{kind}` is not named: {reason}");
            assert!(!exported(&trial).exists(), "`{kind}` was exported");
        }
    }
}

/// In the sandbox of root the job's files belong to root: one that runs as its owner would be a way in.
#[test]
fn a_program_that_runs_as_its_owner_is_a_plain_file_afterwards() {
    for user in [User::Own, User::Nobody] {
        let (trial, ran) = leave("set-user-id", user, true);
        assert_eq!(ran.ending(), "success", "{ran}");
        let mode = fs::metadata(exported(&trial)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7022, 0, "mode {mode:o}");
    }
}
