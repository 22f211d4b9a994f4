//! The stop gate by itself (D-STOP-1). `stop_engage` also ends what is due, so that a claim meets
//! nothing that is covered; here the stop appears alone, written into the file, and the claims have
//! to see it.

use moorline_core::ids::RunId;
use moorline_core::run::Run;
use moorline_store::conformance::{Shape, World};
use moorline_store::{FinishAttempt, SqliteStore, Store as _};
use rusqlite::Connection;
use tempfile::TempDir;

fn of_job(job: &'static str) -> Shape {
    Shape {
        job,
        steps: &["extract", "publish"],
        ..Shape::default()
    }
}

struct Place {
    store: SqliteStore,
    world: World,
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store.db")).unwrap();
        Self {
            store,
            world: World::default(),
            directory,
        }
    }

    fn edit(&self, sql: &str) {
        let file = self.directory.path().join("store.db");
        Connection::open(file).unwrap().execute_batch(sql).unwrap();
    }

    fn stop_covered(&self) {
        self.edit("INSERT INTO stops VALUES ('job:covered', 'ada', 'the bank called', 0)");
    }

    async fn submit(&self, job: &'static str) -> RunId {
        self.store
            .run_submit(self.world.new_run(&of_job(job)))
            .await
            .unwrap()
            .run
            .id
    }

    async fn claim(&self, count: usize) -> Vec<Run> {
        self.store
            .run_claim_due(self.world.claim_many(count))
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_claim_passes_over_what_a_stop_covers() {
    let place = Place::new();
    for _ in 0..5 {
        place.submit("covered").await;
    }
    let free = [place.submit("free").await, place.submit("free").await];
    place.stop_covered();
    // The covered ones are due first, and more than are asked for at a time.
    let claimed: Vec<_> = place.claim(2).await.iter().map(|run| run.id).collect();
    assert_eq!(claimed, free);
    assert_eq!(place.claim(2).await, []);
    place.edit("DELETE FROM stops");
    assert_eq!(
        place.claim(10).await.len(),
        5,
        "what was held back is due after the release"
    );
}

#[tokio::test]
async fn a_claim_of_one_run_respects_its_stop() {
    let place = Place::new();
    let run = place.submit("covered").await;
    place.stop_covered();
    let claim = place.world.claim_of(run);
    assert_eq!(place.store.run_claim_due(claim).await.unwrap(), []);
}

#[tokio::test]
async fn a_next_step_is_not_claimed_behind_a_stop() {
    let place = Place::new();
    let run = place.submit("covered").await;
    let first = place.claim(1).await.remove(0);
    place.stop_covered();
    let world = &place.world;
    let claim_next = Some((world.driver, world.attempt_id(), world.lease()));
    let finish = FinishAttempt {
        claim_next,
        ..world.finish(&first, World::success())
    };
    let after = place.store.attempt_finish(finish).await.unwrap();
    assert_eq!((after.id, after.step, after.attempt), (run, 1, None));
    assert_eq!(
        after.due_at,
        Some(world.now()),
        "it stays due for after the release"
    );
}
