//! The embedded engine: one SQLite file in WAL mode, shared by the processes of one machine.
//!
//! One thread of the process holds the connection that writes, and commits in groups (see
//! [`crate::database::writer`]). Reads have connections of their own, on tokio's blocking threads; in WAL mode
//! neither waits for the other. A commit is on the disk when it is acknowledged: `synchronous=FULL`.
//!
//! Deliberately absent: a shorter scheduler slice for the writer thread (`sched_setattr`). It would
//! take an unsafe system call; group commit makes up for late wake-ups on a busy machine.

mod connection;
mod readers;
mod watcher;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::FutureExt as _;
use rusqlite::Connection;

use tokio::sync::watch;

use self::readers::Readers;
use self::watcher::Watcher;
use crate::database::backend::Backend;
use crate::database::changes::Bell;
use crate::database::query::Query;
use crate::database::schema::{Migration, Schema};
use crate::database::writer::{BATCH, Queue, Writer, run_batch};
use crate::error::StoreError;
use crate::types::{SchemaCheck, StoreHealth, StoreIsolation};

pub(crate) const SCHEMA: Schema = Schema {
    bootstrap: "CREATE TABLE IF NOT EXISTS schema_history (
        version    INTEGER NOT NULL PRIMARY KEY,
        name       TEXT    NOT NULL,
        checksum   TEXT    NOT NULL,
        applied_at TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
        compatible_with INTEGER
    ) STRICT",
    history: "SELECT COUNT(*) FROM pragma_table_info('schema_history') \
        WHERE name IN ('version', 'compatible_with')",
    extend: "ALTER TABLE schema_history ADD COLUMN compatible_with INTEGER",
    begin_exclusive: "BEGIN IMMEDIATE",
    migrations: &[
        Migration {
            version: 1,
            name: "initial",
            compatible_with: 1,
            sql: include_str!("../../../migrations/sqlite/0001_initial.sql"),
        },
        Migration {
            version: 2,
            name: "governance",
            compatible_with: 2,
            sql: include_str!("../../../migrations/sqlite/0002_governance.sql"),
        },
        Migration {
            version: 3,
            name: "control_plane",
            compatible_with: 3,
            sql: include_str!("../../../migrations/sqlite/0003_control_plane.sql"),
        },
    ],
};

/// How long the writer lets others have the lock after it had to wait for it.
const COURTESY: Duration = Duration::from_millis(1);

/// State in one SQLite file.
///
/// Any number of processes on the machine may open the same file; each commits in its turn. Dropping
/// the store finishes what was handed over and closes the file.
///
/// ```no_run
/// # async fn example() -> Result<(), moorline_store::StoreError> {
/// use std::path::Path;
///
/// use moorline_store::{SqliteStore, Store as _};
///
/// let store = SqliteStore::open(Path::new(".moorline/store.db"))?;
/// println!("{}", store.health().await?.durability);
/// # Ok(())
/// # }
/// ```
pub struct SqliteStore {
    path: PathBuf,
    readers: Readers,
    /// `None` only while dropping.
    writer: Option<Writer<Connection>>,
    thread: Option<JoinHandle<()>>,
    changes: Bell,
    /// Started when somebody waits for changes; `None` where it can not be.
    watcher: OnceLock<Option<Watcher>>,
}

impl SqliteStore {
    /// Opens a store, creating it (readable by its owner alone) when there is none; its directory
    /// must exist. Brings an older schema up to date. Blocks for about a millisecond, a few when it
    /// creates.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the file can not be opened, is no store, is newer than this
    /// program, or stays locked. [`StoreError::Corrupt`]: the file is damaged.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = connection::open_for_writing(path)?;
        SCHEMA
            .prepare(&mut connection)
            .now_or_never()
            .ok_or_else(not_ready)??;
        let (writer, queue) = Writer::new();
        let changes = Bell::new();
        let bell = changes.clone();
        let thread = thread::Builder::new()
            .name("moorline-store".to_owned())
            .spawn(move || write_all(connection, queue, &bell))
            .map_err(|error| StoreError::unavailable("starting the store's writer", error))?;
        Ok(Self {
            path: path.to_owned(),
            readers: Readers::new(path),
            writer: Some(writer),
            thread: Some(thread),
            changes,
            watcher: OnceLock::new(),
        })
    }

    /// Compares the schema of a file with this program's, and changes nothing. A file that is not there
    /// lacks all of it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn check(path: &Path) -> Result<SchemaCheck, StoreError> {
        if !path.exists() {
            return Ok(SCHEMA.nothing());
        }
        let mut connection = connection::open_for_reading(path)?;
        let checked = SCHEMA.check(&mut connection).now_or_never();
        checked.ok_or_else(not_ready)?
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The life of the writer thread: ends when the store is dropped and the queue is empty.
fn write_all(mut connection: Connection, mut queue: Queue<Connection>, changes: &Bell) {
    let mut jobs = Vec::new();
    let mut waited = false;
    loop {
        // Whoever had to wait knows that there are others, and lets them go first. Otherwise the
        // process that just committed, being awake, would take the lock again and again.
        if waited && !queue.is_empty() {
            thread::sleep(COURTESY);
        }
        if queue.blocking_recv_many(&mut jobs, BATCH) == 0 {
            break;
        }
        connection::reset_wait();
        let done = run_batch(&mut connection, &mut jobs).now_or_never();
        waited = connection::had_to_wait();
        // A batch that is not ready can not be: every call of this engine blocks until it is done.
        let failure = done.and_then(|done| {
            changes.committed(&done);
            done.err()
        });
        for job in jobs.drain(..) {
            job.answer(failure.as_ref());
        }
    }
}

fn not_ready() -> StoreError {
    StoreError::Unavailable {
        what: "the store did not answer".to_owned(),
        source: None,
    }
}

impl Backend for SqliteStore {
    type Tx = Connection;

    const SHARED: bool = false;

    fn writer(&self) -> Option<&Writer<Connection>> {
        self.writer.as_ref()
    }

    async fn read<Q: Query>(&self, query: Q) -> Result<Q::Reply, StoreError> {
        self.readers.read(query).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.watcher.get_or_init(|| {
            Watcher::start(&self.path, self.changes.clone())
                .inspect_err(|error| {
                    tracing::warn!(%error, "commits of other processes are not noticed at once");
                })
                .ok()
        });
        self.changes.listen()
    }

    async fn describe(&self) -> Result<StoreHealth, StoreError> {
        Ok(StoreHealth {
            engine: "sqlite".to_owned(),
            version: rusqlite::version().to_owned(),
            schema: SCHEMA.version(),
            durability: connection::DURABILITY.to_owned(),
            isolation: StoreIsolation::Own,
        })
    }
}

impl Drop for SqliteStore {
    /// Lets the writer finish. The connection that closes last copies the log into the file.
    fn drop(&mut self) {
        self.readers.close();
        drop(self.watcher.take());
        drop(self.writer.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the writer was reported where it happened.
            drop(thread.join());
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
