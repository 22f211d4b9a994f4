//! The gate: once a stop is acknowledged, nothing that it covers starts until a person releases it.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use moorline_testkit::moorline::Signal;
use moorline_testkit::process::{self, Process};
use moorline_testkit::wait;
use moorline_tests::Job;
use rustix::process::{Pid, kill_process};
use serde_json::{Value, json};

use super::scene::{PATIENCE, STUBBORN, STUBBORN_TREE, Scene, end_of, run_of};

/// Processes that submit runs at the same time.
const SUBMITTERS: usize = 12;

/// Leaves its line, and is still there when the next one is submitted.
const QUICK: &str = r#"echo "$MOORLINE_RUN_ID" >> "$WITNESS"; sleep 0.1"#;

/// L19: stopping what is stopped is success, and changes nothing.
#[test]
fn stopping_what_is_stopped_succeeds() {
    let scene = Scene::new();
    scene.command(&["init"]);
    let first = scene.json(&["stop", "all", "--reason", "first"]);
    let again = scene.json(&["stop", "all", "--reason", "again"]);
    assert_eq!(
        (&again["running"], &again["unreached"]),
        (&json!([]), &json!({}))
    );
    let stops = scene.json(&["stop", "--list"]);
    assert_eq!(
        stops,
        json!([first["stop"]]),
        "the first stop stays as it is"
    );
    let engaged = scene.json(&["events", "list", "--after", "0", "--kind", "stop.engaged"]);
    assert_eq!(engaged.as_array().unwrap().len(), 1);
}

/// L48, D-STOP-2: twelve processes submit runs without pause. After the acknowledgement nothing starts,
/// and at the acknowledgement nothing is left.
#[test]
fn nothing_starts_after_an_acknowledged_stop() {
    let scene = Scene::new();
    let job = scene.job(QUICK);
    let acknowledged = AtomicBool::new(false);
    let submit = || {
        let mut refused = 0;
        let mut codes = Vec::new();
        while refused < 2 {
            let after = acknowledged.load(Ordering::SeqCst);
            let output = scene.start(&job).wait(PATIENCE).unwrap();
            assert!(
                !after || output.code == Some(78),
                "ran after the acknowledgement: {output}"
            );
            refused += u32::from(after);
            codes.push(output.code);
        }
        codes
    };
    let (codes, at_acknowledgement) = thread::scope(|scope| {
        let submitters: Vec<_> = (0..SUBMITTERS).map(|_| scope.spawn(submit)).collect();
        scene.wait_for_lines(SUBMITTERS);
        let report = scene.json(&["stop", "all", "--reason", "unsafe output"]);
        let left = (scene.alive(), scene.lines().len());
        acknowledged.store(true, Ordering::SeqCst);
        assert_eq!(left.0, Vec::<String>::new(), "alive at the acknowledgement");
        assert_eq!(
            (&report["dead"], &report["unreached"]),
            (&report["running"], &json!({}))
        );
        let codes = submitters
            .into_iter()
            .flat_map(|submitter| submitter.join().unwrap());
        (codes.collect::<Vec<_>>(), left.1)
    });
    assert_eq!(
        scene.lines().len(),
        at_acknowledgement,
        "started after the acknowledgement"
    );
    // Done before the stop, killed by it, or refused under it.
    let known = |code: &Option<i32>| matches!(code, Some(0 | 137 | 78));
    assert!(codes.iter().all(known), "{codes:?}");
    let rows = scene.json(&["runs", "list", "--limit", "10000"]);
    let rows = rows.as_array().unwrap();
    let over = |row: &Value| row["status"] == "success" || row["status"] == "killed";
    assert!(rows.iter().all(over), "{rows:?}");
    let count = |wanted: i32| codes.iter().filter(|code| **code == Some(wanted)).count();
    assert_eq!(
        rows.len(),
        count(0) + count(137),
        "a refused run is not in the store"
    );
}

