//! Cancelling one run: by command and by interrupt, with and without grace.

use std::time::Duration;

use moorline_testkit::moorline::{Running, Signal};
use moorline_testkit::wait;
use serde_json::{Value, json};

use super::scene::{PATIENCE, STUBBORN, STUBBORN_TREE, Scene, end_of, run_of};

/// A job that puts its things in order when it is asked to end, which takes a moment.
pub(super) const POLITE: &str = r#"
trap 'sleep 0.2; echo clean >> "$WITNESS"; exit 0' TERM
echo ready >> "$WITNESS"
while :; do sleep 0.05; done
"#;

/// L19: cancelling a run that is over succeeds and changes nothing.
#[test]
fn cancelling_what_is_over_succeeds_and_changes_nothing() {
    let scene = Scene::new();
    let job = scene.job("exit 0");
    assert_eq!(scene.start(&job).wait(PATIENCE).unwrap().code, Some(0));
    let run = scene.latest();
    let before = scene.json(&["runs", "show", &run]);
    for _ in 0..2 {
        assert_eq!(scene.json(&["runs", "cancel", &run]), before);
    }
    assert_eq!(scene.json(&["runs", "show", &run]), before);
    let wishes = [
        "events",
        "list",
        "--after",
        "0",
        "--kind",
        "run.cancel_requested",
    ];
    assert_eq!(scene.json(&wishes), json!([]));
    assert_eq!(
        scene.command(&["runs", "cancel", "0198c2"]).code,
        Some(1),
        "no such run"
    );
}

/// A cancelled run ends with its whole tree; who waits for it exits with 130.
#[test]
fn a_running_run_is_cancelled_with_its_whole_tree() {
    let scene = Scene::new();
    let job = scene.job(STUBBORN);
    let runner = scene.start(&job);
    let run = run_of(&runner);
    scene.wait_for_processes(STUBBORN_TREE);
    let cancel = [
        "runs",
        "cancel",
        &run,
        "--grace",
        "0",
        "--reason",
        "wrong file",
    ];
    let summary = scene.json(&cancel);
    assert_eq!(scene.alive(), Vec::<String>::new());
    assert_eq!(end_of(&summary), ("cancelled", "ERR_CANCELLED"));
    assert_eq!(summary["failure"]["reason"], "wrong file");
    let output = runner.wait(PATIENCE).unwrap();
    assert_eq!((output.code, output.json().unwrap()), (Some(130), summary));
    assert_eq!(scene.ends_of(&run), 1);
    // It covers this run alone: nothing is in the way of the next one.
    let next = scene.job("exit 0");
    assert_eq!(scene.start(&next).wait(PATIENCE).unwrap().code, Some(0));
}

/// A run whose next attempt is due in ten minutes is over at once, with or without a living runner.
#[test]
fn a_run_that_waits_for_its_next_attempt_is_cancelled_at_once() {
    for runner_lives in [true, false] {
        let scene = Scene::new();
        let retries = json!({"retries": {"max": 5, "initial_delay_seconds": 600}});
        let job = scene.job_with("exit 75", &retries, &json!({}));
        let mut runner = scene.start(&job);
        let run = run_of(&runner);
        let scheduled = [
            "events",
            "list",
            "--after",
            "0",
            "--kind",
            "run.retry_scheduled",
        ];
        wait::until(PATIENCE, "the retry", || {
            scene.json(&scheduled) != json!([])
        })
        .unwrap();
        if !runner_lives {
            runner.signal(Signal::KILL).unwrap();
        }
        let summary = scene.json(&["runs", "cancel", &run]);
        assert_eq!(end_of(&summary), ("cancelled", "ERR_CANCELLED"));
        assert_eq!(summary["attempts"], json!(1));
        let code = runner.wait(PATIENCE).unwrap().code;
        assert_eq!(code, runner_lives.then_some(130));
    }
}

