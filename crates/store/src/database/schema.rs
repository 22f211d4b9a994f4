//! The schema history: which migrations a database has, and bringing it up to date.
//!
//! Each engine has its own files, `migrations/<engine>/NNNN_name.sql`, compiled in. A migration that
//! has been applied is never edited: its checksum is kept with it and compared at every open. A
//! database that is newer than the program is refused, since nobody knows what its rows mean.
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

/// One migration, compiled in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    pub(crate) version: u32,
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

/// The history of one engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema {
    /// Creates the table `schema_history` unless it is there.
    pub(crate) bootstrap: &'static str,
    /// Whether the table is there: one row with 0 or 1.
    pub(crate) exists: &'static str,
    /// Begins the transaction that no other opener can be in.
    pub(crate) begin_exclusive: &'static str,
    /// Oldest first, versions 1, 2, 3….
    pub(crate) migrations: &'static [Migration],
}

impl Schema {
    /// The version that this program writes.
    pub(crate) fn version(&self) -> u32 {
        self.migrations
            .last()
            .map_or(0, |migration| migration.version)
    }

    /// Checks the history and applies what is missing.
    pub(crate) async fn prepare<T: Tx>(&self, tx: &mut T) -> Result<(), StoreError> {
        if self.exists(tx).await? && self.missing(tx).await?.is_empty() {
            return Ok(());
        }
        tx.script(self.begin_exclusive).await?;
        let applied = self.migrate(tx).await;
        match applied {
            Ok(()) => tx.script("COMMIT").await,
            Err(error) => {
                // The first error is the one to tell.
                drop(tx.script("ROLLBACK").await);
                Err(error)
            }
        }
    }

    async fn exists<T: Tx>(&self, tx: &mut T) -> Result<bool, StoreError> {
        let row = tx.row(self.exists, args![]).await?;
        row.map_or(Ok(false), |mut row| Ok(row.int("schema history")? > 0))
    }

    async fn migrate<T: Tx>(&self, tx: &mut T) -> Result<(), StoreError> {
        tx.script(self.bootstrap).await?;
        for migration in self.missing(tx).await? {
            tx.script(migration.sql).await?;
            let checksum = migration.checksum();
            let args = args![migration.version, migration.name, checksum];
            tx.execute(sql::HISTORY_INSERT, args).await?;
        }
        Ok(())
    }

    /// The migrations that the database lacks, after a look at those that it has.
    async fn missing<T: Tx>(&self, tx: &mut T) -> Result<&'static [Migration], StoreError> {
        let mut known = self.migrations.iter();
        for mut row in tx.rows(sql::HISTORY, args![]).await? {
            let version: u32 = row.unsigned("schema version")?;
            let name = row.text("migration name")?;
            let checksum = row.text("migration checksum")?;
            match known.next() {
                Some(migration) if migration.version == version => {
                    if migration.checksum() != checksum {
                        return Err(unusable(format!(
                            "the store's schema {version} ({name}) is not the one of this program: \
                             its checksum differs; use the program that created the store"
                        )));
                    }
                }
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
        Ok(known.as_slice())
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