/// D-STOP-1, D-AUDIT-4: a run under a stop is refused with the rule, the stop and the way out, by `run` and
/// by `runs retry`; nothing of it is kept.
#[test]
fn a_refusal_names_the_stop_and_its_rule() {
    let scene = Scene::new();
    let job = scene.job(QUICK);
    assert_eq!(scene.start(&job).wait(PATIENCE).unwrap().code, Some(0));
    let run = scene.latest();
    scene.json(&["stop", "job:test", "--reason", "wrong amounts"]);
    let refused = [
        scene.start(&job).wait(PATIENCE).unwrap(),
        scene.command(&["runs", "retry", &run, "--json"]),
    ];
    for output in refused {
        assert_eq!(output.code, Some(78), "{output}");
        let error = &output.json().unwrap()["error"];
        assert_eq!(error["code"], "ERR_STOP_IN_FORCE");
        let message = error["message"].as_str().unwrap();
        for part in ["job:test", "wrong amounts", "D-STOP-1"] {
            assert!(message.contains(part), "{part} is missing: {message}");
        }
        assert!(
            error["hint"].as_str().unwrap().contains("moorline release"),
            "{error}"
        );
    }
    assert_eq!(scene.lines().len(), 1);
    assert_eq!(scene.json(&["runs", "list"]).as_array().unwrap().len(), 1);
    scene.json(&["release", "job:test", "--reason", "fixed"]);
    assert_eq!(scene.start(&job).wait(PATIENCE).unwrap().code, Some(0));
}

/// D-STOP-3: a release needs a reason, which the audit trail keeps.
#[test]
fn a_release_needs_a_reason() {
    let scene = Scene::new();
    scene.command(&["init"]);
    scene.json(&["stop", "all"]);
    assert_eq!(scene.command(&["release", "all"]).code, Some(2));
    for empty in ["", "  "] {
        let output = scene.command(&["release", "all", "--reason", empty]);
        assert_eq!(output.code, Some(2), "{output}");
        assert!(output.stderr.contains("D-STOP-3"), "{output}");
    }
    assert_eq!(scene.json(&["stop", "--list"]).as_array().unwrap().len(), 1);
    let release = ["release", "all", "--reason", "it holds"];
    assert_eq!(
        scene.json(&release),
        json!({"scope": "all", "released": true})
    );
    assert_eq!(
        scene.json(&release),
        json!({"scope": "all", "released": false})
    );
    assert_eq!(scene.json(&["stop", "--list"]), json!([]));
    let released = scene.json(&["events", "list", "--after", "0", "--kind", "stop.released"]);
    assert_eq!(released[0]["data"]["reason"], "it holds");
}

/// D-STOP-1: a stop of one run, of a job, of a source, of a lane ends what it covers and nothing else.
#[test]
fn a_stop_ends_what_it_covers_and_nothing_else() {
    let scene = Scene::new();
    let source = |id: &str| {
        json!({"portfolio": {"entities": [{
            "source_id": id, "tier_hint": 0, "preferred_methods": ["csv_export"], "lookback_days": 1,
        }]}})
    };
    let with = |id: &str, mut spec: Value| {
        spec["job_id"] = json!(id);
        scene.job_with(STUBBORN, &json!({}), &spec)
    };
    let jobs = [
        with("one", json!({})),
        with("one", json!({})),
        with("two", json!({})),
        with("three", source("chase")),
        with("four", source("amex")),
    ];
    let mut running: Vec<_> = jobs.iter().map(|job| Some(scene.start(job))).collect();
    let ids: Vec<String> = running.iter().flatten().map(run_of).collect();
    scene.wait_for_processes(jobs.len() * STUBBORN_TREE);
    let mut stop = |scope: &str, index: usize, left: usize| {
        let report = scene.json(&["stop", scope]);
        assert_eq!(report["dead"], json!([ids[index]]), "{report}");
        let output = running[index].take().unwrap().wait(PATIENCE).unwrap();
        assert_eq!(output.code, Some(137), "{output}");
        assert_eq!(
            scene.alive().len(),
            left * STUBBORN_TREE,
            "{:?}",
            scene.alive()
        );
    };
    stop(&format!("run:{}", ids[0]), 0, 4);
    stop("job:two", 2, 3);
    stop("source:chase", 3, 2);
    assert_eq!(scene.json(&["stop", "lane:prod"])["running"], json!([]));
    stop("source:amex", 4, 1);
    stop("lane:dev", 1, 0);
}

/// D-STOP-2: the stop outlives the SIGKILL of everything that was running when it was engaged, and
/// carrying on after a crash starts nothing under it.
#[test]
fn a_stop_holds_across_the_sigkill_of_the_runner() {
    let scene = Scene::new();
    // Waits for its next attempt when it is struck: what is due must not be started under the stop.
    let retries = json!({"retries": {"max": 5, "initial_delay_seconds": 0.3, "backoff": 1}});
    let failing = scene.job_with(&format!("{QUICK}; exit 75"), &retries, &json!({}));
    let mut runner = scene.start(&failing);
    scene.wait_for_lines(1);
    runner.signal(Signal::KILL).unwrap();
    runner.wait(PATIENCE).unwrap();
    scene.json(&["stop", "all"]);
    let lines = scene.lines().len();
    let waited = scene.json(&["runs", "wait", "--all"]);
    assert_eq!(waited, json!([]), "the stop has ended it");
    let run = scene.latest();
    assert_eq!(
        end_of(&scene.json(&["runs", "show", &run])),
        ("killed", "ERR_STOPPED")
    );
    assert_eq!(scene.start(&failing).wait(PATIENCE).unwrap().code, Some(78));
    assert_eq!(scene.lines().len(), lines);
    // Terminal states are final: a release does not bring it back.
    scene.json(&["release", "all", "--reason", "checked"]);
    assert_eq!(scene.json(&["runs", "wait", "--all"]), json!([]));
    assert_eq!(scene.lines().len(), lines);
    assert_eq!(scene.ends_of(&run), 1);
}

