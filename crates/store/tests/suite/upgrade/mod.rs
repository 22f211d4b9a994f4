//! A database of the schema before this one, with rows as a program of that time wrote them: this program
//! brings it up to date, reads every row of it, and goes on from there.

use std::path::Path;

use moorline_core::audit::ChainVerifier;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::RunStatus;
use moorline_core::spec::JobSpec;
use moorline_core::stop::StopScope;
use moorline_store::conformance::{Shape, World};
use moorline_store::{
    AlertFilter, ArtifactFilter, EventFilter, PostgresStore, RunFilter, SchemaCheck, SqliteStore,
    Store, StoreIsolation,
};
use moorline_testkit::postgres::create_database;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

const ROWS: &str = include_str!("rows.sql");

/// The history table as programs up to schema 2 made it.
const SQLITE_HISTORY: &str = "CREATE TABLE schema_history (
        version    INTEGER NOT NULL PRIMARY KEY,
        name       TEXT    NOT NULL,
        checksum   TEXT    NOT NULL,
        applied_at TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
    ) STRICT;";
const POSTGRES_HISTORY: &str = "CREATE TABLE schema_history (
        version    BIGINT NOT NULL PRIMARY KEY,
        name       TEXT   NOT NULL,
        checksum   TEXT   NOT NULL,
        applied_at TEXT   NOT NULL
            DEFAULT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')
    );";

/// Everything that an older program did to an empty database.
fn script(history: &str, initial: &str, governance: &str) -> String {
    let applied = [(1, "initial", initial), (2, "governance", governance)];
    let mut script = history.to_owned();
    for (version, name, sql) in applied {
        let checksum = ContentId::of_bytes(sql.as_bytes());
        script.push_str(sql);
        let row = format!("VALUES ({version}, '{name}', '{checksum}');");
        script.push_str("INSERT INTO schema_history (version, name, checksum) ");
        script.push_str(&row);
    }
    script + ROWS
}

fn old_file(path: &Path) {
    let script = script(
        SQLITE_HISTORY,
        include_str!("../../../migrations/sqlite/0001_initial.sql"),
        include_str!("../../../migrations/sqlite/0002_governance.sql"),
    );
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(&script).unwrap();
}

async fn old_database(url: &str) {
    let script = script(
        POSTGRES_HISTORY,
        include_str!("../../../migrations/postgres/0001_initial.sql"),
        include_str!("../../../migrations/postgres/0002_governance.sql"),
    );
    let mut connection = PgConnection::connect(url).await.unwrap();
    let script = sqlx::raw_sql(AssertSqlSafe(script));
    connection.execute(script).await.unwrap();
}

fn pending() -> SchemaCheck {
    SchemaCheck {
        found: 2,
        program: 3,
        pending: vec!["0003_control_plane".to_owned()],
    }
}

/// Every row can be read, and means what it meant.
async fn everything_is_there(store: &dyn Store) {
    let runs = store.runs_list(RunFilter::default()).await.unwrap();
    let seen: Vec<_> = runs
        .iter()
        .map(|run| (run.job_id.as_str(), run.status))
        .collect();
    assert_eq!(
        seen,
        [
            ("bad", RunStatus::Failed),
            ("two-step", RunStatus::Success),
            ("hello", RunStatus::Success)
        ]
    );
    for run in &runs {
        let summary = store.summary_get(run.id).await.unwrap().unwrap();
        assert_eq!((summary.run_id, summary.status), (run.id, run.status));
        let attempts = store.attempts_list(run.id).await.unwrap();
        assert_eq!(attempts.len(), run.steps.len());
        assert!(attempts.iter().all(|attempt| attempt.ended_at.is_some()));
        let spec = store.spec_get(&run.spec_hash).await.unwrap().unwrap();
        let spec: JobSpec = serde_json::from_str(&spec).unwrap();
        assert_eq!(spec.job_id, run.job_id);
    }
    let all = EventFilter {
        limit: 1000,
        ..EventFilter::default()
    };
    let events = store.events_list(all).await.unwrap();
    let ids: Vec<u64> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids, (1..=31).collect::<Vec<_>>());
    let records = store.audit_list(0, 1000).await.unwrap();
    let mut chain = ChainVerifier::default();
    for record in &records {
        chain.push(record).unwrap();
    }
    let head = store.audit_head().await.unwrap();
    assert_eq!((head.id, records.len()), (11, 11));
    let artifacts = store
        .artifacts_list(ArtifactFilter::default())
        .await
        .unwrap();
    let live = store.live_list().await.unwrap();
    assert_eq!((artifacts.len(), live.len()), (1, 1));
    assert_eq!(live[0].artifact, artifacts[0].id);
    assert_eq!(artifacts[0].decisions.len(), 1);
    let stops = store.stops_list().await.unwrap();
    assert_eq!(stops[0].scope, StopScope::Job("bad".to_owned()));
    assert_eq!(store.principals_list().await.unwrap().len(), 1);
    assert_eq!(
        store
            .alerts_list(AlertFilter::default())
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(store.outbox_pending(None).await.unwrap(), []);
    assert_eq!(store.runs_live().await.unwrap().len(), 0);
}

