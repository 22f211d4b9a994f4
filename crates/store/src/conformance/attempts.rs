//! From the claim of an attempt to its end: handles, fencing, leases, retries, steps.

use std::time::Duration;

use moorline_core::error_code::{FailureClass, RunStatus};
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::ids::AttemptId;
use moorline_core::run::{Refusal, Run};
use moorline_core::spec::Retries;
use serde_json::json;

use super::check::equal;
use super::fixture::{failure, handle, handle_of, success};
use super::{Failure, Shape, Subject, World};
use crate::error::StoreError;
use crate::store::Store;
use crate::types::{AppendEvents, AttemptRecord, EventFilter, FinishAttempt};

/// The attempt of a run that is alive.
fn live(run: &Run) -> Result<AttemptId, Failure> {
    let attempt = run
        .attempt
        .as_ref()
        .ok_or_else(|| Failure::new("no live attempt".to_owned()))?;
    Ok(attempt.id)
}

/// D-RUN-4: any process finds the attempt again by its handle.
pub(super) async fn the_handle_of_a_launched_attempt_is_kept(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let run = world.started(store.as_ref(), &Shape::default()).await?;
    let claimed_at = world.now();
    let handle = handle_of(&run)?;
    world.advance(Duration::from_millis(5));
    let launched = store
        .attempt_launched(run.id, run.token, handle.clone(), world.now())
        .await?;
    let known = launched
        .attempt
        .as_ref()
        .and_then(|attempt| attempt.handle.clone());
    equal(&known, &Some(handle.clone()), "the handle in the run")?;
    equal(
        &store.run_get(run.id).await?,
        &Some(launched.clone()),
        "the run as stored",
    )?;
    let mut record = AttemptRecord {
        id: live(&run)?,
        run_id: run.id,
        step: "extract".to_owned(),
        number: 1,
        handle: Some(handle),
        outcome: None,
        claimed_at,
        ended_at: None,
    };
    equal(
        &store.attempts_list(run.id).await?,
        &vec![record.clone()],
        "the attempt while it runs",
    )?;
    world.advance(Duration::from_millis(5));
    store
        .attempt_finish(world.finish(&launched, success(false)))
        .await?;
    record.outcome = Some(json!({"exit": {"how": "exited", "code": 0}}));
    record.ended_at = Some(world.now());
    equal(
        &store.attempts_list(run.id).await?,
        &vec![record],
        "the attempt when it is over",
    )
}

/// L45: whoever lost the attempt can not write, neither its handle nor its end, and what they tried
/// leaves no trace.
pub(super) async fn a_stale_token_writes_nothing(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let old = world.started(store.as_ref(), &Shape::default()).await?;
    let (attempt, driver) = (live(&old)?, world.driver_id());
    let lease = world.lease();
    let new = store
        .attempt_take_over(old.id, attempt, driver, lease, world.now())
        .await?;
    check!(new.token > old.token, "a take-over gives a newer token");
    stale(store.as_ref(), &world, &old, &new).await?;

    let ended = store
        .attempt_finish(world.finish(&new, success(false)))
        .await?;
    equal(
        &ended.status,
        &RunStatus::Success,
        "the run, ended by the new driver",
    )?;
    for late in [&old, &new] {
        stale(store.as_ref(), &world, late, &ended).await?;
    }
    Ok(())
}

/// Both writes of `late` are refused, and the run stays as it is.
async fn stale(store: &dyn Store, world: &World, late: &Run, now: &Run) -> Result<(), Failure> {
    let events = store.events_list(EventFilter::default()).await?;
    let audit = store.audit_head().await?;
    let handle = handle(live(late)?);
    let launched = store
        .attempt_launched(late.id, late.token, handle, world.now())
        .await;
    check_err!(
        launched,
        StoreError::Refused(Refusal::Stale),
        "a stale handle"
    );
    let finished = store
        .attempt_finish(world.finish(late, failure(FailureClass::Runtime)))
        .await;
    check_err!(finished, StoreError::Refused(Refusal::Stale), "a stale end");
    equal(
        &store.run_get(late.id).await?.as_ref(),
        &Some(now),
        "the run after stale writes",
    )?;
    equal(
        &store.events_list(EventFilter::default()).await?,
        &events,
        "the events",
    )?;
    equal(
        &store.audit_head().await?,
        &audit,
        "the head of the audit trail",
    )
}