/// D-STOP-2: a supervisor that was started before the stop and comes to itself after it starts nothing,
/// although its runner was killed and nobody knew of it.
#[test]
fn a_supervisor_that_comes_late_starts_nothing_under_a_stop() {
    let scene = Scene::new();
    let late = stranded(&scene, &scene.job(STUBBORN));
    let report = scene.json(&["stop", "all"]);
    assert_eq!(report["dead"], report["running"], "{report}");
    go_on(&late);
    assert_eq!((scene.lines(), scene.alive()), (Vec::new(), Vec::new()));
    let run = scene.json(&["runs", "show", "latest"]);
    assert_eq!(end_of(&run), ("killed", "ERR_STOPPED"));
}

/// L31: a supervisor that comes to itself after the attempt was launched again starts nothing: of two
/// supervisors of one attempt, one runs it.
#[test]
fn a_supervisor_that_comes_late_starts_nothing_a_second_time() {
    let scene = Scene::new();
    let late = stranded(&scene, &scene.job(QUICK));
    let summaries = scene.json(&["runs", "wait", "--all"]);
    assert_eq!(end_of(&summaries[0]), ("success", ""));
    go_on(&late);
    assert_eq!(scene.lines(), [summaries[0]["run_id"].as_str().unwrap()]);
    assert_eq!(summaries[0]["attempts"], json!(1));
}

/// A supervisor that has its request and has not taken its attempt. It stands still, and its runner was
/// killed.
fn stranded(scene: &Scene, job: &Job) -> Process {
    for _ in 0..100 {
        let mut runner = scene.start(job);
        let late = first_child(runner.pid());
        send(&late, Signal::STOP);
        let stands = || process::find(late.pid).is_none_or(|process| process.state == 'T');
        wait::until(PATIENCE, "the supervisor to stand still", stands).unwrap();
        // Before its exec it is still a part of its runner, and holds what that one holds.
        let is_itself = process::find(late.pid).is_some_and(|process| {
            process
                .argv
                .first()
                .is_some_and(|name| name.contains("supervisor"))
        });
        runner.signal(Signal::KILL).unwrap();
        runner.wait(PATIENCE).unwrap();
        if is_itself && scene.has_run() && !scene.has_claim() {
            return late;
        }
        // It was quicker than this test: away with it, and once more.
        send(&late, Signal::CONT);
        scene.command(&["stop", "all"]);
        scene.forget_everything();
    }
    panic!("in 100 runs no supervisor was found before it had taken its attempt");
}

/// The first child of a process, as soon as there is one.
///
/// It is looked for in the kernel's own list, and without a pause worth mentioning: it is this young for a
/// few milliseconds only.
fn first_child(parent: u32) -> Process {
    let child = || {
        let threads = fs::read_dir(format!("/proc/{parent}/task"))
            .into_iter()
            .flatten()
            .flatten();
        let lists =
            threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        let mut pids = lists.filter_map(|list| list.split(' ').next()?.parse().ok());
        pids.find_map(process::find)
    };
    loop {
        if let Some(found) = child() {
            return found;
        }
        assert!(
            process::find(parent).is_some_and(|p| !p.is_zombie()),
            "the runner has ended"
        );
        // L77: the distance between two looks; it is to be caught within its first moments.
        thread::sleep(Duration::from_micros(50));
    }
}

/// Lets a supervisor go on, and waits for its end.
fn go_on(late: &Process) {
    send(late, Signal::CONT);
    let over = || !process::alive(late.pid, late.start_time);
    wait::until(PATIENCE, "the late supervisor to end", over).unwrap();
}

fn send(process: &Process, signal: Signal) {
    // It may have ended before; then there is nobody to tell.
    let _gone = kill_process(Pid::from_raw(process.pid.cast_signed()).unwrap(), signal);
}