/// A run whose runner was killed is cancelled by whoever asks.
#[test]
fn an_orphaned_run_is_cancelled() {
    let scene = Scene::new();
    let job = scene.job(STUBBORN);
    let mut runner = scene.start(&job);
    let run = run_of(&runner);
    scene.wait_for_processes(STUBBORN_TREE);
    runner.signal(Signal::KILL).unwrap();
    runner.wait(PATIENCE).unwrap();
    let summary = scene.json(&["runs", "cancel", &run, "--grace", "0"]);
    assert_eq!(end_of(&summary), ("cancelled", "ERR_CANCELLED"));
    assert_eq!(scene.alive(), Vec::<String>::new());
    assert_eq!(scene.ends_of(&run), 1);
}

/// Within its grace, a job that handles SIGTERM ends by itself.
#[test]
fn a_polite_job_finishes_within_its_grace() {
    let scene = Scene::new();
    let job = scene.job(POLITE);
    let runner = scene.start(&job);
    let run = run_of(&runner);
    scene.wait_for_lines(1);
    let summary = scene.json(&["runs", "cancel", &run, "--grace", "20"]);
    assert_eq!(scene.lines(), ["ready", "clean"]);
    // It exited with 0; the wish to end the run wins all the same.
    assert_eq!(end_of(&summary), ("cancelled", "ERR_CANCELLED"));
    assert_eq!(runner.wait(PATIENCE).unwrap().code, Some(130));
}

/// A job that ignores SIGTERM has its grace and no more.
#[test]
fn a_stubborn_job_is_killed_when_its_grace_is_over() {
    let scene = Scene::new();
    let job = scene.job_with(STUBBORN, &json!({"grace_seconds": 1}), &json!({}));
    let runner = scene.start(&job);
    let run = run_of(&runner);
    scene.wait_for_processes(STUBBORN_TREE);
    let asked = wait::until(PATIENCE, "the cancelled run", || {
        scene.json(&["runs", "cancel", &run])["status"] == "cancelled"
    })
    .unwrap();
    assert!(
        asked >= Duration::from_millis(900),
        "the step's own grace is a second: {asked:?}"
    );
    assert_eq!(scene.alive(), Vec::<String>::new());
    assert_eq!(runner.wait(PATIENCE).unwrap().code, Some(130));
}

fn wait_for_text(runner: &Running, text: &str) {
    wait::until(PATIENCE, text, || runner.stderr_so_far().contains(text)).unwrap();
}

/// Ctrl-C cancels the run, gives the job its grace, and exits with 130.
#[test]
fn an_interrupt_cancels_politely() {
    let scene = Scene::new();
    let job = scene.job(POLITE);
    let mut runner = scene.start(&job);
    scene.wait_for_lines(1);
    runner.signal(Signal::INT).unwrap();
    let output = runner.wait(PATIENCE).unwrap();
    assert_eq!(output.code, Some(130), "{output}");
    assert_eq!(
        end_of(&output.json().unwrap()),
        ("cancelled", "ERR_CANCELLED")
    );
    assert_eq!(scene.lines(), ["ready", "clean"]);
}

/// A second Ctrl-C does not wait for the grace.
#[test]
fn a_second_interrupt_kills_at_once() {
    let scene = Scene::new();
    let job = scene.job_with(STUBBORN, &json!({"grace_seconds": 600}), &json!({}));
    let mut runner = scene.start(&job);
    scene.wait_for_processes(STUBBORN_TREE);
    runner.signal(Signal::INT).unwrap();
    wait_for_text(&runner, "interrupt again to kill it at once");
    assert_eq!(scene.alive().len(), STUBBORN_TREE, "it has its grace");
    runner.signal(Signal::INT).unwrap();
    let output = runner.wait(PATIENCE).unwrap();
    assert_eq!(output.code, Some(130), "{output}");
    assert_eq!(scene.alive(), Vec::<String>::new());
    let summary: Value = output.json().unwrap();
    assert_eq!(end_of(&summary), ("cancelled", "ERR_CANCELLED"));
}
