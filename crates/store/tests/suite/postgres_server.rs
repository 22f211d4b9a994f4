//! PostgreSQL as a server: connections that break, histories that differ, secrets in its address.

use futures::future::try_join_all;
use moorline_store::conformance::{Shape, World};
use moorline_store::{EventFilter, PostgresStore, Store as _};
use moorline_testkit::postgres::{TestDatabase, create_database};
use sqlx::{Connection as _, Executor as _, PgConnection};

async fn edit(database: &TestDatabase, sql: &'static str) {
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    connection.execute(sql).await.unwrap();
}

#[tokio::test]
async fn postgres_replaces_connections_that_the_server_has_closed() {
    let database = create_database().unwrap();
    let store = PostgresStore::connect(database.url()).await.unwrap();
    let world = World::default();
    for _ in 0..3 {
        let run = store
            .run_submit(world.new_run(&Shape::default()))
            .await
            .unwrap()
            .run;
        assert_eq!(store.run_get(run.id).await.unwrap(), Some(run));
        // As a restart of the server does, for both the writer and the readers.
        edit(
            &database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    }
    assert_eq!(store.audit_head().await.unwrap().id, 3);
}

/// While servers are upgraded one after the other, older ones read what newer ones wrote.
#[tokio::test]
async fn postgres_lists_an_event_of_a_kind_that_is_not_known_with_the_others() {
    let database = create_database().unwrap();
    let store = PostgresStore::connect(database.url()).await.unwrap();
    let world = World::default();
    world.submit(&store, &Shape::default()).await.unwrap();
    edit(
        &database,
        "INSERT INTO events (id, at, kind, level, run_id, job_id, data) \
         SELECT id + 1, at, 'run.praised', level, run_id, job_id, data FROM events",
    )
    .await;
    edit(&database, "UPDATE head SET event_id = event_id + 1").await;
    let listed = store.events_list(EventFilter::default()).await.unwrap();
    let kinds: Vec<&str> = listed.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["run.queued", "run.praised"]);
}

#[tokio::test]
async fn postgres_may_be_opened_new_by_many_at_once() {
    let database = create_database().unwrap();
    let opening = (0..8).map(|_| PostgresStore::connect(database.url()));
    let stores = try_join_all(opening).await.unwrap();
    for store in &stores {
        assert_eq!(store.health().await.unwrap().schema, 3);
    }
}

#[tokio::test]
async fn postgres_with_a_newer_schema_is_refused() {
    let database = create_database().unwrap();
    drop(PostgresStore::connect(database.url()).await.unwrap());
    edit(
        &database,
        "INSERT INTO schema_history (version, name, checksum, compatible_with) \
         VALUES (4, 'later', 'x', 3), (5, 'after', 'y', 4)",
    )
    .await;
    let error = PostgresStore::connect(database.url()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the store has schema 5 (after), newer than this program's 3: use a newer moorline"
    );
    // One that only expanded is used as it is.
    edit(&database, "DELETE FROM schema_history WHERE version = 5").await;
    let store = PostgresStore::connect(database.url()).await.unwrap();
    let world = World::default();
    world.submit(&store, &Shape::default()).await.unwrap();
    let check = PostgresStore::check(database.url(), None).await.unwrap();
    assert_eq!((check.found, check.program), (4, 3));
    assert!(check.is_current());
}

#[tokio::test]
async fn postgres_commits_are_durable_whatever_the_default_of_the_server() {
    let database = create_database().unwrap();
    edit(
        &database,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', \
         current_database()); END $$",
    )
    .await;
    let store = PostgresStore::connect(database.url()).await.unwrap();
    let health = store.health().await.unwrap();
    assert_eq!(
        (health.engine.as_str(), health.durability.as_str()),
        ("postgres", "fsync=on, synchronous_commit=on")
    );
}

/// D-SEC: the password of the address is in no error and in no debug text.
#[tokio::test]
async fn postgres_errors_do_not_repeat_the_address() {
    let secret = "hunter2hunter2";
    let urls = [
        format!("postgres://ada:{secret}@localhost:1/db?host=/nonexistent"),
        format!("postgres://ada:{secret}@localhost:notaport/db"),
        format!("mysql://ada:{secret}@localhost/db"),
    ];
    for url in urls {
        let error = PostgresStore::connect(&url).await.unwrap_err();
        let mut text = format!("{error:?} {error}");
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text.push_str(&error.to_string());
            cause = error.source();
        }
        assert!(!text.contains(secret), "{text}");
    }
    let database = create_database().unwrap();
    let store = PostgresStore::connect(database.url()).await.unwrap();
    assert_eq!(format!("{store:?}"), "PostgresStore { .. }");
}
