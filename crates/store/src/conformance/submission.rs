//! Making runs durable.

use std::time::Duration;

use futures::future::try_join_all;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::RunStatus;
use moorline_core::event::EventKind;

use super::check::equal;
use super::fixture::spec;
use super::{Failure, Shape, Subject, World};
use crate::error::StoreError;
use crate::types::{EventFilter, NewRun};

/// A run, its spec, its event and its audit record are there when the submission returns.
pub(super) async fn a_submitted_run_is_read_back_whole(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let shape = Shape {
        source: Some("bank"),
        ..Shape::default()
    };
    let new = world.new_run(&shape);
    let run = new.run.clone();
    let submitted = store.run_submit(new).await?;
    check!(submitted.created, "a new run is created");
    equal(&submitted.run, &run, "the run that a submission returns")?;
    equal(
        &store.run_get(run.id).await?,
        &Some(run.clone()),
        "the run as stored",
    )?;
    equal(
        &store.spec_get(&run.spec_hash).await?,
        &Some(spec(&shape)),
        "its spec",
    )?;
    equal(
        &store.summary_get(run.id).await?,
        &None,
        "a run that is not over has no summary",
    )?;
    let events = store.events_list(EventFilter::default()).await?;
    let [event] = events.as_slice() else {
        return Err(Failure::new(format!("one event is wanted: {events:?}")));
    };
    equal(
        &(event.kind.known(), event.run_id),
        &(Some(EventKind::RunQueued), Some(run.id)),
        "its event",
    )?;
    equal(&event.at, &run.created_at, "the time of its event")?;
    let audit = store.audit_list(0, 10).await?;
    let operations: Vec<_> = audit
        .iter()
        .map(|r| (r.actor.as_str(), r.operation.as_str(), r.subject.clone()))
        .collect();
    equal(
        &operations,
        &vec![("ada", "run.submit", format!("run/{}", run.id))],
        "its audit record",
    )
}

fn with_key(new: NewRun, key: &str) -> NewRun {
    NewRun {
        idempotency_key: Some(key.to_owned()),
        ..new
    }
}

/// L30: the same key twice gives one run, also when it is over by then.
pub(super) async fn the_same_key_gives_the_same_run(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let first = with_key(world.new_run(&Shape::default()), "monthly");
    let first = store.run_submit(first).await?.run;
    store.run_cancel(world.cancel(first.id)).await?;
    let events = store.events_list(EventFilter::default()).await?;
    let again = with_key(world.new_run(&Shape::default()), "monthly");
    let rejected = again.run.id;
    let again = store.run_submit(again).await?;
    check!(!again.created, "a known key creates nothing");
    equal(
        &Some(again.run),
        &store.run_get(first.id).await?,
        "the run of the key, as it is now",
    )?;
    equal(
        &store.run_get(rejected).await?,
        &None,
        "the run that was not created",
    )?;
    equal(
        &store.events_list(EventFilter::default()).await?,
        &events,
        "the events",
    )
}

/// L30: the same key at the same time, from several processes, gives one run.
pub(super) async fn the_same_key_at_once_gives_one_run(subject: Subject) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(4).await?, World::default());
    let submissions = stores.iter().flat_map(|store| {
        (0..8).map(|_| store.run_submit(with_key(world.new_run(&Shape::default()), "monthly")))
    });
    let submitted = try_join_all(submissions).await?;
    let created = submitted
        .iter()
        .filter(|submitted| submitted.created)
        .count();
    equal(&created, &1, "submissions that created a run")?;
    let mut runs: Vec<_> = submitted
        .into_iter()
        .map(|submitted| submitted.run.id)
        .collect();
    runs.dedup();
    equal(&runs.len(), &1, "runs of the key")
}

/// L30: a key is not silently reused for another request.
pub(super) async fn the_same_key_for_something_else_is_a_conflict(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let first = with_key(world.new_run(&Shape::default()), "monthly");
    store.run_submit(first.clone()).await?;
    let fingerprint = ContentId::of_bytes(b"other inputs");
    let other = NewRun {
        fingerprint,
        ..with_key(world.new_run(&Shape::default()), "monthly")
    };
    let other_id = other.run.id;
    check_err!(
        store.run_submit(other).await,
        StoreError::Conflict { .. },
        "another fingerprint"
    );
    equal(
        &store.run_get(other_id).await?,
        &None,
        "the run that was refused",
    )
}

/// A run id that exists is not overwritten.
pub(super) async fn a_run_id_is_used_once(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let new = world.new_run(&Shape::default());
    store.run_submit(new.clone()).await?;
    let events = store.events_list(EventFilter::default()).await?;
    check_err!(
        store.run_submit(new).await,
        StoreError::Conflict { .. },
        "the same run id"
    );
    equal(
        &store.events_list(EventFilter::default()).await?,
        &events,
        "the events",
    )
}

/// Submission and first claim are one transaction, when the run is due.
pub(super) async fn a_run_can_be_claimed_as_it_is_submitted(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let claim = Some((world.driver, world.attempt_id(), world.lease()));
    let claimed = store
        .run_submit(NewRun {
            claim,
            ..world.new_run(&Shape::default())
        })
        .await?;
    let run = claimed.run;
    equal(
        &run.attempt.as_ref().map(|attempt| attempt.driver),
        &Some(world.driver),
        "its driver",
    )?;
    equal(
        &(run.status, run.token, run.due_at),
        &(RunStatus::Running, 1, None),
        "the claimed run",
    )?;
    equal(
        &store.run_get(run.id).await?,
        &Some(run.clone()),
        "the run as stored",
    )?;
    equal(
        &store.attempts_list(run.id).await?.len(),
        &1,
        "its attempts",
    )?;
    let kinds: Vec<_> = store
        .events_list(EventFilter::default())
        .await?
        .iter()
        .filter_map(|event| event.kind.known())
        .collect();
    let wanted = vec![
        EventKind::RunQueued,
        EventKind::RunStarted,
        EventKind::AttemptClaimed,
    ];
    equal(&kinds, &wanted, "the events")?;
    let again = store.run_claim_due(world.claim_many(1)).await?;
    equal(&again, &Vec::new(), "what is left to claim")?;

    let claim = Some((world.driver, world.attempt_id(), world.lease()));
    let mut later = NewRun {
        claim,
        ..world.new_run(&Shape::default())
    };
    later.run.due_at = later
        .run
        .created_at
        .checked_add(Duration::from_mins(1))
        .ok();
    let later = store.run_submit(later).await?.run;
    equal(
        &(later.status, later.attempt),
        &(RunStatus::Queued, None),
        "a run that is not due yet",
    )
}

/// D-RUN-1: a run is durable before it is acknowledged.
pub(super) async fn what_was_acknowledged_survives_reopening(
    subject: Subject,
) -> Result<(), Failure> {
    let world = World::default();
    let store = subject.open().await?;
    let run = world.started(store.as_ref(), &Shape::default()).await?;
    drop(store);
    let store = subject.open().await?;
    equal(
        &store.run_get(run.id).await?,
        &Some(run.clone()),
        "the run after reopening",
    )?;
    let live = store.runs_live().await?;
    let live: Vec<_> = live
        .into_iter()
        .map(|live| (live.run, live.lease_until))
        .collect();
    equal(
        &live,
        &vec![(run, world.lease())],
        "the live run after reopening",
    )
}
