//! The stop gate (D-STOP).

use futures::future::{join, try_join, try_join_all};
use moorline_core::error_code::RunStatus;
use moorline_core::event::EventKind;
use moorline_core::lane::Lane;
use moorline_core::run::CancelKind;
use moorline_core::schedule::{ScheduleId, ScheduledStart};
use moorline_core::stop::StopScope;

use super::check::equal;
use super::fixture::success;
use super::{Failure, Shape, Subject, World};
use crate::error::StoreError;
use crate::types::{ClaimDue, EventFilter, FinishAttempt, NewRun};

/// Submission, claim, and the claim of a next step all pass the gate, for each scope; what the stop
/// does not cover goes on.
pub(super) async fn every_scope_holds_back_what_it_covers(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let covered = Shape {
        job: "covered",
        source: Some("bank"),
        lane: Lane::PROD,
        steps: &["extract", "publish"],
        ..Shape::default()
    };
    let free = Shape {
        job: "free",
        source: Some("shop"),
        ..Shape::default()
    };
    let scopes = [
        StopScope::Job("covered".to_owned()),
        StopScope::Source("bank".to_owned()),
        StopScope::Lane("prod".to_owned()),
        StopScope::All,
    ];
    for scope in scopes {
        let what = scope.to_string();
        let running = world.started(store.as_ref(), &covered).await?;
        let stop = world.stop(scope.clone());
        store.stop_engage(stop.clone()).await?;
        store.stop_carry_out(stop).await?;
        let refused = store.run_submit(world.new_run(&covered)).await;
        check_err!(
            refused,
            StoreError::Stopped { .. },
            "a submission behind a stop"
        );
        let claim_next = Some((world.driver, world.attempt_id(), world.lease()));
        let finish = FinishAttempt {
            claim_next,
            ..world.finish(&running, success(false))
        };
        let ended = store.attempt_finish(finish).await?;
        let ended = (ended.attempt.is_none(), ended.status);
        equal(
            &ended,
            &(true, RunStatus::Killed),
            &format!("the live run behind {what}"),
        )?;
        if scope != StopScope::All {
            world.started(store.as_ref(), &free).await?;
        }
        check!(
            store
                .stop_release(&scope, "ada", "all is well", world.now())
                .await?,
            "the stop of {what} was in force"
        );
        world.started(store.as_ref(), &covered).await?;
    }
    let queued = world.submit(store.as_ref(), &covered).await?;
    let other = world.submit(store.as_ref(), &covered).await?;
    let stop = world.stop(StopScope::Run(queued.id));
    store.stop_engage(stop).await?;
    let claimed = store.run_claim_due(world.claim_many(2)).await?;
    let claimed: Vec<_> = claimed.into_iter().map(|run| run.id).collect();
    equal(
        &claimed,
        &vec![other.id],
        "what can be claimed beside a stopped run",
    )
}

/// D-STOP-1: what a schedule has started is ended by a stop of that schedule, and nothing that it starts is
/// taken; a run of the same job that somebody else started goes on.
pub(super) async fn a_stop_of_a_schedule_holds_back_what_it_starts(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let shape = Shape {
        lane: Lane::PROD,
        ..Shape::default()
    };
    let schedule = ScheduleId::new(Lane::PROD, shape.job);
    let by_schedule = || {
        let mut new = world.new_run(&shape);
        new.run.schedule = Some(ScheduledStart {
            schedule: schedule.clone(),
            fire_at: world.now(),
        });
        new
    };
    let [waiting, running] = [by_schedule(), by_schedule()];
    let by_hand = world.new_run(&shape);
    let ids = [waiting.run.id, running.run.id, by_hand.run.id];
    for new in [waiting, running, by_hand] {
        store.run_submit(new).await?;
    }
    let claim = ClaimDue {
        only: Some(ids[1]),
        ..world.claim_many(1)
    };
    store.run_claim_due(claim).await?;
    let scope = StopScope::Schedule(schedule.clone());
    let stop = world.stop(scope.clone());
    store.stop_engage(stop.clone()).await?;
    let alive = store.stop_carry_out(stop).await?;
    let alive: Vec<_> = alive.iter().map(|run| run.id).collect();
    equal(&alive, &vec![ids[1]], "what is still alive")?;
    check_err!(
        store.run_submit(by_schedule()).await,
        StoreError::Stopped { .. },
        "a start of the schedule behind the stop"
    );
    let claimed = store.run_claim_due(world.claim_many(3)).await?;
    let claimed: Vec<_> = claimed.iter().map(|run| run.id).collect();
    equal(&claimed, &vec![ids[2]], "what can be claimed beside it")?;
    store
        .stop_release(&scope, "ada", "fixed", world.now())
        .await?;
    store.run_submit(by_schedule()).await?;
    Ok(())
}

