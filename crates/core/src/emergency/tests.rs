use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::principal::PrincipalKind;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn begin_by(by: Principal, reason: &str) -> Result<Emergency, Denial> {
    let id = EmergencyId::new(Uuid::from_u128(1));
    Emergency::begin(id, Some(Lane::PROD), by, reason.to_owned(), 0, at(1))
}

fn ada() -> Principal {
    Principal::named(PrincipalKind::Human, "ada")
}

fn report(done: &[&str], left: &[&str]) -> StepReport {
    StepReport {
        done: done.iter().map(|&item| item.to_owned()).collect(),
        left: left
            .iter()
            .map(|&item| (item.to_owned(), "no answer".to_owned()))
            .collect(),
        notes: Vec::new(),
    }
}

#[test]
fn only_a_person_calls_or_carries_on_an_emergency_and_gives_a_reason() {
    for kind in [
        PrincipalKind::Agent,
        PrincipalKind::Ci,
        PrincipalKind::System,
    ] {
        let by = Principal::named(kind, "x");
        assert_eq!(begin_by(by.clone(), "leak").unwrap_err().rule, "D-STOP-3");
        let called = begin_by(ada(), "leak").unwrap();
        assert_eq!(called.resume(by).unwrap_err().rule, "D-STOP-3");
    }
    assert_eq!(begin_by(ada(), " \n").unwrap_err().rule, "D-STOP-3");
}

#[test]
fn what_a_step_left_is_tried_again_and_what_it_did_adds_up() {
    let called = begin_by(ada(), "leak").unwrap();
    let mut emergency = called;
    for step in EmergencyStep::ALL {
        let left: &[&str] = match step {
            EmergencyStep::Stop => &["run/2"],
            _ => &[],
        };
        emergency = emergency
            .record(step, &report(&["run/1"], left), at(2))
            .unwrap();
    }
    assert_eq!(emergency.state, EmergencyState::Unfinished);
    assert_eq!(
        emergency.open_steps().collect::<Vec<_>>(),
        [EmergencyStep::Stop]
    );
    let carried_on = emergency.resume(ada()).unwrap();
    let complete = carried_on
        .record(
            EmergencyStep::Stop,
            &report(&["run/1", "run/2"], &[]),
            at(3),
        )
        .unwrap();
    assert_eq!(complete.state, EmergencyState::Complete);
    assert_eq!(complete.ended_at, Some(at(3)));
    let stop = complete.step(EmergencyStep::Stop).unwrap();
    assert_eq!(stop.report, report(&["run/1", "run/2"], &[]));
    assert_eq!(
        complete.resume(ada()).unwrap(),
        complete,
        "nothing to carry on"
    );
}

#[test]
fn an_emergency_of_a_lane_stops_that_lane() {
    let called = begin_by(ada(), "leak").unwrap();
    let stop = called.stop(at(1));
    assert_eq!(stop.scope.to_string(), "lane:prod");
    assert_eq!(
        (stop.actor.as_str(), stop.reason.as_str()),
        ("human:ada", "leak")
    );
    let of_all = Emergency {
        lane: None,
        ..called
    };
    assert_eq!(of_all.scope(), StopScope::All);
}

proptest! {
    /// Whatever is recorded in whatever order: no step is recorded before the ones before it, and it is
    /// complete exactly when all steps are done.
    #[test]
    fn steps_are_taken_in_order_and_complete_means_all_done(
        records in proptest::collection::vec((0..4_usize, any::<bool>()), 0..12)
    ) {
        let mut emergency = begin_by(ada(), "leak").unwrap();
        for (second, (step, complete)) in (2..).zip(records) {
            let step = EmergencyStep::ALL[step];
            let left: &[&str] = if complete { &[] } else { &["run/1"] };
            let earlier_taken = EmergencyStep::ALL
                .into_iter()
                .filter(|earlier| *earlier < step)
                .all(|earlier| emergency.step(earlier).unwrap().tries > 0);
            match emergency.record(step, &report(&["run/0"], left), at(second)) {
                Ok(next) => {
                    prop_assert!(earlier_taken);
                    prop_assert_eq!(next.version, emergency.version + 1);
                    emergency = next;
                }
                Err(denial) => {
                    prop_assert!(!earlier_taken);
                    prop_assert_eq!(denial.rule, "D-STOP-3");
                }
            }
            let all_done = emergency.steps.iter().all(StepRecord::is_done);
            // Once complete it stays so, also when a later try of a step is recorded.
            prop_assert!(!all_done || emergency.state == EmergencyState::Complete);
            prop_assert_eq!(emergency.ended_at.is_some(), emergency.state == EmergencyState::Complete);
        }
    }
}
