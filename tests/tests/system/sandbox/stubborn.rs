//! A job that ignores signals and leaves a daemon behind is over all the same when it is said to be over.

use std::time::Duration;

use moorline_testkit::canary::random_hex;
use moorline_testkit::moorline::{Running, Signal};
use moorline_testkit::process::{self, Process};
use moorline_testkit::wait;
use rustix::process::{Pid, kill_process};
use serde_json::json;

use super::trial::{ATTACKS, Job, Trial, User, python};

const DEADLINE: Duration = Duration::from_secs(20);

fn marker() -> String {
    format!("marker-{}", random_hex(8))
}

/// The processes of the job that carry the marker and belong to `stubborn.py` itself.
fn alive(marker: &str) -> Vec<Process> {
    let mut found = process::matching(marker).unwrap();
    found.retain(|process| process.argv.iter().any(|argument| argument == marker));
    found
}

fn wait_for(count: usize, marker: &str) {
    let what = format!("{count} processes of the job");
    wait::until(DEADLINE, &what, || alive(marker).len() == count).unwrap();
}

fn kill(process: &Process) {
    let pid = Pid::from_raw(process.pid.cast_signed()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// A run of the job that has come so far that all of it is there.
fn started(trial: &Trial, marker: &str, timeout_seconds: u32) -> Running {
    let job = Job::new(&["stubborn.py", marker], json!({}))
        .step(json!({"timeout_seconds": timeout_seconds}));
    let running = trial.start(trial.arguments(&job));
    wait_for(2, marker);
    running
}

/// The control: ending such a job as one would end another leaves the daemon alive.
#[test]
fn without_a_sandbox_the_daemon_survives_the_end_of_its_job() {
    let marker = marker();
    let mut command = python();
    command.arg(format!("{ATTACKS}/stubborn.py")).arg(&marker);
    let mut running = Running::start(&mut command).unwrap();
    wait_for(2, &marker);
    running.signal(Signal::TERM).unwrap();
    // Were it ended, there would be one for ever.
    wait_for(2, &marker);
    running.signal(Signal::KILL).unwrap();
    wait_for(1, &marker);
    for process in alive(&marker) {
        kill(&process);
    }
    wait_for(0, &marker);
}

#[test]
fn after_a_cancel_nothing_of_it_lives() {
    for user in [User::Own, User::Nobody] {
        let (marker, trial) = (marker(), Trial::new(user));
        let running = started(&trial, &marker, 60);
        let cancelled = trial.run_command(["runs", "cancel", "latest", "--grace", "0"]);
        assert_eq!(alive(&marker), [], "{cancelled}");
        let ended = running.wait(DEADLINE).unwrap();
        assert_eq!(ended.code, Some(130), "{ended}");
        assert_eq!(ended.json().unwrap()["status"], "cancelled", "{ended}");
    }
}

#[test]
fn after_its_timeout_nothing_of_it_lives() {
    let (marker, trial) = (marker(), Trial::new(User::Own));
    let ended = started(&trial, &marker, 1).wait(DEADLINE).unwrap();
    assert_eq!(alive(&marker), [], "{ended}");
    assert_eq!(ended.json().unwrap()["status"], "timed_out", "{ended}");
}

#[test]
fn after_its_own_end_nothing_of_it_lives() {
    let (marker, trial) = (marker(), Trial::new(User::Own));
    let ran = trial.run(&Job::new(&["stubborn.py", &marker, "leave"], json!({})));
    assert_eq!(alive(&marker), [], "{ran}");
    assert_eq!(ran.ending(), "success", "{ran}");
}

/// Without its supervisor nobody would watch over the job, so it goes with it.
#[test]
fn when_its_supervisor_is_killed_it_dies_too() {
    let (marker, trial) = (marker(), Trial::new(User::Own));
    let running = started(&trial, &marker, 60);
    let all = process::all().unwrap();
    let mut ancestor = alive(&marker).first().map(|process| process.parent);
    let supervisor = loop {
        let found = all
            .iter()
            .find(|process| Some(process.pid) == ancestor)
            .unwrap();
        if found
            .argv
            .iter()
            .any(|argument| argument == "__moorline-supervise")
        {
            break found;
        }
        ancestor = Some(found.parent);
    };
    kill(supervisor);
    wait_for(0, &marker);
    let ended = running.wait(DEADLINE).unwrap();
    assert_eq!(
        ended.json().unwrap()["failure"]["code"],
        "ERR_LOST",
        "{ended}"
    );
}
