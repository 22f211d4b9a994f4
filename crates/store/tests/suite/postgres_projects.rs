//! Projects of one database: each a schema and a role of its own, which the server itself keeps apart.

use moorline_store::conformance::{Shape, World};
use moorline_store::{EventFilter, PostgresStore, RunFilter, Store, StoreError, StoreIsolation};
use moorline_testkit::canary;
use moorline_testkit::postgres::{TestDatabase, create_database};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

/// Roles belong to the whole server, which tests share: so each takes names of its own.
fn project(name: &str) -> String {
    format!("{name}-{}", canary::random_hex(4))
}

async fn server(database: &TestDatabase) -> PgConnection {
    PgConnection::connect(database.url()).await.unwrap()
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<(), String> {
    let done = connection.execute(AssertSqlSafe(statement)).await;
    done.map(drop).map_err(|error| error.to_string())
}

async fn count(connection: &mut PgConnection, statement: String) -> i64 {
    let row = connection.fetch_one(AssertSqlSafe(statement)).await;
    row.unwrap().get(0)
}

/// A session as the store sets up those of a project.
async fn session(database: &TestDatabase, project: &str) -> PgConnection {
    let mut connection = server(database).await;
    for setting in [
        format!("SET ROLE \"moorline_{project}\""),
        format!("SET search_path = \"moorline_{project}\""),
        format!("SET moorline.project = '{project}'"),
    ] {
        run(&mut connection, setting).await.unwrap();
    }
    connection
}

async fn runs(store: &dyn Store) -> usize {
    let events = store.events_list(EventFilter::default()).await.unwrap();
    events.len()
}

#[tokio::test]
async fn postgres_keeps_projects_apart() {
    let database = create_database().unwrap();
    let (acme, other) = (project("acme"), project("other"));
    let world = World::default();
    let default = PostgresStore::connect(database.url()).await.unwrap();
    let first = PostgresStore::connect_project(database.url(), &acme)
        .await
        .unwrap();
    let second = PostgresStore::connect_project(database.url(), &other)
        .await
        .unwrap();
    let run = world.submit(&first, &Shape::default()).await.unwrap();

    // Nothing of it is there for the others, and each counts its own events.
    assert_eq!(runs(&first).await, 1);
    for elsewhere in [&default, &second] {
        assert_eq!(elsewhere.run_get(run.id).await.unwrap(), None);
        assert_eq!(runs(elsewhere).await, 0);
    }
    let isolation = |role: &str| StoreIsolation::Role {
        role: format!("moorline_{role}"),
    };
    assert_eq!(first.health().await.unwrap().isolation, isolation(&acme));
    assert_eq!(second.health().await.unwrap().isolation, isolation(&other));
    let health = default.health().await.unwrap();
    assert_eq!(health.isolation, StoreIsolation::Own);

    // It is opened again as it is.
    let again = PostgresStore::connect_project(database.url(), &acme).await;
    assert_eq!(again.unwrap().run_get(run.id).await.unwrap(), Some(run));
    let check = PostgresStore::check(database.url(), Some(&acme)).await;
    assert!(check.unwrap().is_current());
}

#[tokio::test]
async fn postgres_refuses_the_tables_of_another_project() {
    let database = create_database().unwrap();
    let (acme, other) = (project("acme"), project("other"));
    let (_default, _store, _other) = (
        PostgresStore::connect(database.url()).await.unwrap(),
        PostgresStore::connect_project(database.url(), &acme)
            .await
            .unwrap(),
        PostgresStore::connect_project(database.url(), &other)
            .await
            .unwrap(),
    );
    let mut session = session(&database, &acme).await;
    let read = |table: String| format!("SELECT COUNT(*) FROM {table}");
    assert_eq!(count(&mut session, read("runs".to_owned())).await, 0);
    for (table, wanted) in [
        (
            format!("\"moorline_{other}\".runs"),
            format!("permission denied for schema moorline_{other}"),
        ),
        (
            "public.runs".to_owned(),
            "permission denied for table runs".to_owned(),
        ),
    ] {
        let refused = run(&mut session, read(table)).await.unwrap_err();
        assert!(refused.contains(&wanted), "{refused}");
    }
    // It can not make itself more than it is.
    let grant = format!("GRANT \"moorline_{other}\" TO \"moorline_{acme}\"");
    assert!(run(&mut session, grant).await.is_err());
}

#[tokio::test]
async fn postgres_shows_no_row_to_a_session_that_is_of_no_project() {
    let database = create_database().unwrap();
    let acme = project("acme");
    let store = PostgresStore::connect_project(database.url(), &acme)
        .await
        .unwrap();
    let world = World::default();
    world.submit(&store, &Shape::default()).await.unwrap();
    let mut session = session(&database, &acme).await;
    let runs = || "SELECT COUNT(*) FROM runs".to_owned();
    assert_eq!(count(&mut session, runs()).await, 1);
    for setting in ["SET moorline.project = 'other'", "RESET moorline.project"] {
        run(&mut session, setting.to_owned()).await.unwrap();
        assert_eq!(count(&mut session, runs()).await, 0, "{setting}");
        let delete = "DELETE FROM runs".to_owned();
        run(&mut session, delete).await.unwrap();
        let insert = "INSERT INTO specs (hash, doc) VALUES ('x', '{}')".to_owned();
        let refused = run(&mut session, insert).await.unwrap_err();
        assert!(refused.contains("row-level security policy"), "{refused}");
    }
    assert_eq!(
        store.runs_list(RunFilter::default()).await.unwrap().len(),
        1,
        "nothing was deleted"
    );
    // Every table has the policy, those of later migrations as well.
    let bare = format!(
        "SELECT COUNT(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = \
         (SELECT oid FROM pg_namespace WHERE nspname = 'moorline_{acme}') \
         AND NOT (relrowsecurity AND relforcerowsecurity)"
    );
    assert_eq!(count(&mut session, bare).await, 0);
}

/// Where roles can not be made, the schema is used without one, and that is told.
#[tokio::test]
async fn postgres_says_when_a_project_has_no_role_of_its_own() {
    let database = create_database().unwrap();
    let (acme, user) = (
        project("acme"),
        format!("limited_{}", canary::random_hex(4)),
    );
    let mut server = server(&database).await;
    run(&mut server, format!("CREATE ROLE {user} LOGIN"))
        .await
        .unwrap();
    let name: String = sqlx::query("SELECT current_database()::text")
        .fetch_one(&mut server)
        .await
        .unwrap()
        .get(0);
    run(
        &mut server,
        format!("GRANT CREATE ON DATABASE {name} TO {user}"),
    )
    .await
    .unwrap();
    let url = database.url().replace("postgres@", &format!("{user}@"));
    let store = PostgresStore::connect_project(&url, &acme).await.unwrap();
    let isolation = store.health().await.unwrap().isolation;
    assert!(
        matches!(&isolation, StoreIsolation::Schema { why } if why.contains("may not create roles")),
        "{isolation:?}"
    );
    let world = World::default();
    let run_of = world.submit(&store, &Shape::default()).await.unwrap();
    drop(store);

    // Once somebody makes the role for it, the project is handed over to it with what it has.
    for statement in [
        format!("CREATE ROLE \"moorline_{acme}\" NOLOGIN"),
        format!("GRANT \"moorline_{acme}\" TO {user}"),
        format!("GRANT CREATE ON DATABASE {name} TO \"moorline_{acme}\""),
    ] {
        run(&mut server, statement).await.unwrap();
    }
    let store = PostgresStore::connect_project(&url, &acme).await.unwrap();
    let health = store.health().await.unwrap();
    assert_eq!(
        health.isolation,
        StoreIsolation::Role {
            role: format!("moorline_{acme}")
        }
    );
    assert_eq!(store.run_get(run_of.id).await.unwrap(), Some(run_of));
    drop(store);
    run(&mut server, format!("REASSIGN OWNED BY {user} TO postgres"))
        .await
        .unwrap();
}

#[tokio::test]
async fn postgres_takes_no_name_of_a_project_that_is_none() {
    let database = create_database().unwrap();
    for name in ["", "Acme", "a_b", "a\"b", "2nd"] {
        let refused = PostgresStore::connect_project(database.url(), name).await;
        assert!(
            matches!(&refused, Err(StoreError::Conflict { what }) if what.contains("no name of a project")),
            "{name}: {refused:?}"
        );
    }
}

/// What a project lacks is told without making anything.
#[tokio::test]
async fn postgres_checks_the_schema_of_a_project_that_was_never_made() {
    let database = create_database().unwrap();
    let acme = project("acme");
    let check = PostgresStore::check(database.url(), Some(&acme))
        .await
        .unwrap();
    assert_eq!(check.found, 0);
    assert_eq!(check.pending.len(), check.program as usize);
    let mut server = server(&database).await;
    let made = format!("SELECT COUNT(*) FROM pg_namespace WHERE nspname = 'moorline_{acme}'");
    assert_eq!(count(&mut server, made).await, 0);
}