/// And it goes on where it was.
async fn it_goes_on(store: &dyn Store) {
    let world = World::default();
    let run = world.started(store, &Shape::default()).await.unwrap();
    let finish = world.finish(&run, World::success());
    let run = store.attempt_finish(finish).await.unwrap();
    assert_eq!(run.status, RunStatus::Success);
    let scope = StopScope::Job("bad".to_owned());
    let released = store
        .stop_release(&scope, "ada", "mended", world.now())
        .await;
    assert!(released.unwrap());
    let health = store.health().await.unwrap();
    assert_eq!((health.schema, health.isolation), (3, StoreIsolation::Own));
}

#[tokio::test]
async fn a_file_of_the_schema_before_is_brought_up_to_date_and_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    old_file(&path);
    assert_eq!(SqliteStore::check(&path).unwrap(), pending());
    // A look changes nothing.
    assert_eq!(SqliteStore::check(&path).unwrap(), pending());
    let store = SqliteStore::open(&path).unwrap();
    everything_is_there(&store).await;
    it_goes_on(&store).await;
    assert!(SqliteStore::check(&path).unwrap().is_current());
}

#[tokio::test]
async fn postgres_of_the_schema_before_is_brought_up_to_date_and_read() {
    let database = create_database().unwrap();
    old_database(database.url()).await;
    let check = || PostgresStore::check(database.url(), None);
    assert_eq!(check().await.unwrap(), pending());
    assert_eq!(check().await.unwrap(), pending());
    let store = PostgresStore::connect(database.url()).await.unwrap();
    everything_is_there(&store).await;
    it_goes_on(&store).await;
    assert!(check().await.unwrap().is_current());
}

/// An older process goes on beside it: its statements still fit the tables.
#[tokio::test]
async fn the_statements_of_an_older_program_still_fit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    old_file(&path);
    // It was open before the newer program came.
    let older = rusqlite::Connection::open(&path).unwrap();
    let history = "SELECT version, name, checksum FROM schema_history ORDER BY version";
    let mut seen = older.prepare(history).unwrap();
    assert_eq!(seen.query_map([], |_| Ok(())).unwrap().count(), 2);
    let store: Box<dyn Store> = Box::new(SqliteStore::open(&path).unwrap());
    assert_eq!(seen.query_map([], |_| Ok(())).unwrap().count(), 3);
    older
        .execute_batch(
            "BEGIN IMMEDIATE;
             INSERT INTO events (id, at, kind, level, run_id, job_id, data)
                 SELECT event_id + 1, 0, 'stop.released', 0, NULL, NULL, '{}' FROM head;
             UPDATE head SET event_id = event_id + 1 WHERE id = 1;
             INSERT INTO sources (id, state, run_id, updated_at) VALUES ('bank', 'active', NULL, 0);
             COMMIT;",
        )
        .unwrap();
    let mut changes = store.changes();
    let newest = changes
        .wait_for(|newest| *newest == 32)
        .await
        .map(|newest| *newest);
    assert_eq!(newest.unwrap(), 32);
    let source = store.source_get("bank").await.unwrap();
    assert!(source.is_some());
}
