//! Commits wake whoever waits for them.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::check::equal;
use super::{Failure, Shape, Subject, World};
use crate::store::Store;
use crate::types::EventFilter;

/// Far beyond what any machine needs.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until an event is told.
async fn told(changes: &mut watch::Receiver<u64>, event: u64) -> Result<(), Failure> {
    match timeout(PATIENCE, changes.wait_for(|newest| *newest >= event)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Failure::new(format!("event {event} was never told"))),
    }
}

async fn newest(store: &dyn Store) -> Result<u64, Failure> {
    let newest = EventFilter {
        newest: true,
        limit: 1,
        ..EventFilter::default()
    };
    let events = store.events_list(newest).await?;
    Ok(events.first().map_or(0, |event| event.id))
}

pub(super) async fn a_commit_of_another_process_wakes_who_waits(
    subject: Subject,
) -> Result<(), Failure> {
    let (here, there) = (subject.open().await?, subject.open().await?);
    let world = World::default();
    let (mut mine, mut theirs) = (here.changes(), there.changes());
    for _ in 0..3 {
        world.submit(here.as_ref(), &Shape::default()).await?;
        let event = newest(here.as_ref()).await?;
        told(&mut mine, event).await?;
        told(&mut theirs, event).await?;
        let run = world.started(there.as_ref(), &Shape::default()).await?;
        check!(run.attempt.is_some(), "the run is claimed");
        let event = newest(there.as_ref()).await?;
        told(&mut mine, event).await?;
        told(&mut theirs, event).await?;
    }
    Ok(())
}

/// What is told is the id of an event that can be read by then.
pub(super) async fn what_is_told_can_be_read(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let mut changes = store.changes();
    world.submit(store.as_ref(), &Shape::default()).await?;
    told(&mut changes, 1).await?;
    let told = *changes.borrow_and_update();
    let newest = newest(store.as_ref()).await?;
    equal(&told, &newest, "what is told is the newest event")?;
    // What appends no event wakes nobody.
    let entry = moorline_core::audit::NewAudit {
        at: world.now(),
        actor: "ada".to_owned(),
        operation: "doctor".to_owned(),
        subject: "installation".to_owned(),
        reason: None,
        data: serde_json::json!({}),
    };
    store.audit_append(entry).await?;
    check!(
        !changes.has_changed()?,
        "an audit record alone wakes nobody"
    );
    Ok(())
}
