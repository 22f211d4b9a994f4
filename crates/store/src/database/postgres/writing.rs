//! The task that writes: one connection, replaced when it breaks.

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::session::connect;
use crate::database::changes::Bell;
use crate::database::writer::{BATCH, BatchFailure, Job, Queue, run_batch};

/// The life of the writer task: ends when the store is dropped and the queue is empty.
pub(super) async fn write_all(
    options: PgConnectOptions,
    connection: PgConnection,
    mut queue: Queue<PgConnection>,
    changes: Bell,
) {
    let mut connection = Some(connection);
    let mut jobs = Vec::new();
    while queue.recv_many(&mut jobs, BATCH).await > 0 {
        let done = write(&options, &mut connection, &mut jobs).await;
        changes.committed(&done);
        let failure = done.err();
        for job in jobs.drain(..) {
            job.answer(failure.as_ref());
        }
    }
    if let Some(connection) = connection {
        // The server notices by itself when this can not be said.
        drop(connection.close().await);
    }
}

/// Runs a batch. A connection that turns out to be dead before anything was done on it is replaced,
/// once; after any other failure the next batch gets a new one.
async fn write(
    options: &PgConnectOptions,
    connection: &mut Option<PgConnection>,
    jobs: &mut [Box<dyn Job<PgConnection>>],
) -> Result<Option<u64>, BatchFailure> {
    if let Some(mut open) = connection.take() {
        match run_batch(&mut open, jobs).await {
            Ok(newest) => {
                *connection = Some(open);
                return Ok(newest);
            }
            Err(failure) if !failure.untouched => return Err(failure),
            Err(_) => {}
        }
    }
    let mut fresh = connect(options).await.map_err(BatchFailure::untouched)?;
    let newest = run_batch(&mut fresh, jobs).await?;
    *connection = Some(fresh);
    Ok(newest)
}