/// A take-over names the attempt it saw; when that is over, it comes too late.
pub(super) async fn only_the_live_attempt_is_taken_over(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let run = world.started(store.as_ref(), &Shape::default()).await?;
    let (driver, lease, now) = (world.driver_id(), world.lease(), world.now());
    let other = store
        .attempt_take_over(run.id, world.attempt_id(), driver, lease, now)
        .await;
    check_err!(
        other,
        StoreError::Refused(Refusal::NotLive),
        "another attempt"
    );
    let taken = store
        .attempt_take_over(run.id, live(&run)?, driver, lease, now)
        .await?;
    equal(
        &taken.attempt.as_ref().map(|attempt| attempt.driver),
        &Some(driver),
        "the new driver",
    )?;
    store
        .attempt_finish(world.finish(&taken, success(false)))
        .await?;
    let late = store
        .attempt_take_over(run.id, live(&run)?, driver, lease, now)
        .await;
    check_err!(
        late,
        StoreError::Refused(Refusal::NotLive),
        "an attempt that is over"
    );
    Ok(())
}

/// A renewal reaches the live attempts of its driver, and no others.
pub(super) async fn a_lease_is_renewed_for_live_attempts_of_its_driver(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let other = World::default();
    let mine = world.started(store.as_ref(), &Shape::default()).await?;
    let theirs = other.started(store.as_ref(), &Shape::default()).await?;
    let over = world.started(store.as_ref(), &Shape::default()).await?;
    store
        .attempt_finish(world.finish(&over, success(false)))
        .await?;
    let (old, until) = (
        world.lease(),
        world.lease().checked_add(Duration::from_secs(9))?,
    );
    equal(
        &store.lease_renew(world.driver, until).await?,
        &1,
        "leases renewed",
    )?;
    let live = store.runs_live().await?;
    let live: Vec<_> = live
        .into_iter()
        .map(|live| (live.run.id, live.lease_until))
        .collect();
    equal(
        &live,
        &vec![(mine.id, until), (theirs.id, old)],
        "the leases of live runs",
    )?;
    equal(
        &store.lease_renew(world.driver_id(), until).await?,
        &0,
        "leases of a stranger",
    )
}

/// D-RUN-4: one failed attempt, a delay, another attempt; both stay on record.
pub(super) async fn a_failed_attempt_is_retried_when_its_delay_is_over(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let retries = Retries {
        max: 1,
        initial_delay_seconds: 2.0,
        backoff: 1.0,
        max_delay_seconds: 60.0,
        on: vec![FailureClass::Runtime],
    };
    let run = world
        .started(
            store.as_ref(),
            &Shape {
                retries,
                ..Shape::default()
            },
        )
        .await?;
    let failed = failure(FailureClass::Runtime);
    let waiting = store
        .attempt_finish(world.finish(&run, failed.clone()))
        .await?;
    equal(
        &(waiting.status, waiting.ended_at),
        &(RunStatus::Running, None),
        "between attempts",
    )?;
    let due = world.now().checked_add(Duration::from_secs(2))?;
    equal(
        &store.next_due(Some(run.id)).await?,
        &Some(due),
        "when the retry is due",
    )?;
    equal(
        &store.run_claim_due(world.claim_many(1)).await?,
        &Vec::new(),
        "a claim before that",
    )?;
    equal(
        &store.summary_get(run.id).await?,
        &None,
        "a run that is not over has no summary",
    )?;
    world.advance(Duration::from_secs(2));
    let again = world.claim(store.as_ref(), run.id).await?;
    equal(&again.token, &2, "the token of the second attempt")?;
    let ended = store.attempt_finish(world.finish(&again, failed)).await?;
    equal(
        &(ended.status, ended.attempts),
        &(RunStatus::Failed, 2),
        "the run at its end",
    )?;
    let attempts = store.attempts_list(run.id).await?;
    let attempts: Vec<_> = attempts
        .iter()
        .map(|attempt| (attempt.id, attempt.number))
        .collect();
    equal(
        &attempts,
        &vec![(live(&run)?, 1), (live(&again)?, 2)],
        "its attempts",
    )
}

