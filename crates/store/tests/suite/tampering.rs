//! L55: whoever edits the audit trail behind the store's back is found out (D-AUDIT-1).

use std::path::Path;

use moorline_core::audit::{ChainBreak, ChainVerifier};
use moorline_store::conformance::{Shape, World};
use moorline_store::{SqliteStore, Store as _};
use rusqlite::Connection;

/// What `audit verify` does.
async fn verify(path: &Path) -> Result<u64, ChainBreak> {
    let store = SqliteStore::open(path).unwrap();
    let mut verifier = ChainVerifier::default();
    for record in store.audit_list(0, 1000).await.unwrap() {
        verifier.push(&record)?;
    }
    let head = store.audit_head().await.unwrap();
    verifier.finish(head.id, &head.hash)
}

/// A trail of eight records, edited, and looked at.
async fn after(edit: &str) -> Result<u64, ChainBreak> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = SqliteStore::open(&path).unwrap();
    let world = World::default();
    for _ in 0..4 {
        let run = store
            .run_submit(world.new_run(&Shape::default()))
            .await
            .unwrap()
            .run;
        let claimed = store.run_claim_due(world.claim_of(run.id)).await.unwrap();
        store
            .attempt_finish(world.finish(claimed.first().unwrap(), World::success()))
            .await
            .unwrap();
    }
    drop(store);
    Connection::open(&path)
        .unwrap()
        .execute_batch(edit)
        .unwrap();
    verify(&path).await
}

#[tokio::test]
async fn an_untouched_trail_is_whole() {
    assert_eq!(after("").await, Ok(8));
}

#[tokio::test]
async fn every_changed_field_is_found() {
    let edits = [
        "at = at + 1",
        "actor = 'eve'",
        "operation = 'run.cancel'",
        "subject = 'run/other'",
        "reason = 'because'",
        "data = '{}'",
    ];
    for edit in edits {
        let found = after(&format!("UPDATE audit SET {edit} WHERE id = 3")).await;
        assert_eq!(found, Err(ChainBreak::Changed { id: 3 }), "{edit}");
    }
    let found = after("UPDATE audit SET hash = prev_hash WHERE id = 3").await;
    assert_eq!(found, Err(ChainBreak::Changed { id: 3 }));
    let found = after("UPDATE audit SET prev_hash = hash WHERE id = 3").await;
    assert_eq!(found, Err(ChainBreak::Gap { id: 3 }));
}

#[tokio::test]
async fn a_removed_record_is_found() {
    assert_eq!(
        after("DELETE FROM audit WHERE id = 1").await,
        Err(ChainBreak::Gap { id: 2 })
    );
    assert_eq!(
        after("DELETE FROM audit WHERE id = 3").await,
        Err(ChainBreak::Gap { id: 4 })
    );
}

#[tokio::test]
async fn removed_newest_records_are_found() {
    let found = after("DELETE FROM audit WHERE id > 6").await;
    assert_eq!(found, Err(ChainBreak::Head { found: 6, head: 8 }));
    let found = after("DELETE FROM audit").await;
    assert_eq!(found, Err(ChainBreak::Head { found: 0, head: 8 }));
}

#[tokio::test]
async fn swapped_records_are_found() {
    let swap = "UPDATE audit SET id = -3 WHERE id = 3; UPDATE audit SET id = 3 WHERE id = 4; \
         UPDATE audit SET id = 4 WHERE id = -3;";
    assert_eq!(after(swap).await, Err(ChainBreak::Gap { id: 3 }));
}

#[tokio::test]
async fn an_added_record_is_found() {
    let add = "INSERT INTO audit SELECT 9, at, 'eve', operation, subject, reason, data, hash, hash \
         FROM audit WHERE id = 8";
    assert_eq!(after(add).await, Err(ChainBreak::Changed { id: 9 }));
}
