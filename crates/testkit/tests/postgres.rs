//! The cluster of the tests' own, on a real PostgreSQL.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests look at real processes"
)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use moorline_testkit::postgres::{self, Postgres, PostgresError, PostgresOptions};
use moorline_testkit::{process, wait};

const DEADLINE: Duration = Duration::from_secs(30);

/// The directory of a cluster, out of its URL.
fn directory(server: &Postgres) -> PathBuf {
    server.url().rsplit_once("host=").unwrap().1.into()
}

fn server_runs_in(directory: &Path) -> bool {
    !process::matching(&directory.display().to_string())
        .unwrap()
        .is_empty()
}

#[test]
fn each_postgres_database_is_empty_and_its_own() {
    let server = Postgres::shared().unwrap();
    let (one, two) = (
        server.create_database().unwrap(),
        server.create_database().unwrap(),
    );
    assert_ne!(one.name(), two.name());
    assert!(one.url().contains(one.name()));
    let exists = |name: &str| {
        // Division by zero unless the database is there exactly once.
        let count = format!("select 1 / count(*) from pg_database where datname = '{name}'");
        server.execute(&count).is_ok()
    };
    let name = one.name().to_owned();
    assert!(exists(&name) && exists(two.name()));
    drop(one);
    assert!(!exists(&name) && exists(two.name()));
}

#[test]
fn a_refused_postgres_statement_is_told() {
    let error = Postgres::shared()
        .unwrap()
        .execute("select no_such_column")
        .unwrap_err();
    assert!(error.to_string().contains("no_such_column"), "{error}");
}

#[test]
fn a_postgres_cluster_is_durable_and_ends_with_its_value() {
    let server = Postgres::start().unwrap();
    let directory = directory(&server);
    assert!(server_runs_in(&directory));
    server
        .execute("select 1 / (current_setting('fsync') = 'on')::int")
        .unwrap();
    drop(server);
    assert!(!server_runs_in(&directory));
    assert!(!directory.exists());
}

/// A required service that does not come up is an error with its reason (L76).
#[test]
fn a_postgres_that_does_not_start_says_why() {
    let settings = vec!["no_such_setting = 1".to_owned()];
    let error = Postgres::start_with(&PostgresOptions {
        settings,
        ..Default::default()
    });
    match error.unwrap_err() {
        PostgresError::Start { log } => assert!(log.contains("no_such_setting"), "{log}"),
        other => panic!("{other}"),
    }
}

/// The owner is killed by SIGKILL, so it runs no code of its own any more.
#[test]
fn a_postgres_cluster_ends_with_a_killed_owner() {
    let marker = tempfile::NamedTempFile::new().unwrap();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner_of_a_postgres_cluster", "--ignored"])
        .env("TESTKIT_OWNER_WRITES_TO", marker.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let directory: PathBuf = wait::some(DEADLINE, "the owner to have its cluster", || {
        let text = std::fs::read_to_string(marker.path()).unwrap();
        text.strip_suffix('\n').map(PathBuf::from)
    })
    .unwrap();
    assert!(server_runs_in(&directory));
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait::until(DEADLINE, "the cluster to be gone", || {
        !server_runs_in(&directory) && !directory.exists()
    })
    .unwrap();
}

/// The child of [`a_postgres_cluster_ends_with_a_killed_owner`]. Without that parent there is
/// nothing to show, and it ends at once.
#[test]
#[ignore = "a helper of the other tests, which start it as a process"]
fn owner_of_a_postgres_cluster() {
    let Some(file) = moorline_testkit::env::read("TESTKIT_OWNER_WRITES_TO") else {
        return;
    };
    let server = Postgres::start().unwrap();
    std::fs::write(file, format!("{}\n", directory(&server).display())).unwrap();
    wait::until(DEADLINE, "being killed", || false).unwrap();
}

#[test]
fn the_url_of_a_postgres_database_can_be_had_in_one_call() {
    let database = postgres::create_database().unwrap();
    assert!(database.url().starts_with("postgres://"));
}
