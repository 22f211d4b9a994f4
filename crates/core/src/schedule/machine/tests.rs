//! The states and commands, one by one.

mod random;

use uuid::Uuid;

use super::*;
use crate::content_id::ContentId;
use crate::error_code::{AlertLevel, FailureClass};
use crate::gate::{Gate, GateState};
use crate::ids::{ArtifactId, RunId};
use crate::schedule::{Misfire, Overlap, ScheduleDocument};
use crate::spec::CadenceKind;
use crate::stop::Stop;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn noon() -> Timestamp {
    at("2026-05-01T12:00:00Z")
}

fn person() -> Principal {
    "human:ada".parse().unwrap()
}

fn document() -> ScheduleDocument {
    ScheduleDocument {
        kind: CadenceKind::Cron,
        expr: Some("0 * * * *".to_owned()),
        period_seconds: None,
        time_zone: "UTC".to_owned(),
        jitter_seconds: 0,
        misfire: Misfire::Skip,
        overlap: Overlap::Skip,
        starts_at: None,
        ends_at: None,
        job_id: "bank".to_owned(),
        spec_hash: ContentId::of_bytes(b"spec"),
    }
}

fn definition() -> Definition {
    Definition {
        source_id: Some("chase".to_owned()),
        artifact: ArtifactId::new(Uuid::from_u128(1)),
        content: ContentId::of_bytes(b"content"),
        document: document(),
    }
}

fn fresh() -> Schedule {
    let id = "prod/bank".parse().unwrap();
    define(id, None, definition(), &person(), "promoted", noon()).schedule
}

fn run(number: u128) -> RunId {
    RunId::new(Uuid::from_u128(number))
}

fn gates(met: impl Fn(Gate) -> bool) -> Vec<GateState> {
    Gate::ALL
        .into_iter()
        .map(|gate| GateState {
            gate,
            met: met(gate),
            why: "because".to_owned(),
            hint: None,
            evidence: None,
        })
        .collect()
}

fn facts() -> EnableFacts {
    EnableFacts {
        gates: gates(|_| true),
        document: Some(document()),
        lane_permits: true,
        holds: Holds::default(),
    }
}

fn stop() -> Stop {
    Stop {
        scope: "lane:prod".parse().unwrap(),
        actor: "human:ada".to_owned(),
        reason: "the bank called".to_owned(),
        since: noon(),
    }
}

fn enable(facts: EnableFacts) -> Command {
    Command::Enable {
        facts,
        reason: "checked".to_owned(),
    }
}

fn disable() -> Command {
    Command::Disable {
        reason: "wrong amounts".to_owned(),
    }
}

fn enabled() -> Schedule {
    apply(&fresh(), enable(facts()), &person(), noon())
        .unwrap()
        .schedule
}

fn after(schedule: &Schedule, command: Command) -> Schedule {
    apply(schedule, command, &Principal::system(), noon())
        .unwrap()
        .schedule
}

#[test]
fn a_promoted_schedule_is_disabled_and_what_was_due_before_falls_away() {
    let schedule = fresh();
    assert_eq!(
        (schedule.state, schedule.cursor, schedule.next_at),
        (ScheduleState::Disabled, noon(), None)
    );
    let known = Schedule {
        cursor: at("2026-05-01T13:00:00Z"),
        last_run: Some(run(7)),
        ..enabled()
    };
    let by = person();
    let again = define(
        known.id.clone(),
        Some(&known),
        definition(),
        &by,
        "rolled back",
        noon(),
    );
    let again = again.schedule;
    assert_eq!(
        (again.state, again.cursor, again.last_run, again.next_at),
        (ScheduleState::Disabled, known.cursor, known.last_run, None)
    );
    assert_eq!(again.version, known.version + 1);
}

/// L50: a refusal names every gate that is missing, and everything else that is in the way, at once.
#[test]
fn enabling_lists_everything_that_is_missing() {
    let nothing = EnableFacts {
        gates: gates(|_| false),
        document: None,
        lane_permits: false,
        holds: Holds {
            source: Some(SourceState::NeedsReauth),
            stop: Some(stop()),
        },
    };
    let denial = apply(&fresh(), enable(nothing), &person(), noon()).unwrap_err();
    let named: Vec<(&str, &str)> = denial
        .details
        .iter()
        .map(|detail| (detail.at.as_str(), detail.rule.as_str()))
        .collect();
    assert_eq!(
        named,
        [
            ("spec_approved", "D-SCHED-2"),
            ("artifact_promoted", "D-SCHED-2"),
            ("secrets_configured", "D-SCHED-2"),
            ("egress_verified", "D-SCHED-2"),
            ("first_run_verified", "D-SCHED-2"),
            ("SCHEDULE.json", "D-SCHED-1"),
            ("lane", "D-SCHED-3"),
            ("source", "D-RUN-7"),
            ("stop", "D-STOP-1"),
        ]
    );
    for missing in Gate::ALL {
        let facts = EnableFacts {
            gates: gates(|gate| gate != missing),
            ..facts()
        };
        let denial = apply(&fresh(), enable(facts), &person(), noon()).unwrap_err();
        let named: Vec<&str> = denial.details.iter().map(|d| d.at.as_str()).collect();
        assert_eq!(named, [missing.as_str()]);
    }
}

