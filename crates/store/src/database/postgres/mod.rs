//! The engine for many machines: one PostgreSQL database, shared by any number of processes.
//!
//! One task of the process holds the connection that writes, and commits in groups (see
//! [`crate::database::writer`]). The writers of all processes are serial: each begins by locking the one row
//! that every writer rewrites. So events and audit records have one order, without gaps, and a stop
//! that was acknowledged is seen by every claim that follows, on whichever machine. Reads go through
//! a small pool.

mod connection;

use std::fmt;
use std::str::FromStr as _;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::watch;

use self::connection::explain;
use crate::database::backend::Backend;
use crate::database::query::Query;
use crate::database::schema::{Migration, Schema};
use crate::database::tx::{Tx as _, args};
use crate::database::writer::{BATCH, BatchFailure, Job, Queue, Writer, run_batch};
use crate::error::StoreError;
use crate::types::StoreHealth;

pub(crate) const SCHEMA: Schema = Schema {
    bootstrap: "CREATE TABLE IF NOT EXISTS schema_history (
        version    BIGINT NOT NULL PRIMARY KEY,
        name       TEXT   NOT NULL,
        checksum   TEXT   NOT NULL,
        applied_at TEXT   NOT NULL
            DEFAULT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')
    )",
    exists: "SELECT (to_regclass('schema_history') IS NOT NULL)::int::bigint",
    // Any constant will do that nobody else uses; these are the first letters of the name.
    begin_exclusive: "BEGIN; SELECT pg_advisory_xact_lock(7885631)",
    migrations: &[
        Migration {
            version: 1,
            name: "initial",
            sql: include_str!("../../../migrations/postgres/0001_initial.sql"),
        },
        Migration {
            version: 2,
            name: "governance",
            sql: include_str!("../../../migrations/postgres/0002_governance.sql"),
        },
        Migration {
            version: 3,
            name: "control_plane",
            sql: include_str!("../../../migrations/postgres/0003_control_plane.sql"),
        },
    ],
};

/// What every session of ours is set to.
///
/// A commit is acknowledged when it is on the disk, whatever the server's default. A process that
/// stops in the middle of a transaction (suspended, or cut off from the network) loses it before
/// it keeps the writers of all other machines waiting for long.
const SESSION: [(&str, &str); 3] = [
    ("synchronous_commit", "on"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("lock_timeout", "30s"),
];

/// Connections for reading, at most.
const READERS: u32 = 4;

/// State in a PostgreSQL database.
///
/// ```no_run
/// # async fn example(url: &str) -> Result<(), moorline_store::StoreError> {
/// use moorline_store::{PostgresStore, Store as _};
///
/// let store = PostgresStore::connect(url).await?;
/// println!("{}", store.health().await?.durability);
/// # Ok(())
/// # }
/// ```
pub struct PostgresStore {
    writer: Writer<PgConnection>,
    readers: PgPool,
    changes: watch::Sender<u64>,
}

impl PostgresStore {
    /// Connects to `postgres://user:password@host:port/database?parameters`, with the parameters of
    /// libpq, and brings the schema up to date. Tables are made in the first schema of the
    /// `search_path`.
    ///
    /// The writer is a task of the runtime this is called on. It ends when the store is dropped and
    /// what was handed over is done.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the URL is wrong (the error does not repeat it), the server can
    /// not be reached or refuses, or the schema is newer than this program.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|error| explain("reading the URL of the PostgreSQL database", error))?
            .application_name("moorline")
            .options(SESSION)
            .disable_statement_logging();
        let mut connection = connect(&options).await?;
        SCHEMA.prepare(&mut connection).await?;
        let pool = PgPoolOptions::new().max_connections(READERS);
        let readers = pool.connect_lazy_with(options.clone());
        let (writer, queue) = Writer::new();
        spawn(write_all(options, connection, queue));
        Ok(Self {
            writer,
            readers,
            changes: watch::Sender::new(0),
        })
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let connection = PgConnection::connect_with(options).await;
    connection.map_err(|error| explain("connecting to PostgreSQL", error))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the writer must outlive any one caller, or a caller that gives up would cut off the \
              batch of all others; it ends with the store"
)]
fn spawn(writer: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(writer));
}

/// The life of the writer task: ends when the store is dropped and the queue is empty.
async fn write_all(
    options: PgConnectOptions,
    connection: PgConnection,
    mut queue: Queue<PgConnection>,
) {
    let mut connection = Some(connection);
    let mut jobs = Vec::new();
    while queue.recv_many(&mut jobs, BATCH).await > 0 {
        let failure = write(&options, &mut connection, &mut jobs).await.err();
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
) -> Result<(), BatchFailure> {
    if let Some(mut open) = connection.take() {
        match run_batch(&mut open, jobs).await {
            Ok(()) => {
                *connection = Some(open);
                return Ok(());
            }
            Err(failure) if !failure.untouched => return Err(failure),
            Err(_) => {}
        }
    }
    let mut fresh = connect(options).await.map_err(BatchFailure::untouched)?;
    run_batch(&mut fresh, jobs).await?;
    *connection = Some(fresh);
    Ok(())
}

impl Backend for PostgresStore {
    type Tx = PgConnection;

    fn writer(&self) -> Option<&Writer<PgConnection>> {
        Some(&self.writer)
    }

    async fn read<Q: Query>(&self, query: Q) -> Result<Q::Reply, StoreError> {
        let connection = self.readers.acquire().await;
        let mut connection =
            connection.map_err(|error| explain("connecting to PostgreSQL", error))?;
        query.read(&mut *connection).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn describe(&self) -> Result<StoreHealth, StoreError> {
        let connection = self.readers.acquire().await;
        let mut connection =
            connection.map_err(|error| explain("connecting to PostgreSQL", error))?;
        let settings = "SELECT current_setting('server_version'), current_setting('fsync'), \
             current_setting('synchronous_commit')";
        let row = connection.row(settings, args![]).await?;
        let mut row = row.ok_or_else(|| StoreError::not_found("setting of the server"))?;
        Ok(StoreHealth {
            engine: "postgres".to_owned(),
            version: row.text("server version")?,
            schema: SCHEMA.version(),
            durability: format!(
                "fsync={}, synchronous_commit={}",
                row.text("fsync")?,
                row.text("synchronous_commit")?
            ),
        })
    }
}

impl fmt::Debug for PostgresStore {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}
