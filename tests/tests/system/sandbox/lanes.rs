//! Without bubblewrap: refused where the lane demands a sandbox, and told where it does not.

use std::collections::BTreeSet;

use moorline_testkit::moorline::{Output, Running};
use serde_json::{Value, json};

use super::range::Range;
use super::trial::{Job, Trial, User, expect, hidden_bwrap, tellings};

/// Runs a command of the binary on a machine where bubblewrap is not installed.
fn without_bwrap<I>(trial: &Trial, arguments: I) -> Output
where
    I: IntoIterator<Item: AsRef<std::ffi::OsStr>>,
{
    let command = trial.moorline.command(arguments);
    let deadline = std::time::Duration::from_secs(30);
    Running::start(&mut hidden_bwrap(&command))
        .unwrap()
        .wait(deadline)
        .unwrap()
}

/// The protections that a summary says are missing.
fn missing(summary: &Value) -> BTreeSet<&str> {
    let missing = summary["isolation"]["missing"].as_array().unwrap();
    missing
        .iter()
        .map(|missing| missing["protection"].as_str().unwrap())
        .collect()
}

fn job(targets: Value) -> Job {
    Job::new(&["network.py"], targets).step(json!({"egress": "none"}))
}

#[test]
fn what_requires_a_sandbox_is_refused_and_all_that_is_missing_is_named() {
    let trial = Trial::new(User::Own);
    let witness = trial.moorline.work_dir().join("ran");
    for flags in [&["--lane", "staging"], &["--isolation", "required"]] {
        let mut job = Job::new(&["leave.py", "file"], json!({})).step(json!({"egress": "none"}));
        job.step["env"] = json!({"WITNESS": witness});
        let refused = without_bwrap(&trial, trial.arguments(&job.flags(flags)));
        assert_eq!(refused.code, Some(78), "{flags:?}: {refused}");
        let told = format!("{}{}", refused.stdout, refused.stderr);
        for word in ["ERR_ISOLATION", "bubblewrap", "Filesystem", "Processes"] {
            assert!(
                told.to_lowercase().contains(&word.to_lowercase()),
                "{word} is not named: {refused}"
            );
        }
        assert!(!witness.exists(), "it ran");
    }
}

#[test]
fn elsewhere_it_runs_with_less_and_says_so_and_nothing_leaves() {
    let range = Range::new(User::Own);
    let trial = Trial::new(User::Own);
    let targets = range.targets(&trial.moorline.state_dir(), &[]);
    let ran = without_bwrap(&trial, trial.arguments(&job(targets)));
    assert_eq!(ran.code, Some(0), "{ran}");
    let summary = ran.json().unwrap();
    assert_eq!(summary["isolation"]["backend"], "process", "{ran}");
    let missing = missing(&summary);
    assert!(
        missing.is_superset(&BTreeSet::from(["filesystem", "processes"])),
        "{missing:?}"
    );
    assert!(!missing.contains("network"), "{missing:?}");
    let run = summary["run_id"].as_str().unwrap();
    let told = tellings(&trial.log(run));
    // A socket in the file system is a file, and those are said not to be protected; the name of the host is
    // in one that programs need.
    let unprotected = |name: &str| {
        matches!(
            name,
            "a-socket-file-of-the-host" | "resolve-the-name-of-the-host"
        )
    };
    assert_eq!(
        expect("without bubblewrap", &told, unprotected),
        21,
        "{ran}"
    );
}

#[test]
fn doctor_says_what_is_missing_and_what_would_give_it() {
    let trial = Trial::new(User::Own);
    let here = trial.run_command(["doctor", "--json"]).json().unwrap();
    assert_eq!(here["missing"], json!([]), "{here:#}");
    let without = without_bwrap(&trial, ["doctor", "--json"]).json().unwrap();
    let why = without["missing"][0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("bubblewrap"), "{without:#}");
}