/// D-STOP-1: the gate first, then the end of what it covers.
pub(super) async fn a_stop_ends_what_is_queued_and_names_what_is_live(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let queued = world.submit(store.as_ref(), &Shape::default()).await?;
    let live = world
        .started(
            store.as_ref(),
            &Shape {
                job: "other",
                ..Shape::default()
            },
        )
        .await?;
    let over = world.started(store.as_ref(), &Shape::default()).await?;
    store
        .attempt_finish(world.finish(&over, success(false)))
        .await?;
    let stop = world.stop(StopScope::All);
    let early = store.stop_carry_out(stop.clone()).await;
    check_err!(early, StoreError::Conflict { .. }, "ends without a gate");
    store.stop_engage(stop.clone()).await?;
    let alive = store.stop_carry_out(stop.clone()).await?;
    let wishes: Vec<_> = alive
        .iter()
        .map(|run| (run.id, run.cancel.as_ref().map(|wish| wish.kind)))
        .collect();
    equal(
        &wishes,
        &vec![(live.id, Some(CancelKind::Killed))],
        "what is still alive",
    )?;
    equal(
        &store.stops_list().await?,
        &vec![stop],
        "the stops in force",
    )?;
    let statuses = [
        (queued.id, RunStatus::Killed),
        (live.id, RunStatus::Running),
        (over.id, RunStatus::Success),
    ];
    for (run, status) in statuses {
        let found = store.run_get(run).await?.map(|run| run.status);
        equal(&found, &Some(status), "the status of a run")?;
    }
    check!(
        store.summary_get(queued.id).await?.is_some(),
        "the killed run has its summary"
    );
    let filter = EventFilter {
        kinds: vec![EventKind::StopEngaged],
        ..EventFilter::default()
    };
    equal(
        &store.events_list(filter).await?.len(),
        &1,
        "events of the stop",
    )
}

/// L19: stopping what is stopped is success.
pub(super) async fn repeating_a_stop_writes_nothing(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let live = world.started(store.as_ref(), &Shape::default()).await?;
    let stop = world.stop(StopScope::All);
    let first = store.stop_engage(stop.clone()).await?;
    let alive = store.stop_carry_out(stop.clone()).await?;
    equal(
        &alive.iter().map(|run| run.id).collect(),
        &vec![live.id],
        "what is alive",
    )?;
    let events = store.events_list(EventFilter::default()).await?;
    let audit = store.audit_head().await?;
    let stops = store.stops_list().await?;
    let again = store.stop_engage(stop.clone()).await?;
    equal(&again, &first, "what is in force the second time")?;
    let still = store.stop_carry_out(stop).await?;
    equal(&still, &alive, "what is alive the second time")?;
    equal(
        &store.events_list(EventFilter::default()).await?,
        &events,
        "the events",
    )?;
    equal(
        &store.audit_head().await?,
        &audit,
        "the head of the audit trail",
    )?;
    equal(&store.stops_list().await?, &stops, "the stops in force")
}