/// D-ART-4: agents, pipelines and Moorline itself neither enable nor resume; everybody disables.
#[test]
fn only_a_person_enables_and_resumes() {
    let paused = after(
        &enabled(),
        Command::Pause {
            reason: "failed".to_owned(),
        },
    );
    for actor in ["agent:codex", "ci:main", "system:moorline"] {
        let actor: Principal = actor.parse().unwrap();
        let denial = apply(&fresh(), enable(facts()), &actor, noon()).unwrap_err();
        assert_eq!(
            (denial.code, denial.rule.as_str()),
            (ErrorCode::Forbidden, "D-ART-4")
        );
        let resume = Command::Resume {
            holds: Holds::default(),
            reason: "again".to_owned(),
        };
        let denial = apply(&paused, resume, &actor, noon()).unwrap_err();
        assert_eq!(denial.rule, "D-ART-4");
        let disabled = apply(&enabled(), disable(), &actor, noon()).unwrap();
        assert_eq!(disabled.schedule.state, ScheduleState::Disabled);
    }
}

#[test]
fn enabling_starts_from_now_and_a_second_time_changes_nothing() {
    let schedule = enabled();
    assert_eq!(
        (schedule.cursor, schedule.next_at),
        (noon(), Some(at("2026-05-01T13:00:00Z")))
    );
    let again = apply(&schedule, enable(facts()), &person(), noon()).unwrap();
    assert_eq!((again.schedule, again.events), (schedule, Vec::new()));
}

#[test]
fn disabling_a_second_time_changes_nothing() {
    let disabled = after(&enabled(), disable());
    assert_eq!((disabled.next_at, disabled.queued), (None, None));
    assert_eq!(after(&disabled, disable()), disabled);
}

#[test]
fn resuming_takes_a_paused_schedule_whose_source_is_active() {
    let resume = |source, stop| Command::Resume {
        holds: Holds { source, stop },
        reason: "mended".to_owned(),
    };
    let free = || resume(Some(SourceState::Active), None);
    let paused = after(
        &enabled(),
        Command::Pause {
            reason: "failed".to_owned(),
        },
    );
    let resumed = apply(&paused, free(), &person(), noon()).unwrap().schedule;
    assert_eq!(resumed.state, ScheduleState::Enabled);
    let refused = |schedule: &Schedule, command| {
        apply(schedule, command, &person(), noon())
            .unwrap_err()
            .code
    };
    let sick = resume(Some(SourceState::Paused), None);
    assert_eq!(refused(&paused, sick), ErrorCode::Policy);
    let stopped = resume(None, Some(stop()));
    assert_eq!(refused(&paused, stopped), ErrorCode::StopInForce);
    assert_eq!(refused(&fresh(), free()), ErrorCode::Conflict);
}

/// A time at or before the cursor is never started, and the cursor never goes back.
#[test]
fn a_nominal_time_is_taken_once() {
    let one = at("2026-05-01T13:00:00Z");
    let fire = |fire_at, number| Command::Fire {
        fire_at,
        run: run(number),
    };
    let fired = after(&enabled(), fire(one, 1));
    assert_eq!(
        (fired.cursor, fired.last_run, fired.next_at),
        (one, Some(run(1)), Some(at("2026-05-01T14:00:00Z")))
    );
    for again in [one, noon(), at("2026-05-01T12:30:00Z")] {
        let denial = apply(&fired, fire(again, 2), &Principal::system(), noon()).unwrap_err();
        assert_eq!(denial.rule, "D-SCHED-3", "{again}");
    }
    let disabled = after(&fired, disable());
    let later = fire(at("2026-05-01T14:00:00Z"), 2);
    let denial = apply(&disabled, later, &Principal::system(), noon()).unwrap_err();
    assert_eq!(denial.rule, "D-SCHED-4");
}

