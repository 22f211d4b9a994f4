//! The state machine, as the store runs it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::*;
use crate::attempt::{Exit, LogStats, Outcome};
use crate::error_code::FAILURE_MATRIX;
use crate::event::EventKind;
use crate::protocol::Reply;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn attempt(n: u128) -> AttemptId {
    AttemptId::new(Uuid::from_u128(n))
}

fn driver(n: u128) -> DriverId {
    DriverId::new(Uuid::from_u128(n))
}

/// A run of `steps` steps that are tried again up to `retries` times on runtime failures.
pub(crate) fn queued(steps: usize, retries: u32) -> Run {
    let step = |n: usize| StepRun {
        name: format!("step-{n}"),
        retries: Retries {
            max: retries,
            ..Retries::none()
        },
        idempotent: false,
        attempts: 0,
        attempts_before: 0,
        done: false,
        data: Value::Null,
        outputs: Vec::new(),
        exit_code: None,
    };
    Run {
        id: RunId::new(Uuid::from_u128(1)),
        job_id: "job".to_owned(),
        source_id: Some("chase".to_owned()),
        spec_version: 1,
        spec_hash: ContentId::of_bytes(b"spec"),
        artifact_hash: ContentId::of_bytes(b"artifact"),
        lane: Lane::DEV,
        mode: Mode::Real,
        executor: "local".to_owned(),
        trigger: Trigger::Manual,
        actor: "human:ada".to_owned(),
        retry_of: None,
        schedule: None,
        params: Map::new(),
        inputs: BTreeMap::new(),
        isolation_need: IsolationNeed::BestEffort,
        status: RunStatus::Queued,
        created_at: at(0),
        started_at: None,
        ended_at: None,
        steps: (0..steps).map(step).collect(),
        step: 0,
        flow: None,
        attempt: None,
        due_at: Some(at(0)),
        attempts: 0,
        token: 0,
        cancel: None,
        failure: None,
        transaction_count: None,
        usage: Usage::default(),
        isolation: Isolation::default(),
        secret_names: Vec::new(),
        image_digest: None,
        version: 0,
    }
}

fn claim(run: &Run, n: u128, now: Timestamp) -> Applied {
    apply(
        run,
        Command::Claim {
            attempt_id: attempt(n),
            driver: driver(1),
        },
        now,
    )
    .unwrap()
}

fn finish(token: u64, verdict: Verdict) -> Command {
    Command::Finish {
        token,
        verdict,
        usage: Usage {
            cpu_seconds: 1.0,
            peak_memory_bytes: 7,
            wall_seconds: 2.0,
        },
        isolation: Isolation::default(),
        exit_code: Some(0),
    }
}

fn success() -> Verdict {
    Verdict::Success {
        data: Value::Null,
        outputs: Vec::new(),
        transaction_count: Some(3),
    }
}

fn failed(class: FailureClass) -> Verdict {
    Verdict::failure(class, ErrorCode::of_class(class), "why")
}

fn kinds(applied: &Applied) -> Vec<&'static str> {
    applied
        .events
        .iter()
        .map(|event| event.kind.as_str())
        .collect()
}

#[test]
fn a_run_of_two_steps_goes_from_queued_to_success() {
    let run = queued(2, 0);
    let first = claim(&run, 1, at(1));
    assert_eq!(kinds(&first), ["run.started", "attempt.claimed"]);
    assert_eq!(
        (first.run.status, first.run.started_at),
        (RunStatus::Running, Some(at(1)))
    );
    let between = apply(&first.run, finish(first.run.token, success()), at(2)).unwrap();
    assert_eq!(kinds(&between), ["attempt.ended", "step.done"]);
    assert_eq!((between.run.due_at, between.run.step), (Some(at(2)), 1));
    let second = claim(&between.run, 2, at(3));
    let over = apply(&second.run, finish(second.run.token, success()), at(4)).unwrap();
    assert_eq!(kinds(&over), ["attempt.ended", "step.done", "run.ended"]);
    assert_eq!(
        over.effects,
        [Effect::Source { class: None }, Effect::Summarise]
    );
    assert_eq!(
        (over.run.status, over.run.ended_at),
        (RunStatus::Success, Some(at(4)))
    );
    assert_eq!(
        (over.run.attempts, over.run.transaction_count),
        (2, Some(3))
    );
    assert!((over.run.usage.cpu_seconds - 2.0).abs() < f64::EPSILON);
}

