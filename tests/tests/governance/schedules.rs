//! Schedules through the worker: the real binary, its clock driven by a file.

mod guard;
pub(crate) mod scene;

use moorline_testkit::moorline::Signal;
use serde_json::json;

use self::scene::{Cadence, QUICK, SLOW, Scene, Where};
use super::support::{json_of, ok, refused};

/// L50, D-SCHED-2: enabling is a person's, and a refusal names every gate that is missing; then three starts
/// under a clock that is moved on, and none for what the clock has passed before.
fn from_promotion_to_three_starts(place: Where) {
    let scene = Scene::promoted(place, &Cadence::hourly(), QUICK);
    let moorline = &scene.moorline;
    let missing = refused(moorline, &["schedule", "enable", "prod/tide"], 78);
    for gate in [
        "secrets_configured",
        "egress_verified",
        "first_run_verified",
    ] {
        assert!(missing.contains(gate), "{gate}: {missing}");
    }
    for met in ["spec_approved", "artifact_promoted"] {
        assert!(!missing.contains(met), "{met}: {missing}");
    }
    scene.pass_gates();
    let by_agent = scene.run_as("agent:codex", &["schedule", "enable", "prod/tide"]);
    assert_eq!(by_agent.code, Some(77), "{by_agent}");
    assert!(by_agent.stderr.contains("D-ART-4"), "{by_agent}");
    let by_hand = json_of(moorline, &["schedule", "run-now", "prod/tide"]);
    assert_eq!(by_hand["status"], "success", "{by_hand:#}");
    let view = scene.enable();
    assert_eq!(view["next_at"], "2026-05-01T13:00:00Z", "{view:#}");

    let worker = scene.worker();
    for (hour, count) in [("13", 1), ("14", 2), ("15", 3)] {
        scene.clock.set(&format!("2026-05-01T{hour}:00:01Z"));
        scene.wait_for_ends(count);
    }
    // Back to a time that was dealt with: nothing more.
    scene.clock.set("2026-05-01T13:30:00Z");
    scene.clock.set("2026-05-01T15:00:30Z");
    scene.end(worker);
    assert_eq!(
        scene.started_for(),
        [
            "2026-05-01T13:00:00Z",
            "2026-05-01T14:00:00Z",
            "2026-05-01T15:00:00Z"
        ]
    );
    let audit = json_of(moorline, &["audit", "verify"]);
    assert_eq!(audit["intact"], true, "{audit:#}");
}

#[test]
fn a_promoted_schedule_is_gated_enabled_and_started_three_times_on_sqlite() {
    from_promotion_to_three_starts(Where::Sqlite);
}

#[test]
fn a_promoted_schedule_is_gated_enabled_and_started_three_times_on_postgres() {
    from_promotion_to_three_starts(Where::Postgres);
}

/// L53: a local time that the clock skips is started once, at the shift; one that it shows twice, once.
#[test]
fn a_daily_start_is_made_once_on_the_days_of_both_transitions() {
    let cadence = Cadence::of("30 2 * * *", "Europe/Berlin");
    for (eve, hours, wanted) in [
        (
            "2026-03-28T12:00:00Z",
            ["2026-03-29T00", "2026-03-29T01", "2026-03-29T02"],
            "2026-03-29T01:00:00Z",
        ),
        (
            "2026-10-24T12:00:00Z",
            ["2026-10-24T23", "2026-10-25T00", "2026-10-25T01"],
            "2026-10-25T00:30:00Z",
        ),
    ] {
        let scene = Scene::enabled_at(Where::Sqlite, eve, &cadence, QUICK);
        for hour in hours {
            for minute in ["00", "30"] {
                scene.clock.set(&format!("{hour}:{minute}:05Z"));
                ok(&scene.moorline, &["work", "--once"]);
            }
        }
        assert_eq!(scene.started_for(), [wanted]);
    }
}