#[test]
fn a_start_that_waits_is_due_when_the_run_before_it_is_over() {
    let (one, two) = (at("2026-05-01T13:00:00Z"), at("2026-05-01T14:00:00Z"));
    let fired = after(
        &enabled(),
        Command::Fire {
            fire_at: one,
            run: run(1),
        },
    );
    let waiting = after(&fired, Command::Queue { fire_at: two });
    assert_eq!((waiting.queued, waiting.cursor), (Some(two), two));
    let over = |number| Command::RunOver {
        run: run(number),
        class: None,
        pause_after: 1,
    };
    assert_eq!(after(&waiting, over(9)).next_at, waiting.next_at);
    let due = after(&waiting, over(1));
    assert_eq!(due.next_at, Some(noon()));
    let fired = after(
        &due,
        Command::Fire {
            fire_at: two,
            run: run(2),
        },
    );
    assert_eq!(
        (fired.queued, fired.cursor, fired.next_at),
        (None, two, Some(at("2026-05-01T15:00:00Z")))
    );
}

#[test]
fn starts_that_fall_away_by_overlap_alert_once_in_a_row() {
    let mut schedule = enabled();
    let mut alarms = Vec::new();
    for hour in 13..18 {
        let skip = Command::Skip {
            through: at(&format!("2026-05-01T{hour}:00:00Z")),
            count: 1,
            cause: SkipCause::Overlap,
            alert_after: 3,
        };
        let applied = apply(&schedule, skip, &Principal::system(), noon()).unwrap();
        alarms.push(applied.alarm.map(|alarm| alarm.level));
        schedule = applied.schedule;
    }
    assert_eq!(alarms, [None, None, Some(AlertLevel::Warning), None, None]);
    let over = Command::RunOver {
        run: run(1),
        class: None,
        pause_after: 1,
    };
    assert_eq!(after(&schedule, over).skipped_in_a_row, 0);
}

/// The schedule column of D-RUN-7, for the schedule that started the run.
#[test]
fn the_end_of_a_run_moves_its_schedule_by_the_failure_matrix() {
    use ScheduleState::{Disabled, Enabled, Paused};
    let expected = [
        (None, Enabled),
        (Some(FailureClass::Auth), Disabled),
        (Some(FailureClass::Validation), Disabled),
        (Some(FailureClass::Runtime), Paused),
        (Some(FailureClass::Timeout), Paused),
        (Some(FailureClass::Config), Disabled),
        (Some(FailureClass::Policy), Disabled),
        (Some(FailureClass::Leak), Disabled),
        (Some(FailureClass::Cancelled), Enabled),
        (Some(FailureClass::Stopped), Enabled),
        (Some(FailureClass::Preempted), Enabled),
        (Some(FailureClass::Overlap), Enabled),
    ];
    let actual = expected.map(|(class, _)| {
        let over = Command::RunOver {
            run: run(1),
            class,
            pause_after: 1,
        };
        (class, after(&enabled(), over).state)
    });
    assert_eq!(actual, expected);
}

#[test]
fn a_schedule_pauses_after_as_many_failed_runs_in_a_row_as_the_job_says() {
    let over = |class| Command::RunOver {
        run: run(1),
        class,
        pause_after: 3,
    };
    let failed = || over(Some(FailureClass::Timeout));
    let mut schedule = enabled();
    for class in [
        failed(),
        failed(),
        over(None),
        failed(),
        over(Some(FailureClass::Preempted)),
        failed(),
    ] {
        schedule = after(&schedule, class);
        assert_eq!(schedule.state, ScheduleState::Enabled);
    }
    schedule = after(&schedule, failed());
    assert_eq!(
        (schedule.state, schedule.failed_in_a_row),
        (ScheduleState::Paused, 3)
    );
}

/// `needs_reauth` implies disabled, and an enabled schedule has an active source.
#[test]
fn a_source_that_is_not_active_keeps_its_schedules_from_starting() {
    for state in SourceState::ALL {
        let is = || Command::SourceIs {
            state,
            reason: "run failed".to_owned(),
        };
        let paused = after(
            &enabled(),
            Command::Pause {
                reason: "failed".to_owned(),
            },
        );
        let wanted = match state {
            SourceState::Active => (ScheduleState::Enabled, ScheduleState::Paused),
            SourceState::Paused => (ScheduleState::Paused, ScheduleState::Paused),
            _ => (ScheduleState::Disabled, ScheduleState::Disabled),
        };
        let found = (after(&enabled(), is()).state, after(&paused, is()).state);
        assert_eq!(found, wanted, "{state}");
    }
}
