//! The machine of sources, example by example and over random histories.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::error_code::FAILURE_MATRIX;

fn now() -> Timestamp {
    "2026-03-01T06:15:00Z".parse().unwrap()
}

fn human() -> Principal {
    "human:ada".parse().unwrap()
}

fn ended(class: Option<FailureClass>, pause_after: u32) -> SourceCommand {
    SourceCommand::RunEnded(RunEnd {
        run: RunId::new(Uuid::from_u128(1)),
        class,
        proves_access: true,
        pause_after,
    })
}

fn after(source: &Source, command: &SourceCommand) -> Source {
    apply(source, command, now()).unwrap().0
}

fn pause(actor: &str) -> SourceCommand {
    SourceCommand::Pause {
        actor: actor.parse().unwrap(),
        reason: "the bank maintains its site".to_owned(),
    }
}

fn resume(actor: &str, looked_into: bool) -> SourceCommand {
    SourceCommand::Resume {
        actor: actor.parse().unwrap(),
        reason: "checked".to_owned(),
        looked_into,
    }
}

#[test]
fn every_class_moves_an_active_source_as_the_matrix_says() {
    for rule in &FAILURE_MATRIX {
        let next = after(&Source::new("chase", now()), &ended(Some(rule.class), 1));
        assert_eq!(
            next.state,
            SourceState::Active.apply(rule.source),
            "{}",
            rule.class
        );
    }
}

#[test]
fn a_source_pauses_at_the_configured_number_of_failed_runs_in_a_row() {
    let fail = ended(Some(FailureClass::Runtime), 3);
    let mut source = Source::new("chase", now());
    for (in_a_row, state) in [(1, SourceState::Active), (2, SourceState::Active)] {
        source = after(&source, &fail);
        assert_eq!((source.failed_in_a_row, source.state), (in_a_row, state));
    }
    source = after(&source, &ended(None, 3));
    assert_eq!(source.failed_in_a_row, 0, "a success begins anew");
    for class in [
        FailureClass::Runtime,
        FailureClass::Timeout,
        FailureClass::Runtime,
    ] {
        assert_eq!(source.state, SourceState::Active);
        source = after(&source, &ended(Some(class), 3));
    }
    assert_eq!(source.state, SourceState::Paused);
    let other = after(
        &Source::new("chase", now()),
        &ended(Some(FailureClass::Preempted), 1),
    );
    assert_eq!(
        (other.state, other.failed_in_a_row),
        (SourceState::Active, 0)
    );
}

#[test]
fn a_success_does_not_undo_what_a_person_holds() {
    let held = after(&Source::new("chase", now()), &pause("agent:helper"));
    assert_eq!((held.state, held.held), (SourceState::Paused, true));
    let (same, event) = apply(&held, &ended(None, 1), now()).unwrap();
    assert_eq!((same.state, event), (SourceState::Paused, None));
    let broken = after(&held, &ended(Some(FailureClass::Auth), 1));
    assert_eq!(broken.state, SourceState::NeedsReauth);
    assert_eq!(after(&broken, &ended(None, 1)).state, SourceState::Paused);
    assert_eq!(
        after(&broken, &resume("human:ada", false)).state,
        SourceState::Active
    );
}

#[test]
fn a_success_that_proves_nothing_changes_nothing() {
    let broken = after(
        &Source::new("chase", now()),
        &ended(Some(FailureClass::Validation), 1),
    );
    let mock = SourceCommand::RunEnded(RunEnd {
        run: RunId::new(Uuid::from_u128(2)),
        class: None,
        proves_access: false,
        pause_after: 1,
    });
    assert_eq!(
        apply(&broken, &mock, now()).unwrap(),
        (broken.clone(), None)
    );
}

#[test]
fn only_a_person_resumes_and_says_why() {
    let paused = after(&Source::new("chase", now()), &pause("ci:main"));
    for actor in ["agent:helper", "ci:main", "system:moorline"] {
        let denial = apply(&paused, &resume(actor, true), now()).unwrap_err();
        assert_eq!(
            (denial.code, denial.rule.as_str()),
            (ErrorCode::Forbidden, "D-ART-4")
        );
    }
    let silent = SourceCommand::Resume {
        actor: human(),
        reason: "  ".to_owned(),
        looked_into: false,
    };
    assert_eq!(
        apply(&paused, &silent, now()).unwrap_err().code,
        ErrorCode::Usage
    );
    let (active, event) = apply(&paused, &resume("human:ada", false), now()).unwrap();
    assert_eq!((active.state, active.by), (SourceState::Active, human()));
    assert_eq!(event.unwrap().kind, EventKind::SourceChanged);
}

#[test]
fn a_quarantined_source_needs_someone_who_looked_into_it() {
    let leaked = after(
        &Source::new("chase", now()),
        &ended(Some(FailureClass::Leak), 1),
    );
    let denial = apply(&leaked, &resume("human:ada", false), now()).unwrap_err();
    assert_eq!(denial.rule, "D-RUN-7");
    assert!(denial.hint.unwrap().contains("--looked-into"));
    assert_eq!(
        after(&leaked, &resume("human:ada", true)).state,
        SourceState::Active
    );
}

#[test]
fn only_an_active_source_admits_a_schedule_and_each_refusal_says_what_to_do() {
    for state in SourceState::ALL {
        let source = Source {
            state,
            ..Source::new("chase", now())
        };
        match source.admits_schedule() {
            Ok(()) => assert_eq!(state, SourceState::Active),
            Err(denial) => assert!(
                denial.hint.is_some() && state != SourceState::Active,
                "{denial}"
            ),
        }
    }
}

proptest! {
    /// Over random histories: only people improve a quarantined or held source, a state never improves by a
    /// failure, and an event is told exactly when something that people see changed.
    #[test]
    fn a_source_keeps_its_invariants(steps in prop::collection::vec((0_usize..15, any::<bool>()), 1..80)) {
        let mut source = Source::new("chase", now());
        for (kind, flag) in steps {
            let command = match kind {
                0..=10 => ended(FAILURE_MATRIX.get(kind).map(|rule| rule.class), if flag { 2 } else { 1 }),
                11 => ended(None, 1),
                12 => pause(if flag { "human:ada" } else { "agent:helper" }),
                _ => resume(if kind == 13 { "human:ada" } else { "agent:helper" }, flag),
            };
            let Ok((next, event)) = apply(&source, &command, now()) else {
                let resumes = matches!(command, SourceCommand::Resume { .. });
                prop_assert!(resumes);
                continue;
            };
            let seen = (next.state, next.held) != (source.state, source.held);
            prop_assert_eq!(event.is_some(), seen);
            let by_person = matches!(command, SourceCommand::Resume { .. });
            if source.state == SourceState::Quarantined && next.state != source.state {
                prop_assert!(by_person && next.by.is_human());
            }
            if source.held && next.state == SourceState::Active {
                prop_assert!(by_person);
            }
            if next.held {
                prop_assert_ne!(next.state, SourceState::Active);
            }
            source = next;
        }
    }
}
