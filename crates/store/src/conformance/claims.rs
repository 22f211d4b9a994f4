//! Claiming: exclusive, in order, and only what is due.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use jiff::Timestamp;

use super::check::equal;
use super::{Failure, Shape, Subject, World};
use crate::types::{ClaimDue, NewRun};

/// Oldest due first, whatever the order of submission, and never more than asked for.
pub(super) async fn due_runs_are_claimed_oldest_first_up_to_the_limit(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let mut due = Vec::new();
    for seconds in [30, 10, 20] {
        let mut new = world.new_run(&Shape::default());
        let at = new
            .run
            .created_at
            .checked_add(Duration::from_secs(seconds))?;
        new.run.due_at = Some(at);
        due.push((at, store.run_submit(new).await?.run.id));
    }
    due.sort_unstable();
    world.advance(Duration::from_mins(1));
    let first = store.run_claim_due(world.claim_many(2)).await?;
    let rest = store.run_claim_due(world.claim_many(2)).await?;
    equal(&(first.len(), rest.len()), &(2, 1), "claims of two, twice")?;
    let claimed: Vec<_> = first.iter().chain(&rest).map(|run| run.id).collect();
    equal(
        &claimed,
        &due.into_iter().map(|(_, id)| id).collect(),
        "the order of the claims",
    )?;
    equal(
        &store.run_claim_due(world.claim_many(2)).await?,
        &Vec::new(),
        "a third claim",
    )
}

/// A time that falls between two microseconds is not reached before it is reached.
pub(super) async fn what_is_not_due_is_not_claimed(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    equal(
        &store.next_due(None).await?,
        &None,
        "the next due time of nothing",
    )?;
    let mut new = world.new_run(&Shape::default());
    let due = new
        .run
        .created_at
        .checked_add(Duration::from_nanos(1_500))?;
    new.run.due_at = Some(due);
    let run = store.run_submit(new).await?.run;
    let next = store.next_due(None).await?;
    check!(
        next >= Some(due),
        "the next due time is not before {due}: {next:?}"
    );
    equal(
        &store.next_due(Some(run.id)).await?,
        &next,
        "the next due time of the run",
    )?;
    world.advance(Duration::from_micros(1));
    equal(
        &store.run_claim_due(world.claim_many(1)).await?,
        &Vec::new(),
        "a claim too early",
    )?;
    equal(
        &store.run_claim_due(world.claim_of(run.id)).await?,
        &Vec::new(),
        "the same, by id",
    )?;
    let now = next.unwrap_or(Timestamp::MAX);
    let claimed = store
        .run_claim_due(ClaimDue {
            now,
            ..world.claim_many(1)
        })
        .await?;
    equal(&claimed.len(), &1, "claims at the time that was named")?;
    equal(
        &store.next_due(None).await?,
        &None,
        "the next due time of a claimed run",
    )
}

/// A claim for one run leaves the others alone.
pub(super) async fn one_run_can_be_claimed_alone(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let older = world.submit(store.as_ref(), &Shape::default()).await?;
    let wanted = world.submit(store.as_ref(), &Shape::default()).await?;
    let claimed = world.claim(store.as_ref(), wanted.id).await?;
    equal(&claimed.id, &wanted.id, "the claimed run")?;
    equal(
        &store.run_get(older.id).await?,
        &Some(older),
        "the run that was not asked for",
    )
}

/// L60: each of many due runs is claimed once, however many drivers ask for it at the same time,
/// through whatever connections.
pub(super) async fn an_attempt_is_claimed_by_one_driver(subject: Subject) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(4).await?, World::default());
    let first = stores
        .first()
        .ok_or_else(|| Failure::new("no store".to_owned()))?;
    let submissions = (0..60).map(|_| {
        first.run_submit(NewRun {
            ..world.new_run(&Shape::default())
        })
    });
    let submitted = try_join_all(submissions).await?;
    let wanted: BTreeSet<_> = submitted
        .into_iter()
        .map(|submitted| submitted.run.id)
        .collect();
    // Two drivers for each store, each claiming three at a time until nothing is left.
    let drivers = stores.iter().flat_map(|store| [store, store]).map(|store| {
        let driver = world.driver_id();
        let world = &world;
        async move {
            let mut mine = Vec::new();
            loop {
                let claim = ClaimDue {
                    driver,
                    ..world.claim_many(3)
                };
                let claimed = store.run_claim_due(claim).await?;
                if claimed.is_empty() {
                    return Ok::<_, Failure>((driver, mine));
                }
                mine.extend(claimed);
            }
        }
    });
    let mut claimed = Vec::new();
    for done in join_all(drivers).await {
        let (driver, mine) = done?;
        for run in mine {
            let holder = run.attempt.as_ref().map(|attempt| attempt.driver);
            equal(
                &holder,
                &Some(driver),
                "who holds the run that a driver was given",
            )?;
            claimed.push(run.id);
        }
    }
    equal(&claimed.len(), &wanted.len(), "claims in all")?;
    equal(&claimed.into_iter().collect(), &wanted, "the claimed runs")
}
