//! Process trees: whatever a job started is dead when the stop is acknowledged.

use std::time::Duration;

use moorline_testkit::moorline::Signal;
use moorline_testkit::wait;
use serde_json::json;

use super::scene::{PATIENCE, STUBBORN, STUBBORN_TREE, Scene, end_of, run_of};

/// From the request to the last process gone, with grace 0: ten times the 50 ms of the goal (lessons), and
/// as much again for a build that is not optimised on a machine that does something else besides.
const BOUND: Duration = Duration::from_secs(1);

fn a_stop_ends_a_stubborn_tree(isolation: &str) {
    let scene = Scene::new();
    // In the sandbox the witness can not be reached; the tree comes up all the same.
    let job = scene.job(&STUBBORN.replace("echo", "2>/dev/null echo"));
    let runner = scene.start_with(&job, isolation);
    let run = run_of(&runner);
    scene.wait_for_processes(STUBBORN_TREE);
    let report = scene.json(&["stop", "all", "--reason", "unsafe output"]);
    assert_eq!(
        scene.alive(),
        Vec::<String>::new(),
        "alive at the acknowledgement"
    );
    assert_eq!(report["dead"], json!([run]));
    let elapsed = Duration::from_secs_f64(report["elapsed_ms"].as_f64().unwrap() / 1e3);
    assert!(elapsed < BOUND, "took {elapsed:?}");
    let output = runner.wait(PATIENCE).unwrap();
    assert_eq!(output.code, Some(137), "{output}");
    let summary = output.json().unwrap();
    assert_eq!(end_of(&summary), ("killed", "ERR_STOPPED"));
    assert_eq!(summary["failure"]["reason"], "unsafe output");
    assert_eq!(scene.json(&["runs", "show", &run]), summary);
}

/// L48, D-STOP-2: children that ignore SIGTERM, leave the session or leave the family, as plain processes.
#[test]
fn a_stubborn_tree_without_a_sandbox_is_dead_when_the_stop_is_acknowledged() {
    a_stop_ends_a_stubborn_tree("off");
}

/// L48, D-STOP-2: the same in the sandbox.
#[test]
fn a_stubborn_tree_in_the_sandbox_is_dead_when_the_stop_is_acknowledged() {
    a_stop_ends_a_stubborn_tree("required");
}

/// D-STOP-2: a job whose runner was killed before is found and killed, and its run has its one summary.
#[test]
fn a_stop_reaches_a_job_whose_runner_was_killed() {
    let scene = Scene::new();
    let job = scene.job(STUBBORN);
    let mut runner = scene.start(&job);
    let run = run_of(&runner);
    scene.wait_for_processes(STUBBORN_TREE);
    runner.signal(Signal::KILL).unwrap();
    runner.wait(PATIENCE).unwrap();
    assert_eq!(
        scene.alive().len(),
        STUBBORN_TREE,
        "the job outlives its runner"
    );
    let report = scene.json(&["stop", "all"]);
    assert_eq!(
        (&report["running"], &report["dead"]),
        (&json!([run]), &json!([run]))
    );
    assert_eq!(scene.alive(), Vec::<String>::new());
    assert_eq!(
        end_of(&scene.json(&["runs", "show", &run])),
        ("killed", "ERR_STOPPED")
    );
    assert_eq!(scene.ends_of(&run), 1);
    assert_eq!(scene.json(&["audit", "verify"])["intact"], json!(true));
}

/// D-STOP-2: a stop command that is itself killed has engaged the gate, or has done nothing; repeating it
/// ends what the first one had not reached.
#[test]
fn a_stop_that_was_killed_is_carried_out_by_the_next_one() {
    let scene = Scene::new();
    let job = scene.job(STUBBORN);
    let mut runner = scene.start(&job);
    let run = run_of(&runner);
    scene.wait_for_processes(STUBBORN_TREE);
    runner.signal(Signal::KILL).unwrap();
    runner.wait(PATIENCE).unwrap();
    // It has time until long after this test; the job ignores the polite signal.
    let mut stop = scene
        .moorline
        .spawn(["stop", "all", "--grace", "600", "--json"])
        .unwrap();
    wait::until(PATIENCE, "the stop to be in force", || {
        scene
            .json(&["stop", "--list"])
            .as_array()
            .is_some_and(|stops| stops.len() == 1)
    })
    .unwrap();
    stop.signal(Signal::KILL).unwrap();
    stop.wait(PATIENCE).unwrap();
    let report = scene.json(&["stop", "all"]);
    assert_eq!(report["unreached"], json!({}), "{report}");
    assert_eq!(scene.alive(), Vec::<String>::new());
    assert_eq!(
        end_of(&scene.json(&["runs", "show", &run])),
        ("killed", "ERR_STOPPED")
    );
    assert_eq!(scene.ends_of(&run), 1);
    assert_eq!(
        scene.start(&job).wait(PATIENCE).unwrap().code,
        Some(78),
        "the gate holds"
    );
}

/// A stop with grace lets a job that handles SIGTERM finish what it has in hand.
#[test]
fn a_stop_with_grace_lets_a_polite_job_finish() {
    let scene = Scene::new();
    let job = scene.job(super::cancel::POLITE);
    let runner = scene.start(&job);
    scene.wait_for_lines(1);
    let report = scene.json(&["stop", "all", "--grace", "20"]);
    assert_eq!(report["unreached"], json!({}));
    assert_eq!(scene.lines(), ["ready", "clean"]);
    assert_eq!(runner.wait(PATIENCE).unwrap().code, Some(137));
}