/// D-STOP-3: a release has an actor and a reason, and says whether there was something to release.
pub(super) async fn a_release_lets_runs_start_again(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    store.stop_engage(world.stop(StopScope::All)).await?;
    check!(
        store
            .stop_release(&StopScope::All, "bob", "fixed", world.now())
            .await?,
        "a release"
    );
    equal(
        &store.stops_list().await?,
        &Vec::new(),
        "the stops in force",
    )?;
    world.started(store.as_ref(), &Shape::default()).await?;
    let again = store
        .stop_release(&StopScope::All, "bob", "fixed", world.now())
        .await?;
    check!(!again, "there is nothing left to release");
    let audit = store.audit_list(0, 10).await?;
    let audit: Vec<_> = audit
        .iter()
        .filter(|record| record.subject == "stop/all")
        .map(|record| {
            (
                record.actor.as_str(),
                record.operation.as_str(),
                record.reason.as_deref(),
            )
        })
        .collect();
    let wanted = vec![
        ("ada", "stop.engage", Some("the bank called")),
        ("bob", "stop.release", Some("fixed")),
    ];
    equal(&audit, &wanted, "the audit records")
}

/// L48, the store's part: while drivers on several connections claim and submit as fast as they can,
/// a stop comes. Every claim that is in the log behind the stop would be a start after the
/// acknowledgement; there is none, and what was asked afterwards is refused.
pub(super) async fn nothing_is_claimed_after_a_stop_was_acknowledged(
    subject: Subject,
) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(4).await?, World::default());
    let [by_person, drivers @ ..] = stores.as_slice() else {
        return Err(Failure::new("four stores were asked for".to_owned()));
    };
    let submissions = (0..60).map(|_| by_person.run_submit(world.new_run(&Shape::default())));
    try_join_all(submissions).await?;
    let racing = drivers.iter().map(|store| async {
        let (mut started, mut refused) = (0, 0);
        for _ in 0..40 {
            let driver = world.driver_id();
            let claim = ClaimDue {
                driver,
                ..world.claim_many(1)
            };
            let own = Some((driver, world.attempt_id(), world.lease()));
            let new = NewRun {
                claim: own,
                ..world.new_run(&Shape::default())
            };
            let (claimed, submitted) =
                join(store.run_claim_due(claim), store.run_submit(new)).await;
            started += claimed?.len();
            match submitted {
                Ok(_) => started += 1,
                Err(StoreError::Stopped { .. }) => refused += 1,
                Err(error) => return Err(error),
            }
        }
        Ok::<_, StoreError>((started, refused))
    });
    let stopping = async {
        // Let the race begin: the stop shall come in the middle of it.
        while by_person.runs_live().await?.len() < 10 {}
        let stop = world.stop(StopScope::All);
        by_person.stop_engage(stop.clone()).await?;
        let alive = by_person.stop_carry_out(stop).await?;
        let late = by_person.run_claim_due(world.claim_many(10)).await?;
        Ok::<_, StoreError>((alive, late))
    };
    let (counts, (alive, late)) = try_join(try_join_all(racing), stopping).await?;
    equal(&late, &Vec::new(), "claims after the acknowledgement")?;
    let started: usize = counts.iter().map(|(started, _)| started).sum();
    let refused: usize = counts.iter().map(|(_, refused)| refused).sum();
    check!(refused > 0, "the stop came in the middle of the race");
    let what = "attempts that were started, and those that the stop names";
    equal(&started, &alive.len(), what)?;
    let filter = EventFilter {
        kinds: vec![EventKind::AttemptClaimed, EventKind::StopEngaged],
        limit: 1000,
        ..EventFilter::default()
    };
    let events = store_order(&by_person.events_list(filter).await?);
    equal(
        &events,
        &(started, 0),
        "claims in the log before and behind the stop",
    )
}

/// How many claims the log has before the stop, and how many behind it.
fn store_order(events: &[moorline_core::event::Event]) -> (usize, usize) {
    let stop = events
        .iter()
        .position(|event| event.kind == EventKind::StopEngaged);
    let stop = stop.unwrap_or(events.len());
    (stop, events.len().saturating_sub(stop + 1))
}
