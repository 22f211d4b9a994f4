//! The schema history: which migrations a database has, and bringing it up to date.
//!
//! Each engine has its own files, `migrations/<engine>/NNNN_name.sql`, compiled in. A migration that
//! has been applied is never edited: its checksum is kept with it and compared at every open.
//!
//! A database that is newer than the program is refused, since nobody knows what its rows mean, unless its
//! history says that they mean the same: each row names the lowest schema whose programs may still use the
//! database ([`Migration::compatible_with`]). So a fleet is upgraded one process at a time when a migration
//! only expanded (tables, columns that may be empty, indexes), and what an older program can not know is
//! contracted by a later version, when none of them is left.
//!
//! Opening a database that is up to date costs one query. Otherwise everything missing is applied in
//! one transaction, behind the engine's exclusive lock, so that two processes may open a new
//! database at the same time.
//!
//! Deliberately absent: downgrades. Whoever wants to go back restores a copy.

use moorline_core::content_id::ContentId;

use crate::database::sql;
use crate::database::tx::{Tx, args};
use crate::error::StoreError;
use crate::types::SchemaCheck;

/// One migration, compiled in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    pub(crate) version: u32,
    pub(crate) name: &'static str,
    /// The lowest schema whose programs may use the database after it: they read every row that newer
    /// programs write, and what they write back loses nothing.
    pub(crate) compatible_with: u32,
    pub(crate) sql: &'static str,
}

/// The history of one engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema {
    /// Creates the table `schema_history` unless it is there.
    pub(crate) bootstrap: &'static str,
    /// How the table is: one row with 0 (there is none), 1 (as programs up to schema 2 made it) or 2.
    pub(crate) history: &'static str,
    /// Brings the table from 1 to 2.
    pub(crate) extend: &'static str,
    /// Begins the transaction that no other opener can be in.
    pub(crate) begin_exclusive: &'static str,
    /// Oldest first, versions 1, 2, 3….
    pub(crate) migrations: &'static [Migration],
}

/// What a look at a database found.
#[derive(Debug)]
struct Look {
    /// See [`Schema::history`].
    history: i64,
    /// The newest version that the database has; 0 for a new one.
    newest: u32,
    missing: &'static [Migration],
}

impl Schema {
    /// The version that this program writes.
    pub(crate) fn version(&self) -> u32 {
        self.migrations
            .last()
            .map_or(0, |migration| migration.version)
    }

    /// Compares the history with this program's; changes nothing.
    pub(crate) async fn check<T: Tx>(&self, tx: &mut T) -> Result<SchemaCheck, StoreError> {
        let look = self.look(tx).await?;
        Ok(self.report(look.newest, look.missing))
    }

    /// What [`check`](Self::check) says of a database that does not exist.
    #[cfg(feature = "sqlite")]
    pub(crate) fn nothing(&self) -> SchemaCheck {
        self.report(0, self.migrations)
    }

    fn report(&self, found: u32, missing: &[Migration]) -> SchemaCheck {
        let name = |migration: &Migration| format!("{:04}_{}", migration.version, migration.name);
        SchemaCheck {
            found,
            program: self.version(),
            pending: missing.iter().map(name).collect(),
        }
    }

    /// Checks the history and applies what is missing. Returns whether anything was.
    pub(crate) async fn prepare<T: Tx>(&self, tx: &mut T) -> Result<bool, StoreError> {
        if self.look(tx).await?.missing.is_empty() {
            return Ok(false);
        }
        tx.script(self.begin_exclusive).await?;
        let applied = self.migrate(tx).await;
        match applied {
            Ok(()) => tx.script("COMMIT").await.map(|()| true),
            Err(error) => {
                // The first error is the one to tell.
                drop(tx.script("ROLLBACK").await);
                Err(error)
            }
        }
    }

    async fn migrate<T: Tx>(&self, tx: &mut T) -> Result<(), StoreError> {
        tx.script(self.bootstrap).await?;
        let look = self.look(tx).await?;
        if look.history == 1 {
            tx.script(self.extend).await?;
        }
        for migration in look.missing {
            tx.script(migration.sql).await?;
            let checksum = migration.checksum();
            let args = args![
                migration.version,
                migration.name,
                checksum,
                migration.compatible_with
            ];
            tx.execute(sql::HISTORY_INSERT, args).await?;
        }
        Ok(())
    }

    /// The migrations that the database lacks, after a look at those that it has.
    async fn look<T: Tx>(&self, tx: &mut T) -> Result<Look, StoreError> {
        let row = tx.row(self.history, args![]).await?;
        let history = row.map_or(Ok(0), |mut row| row.int("schema history"))?;
        let rows = match history {
            0 => Vec::new(),
            1 => tx.rows(sql::HISTORY_FIRST, args![]).await?,
            _ => tx.rows(sql::HISTORY, args![]).await?,
        };
        let mut known = self.migrations.iter();
        let mut newest = 0;
        for mut row in rows {
            let version: u32 = row.unsigned("schema version")?;
            let name = row.text("migration name")?;
            let checksum = row.text("migration checksum")?;
            let compatible: u32 = row.unsigned("lowest compatible schema")?;
            newest = version;
            match known.next() {
                Some(migration) if migration.version == version => {
                    if migration.checksum() != checksum {
                        return Err(unusable(format!(
                            "the store's schema {version} ({name}) is not the one of this program: \
                             its checksum differs; use the program that created the store"
                        )));
                    }
                }
                None if compatible <= self.version() => {}
                None => {
                    return Err(unusable(format!(
                        "the store has schema {version} ({name}), newer than this program's {}: \
                         use a newer moorline",
                        self.version()
                    )));
                }
                Some(migration) => {
                    return Err(unusable(format!(
                        "the store's schema history lacks version {}: restore it from a copy",
                        migration.version
                    )));
                }
            }
        }
        Ok(Look {
            history,
            newest,
            missing: known.as_slice(),
        })
    }
}

impl Migration {
    fn checksum(&self) -> String {
        ContentId::of_bytes(self.sql.as_bytes()).to_string()
    }
}

fn unusable(what: String) -> StoreError {
    StoreError::Unavailable { what, source: None }
}
