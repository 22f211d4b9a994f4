//! What the store says, read without any command of `moorline`: the second way to count.
//!
//! A SQLite store is read from a copy, so that nothing is recovered, checkpointed or cleaned up before
//! the command that comes next has to do it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use moorline_core::audit::AuditRecord;
use moorline_core::event::Event;
use moorline_core::ids::RunId;
use moorline_core::run::Run;
use moorline_core::summary::RunSummary;
use moorline_store::{
    AttemptRecord, EventFilter, PostgresStore, RunFilter, SqliteStore, Store, StoreError,
};
use tokio::runtime::Runtime;

/// More than any store of a harness holds.
const ALL: u32 = 1_000_000;

/// Everything in a store, runs oldest first.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) runs: Vec<Run>,
    pub(super) summaries: BTreeMap<RunId, RunSummary>,
    pub(super) attempts: BTreeMap<RunId, Vec<AttemptRecord>>,
    pub(super) events: Vec<Event>,
    pub(super) audit: Vec<AuditRecord>,
    /// Effects that wait to be carried out, by run.
    pub(super) pending: BTreeMap<RunId, usize>,
}

impl Ledger {
    /// Reads a copy of a SQLite store; nothing where there is no store yet.
    pub(super) fn of_sqlite(runtime: &Runtime, file: &Path) -> Result<Self, StoreError> {
        let copy = tempfile::tempdir().unwrap();
        let to = copy.path().join("store.db");
        if !file.is_file() {
            return Ok(Self::default());
        }
        fs::copy(file, &to).unwrap();
        let log = file.with_file_name("store.db-wal");
        if log.is_file() {
            fs::copy(log, copy.path().join("store.db-wal")).unwrap();
        }
        let store = SqliteStore::open(&to)?;
        runtime.block_on(Self::read(&store))
    }

    /// Reads a PostgreSQL store.
    pub(super) fn of_postgres(runtime: &Runtime, url: &str) -> Result<Self, StoreError> {
        runtime.block_on(async { Self::read(&PostgresStore::connect(url).await?).await })
    }

    async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let mut ledger = Self {
            runs: store
                .runs_list(RunFilter {
                    limit: ALL,
                    ..RunFilter::default()
                })
                .await?,
            events: store
                .events_list(EventFilter {
                    limit: ALL,
                    ..EventFilter::default()
                })
                .await?,
            audit: store.audit_list(0, ALL).await?,
            ..Self::default()
        };
        ledger.runs.reverse();
        for run in &ledger.runs {
            if let Some(summary) = store.summary_get(run.id).await? {
                ledger.summaries.insert(run.id, summary);
            }
            ledger
                .attempts
                .insert(run.id, store.attempts_list(run.id).await?);
        }
        for row in store.outbox_pending(None).await? {
            *ledger.pending.entry(row.run_id).or_default() += 1;
        }
        Ok(ledger)
    }

    /// The run that was submitted for a kill.
    pub(super) fn run_of_kill(&self, number: u32) -> Option<&Run> {
        self.runs
            .iter()
            .find(|run| run.params.get("kill") == Some(&number.into()))
    }

    /// How many events of a kind a run has.
    pub(super) fn events_of(&self, run: RunId, kind: &str) -> usize {
        let wanted = |event: &&Event| event.run_id == Some(run) && event.kind.as_str() == kind;
        self.events.iter().filter(wanted).count()
    }

    /// How many audit records an operation on a run has left.
    pub(super) fn audited(&self, run: RunId, operation: &str) -> usize {
        let subject = format!("run/{run}");
        let wanted = |r: &&AuditRecord| r.subject == subject && r.operation == operation;
        self.audit.iter().filter(wanted).count()
    }
}
