//! A batch, on a SQLite connection: what is kept, what is not, and what callers are told.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, which clippy does not see behind a feature"
)]

use std::pin::pin;

use futures::FutureExt as _;
use moorline_core::stop::StopScope;
use rusqlite::Connection;

use super::*;
use crate::conformance::{Shape, World};
use crate::database::intent::{Claim, EngageStop, ReleaseStop, Submit};
use crate::database::sqlite::SCHEMA;
use crate::types::{NewRun, Submitted};

fn connection() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    SCHEMA
        .prepare(&mut connection)
        .now_or_never()
        .unwrap()
        .unwrap();
    connection
}

fn count(connection: &Connection, table: &str) -> i64 {
    let count = format!("SELECT COUNT(*) FROM {table}");
    connection.query_row(&count, [], |row| row.get(0)).unwrap()
}

/// Runs what waits as one batch, and answers.
fn run_queue(connection: &mut Connection, queue: &mut Queue<Connection>) {
    let mut jobs = Vec::new();
    while let Ok(job) = queue.try_recv() {
        jobs.push(job);
    }
    let failure = run_batch(connection, &mut jobs)
        .now_or_never()
        .unwrap()
        .err();
    for job in jobs {
        job.answer(failure.as_ref());
    }
}

/// Hands the intents over together, runs the one batch they make, and gives the answers.
fn together<I: Intent + Sync>(
    connection: &mut Connection,
    intents: Vec<I>,
) -> Vec<Result<I::Reply, StoreError>> {
    let (writer, mut queue) = Writer::new();
    let waiting: Vec<_> = intents
        .into_iter()
        .map(|intent| Box::pin(writer.submit(intent)))
        .collect();
    let mut answers = pin!(futures::future::join_all(waiting));
    assert!(
        answers.as_mut().now_or_never().is_none(),
        "nobody is answered before the commit"
    );
    run_queue(connection, &mut queue);
    answers.now_or_never().unwrap()
}

fn submit_together(
    connection: &mut Connection,
    submissions: Vec<NewRun>,
) -> Vec<Result<Submitted, StoreError>> {
    together(connection, submissions.into_iter().map(Submit).collect())
}

#[test]
fn a_batch_keeps_what_is_accepted_and_drops_what_is_refused() {
    let (mut connection, world) = (connection(), World::default());
    let twice = world.new_run(&Shape::default());
    let submissions = vec![twice.clone(), world.new_run(&Shape::default()), twice];
    let answers = submit_together(&mut connection, submissions);
    assert!(matches!(answers[0], Ok(Submitted { created: true, .. })));
    assert!(matches!(answers[1], Ok(Submitted { created: true, .. })));
    assert!(
        matches!(answers[2], Err(StoreError::Conflict { .. })),
        "{:?}",
        answers[2]
    );
    assert_eq!(
        (count(&connection, "runs"), count(&connection, "audit")),
        (2, 2)
    );
}

/// An attempt id that was used before is refused after the claim before it was written: the log
/// goes on as if that claim had never been.
#[test]
fn what_a_refused_intent_appended_is_taken_back() {
    let (mut connection, world) = (connection(), World::default());
    let submissions = (0..4).map(|_| world.new_run(&Shape::default())).collect();
    assert!(
        submit_together(&mut connection, submissions)
            .iter()
            .all(Result::is_ok)
    );
    let first = world.claim_many(1);
    let used = *first.attempt_ids.first().unwrap();
    let mut second = world.claim_many(2);
    *second.attempt_ids.last_mut().unwrap() = used;
    let claims = [first, second, world.claim_many(1)].map(Claim).into();
    let answers = together(&mut connection, claims);
    assert_eq!(answers[0].as_ref().unwrap().len(), 1);
    assert!(
        matches!(answers[1], Err(StoreError::Conflict { .. })),
        "{:?}",
        answers[1]
    );
    assert_eq!(answers[2].as_ref().unwrap().len(), 1);
    // Four submissions, two claims of two events each, and no gap.
    let last: i64 = connection
        .query_row("SELECT MAX(id) FROM events", [], |row| row.get(0))
        .unwrap();
    assert_eq!((count(&connection, "events"), last), (8, 8));
    assert_eq!(count(&connection, "attempts"), 2);
}

