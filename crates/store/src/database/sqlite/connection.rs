//! Connections to the file: how they are opened, how they wait, and [`Tx`] for them.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::future::{Future, ready};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, Statement, ToSql, params_from_iter};

use crate::database::sql::{self, Dialect};
use crate::database::tx::{self, Row, Tx, Val};
use crate::error::StoreError;

/// What the pragmas below come to, for [`health`](crate::Store::health).
pub(super) const DURABILITY: &str = "wal, synchronous=FULL";

/// `journal_size_limit`: the write-ahead log shrinks to this after a burst. `temp_store`: the journals of
/// savepoints are kept in memory, where they are files that are made and removed for each intent otherwise.
const SETTINGS: &str = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
    PRAGMA journal_size_limit = 16777216; PRAGMA cache_size = -4096; \
    PRAGMA temp_store = MEMORY;";

/// Between two looks at a lock that another process holds. SQLite's own handler sleeps up to 100 ms,
/// while a commit takes well under one.
const POLL: Duration = Duration::from_micros(500);

/// How often to look: half a minute and more. No commit takes that long; something hangs.
const POLLS: i32 = 60_000;

/// A reader waits for nothing but the recovery of the log after a crash.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Prepared statements kept: more than there are.
const STATEMENTS: usize = 128;

thread_local! {
    static WAITED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread had to wait for a lock since [`reset_wait`].
pub(super) fn had_to_wait() -> bool {
    WAITED.get()
}

/// See [`had_to_wait`].
pub(super) fn reset_wait() {
    WAITED.set(false);
}

fn wait_for_lock(polls: i32) -> bool {
    WAITED.set(true);
    thread::sleep(POLL);
    polls < POLLS
}

/// Opens the file for reading and writing, creating it when there is none.
pub(super) fn open_for_writing(path: &Path) -> Result<Connection, StoreError> {
    let opening = || format!("opening the store {}", path.display());
    create_private(path).map_err(|error| StoreError::unavailable(opening(), error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<(Connection, String)> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_handler(Some(wait_for_lock))?;
        let mode = write_ahead(&connection)?;
        connection.execute_batch(SETTINGS)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok((connection, mode))
    };
    let (connection, mode) = open().map_err(|error| explain(opening(), error))?;
    if mode == "wal" {
        return Ok(connection);
    }
    let what = format!(
        "the store {} can not use a write-ahead log: keep it on a local file system",
        path.display()
    );
    Err(StoreError::Unavailable { what, source: None })
}

/// Turns the write-ahead log on, which the file remembers. Two processes that open a new file at
/// once collide here, and SQLite does not ask the busy handler about this lock.
fn write_ahead(connection: &Connection) -> rusqlite::Result<String> {
    let mut polls = 0;
    loop {
        let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
        match mode {
            Err(error) if is_busy(&error) && wait_for_lock(polls) => polls += 1,
            mode => return mode,
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(
        code,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// Creates the file for its owner alone; the log and its index take their mode from it.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path).map(drop)
}

/// Opens a connection that can only read. The file must have been opened for writing before.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(READ_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    };
    open().map_err(|error| explain(format!("opening the store {}", path.display()), error))
}

/// Says what an error of SQLite means.
pub(super) fn explain(doing: String, error: rusqlite::Error) -> StoreError {
    let what = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!(
                "{doing}: another process has kept it locked for half a minute; end that process"
            )
        }
        Some(ErrorCode::DiskFull) => format!("{doing}: the disk is full"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            format!("{doing}: it can not be written to; check the permissions of its directory")
        }
        Some(ErrorCode::NotADatabase) => {
            format!("{doing}: the file is not a store; move it away or name another one")
        }
        Some(ErrorCode::DatabaseCorrupt) => {
            let what = "database file (it is damaged: restore it from a copy)".to_owned();
            return StoreError::Corrupt {
                what,
                source: Some(Box::new(error)),
            };
        }
        Some(ErrorCode::ConstraintViolation) => {
            return StoreError::Conflict {
                what: format!("{doing}: {error}"),
            };
        }
        _ => doing,
    };
    StoreError::unavailable(what, error)
}

impl Tx for Connection {
    const DIALECT: Dialect = sql::SQLITE;
    const LASTS: bool = true;

    fn execute(
        &mut self,
        sql: &'static str,
        args: &[Val<'_>],
    ) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let run = || {
            let mut statement = self.prepare_cached(sql)?;
            statement.execute(params_from_iter(args))
        };
        ready(match run() {
            Ok(changed) => Ok(u64::try_from(changed).unwrap_or(u64::MAX)),
            Err(error) => Err(explain("writing to the store".to_owned(), error)),
        })
    }

    fn rows(
        &mut self,
        sql: &'static str,
        args: &[Val<'_>],
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send {
        let run = || query(&mut *self.prepare_cached(sql)?, args);
        ready(run().map_err(|error| explain("reading from the store".to_owned(), error)))
    }

    fn script(&mut self, sql: &'static str) -> impl Future<Output = Result<(), StoreError>> + Send {
        let done = self.execute_batch(sql);
        ready(done.map_err(|error| explain("preparing the store".to_owned(), error)))
    }
}

fn query(statement: &mut Statement<'_>, args: &[Val<'_>]) -> rusqlite::Result<Vec<Row>> {
    let columns = statement.column_count();
    let mut rows = statement.query(params_from_iter(args))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let cells = (0..columns)
            .map(|index| cell(index, row))
            .collect::<Result<_, _>>()?;
        found.push(Row::new(cells));
    }
    Ok(found)
}

fn cell(index: usize, row: &rusqlite::Row<'_>) -> rusqlite::Result<tx::Cell> {
    match row.get_ref(index)? {
        ValueRef::Null => Ok(tx::Cell::Null),
        ValueRef::Integer(value) => Ok(tx::Cell::Int(value)),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Ok(tx::Cell::Text(text.to_owned())),
            Err(error) => Err(rusqlite::Error::Utf8Error(index, error)),
        },
        other => {
            let name = format!("column {index}");
            Err(rusqlite::Error::InvalidColumnType(
                index,
                name,
                other.data_type(),
            ))
        }
    }
}

impl ToSql for Val<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Int(Some(value)) => ToSqlOutput::Owned(Value::Integer(*value)),
            Self::Text(Some(text)) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Int(None) | Self::Text(None) => ToSqlOutput::Owned(Value::Null),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_for_writing_is_set_up_as_its_durability_says() {
        let directory = tempfile::tempdir().unwrap();
        let connection = open_for_writing(&directory.path().join("store.db")).unwrap();
        let pragma = |name: &str| -> String {
            connection
                .query_row(
                    &format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"),
                    [],
                    |row| row.get(0),
                )
                .unwrap()
        };
        // 2 is FULL: each commit is synced to the disk before it is acknowledged.
        assert_eq!(
            (pragma("journal_mode"), pragma("synchronous")),
            ("wal".to_owned(), "2".to_owned())
        );
        assert_eq!(DURABILITY, "wal, synchronous=FULL");
        assert_eq!(pragma("foreign_keys"), "1");
    }

    #[test]
    fn a_connection_for_reading_can_not_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        drop(open_for_writing(&path).unwrap());
        let reader = open_for_reading(&path).unwrap();
        let error = reader.execute_batch("CREATE TABLE t (v TEXT)").unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly));
    }
}
