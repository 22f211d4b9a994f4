//! The SQLite file: how it is opened, and what is refused.

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use moorline_core::event::EventKind;
use moorline_store::conformance::{Shape, World};
use moorline_store::{EventFilter, SqliteStore, Store as _, StoreError};
use rusqlite::Connection;
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    (directory, path)
}

/// Changes the file behind the store's back.
fn edit(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

fn refusal(path: &Path) -> String {
    SqliteStore::open(path).unwrap_err().to_string()
}

#[test]
fn a_store_that_is_newer_than_the_program_is_refused() {
    let (_directory, path) = place();
    drop(SqliteStore::open(&path).unwrap());
    edit(
        &path,
        "INSERT INTO schema_history (version, name, checksum) VALUES (99, 'later', 'x')",
    );
    assert_eq!(
        refusal(&path),
        "the store has schema 99 (later), newer than this program's 3: use a newer moorline"
    );
}

/// A newer program that only expanded says so in the history, and older ones go on.
#[test]
fn a_store_that_is_newer_and_says_that_it_only_expanded_is_used() {
    let (_directory, path) = place();
    drop(SqliteStore::open(&path).unwrap());
    let current = SqliteStore::check(&path).unwrap();
    assert_eq!((current.found, current.is_current()), (3, true));
    edit(
        &path,
        "INSERT INTO schema_history (version, name, checksum, compatible_with) \
         VALUES (4, 'later', 'x', 3), (5, 'after', 'y', 2)",
    );
    drop(SqliteStore::open(&path).unwrap());
    let check = SqliteStore::check(&path).unwrap();
    assert_eq!(
        (check.found, check.program, check.is_current()),
        (5, 3, true)
    );
    edit(
        &path,
        "UPDATE schema_history SET compatible_with = 4 WHERE version = 5",
    );
    assert_eq!(
        refusal(&path),
        "the store has schema 5 (after), newer than this program's 3: use a newer moorline"
    );
}

#[test]
fn what_a_store_lacks_is_told_without_making_it() {
    let (_directory, path) = place();
    let check = SqliteStore::check(&path).unwrap();
    assert_eq!(
        (check.found, check.pending.as_slice()),
        (
            0,
            ["0001_initial", "0002_governance", "0003_control_plane"]
                .map(str::to_owned)
                .as_slice()
        )
    );
    assert!(!path.exists());
}

#[test]
fn a_store_with_another_history_is_refused() {
    let (_directory, path) = place();
    drop(SqliteStore::open(&path).unwrap());
    edit(
        &path,
        "UPDATE schema_history SET checksum = 'edited' WHERE version = 1",
    );
    assert_eq!(
        refusal(&path),
        "the store's schema 1 (initial) is not the one of this program: its checksum differs; \
         use the program that created the store"
    );
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let (_directory, path) = place();
    std::fs::write(&path, "this is a diary, and not a database\n".repeat(100)).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert_eq!(
        refusal(&path),
        format!(
            "opening the store {}: the file is not a store; move it away or name another one",
            path.display()
        )
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let (directory, _) = place();
    let path = directory.path().join("absent/store.db");
    assert_eq!(
        refusal(&path),
        format!("opening the store {}", path.display())
    );
    assert!(!directory.path().join("absent").exists());
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_a_new_store() {
    use std::os::unix::fs::PermissionsExt as _;
    let (directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let modes: Vec<u32> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    // The file, its log and the log's index.
    assert_eq!(modes, [0o600; 3]);
    drop(store);
}

#[test]
fn processes_may_open_a_new_store_at_the_same_time() {
    for _ in 0..5 {
        let (_directory, path) = place();
        let start = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    drop(SqliteStore::open(&path).unwrap());
                });
            }
        });
        let history: i64 = Connection::open(&path)
            .unwrap()
            .query_row("SELECT COUNT(*) FROM schema_history", [], |row| row.get(0))
            .unwrap();
        assert_eq!(history, 3);
    }
}

/// A closed store is one file: nothing of it stays in a log beside it.
#[tokio::test]
async fn closing_leaves_one_file() {
    let (directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let world = World::default();
    let run = store
        .run_submit(world.new_run(&Shape::default()))
        .await
        .unwrap()
        .run;
    assert_eq!(store.run_get(run.id).await.unwrap(), Some(run));
    drop(store);
    let left: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["store.db"]);
}

/// A caller that gives up does not take back what it handed over.
#[tokio::test]
async fn what_was_handed_over_is_done_though_nobody_waits() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let world = World::default();
    let new = world.new_run(&Shape::default());
    let id = new.run.id;
    let mut submission = store.run_submit(new);
    assert!(futures::poll!(&mut submission).is_pending());
    drop(submission);
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert!(store.run_get(id).await.unwrap().is_some());
}

/// What is stored and can not be understood is told, with what it is.
#[tokio::test]
async fn a_damaged_value_is_named() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let world = World::default();
    let run = store
        .run_submit(world.new_run(&Shape::default()))
        .await
        .unwrap()
        .run;
    edit(&path, "UPDATE runs SET doc = '{}'");
    let error = store.run_get(run.id).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert_eq!(error.to_string(), "stored run can not be read");
}

/// While servers are upgraded one after the other, older ones read what newer ones wrote.
#[tokio::test]
async fn an_event_of_a_kind_that_is_not_known_is_listed_with_the_others() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let world = World::default();
    world.submit(&store, &Shape::default()).await.unwrap();
    edit(&path, NEWER_EVENT);
    let listed = store.events_list(EventFilter::default()).await.unwrap();
    assert_eq!(
        listed
            .iter()
            .map(|event| event.kind.as_str())
            .collect::<Vec<_>>(),
        ["run.queued", "run.praised"]
    );
    assert_eq!(listed[1].kind.known(), None);
    let known = EventFilter {
        kinds: vec![EventKind::RunQueued],
        ..EventFilter::default()
    };
    assert_eq!(store.events_list(known).await.unwrap(), &listed[..1]);
}

/// What a newer program appends: an event, and where the log ends now.
const NEWER_EVENT: &str = "INSERT INTO events (id, at, kind, level, run_id, job_id, data) \
     SELECT id + 1, at, 'run.praised', level, run_id, job_id, '{\"by\":\"human:ada\"}' FROM events; \
     UPDATE head SET event_id = event_id + 1;";
