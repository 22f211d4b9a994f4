//! What a worker process does.

use std::io::Write as _;

use futures::future::join_all;
use moorline_store::Store;
use moorline_store::conformance::{Shape, World};

/// Runs that a `live` worker submits and sees through.
pub(super) const LIVES: usize = 100;

/// Carries out an order.
pub(super) fn work(what: &str, engine: &str, place: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = super::open(engine, place).await;
        match what {
            "submit" => submit(store.as_ref()).await,
            "live" => live(store.as_ref()).await,
            other => panic!("no such order: {other}"),
        }
    });
}

/// Says what was done, in a line that is out before the next thing is done.
fn say(mark: &str, what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{mark} {what}").unwrap();
    out.flush().unwrap();
}

/// Submits, eight at a time, until it is killed.
async fn submit(store: &dyn Store) {
    let world = World::default();
    let submitters = (0..8).map(|_| async {
        loop {
            let submitted = store
                .run_submit(world.new_run(&Shape::default()))
                .await
                .unwrap();
            say("acknowledged", &submitted.run.id.to_string());
        }
    });
    join_all(submitters).await;
}

/// Submits [`LIVES`] runs, and claims and finishes as many of whichever are due, four at a time.
async fn live(store: &dyn Store) {
    let world = World::default();
    let lives = (0..4).map(|_| async {
        for _ in 0..LIVES / 4 {
            store
                .run_submit(world.new_run(&Shape::default()))
                .await
                .unwrap();
            // Another process may have taken ours; then one of theirs is due, now or soon.
            let run = loop {
                let claimed = store.run_claim_due(world.claim_many(1)).await.unwrap();
                if let Some(run) = claimed.into_iter().next() {
                    break run;
                }
            };
            say("claimed", &run.id.to_string());
            store
                .attempt_finish(world.finish(&run, World::success()))
                .await
                .unwrap();
        }
    });
    join_all(lives).await;
}