/// The end of a step and the claim of the next are one transaction, when a claim is wanted.
pub(super) async fn the_next_step_is_claimed_as_the_one_before_ends(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let shape = Shape {
        steps: &["extract", "check", "publish"],
        ..Shape::default()
    };
    let first = world.started(store.as_ref(), &shape).await?;
    let next = world.attempt_id();
    let claim_next = Some((world.driver, next, world.lease()));
    let finish = FinishAttempt {
        claim_next,
        ..world.finish(&first, success(false))
    };
    let second = store.attempt_finish(finish).await?;
    equal(
        &(second.step, live(&second)?),
        &(1, next),
        "the claimed second step",
    )?;
    equal(
        &store.run_get(first.id).await?,
        &Some(second.clone()),
        "the run as stored",
    )?;
    let third = store
        .attempt_finish(world.finish(&second, success(false)))
        .await?;
    equal(
        &(third.step, third.attempt.is_none()),
        &(2, true),
        "a step that nobody claimed",
    )?;
    equal(&third.due_at, &Some(world.now()), "it is due at once")?;
    let attempts = store.attempts_list(first.id).await?;
    let steps: Vec<_> = attempts
        .iter()
        .map(|a| (a.step.as_str(), a.ended_at.is_some()))
        .collect();
    equal(
        &steps,
        &vec![("extract", true), ("check", true)],
        "the attempts so far",
    )
}

/// L45: progress and metrics come in batches that may be repeated, and from drivers that may be fenced off.
pub(super) async fn what_an_attempt_says_is_recorded_once_and_for_its_driver_alone(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let run = world.started(store.as_ref(), &Shape::default()).await?;
    let said = |run: &Run, numbers: std::ops::Range<u64>| AppendEvents {
        run: run.id,
        token: run.token,
        from: numbers.start,
        events: numbers
            .map(|n| NewEvent {
                kind: EventKind::RunProgress,
                level: Level::Info,
                data: json!({"progress_pct": n}),
            })
            .collect(),
        now: world.now(),
    };
    let progress = || async {
        let filter = EventFilter {
            run_id: Some(run.id),
            kinds: vec![EventKind::RunProgress],
            ..EventFilter::default()
        };
        let events = store.events_list(filter).await?;
        let job = events
            .iter()
            .all(|event| event.job_id == Some(run.job_id.clone()));
        check!(job, "an event of a run names its job: {events:?}");
        Ok::<_, Failure>(
            events
                .into_iter()
                .map(|event| event.data)
                .collect::<Vec<_>>(),
        )
    };
    let upto = |n: u64| {
        (0..n)
            .map(|n| json!({"progress_pct": n}))
            .collect::<Vec<_>>()
    };
    store.events_append(said(&run, 0..3)).await?;
    store.events_append(said(&run, 0..3)).await?;
    store.events_append(said(&run, 1..5)).await?;
    equal(&progress().await?, &upto(5), "repeated batches")?;
    let gap = store.events_append(said(&run, 6..7)).await;
    check_err!(
        gap,
        StoreError::Refused(Refusal::Stale),
        "a batch that leaves one out"
    );
    let taken = store
        .attempt_take_over(
            run.id,
            live(&run)?,
            world.driver_id(),
            world.lease(),
            world.now(),
        )
        .await?;
    let old = store.events_append(said(&run, 5..6)).await;
    check_err!(
        old,
        StoreError::Refused(Refusal::Stale),
        "the driver before"
    );
    store.events_append(said(&taken, 4..6)).await?;
    equal(&progress().await?, &upto(6), "after a take-over")?;
    store
        .attempt_finish(world.finish(&taken, success(false)))
        .await?;
    let late = store.events_append(said(&taken, 6..7)).await;
    check_err!(late, StoreError::Refused(Refusal::Stale), "after the end");
    Ok(())
}