/// D-SCHED-4: a disable that has answered wins over a start that is due already; anybody may disable.
#[test]
fn a_disable_wins_over_a_start_that_is_due() {
    let scene = Scene::enabled(Where::Sqlite, &Cadence::hourly(), QUICK);
    scene.clock.set("2026-05-01T13:00:05Z");
    let disable = [
        "schedule",
        "disable",
        "--all",
        "--reason",
        "wrong amounts",
        "--json",
    ];
    let disabled = scene.run_as("agent:codex", &disable);
    assert_eq!(disabled.code, Some(0), "{disabled}");
    let report = json_of(&scene.moorline, &["work", "--once"]);
    assert_eq!(report, json!({"started": [], "taken_up": [], "skipped": 0}));
    assert_eq!(scene.started_for(), Vec::<String>::new());
    // And is undone by a person, without new evidence: the gates stand.
    scene.enable();
    ok(&scene.moorline, &["work", "--once"]);
    assert_eq!(scene.started_for(), Vec::<String>::new());
    scene.clock.set("2026-05-01T14:00:05Z");
    ok(&scene.moorline, &["work", "--once"]);
    assert_eq!(scene.started_for(), ["2026-05-01T14:00:00Z"]);
}

/// A stop of the schedule disables it; its release starts nothing by itself.
#[test]
fn a_stop_of_a_schedule_holds_until_a_person_enables_it_again() {
    let scene = Scene::enabled(Where::Sqlite, &Cadence::hourly(), QUICK);
    let moorline = &scene.moorline;
    scene.clock.set("2026-05-01T13:00:05Z");
    ok(
        moorline,
        &["stop", "schedule:prod/tide", "--reason", "unsafe"],
    );
    ok(moorline, &["work", "--once"]);
    let held = refused(moorline, &["schedule", "enable", "prod/tide"], 78);
    assert!(held.contains("D-STOP-1"), "{held}");
    ok(
        moorline,
        &["release", "schedule:prod/tide", "--reason", "safe again"],
    );
    ok(moorline, &["work", "--once"]);
    assert_eq!(scene.started_for(), Vec::<String>::new());
    let view = scene.enable();
    assert_eq!(view["state"], "enabled");
}

/// Nothing works for three hours: with `skip` those starts fall away, with `run_once` one run makes up for
/// them. Either way the next one is on time.
#[test]
fn missed_starts_follow_the_misfire_policy() {
    for (misfire, made_up) in [("skip", None), ("run_once", Some("2026-05-01T15:00:00Z"))] {
        let cadence = Cadence::hourly().with("misfire", misfire);
        let scene = Scene::enabled(Where::Sqlite, &cadence, QUICK);
        scene.clock.set("2026-05-01T15:20:00Z");
        ok(&scene.moorline, &["work", "--once"]);
        let missed: Vec<String> = made_up.into_iter().map(str::to_owned).collect();
        assert_eq!(scene.started_for(), missed, "{misfire}");
        scene.clock.set("2026-05-01T16:00:10Z");
        ok(&scene.moorline, &["work", "--once"]);
        let on_time = [missed, vec!["2026-05-01T16:00:00Z".to_owned()]].concat();
        assert_eq!(scene.started_for(), on_time, "{misfire}");
        let told = scene.skipped();
        let count = if made_up.is_some() { 2 } else { 3 };
        assert_eq!(told, [("misfire".to_owned(), count)], "{misfire}");
    }
}

/// Overlap `skip`: while a run goes on, a start leaves a run with the status `skipped`.
#[test]
fn an_overlapping_start_is_skipped() {
    let scene = Scene::enabled(Where::Sqlite, &Cadence::hourly(), SLOW);
    let worker = scene.worker();
    let first = scene.start_hour(13);
    scene.clock.set("2026-05-01T14:00:01Z");
    scene.wait_for("a skipped run", || scene.with_status("skipped").len() == 1);
    let skipped = scene.with_status("skipped").remove(0);
    let summary = json_of(&scene.moorline, &["runs", "show", &skipped]);
    assert_eq!(summary["failure"]["class"], "overlap", "{summary:#}");
    scene.cancel(&first);
    scene.end(worker);
    assert_eq!(scene.started_for(), ["2026-05-01T13:00:00Z"]);
}