#[test]
fn every_class_ends_the_run_as_the_failure_matrix_says() {
    for rule in &FAILURE_MATRIX {
        let claimed = claim(&queued(1, 0), 1, at(1));
        let over = apply(
            &claimed.run,
            finish(claimed.run.token, failed(rule.class)),
            at(2),
        )
        .unwrap();
        assert_eq!(over.run.status, rule.run, "{}", rule.class);
        assert!(over.effects.contains(&Effect::Source {
            class: Some(rule.class)
        }));
        assert_eq!(
            over.effects.last(),
            Some(&Effect::Summarise),
            "{}",
            rule.class
        );
        assert_eq!(over.run.due_at, None);
    }
}

#[test]
fn a_runtime_failure_is_tried_again_with_growing_delays_until_attempts_are_spent() {
    let mut run = queued(1, 2);
    let mut waits = Vec::new();
    for n in 1..=3 {
        let now = run.due_at.unwrap();
        let claimed = claim(&run, n, now);
        run = apply(
            &claimed.run,
            finish(claimed.run.token, failed(FailureClass::Runtime)),
            now,
        )
        .unwrap()
        .run;
        waits.extend(run.due_at.map(|due| due.duration_since(now)));
    }
    assert_eq!(
        waits,
        [SignedDuration::from_secs(1), SignedDuration::from_secs(2)]
    );
    assert_eq!((run.status, run.attempts), (RunStatus::Failed, 3));
}

/// L46: auth and validation failures are never tried again, whatever a step configures.
#[test]
fn auth_and_validation_failures_are_never_tried_again() {
    for class in [FailureClass::Auth, FailureClass::Validation] {
        let mut run = queued(1, 5);
        run.steps[0].retries.on = vec![class, FailureClass::Runtime];
        let claimed = claim(&run, 1, at(1));
        let over = apply(
            &claimed.run,
            finish(claimed.run.token, failed(class)),
            at(2),
        )
        .unwrap();
        assert!(over.run.status.is_terminal(), "{class}");
    }
}

#[test]
fn a_lost_attempt_is_repeated_only_when_its_step_is_idempotent() {
    for idempotent in [false, true] {
        let mut run = queued(1, 1);
        run.steps[0].idempotent = idempotent;
        run.steps[0].retries.on = vec![FailureClass::Preempted];
        let claimed = claim(&run, 1, at(1));
        let lost = finish(claimed.run.token, failed(FailureClass::Preempted));
        let after = apply(&claimed.run, lost, at(2)).unwrap();
        assert_eq!(after.run.status.is_terminal(), !idempotent);
    }
}

/// L45: a stale attempt's write is refused and changes nothing.
#[test]
fn a_write_with_an_old_token_is_refused() {
    let claimed = claim(&queued(1, 0), 1, at(1));
    let taken = Command::TakeOver {
        attempt_id: attempt(1),
        driver: driver(2),
    };
    let taken = apply(&claimed.run, taken, at(2)).unwrap();
    assert_eq!(kinds(&taken), ["attempt.adopted"]);
    let stale = finish(claimed.run.token, success());
    assert_eq!(apply(&taken.run, stale, at(3)), Err(Refusal::Stale));
    let over = apply(&taken.run, finish(taken.run.token, success()), at(3)).unwrap();
    assert_eq!(
        apply(&over.run, finish(taken.run.token, success()), at(4)),
        Err(Refusal::Stale)
    );
}

/// L19: ending what has ended is accepted and changes nothing.
#[test]
fn ending_twice_is_the_same_as_once() {
    let cancel = |kind| Command::Cancel {
        kind,
        actor: "ada".into(),
        reason: "enough".into(),
    };
    let over = apply(&queued(1, 0), cancel(CancelKind::Cancelled), at(1)).unwrap();
    assert_eq!(over.run.status, RunStatus::Cancelled);
    for kind in [CancelKind::Cancelled, CancelKind::Killed] {
        let again = apply(&over.run, cancel(kind), at(2)).unwrap();
        assert_eq!((again.run, again.events.len()), (over.run.clone(), 0));
    }
}

