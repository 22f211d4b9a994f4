//! A store with many runs that are over, filled quickly.
//!
//! Nothing is run: the runs, attempts, events, audit records and summaries are written through the store,
//! in the three transactions that a run of one step takes, many in flight so that commits are shared.
//! Directories of runs and attempts are not made.

use std::sync::atomic::{AtomicUsize, Ordering};

use moorline_engine::Engine;
use moorline_store::conformance::{Shape, World};

use crate::{Result, now, rate, say};

/// Runs that are written at once.
const AT_ONCE: usize = 256;

pub(crate) async fn fill(engine: &Engine, count: usize) -> Result {
    let store = engine.store();
    let world = World::default();
    let begun = now();
    let taken = AtomicUsize::new(0);
    let lanes = (0..AT_ONCE).map(|_| async {
        while taken.fetch_add(1, Ordering::Relaxed) < count {
            let mut new = world.new_run(&Shape::default());
            new.claim = Some((world.driver, world.attempt_id(), world.lease()));
            let run = store.run_submit(new).await?.run;
            let attempt = run.attempt.as_ref().ok_or("a claimed run has no attempt")?;
            let handle = World::handle(attempt.id);
            store
                .attempt_launched(run.id, run.token, handle, world.now())
                .await?;
            store
                .attempt_finish(world.finish(&run, World::success()))
                .await?;
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    });
    futures::future::try_join_all(lanes).await?;
    say("rate", &[rate(count, begun)]);
    Ok(())
}