/// Overlap `queue`: the start waits for the end of the run.
#[test]
fn an_overlapping_start_waits_for_the_end_of_the_run() {
    let cadence = Cadence::hourly().with("overlap", "queue");
    let scene = Scene::enabled(Where::Sqlite, &cadence, SLOW);
    let worker = scene.worker();
    let first = scene.start_hour(13);
    scene.clock.set("2026-05-01T14:00:01Z");
    scene.wait_for("the start that waits", || {
        scene.show()["queued"] == "2026-05-01T14:00:00Z"
    });
    assert_eq!(scene.with_status("running"), std::slice::from_ref(&first));
    scene.cancel(&first);
    let second = scene.wait_for_running();
    assert_ne!(first, second);
    scene.cancel(&second);
    scene.end(worker);
    assert_eq!(
        scene.started_for(),
        ["2026-05-01T13:00:00Z", "2026-05-01T14:00:00Z"]
    );
}

/// Overlap `cancel_previous`: the run is cancelled, and the start takes its place.
#[test]
fn an_overlapping_start_takes_the_place_of_the_run() {
    let cadence = Cadence::hourly().with("overlap", "cancel_previous");
    let scene = Scene::enabled(Where::Sqlite, &cadence, SLOW);
    let worker = scene.worker();
    let first = scene.start_hour(13);
    scene.clock.set("2026-05-01T14:00:01Z");
    scene.wait_for("the end of the first run", || {
        scene.with_status("cancelled") == [first.clone()]
    });
    let second = scene.wait_for_running();
    scene.cancel(&second);
    scene.end(worker);
    assert_eq!(
        scene.started_for(),
        ["2026-05-01T13:00:00Z", "2026-05-01T14:00:00Z"]
    );
}

/// Two workers on one store: every start is made once.
fn two_workers(place: Where) {
    let scene = Scene::enabled(place, &Cadence::hourly(), QUICK);
    let workers = [scene.worker(), scene.worker()];
    let mut wanted = Vec::new();
    for hour in 13..20 {
        scene.clock.set(&format!("2026-05-01T{hour}:00:02Z"));
        wanted.push(format!("2026-05-01T{hour}:00:00Z"));
        scene.wait_for_ends(wanted.len());
    }
    for worker in workers {
        scene.end(worker);
    }
    assert_eq!(scene.started_for(), wanted);
    assert_eq!(scene.with_status("success").len(), wanted.len() + 1);
}

#[test]
fn two_workers_start_each_time_once_on_sqlite() {
    two_workers(Where::Sqlite);
}

#[test]
fn two_workers_start_each_time_once_on_postgres() {
    two_workers(Where::Postgres);
}

/// A worker that is killed, and one that follows it: no start is doubled, none is lost, and a run whose
/// driver is gone is taken up, not started again.
fn killed_workers(place: Where) {
    let scene = Scene::enabled(place, &Cadence::hourly(), SLOW);
    let mut worker = scene.worker();
    let run = scene.start_hour(13);
    worker.signal(Signal::KILL).unwrap();
    drop(worker);
    let worker = scene.worker();
    scene.wait_for("the adoption of the run", || {
        !scene.events("attempt.adopted").is_empty()
    });
    scene.cancel(&run);
    scene.end(worker);
    let view = json_of(&scene.moorline, &["runs", "show", &run]);
    assert_eq!(view["attempts"], 1, "{view:#}");

    let mut wanted = vec!["2026-05-01T13:00:00Z".to_owned()];
    for hour in 14..18 {
        let mut worker = scene.worker();
        scene.clock.set(&format!("2026-05-01T{hour}:00:03Z"));
        wanted.push(format!("2026-05-01T{hour}:00:00Z"));
        // Killed wherever it happens to be: before, during or after the start.
        if hour % 2 == 0 {
            let fired = || scene.started_for().len() == wanted.len();
            scene.wait_for("the start", fired);
        }
        worker.signal(Signal::KILL).unwrap();
        drop(worker);
        let next = scene.worker();
        let running = scene.wait_for_running();
        scene.cancel(&running);
        scene.end(next);
    }
    assert_eq!(scene.started_for(), wanted);
    assert_eq!(scene.with_status("cancelled").len(), wanted.len());
}

#[test]
fn a_killed_worker_doubles_and_loses_nothing_on_sqlite() {
    killed_workers(Where::Sqlite);
}

#[test]
fn a_killed_worker_doubles_and_loses_nothing_on_postgres() {
    killed_workers(Where::Postgres);
}