#[test]
fn a_stop_outranks_a_cancellation_that_is_under_way() {
    let claimed = claim(&queued(1, 0), 1, at(1));
    let cancel = |kind| Command::Cancel {
        kind,
        actor: "ada".into(),
        reason: "enough".into(),
    };
    let wished = apply(&claimed.run, cancel(CancelKind::Cancelled), at(2)).unwrap();
    assert_eq!(wished.run.status, RunStatus::Running);
    let stopped = apply(&wished.run, cancel(CancelKind::Killed), at(3)).unwrap();
    let over = apply(&stopped.run, finish(stopped.run.token, success()), at(4)).unwrap();
    assert_eq!(over.run.status, RunStatus::Killed);
    assert!(!over.effects.contains(&Effect::Export));
}

fn outcome(exit: Exit, reply: Reply) -> Outcome {
    Outcome {
        exit,
        limits_hit: Vec::new(),
        started_at: Some(at(1)),
        ended_at: at(2),
        usage: Usage::default(),
        isolation: Isolation::default(),
        reply,
        egress_denied: Vec::new(),
        log: LogStats::default(),
    }
}

#[test]
fn a_gpu_that_did_not_come_is_told_when_its_replacement_did() {
    let claimed = claim(&queued(1, 0), 1, at(0));
    let launched = |data| {
        let handle = Handle {
            executor: "modal".to_owned(),
            attempt_id: attempt(1),
            data,
        };
        let token = claimed.run.token;
        apply(&claimed.run, Command::Launched { token, handle }, at(0)).unwrap()
    };
    let fallback = launched(json!({"gpu": "T4.1", "gpu_passed_over": ["H100.1"]}));
    assert_eq!(
        kinds(&fallback),
        ["attempt.launched", "attempt.gpu_fallback"]
    );
    let told = json!({"attempt_id": attempt(1), "passed_over": ["H100.1"], "got": "T4.1"});
    assert_eq!(fallback.events[1].data, told);
    for data in [
        Value::Null,
        json!({"gpu": "H100.1"}),
        json!({"gpu_passed_over": []}),
    ] {
        assert_eq!(kinds(&launched(data)), ["attempt.launched"]);
    }
}

/// L20, L23: what a process did is never called "completed" when it was not.
#[test]
fn exits_and_replies_are_judged_by_the_contract() {
    let ok = Reply::Success {
        data: Value::Null,
        transaction_count: None,
    };
    let auth = Reply::Error {
        class: FailureClass::Auth,
        code: None,
        reason: "expired".into(),
    };
    let bad = Reply::Bad {
        reason: "two results".into(),
    };
    let exited = |code| Exit::Exited { code };
    let cases = [
        (exited(0), Reply::None, false, None),
        (
            exited(0),
            Reply::None,
            true,
            Some((FailureClass::Runtime, ErrorCode::BadResponse)),
        ),
        (exited(0), ok.clone(), true, None),
        (
            exited(3),
            ok,
            true,
            Some((FailureClass::Runtime, ErrorCode::Runtime)),
        ),
        (
            exited(0),
            auth,
            true,
            Some((FailureClass::Auth, ErrorCode::Auth)),
        ),
        (
            exited(0),
            bad,
            false,
            Some((FailureClass::Runtime, ErrorCode::BadResponse)),
        ),
        (
            exited(65),
            Reply::None,
            false,
            Some((FailureClass::Validation, ErrorCode::Validation)),
        ),
        (
            exited(77),
            Reply::None,
            false,
            Some((FailureClass::Auth, ErrorCode::Auth)),
        ),
        (
            exited(78),
            Reply::None,
            false,
            Some((FailureClass::Config, ErrorCode::Config)),
        ),
        (
            Exit::TimedOut,
            Reply::None,
            false,
            Some((FailureClass::Timeout, ErrorCode::Timeout)),
        ),
        (
            Exit::Signaled { signal: 9 },
            Reply::None,
            false,
            Some((FailureClass::Runtime, ErrorCode::Runtime)),
        ),
        (
            Exit::Lost {
                reason: "no record".into(),
            },
            Reply::None,
            false,
            Some((FailureClass::Preempted, ErrorCode::Lost)),
        ),
    ];
    for (exit, reply, required, expected) in cases {
        let shown = format!("{exit:?} {reply:?}");
        let found = match judge(&outcome(exit, reply), "load", required) {
            Verdict::Success { .. } => None,
            Verdict::Failure(failure) => Some((failure.class, failure.code)),
        };
        assert_eq!(found, expected, "{shown}");
    }
}

