//! The event log and the audit trail.

use std::sync::Arc;

use futures::future::{join_all, try_join, try_join_all};
use moorline_core::audit::{ChainVerifier, NewAudit};
use moorline_core::error_code::FailureClass;
use serde_json::json;

use super::check::equal;
use super::fixture::{failure, handle_of, success};
use super::{Failure, Shape, Subject, World};
use crate::store::Store;
use crate::types::EventFilter;

/// Lives of runs, through all connections at the same time; some writes are refused on the way.
async fn busy(stores: &[Arc<dyn Store>], world: &World) -> Result<(), Failure> {
    let lives = stores
        .iter()
        .flat_map(|store| (0..8).map(move |n| (store.as_ref(), n)));
    let lives = lives.map(|(store, n)| async move {
        let run = world
            .started(
                store,
                &Shape {
                    source: Some("bank"),
                    ..Shape::default()
                },
            )
            .await?;
        store
            .attempt_launched(run.id, run.token, handle_of(&run)?, world.now())
            .await?;
        let late = world.finish(
            &moorline_core::run::Run {
                token: 0,
                ..run.clone()
            },
            success(true),
        );
        check!(
            store.attempt_finish(late).await.is_err(),
            "a stale end is refused"
        );
        let verdict = if n % 2 == 0 {
            success(true)
        } else {
            failure(FailureClass::Validation)
        };
        store.attempt_finish(world.finish(&run, verdict)).await?;
        Ok::<_, Failure>(())
    });
    try_join_all(lives).await.map(drop)
}

/// Ids grow by one, in the order in which they can be read: whoever has read up to an id will never
/// find a smaller one later.
pub(super) async fn event_ids_have_no_gap_under_concurrency(
    subject: Subject,
) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(3).await?, World::default());
    let reader = subject.open().await?;
    let reading = async {
        // A follower, as `events watch` is: from the cursor on, until all are there.
        let mut seen: Vec<u64> = Vec::new();
        while seen.len() < 3 * 8 * 7 {
            let after = seen.last().copied().unwrap_or(0);
            let page = reader
                .events_list(EventFilter {
                    after,
                    ..EventFilter::default()
                })
                .await?;
            seen.extend(page.into_iter().map(|event| event.id));
        }
        Ok::<_, Failure>(seen)
    };
    let ((), mut seen) = try_join(busy(&stores, &world), reading).await?;
    let rest = EventFilter {
        after: seen.last().copied().unwrap_or(0),
        limit: 10_000,
        ..EventFilter::default()
    };
    seen.extend(
        reader
            .events_list(rest)
            .await?
            .into_iter()
            .map(|event| event.id),
    );
    let wanted: Vec<u64> = (1..=u64::try_from(seen.len())?).collect();
    equal(&seen, &wanted, "the ids that a follower reads")
}

/// D-AUDIT-1: one chain, whoever writes, and a head that fits it.
pub(super) async fn the_audit_chain_holds_under_concurrency(
    subject: Subject,
) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(3).await?, World::default());
    busy(&stores, &world).await?;
    let store = subject.open().await?;
    let mut verifier = ChainVerifier::default();
    let mut after = 0;
    loop {
        // Small pages: the cursor is part of what is tested.
        let page = store.audit_list(after, 10).await?;
        for record in &page {
            verifier.push(record)?;
            after = record.id;
        }
        if page.len() < 10 {
            break;
        }
    }
    let head = store.audit_head().await?;
    let records = verifier.finish(head.id, &head.hash)?;
    check!(
        records >= 3 * 8 * 2,
        "each run leaves its submission and its end: {records} records"
    );
    Ok(())
}

/// Refused and accepted writes share a transaction; the refused ones leave nothing behind.
pub(super) async fn a_refused_write_leaves_no_trace(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let taken = world.new_run(&Shape::default());
    store.run_submit(taken.clone()).await?;
    // All at once, so that they wait for the writer together: every other one is refused.
    let mixed = (0..40).map(|n| {
        let new = if n % 2 == 0 {
            world.new_run(&Shape::default())
        } else {
            taken.clone()
        };
        store.run_submit(new)
    });
    let accepted = join_all(mixed).await.into_iter().flatten().count();
    equal(&accepted, &20, "accepted submissions")?;
    let events = store
        .events_list(EventFilter {
            limit: 1000,
            ..EventFilter::default()
        })
        .await?;
    equal(&events.len(), &21, "events: one for each run")?;
    let audit = store.audit_list(0, 1000).await?;
    equal(&audit.len(), &21, "audit records: one for each run")
}

/// D-AUDIT-1: an operation that changes nothing else still leaves its record.
pub(super) async fn an_operation_can_be_audited_by_itself(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let entry = NewAudit {
        actor: "ada".to_owned(),
        operation: "secrets.check".to_owned(),
        subject: "secret/bank".to_owned(),
        reason: Some("a look".to_owned()),
        data: json!({"found": true, "share": 0.1, "text": "ü \u{0} \"quoted\""}),
        at: world.now(),
    };
    store.audit_append(entry.clone()).await?;
    let records = store.audit_list(0, 10).await?;
    let [record] = records.as_slice() else {
        return Err(Failure::new(format!("one record is wanted: {records:?}")));
    };
    let found = NewAudit {
        actor: record.actor.clone(),
        operation: record.operation.clone(),
        subject: record.subject.clone(),
        reason: record.reason.clone(),
        data: record.data.clone(),
        at: record.at,
    };
    equal(&found, &entry, "the record")?;
    let mut verifier = ChainVerifier::default();
    verifier.push(record)?;
    let head = store.audit_head().await?;
    equal(
        &verifier.finish(head.id, &head.hash)?,
        &1,
        "records in the chain",
    )
}

/// A store that answers says what it is, and that its commits are durable.
pub(super) async fn a_healthy_store_says_how_it_is_set_up(subject: Subject) -> Result<(), Failure> {
    let store = subject.open().await?;
    let health = store.health().await?;
    check!(
        !health.engine.is_empty() && !health.version.is_empty(),
        "who it is: {health:?}"
    );
    check!(
        health.schema >= 1 && !health.durability.is_empty(),
        "how it is set up: {health:?}"
    );
    equal(
        &store.audit_head().await?.id,
        &0,
        "audit records after a look at the health",
    )
}
