//! The engine for many machines: one PostgreSQL database, shared by any number of processes.
//!
//! One task of the process holds the connection that writes, and commits in groups (see
//! [`crate::database::writer`]). The writers of all processes are serial: each begins by locking the one row
//! that every writer rewrites. So events and audit records have one order, without gaps, and a stop
//! that was acknowledged is seen by every claim that follows, on whichever machine. Reads go through
//! a small pool.

mod connection;
mod listener;
mod project;
mod session;
mod writing;

use std::fmt;
use std::sync::OnceLock;

use moorline_core::config::is_project_name;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, Postgres};
use tokio::runtime::Handle;
use tokio::sync::watch;

use self::connection::explain;
use self::listener::Listener;
use self::project::Project;
use crate::database::backend::Backend;
use crate::database::changes::Bell;
use crate::database::query::Query;
use crate::database::schema::{Migration, Schema};
use crate::database::tx::{Tx as _, args};
use crate::database::writer::Writer;
use crate::error::StoreError;
use crate::types::{SchemaCheck, StoreHealth, StoreIsolation};

pub(crate) const SCHEMA: Schema = Schema {
    bootstrap: "CREATE TABLE IF NOT EXISTS schema_history (
        version    BIGINT NOT NULL PRIMARY KEY,
        name       TEXT   NOT NULL,
        checksum   TEXT   NOT NULL,
        applied_at TEXT   NOT NULL
            DEFAULT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),
        compatible_with BIGINT
    )",
    history: "SELECT COUNT(*) FROM pg_attribute WHERE attrelid = to_regclass('schema_history') \
        AND attname IN ('version', 'compatible_with') AND NOT attisdropped",
    extend: "ALTER TABLE schema_history ADD COLUMN compatible_with BIGINT",
    // Any constant will do that nobody else uses; these are the first letters of the name.
    begin_exclusive: "BEGIN; SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock(7885631)",
    migrations: &[
        Migration {
            version: 1,
            name: "initial",
            compatible_with: 1,
            sql: include_str!("../../../migrations/postgres/0001_initial.sql"),
        },
        Migration {
            version: 2,
            name: "governance",
            compatible_with: 2,
            sql: include_str!("../../../migrations/postgres/0002_governance.sql"),
        },
        Migration {
            version: 3,
            name: "control_plane",
            compatible_with: 3,
            sql: include_str!("../../../migrations/postgres/0003_control_plane.sql"),
        },
    ],
};

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
    options: PgConnectOptions,
    isolation: StoreIsolation,
    changes: Bell,
    /// Started when somebody waits for changes.
    listener: OnceLock<Listener>,
    runtime: Handle,
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
        let project = Project {
            options: session::options(url)?,
            isolation: StoreIsolation::Own,
        };
        Self::open(project).await
    }

    /// Connects to the part of a database that belongs to a project: the schema `moorline_<project>`, made
    /// when it is missing, in sessions of the role `moorline_<project>`, which has rights on nothing else. So
    /// the server itself refuses the rows of other projects. Row-level security stands behind it, for
    /// sessions that were set up in another way.
    ///
    /// Where the user of the URL may not make the role, the schema is used without it;
    /// [`StoreHealth::isolation`] says so.
    ///
    /// ```no_run
    /// # async fn example(url: &str) -> Result<(), moorline_store::StoreError> {
    /// use moorline_store::{PostgresStore, Store as _};
    ///
    /// let store = PostgresStore::connect_project(url, "acme").await?;
    /// println!("{}", store.health().await?.isolation); // a schema of its own as role moorline_acme
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`connect`](Self::connect); a [conflict](StoreError::Conflict) for what is no
    /// [name of a project](is_project_name).
    pub async fn connect_project(url: &str, project: &str) -> Result<Self, StoreError> {
        let project = project::establish(&session::options(url)?, checked(project)?).await?;
        Self::open(project).await
    }

    /// Compares the schema of a database, or of a project in it, with this program's, and changes nothing.
    /// A project whose schema was never made lacks all of it.
    ///
    /// # Errors
    /// As [`connect`](Self::connect) and [`connect_project`](Self::connect_project).
    pub async fn check(url: &str, project: Option<&str>) -> Result<SchemaCheck, StoreError> {
        let mut options = session::options(url)?;
        if let Some(project) = project {
            options = project::sessions(&options, checked(project)?);
        }
        SCHEMA.check(&mut session::connect(&options).await?).await
    }

    async fn open(project: Project) -> Result<Self, StoreError> {
        let Project { options, isolation } = project;
        let mut connection = session::connect(&options).await?;
        SCHEMA.prepare(&mut connection).await?;
        if isolation != StoreIsolation::Own {
            project::protect(&mut connection).await?;
        }
        let readers = PgPoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(session::CONNECTING)
            .connect_lazy_with(options.clone());
        let (writer, queue) = Writer::new();
        let (runtime, changes) = (Handle::current(), Bell::new());
        // It must outlive any one caller, or a caller that gives up would cut off the batch of all others; it
        // ends with the store.
        runtime.spawn(writing::write_all(
            options.clone(),
            connection,
            queue,
            changes.clone(),
        ));
        Ok(Self {
            writer,
            readers,
            options,
            isolation,
            changes,
            listener: OnceLock::new(),
            runtime,
        })
    }

    async fn reader(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        let connection = self.readers.acquire().await;
        connection.map_err(|error| explain("connecting to PostgreSQL", error))
    }
}

fn checked(project: &str) -> Result<&str, StoreError> {
    if is_project_name(project) {
        return Ok(project);
    }
    let what = format!(
        "`{project}` is no name of a project: at most 32 lower-case letters, digits and `-`, a letter first"
    );
    Err(StoreError::Conflict { what })
}

impl Backend for PostgresStore {
    type Tx = PgConnection;

    const SHARED: bool = true;

    fn writer(&self) -> Option<&Writer<PgConnection>> {
        Some(&self.writer)
    }

    async fn read<Q: Query>(&self, query: Q) -> Result<Q::Reply, StoreError> {
        let mut connection = self.reader().await?;
        let reply = query.read(&mut *connection).await;
        if let Err(StoreError::Unavailable { .. }) = &reply {
            // Whatever is wrong with it, nobody else is to wait for it.
            drop(connection.detach());
        }
        reply
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.listener.get_or_init(|| {
            Listener::start(&self.runtime, self.options.clone(), self.changes.clone())
        });
        self.changes.listen()
    }

    async fn describe(&self) -> Result<StoreHealth, StoreError> {
        let mut connection = self.reader().await?;
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
            isolation: self.isolation.clone(),
        })
    }
}

impl fmt::Debug for PostgresStore {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}