#[derive(Debug, Clone)]
enum Move {
    Claim,
    Launched { stale: bool },
    TakeOver,
    Succeed { stale: bool },
    Fail(FailureClass, bool),
    Cancel(CancelKind),
    Pass(i64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let class = prop::sample::select(FAILURE_MATRIX.map(|rule| rule.class).to_vec());
    let one = prop_oneof![
        4 => Just(Move::Claim),
        1 => any::<bool>().prop_map(|stale| Move::Launched { stale }),
        1 => Just(Move::TakeOver),
        3 => any::<bool>().prop_map(|stale| Move::Succeed { stale }),
        2 => (class, any::<bool>()).prop_map(|(class, stale)| Move::Fail(class, stale)),
        1 => prop_oneof![Just(CancelKind::Cancelled), Just(CancelKind::Killed)].prop_map(Move::Cancel),
        2 => (0_i64..100).prop_map(Move::Pass),
    ];
    prop::collection::vec(one, 0..60)
}

proptest! {
    /// Whatever happens in whatever order: a terminal status is final and told once, tokens only grow,
    /// and a run that is not over is either alive or due.
    #[test]
    fn runs_keep_their_invariants(moves in moves(), steps in 1_usize..4, retries in 0_u32..3) {
        let mut run = queued(steps, retries);
        let (mut now, mut next, mut endings) = (at(0), 1_u128, 0);
        for step in moves {
            next += 1;
            let token = |stale: bool| run.token.wrapping_sub(u64::from(stale));
            let handle = Handle { executor: "x".into(), attempt_id: attempt(next), data: Value::Null };
            let command = match step {
                Move::Pass(seconds) => {
                    now = now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
                    continue;
                }
                Move::Claim => Command::Claim { attempt_id: attempt(next), driver: driver(1) },
                Move::Launched { stale } => Command::Launched { token: token(stale), handle },
                Move::TakeOver => Command::TakeOver {
                    attempt_id: run.attempt.as_ref().map_or_else(|| attempt(0), |live| live.id),
                    driver: driver(next),
                },
                Move::Succeed { stale } => finish(token(stale), success()),
                Move::Fail(class, stale) => finish(token(stale), failed(class)),
                Move::Cancel(kind) => {
                    Command::Cancel { kind, actor: "a".into(), reason: "r".into() }
                }
            };
            let stale = matches!(step, Move::Succeed { stale: true } | Move::Fail(_, true) | Move::Launched { stale: true });
            match apply(&run, command, now) {
                Err(refusal) => prop_assert!(refusal != Refusal::Stale || stale || run.attempt.is_none()),
                Ok(applied) => {
                    prop_assert!(!stale, "a stale write was accepted");
                    prop_assert!(!run.status.is_terminal() || applied.events.is_empty());
                    prop_assert!(applied.run.token >= run.token);
                    prop_assert_eq!(applied.run.version > run.version, !applied.events.is_empty());
                    endings += applied.events.iter().filter(|e| e.kind == EventKind::RunEnded).count();
                    let ends = applied.effects.iter().filter(|e| **e == Effect::Summarise).count();
                    prop_assert_eq!(ends, usize::from(applied.run.status.is_terminal() && !run.status.is_terminal()));
                    run = applied.run;
                }
            }
            prop_assert!(endings <= 1);
            let moving = run.attempt.is_some() || run.due_at.is_some();
            prop_assert_eq!(moving, !run.status.is_terminal());
            prop_assert_eq!(run.ended_at.is_some(), run.status.is_terminal());
        }
    }
}