/// The stops are read once for a batch, and again after they have changed in it.
#[test]
fn a_stop_holds_for_what_comes_behind_it_in_the_batch() {
    let (mut connection, world) = (connection(), World::default());
    let submit = || Submit(world.new_run(&Shape::default()));
    let (writer, mut queue) = Writer::new();
    let mut answers = pin!(async {
        futures::join!(
            writer.submit(submit()),
            writer.submit(EngageStop(world.stop(StopScope::All))),
            writer.submit(submit()),
            writer.submit(ReleaseStop {
                scope: StopScope::All,
                actor: "ada".to_owned(),
                reason: "all is well".to_owned(),
                now: world.now(),
            }),
            writer.submit(submit()),
        )
    });
    assert!(answers.as_mut().now_or_never().is_none());
    run_queue(&mut connection, &mut queue);
    let (before, stopped, behind, released, after) = answers.now_or_never().unwrap();
    assert!(before.unwrap().created);
    assert_eq!(stopped.unwrap().schedules, [], "there is no schedule");
    assert!(
        matches!(behind, Err(StoreError::Stopped { .. })),
        "{behind:?}"
    );
    assert!(released.unwrap());
    assert!(after.unwrap().created);
}

#[test]
fn a_refused_intent_that_is_alone_writes_nothing() {
    let (mut connection, world) = (connection(), World::default());
    let new = world.new_run(&Shape::default());
    drop(submit_together(&mut connection, vec![new.clone()]));
    let answers = submit_together(&mut connection, vec![new]);
    assert!(
        matches!(answers[0], Err(StoreError::Conflict { .. })),
        "{:?}",
        answers[0]
    );
    assert_eq!(
        (count(&connection, "runs"), count(&connection, "audit")),
        (1, 1)
    );
    assert!(connection.is_autocommit(), "no transaction is left open");
}

/// The disk becomes full in the middle of a batch: all are told so, nothing is kept, and when there
/// is space again the same connection goes on.
#[test]
fn a_full_disk_fails_the_batch_and_leaves_the_store_whole() {
    let (mut connection, world) = (connection(), World::default());
    drop(submit_together(
        &mut connection,
        vec![world.new_run(&Shape::default())],
    ));
    let pages: i64 = connection
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .unwrap();
    let limit = |connection: &Connection, pages: i64| {
        connection
            .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
            .unwrap();
    };
    limit(&connection, pages + 2);
    let many = || (0..50).map(|_| world.new_run(&Shape::default())).collect();
    let answers = submit_together(&mut connection, many());
    assert_eq!(answers.len(), 50);
    for answer in &answers {
        let Err(error) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(error.to_string(), "writing to the store: the disk is full");
        let cause = Error::source(error).map(ToString::to_string);
        assert_eq!(cause.as_deref(), Some("database or disk is full"));
    }
    assert!(connection.is_autocommit(), "no transaction is left open");
    assert_eq!(
        (count(&connection, "runs"), count(&connection, "audit")),
        (1, 1)
    );

    limit(&connection, pages + 10_000);
    let answers = submit_together(&mut connection, many());
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(
        (count(&connection, "runs"), count(&connection, "audit")),
        (51, 51)
    );
    let ids = "SELECT COUNT(*) FROM events WHERE id BETWEEN 1 AND 51";
    let ids: i64 = connection.query_row(ids, [], |row| row.get(0)).unwrap();
    assert_eq!(ids, 51, "event ids have no gap after the failure");
}

#[test]
fn a_writer_that_is_gone_is_told() {
    let (writer, queue) = Writer::<Connection>::new();
    drop(queue);
    let submission = writer.submit(Submit(World::default().new_run(&Shape::default())));
    let answer = submission.now_or_never().unwrap();
    assert_eq!(
        answer.unwrap_err().to_string(),
        "the store's writer has ended"
    );
}
