//! How much of everything there is.

use std::collections::BTreeMap;

use moorline_core::error_code::{FailureClass, RunStatus};

use super::check::equal;
use super::fixture::{failure, success};
use super::{Failure, Shape, Subject, World};
use crate::counts::StoreCounts;
use crate::types::EventFilter;

/// Nothing is counted in a new store; then each run is counted once, where it stands.
pub(super) async fn counts_follow_what_is_written(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    equal(&store.counts().await?, &StoreCounts::default(), "nothing")?;
    let shape = Shape::default();
    for verdict in [
        success(false),
        success(false),
        failure(FailureClass::Runtime),
    ] {
        let run = world.started(store, &shape).await?;
        store.attempt_finish(world.finish(&run, verdict)).await?;
    }
    world.started(store, &shape).await?;
    let counts = store.counts().await?;
    let runs = BTreeMap::from([
        (RunStatus::Running, 1),
        (RunStatus::Success, 2),
        (RunStatus::Failed, 1),
    ]);
    equal(&counts.runs, &runs, "runs by status")?;
    equal(&counts.attempts_live, &1, "attempts that have a process")?;
    let outbox = store.outbox_pending(None).await?.len() as u64;
    check!(
        counts.outbox_pending >= outbox,
        "{} effects are pending, of which {outbox} are listed",
        counts.outbox_pending
    );
    let newest = EventFilter {
        newest: true,
        limit: 1,
        ..EventFilter::default()
    };
    let head = store
        .events_list(newest)
        .await?
        .last()
        .map(|event| event.id);
    equal(&Some(counts.events_head), &head, "id of the newest event")
}
