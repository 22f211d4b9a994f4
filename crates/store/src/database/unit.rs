//! A unit of work: one transaction of the writer, with the heads of the logs in hand.
//!
//! Its intents append events, audit records and outbox rows through it. The head row is read when
//! the transaction begins and written before it ends, once for all intents of a batch.

use jiff::Timestamp;
use moorline_core::audit::{AuditRecord, NewAudit};
use moorline_core::event::{Level, NewEvent};
use moorline_core::ids::RunId;
use moorline_core::run::{Effect, Run};
use moorline_core::schedule::ScheduleId;
use moorline_core::stop::Stop;
use serde::Serialize;

use crate::database::sql;
use crate::database::tx::{Row, Tx, args};
use crate::error::StoreError;

/// Where the logs end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    event: u64,
    audit: u64,
    audit_hash: String,
    outbox: u64,
}

/// What a unit of work takes back when an intent of it is rolled back.
#[derive(Debug)]
pub(crate) struct Mark {
    head: Head,
}

/// What an event or an outbox row is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) run_id: RunId,
    pub(crate) job_id: &'a str,
}

impl<'a> From<&'a Run> for Subject<'a> {
    fn from(run: &'a Run) -> Self {
        Self {
            run_id: run.id,
            job_id: &run.job_id,
        }
    }
}

/// An open transaction.
#[derive(Debug)]
pub(crate) struct Unit<'t, T> {
    pub(crate) tx: &'t mut T,
    head: Head,
    written: Head,
    stops: Option<Vec<Stop>>,
}

impl<'t, T: Tx> Unit<'t, T> {
    /// Reads the heads; from here on no other writer is under way.
    pub(crate) async fn open(tx: &'t mut T) -> Result<Self, StoreError> {
        let row = tx.row(T::DIALECT.head, args![]).await?;
        let mut row = row.ok_or_else(|| StoreError::not_found("head row in the store"))?;
        let head = Head {
            event: row.unsigned("last event id")?,
            audit: row.unsigned("last audit id")?,
            audit_hash: row.text("last audit hash")?,
            outbox: row.unsigned("last outbox id")?,
        };
        Ok(Self {
            tx,
            written: head.clone(),
            head,
            stops: None,
        })
    }

    /// Writes the heads back, if they moved.
    pub(crate) async fn close(&mut self) -> Result<(), StoreError> {
        if self.head == self.written {
            return Ok(());
        }
        let Head {
            event,
            audit,
            audit_hash,
            outbox,
        } = &self.head;
        let args = args![*event, *audit, audit_hash, *outbox];
        self.tx.execute(T::DIALECT.head_write, args).await?;
        self.written = self.head.clone();
        Ok(())
    }

    /// The id of the newest event.
    pub(crate) const fn newest_event(&self) -> u64 {
        self.head.event
    }

    /// The state to go back to should the next intent be rolled back.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            head: self.head.clone(),
        }
    }

    /// Follows a rollback to the point where `mark` was taken.
    pub(crate) fn reset(&mut self, mark: Mark) {
        self.head = mark.head;
        self.stops = None;
    }

    /// Appends an event.
    pub(crate) async fn event(
        &mut self,
        subject: Option<Subject<'_>>,
        event: &NewEvent,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let run_id = subject.map(|subject| subject.run_id);
        let job_id = subject.map(|subject| subject.job_id);
        self.append_event(run_id, job_id, event, at).await
    }

    /// Appends an event that is about a job, and no run of it.
    pub(crate) async fn job_event(
        &mut self,
        job_id: &str,
        event: &NewEvent,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.append_event(None, Some(job_id), event, at).await
    }

    async fn append_event(
        &mut self,
        run_id: Option<RunId>,
        job_id: Option<&str>,
        event: &NewEvent,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.head.event += 1;
        let run_id = run_id.map(|run| run.to_string());
        let level = level_number(event.level);
        let data = event.data.to_string();
        let args = args![
            self.head.event,
            at,
            event.kind.as_str(),
            level,
            run_id,
            job_id,
            data
        ];
        self.tx.execute(sql::EVENT_INSERT, args).await?;
        Ok(())
    }

    /// Appends an audit record.
    pub(crate) async fn audit(&mut self, entry: NewAudit) -> Result<(), StoreError> {
        let record = AuditRecord::chain(entry, self.head.audit + 1, &self.head.audit_hash);
        let args = args![
            record.id,
            record.at,
            &record.actor,
            &record.operation,
            &record.subject,
            record.reason.as_deref(),
            record.data.to_string(),
            &record.prev_hash,
            &record.hash,
        ];
        self.tx.execute(sql::AUDIT_INSERT, args).await?;
        self.head.audit = record.id;
        self.head.audit_hash = record.hash;
        Ok(())
    }

    /// The place that the logs have come to, as text: no other moment has the same, so ids can be derived
    /// from it.
    pub(crate) fn place(&self) -> String {
        let Head {
            event,
            audit,
            audit_hash,
            ..
        } = &self.head;
        format!("{event}.{audit}.{audit_hash}")
    }

    /// Puts an effect into the outbox.
    pub(crate) async fn outbox(
        &mut self,
        run: RunId,
        effect: &Effect,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.head.outbox += 1;
        let args = args![
            self.head.outbox,
            run.to_string(),
            to_json("effect", effect)?,
            at
        ];
        self.tx.execute(sql::OUTBOX_INSERT, args).await?;
        Ok(())
    }

    /// The stops in force, read once for each transaction: no other writer can change them.
    pub(crate) async fn stops(&mut self) -> Result<&[Stop], StoreError> {
        if self.stops.is_none() {
            let rows = self.tx.rows(sql::STOPS, args![]).await?;
            self.stops = Some(rows.into_iter().map(stop_of).collect::<Result<_, _>>()?);
        }
        Ok(self.stops.as_deref().unwrap_or_default())
    }

    /// The stop that covers a run, if one does.
    pub(crate) async fn stop_of_run(&mut self, run: &Run) -> Result<Option<Stop>, StoreError> {
        let stops = self.stops().await?;
        Ok(stops.iter().find(|stop| stop.scope.covers(run)).cloned())
    }

    /// The stop that covers a schedule, if one does: then it may neither start anything nor be enabled
    /// (D-SCHED-4). `source` is the one that its runs count for.
    pub(crate) async fn stop_of_schedule(
        &mut self,
        schedule: &ScheduleId,
        source: Option<&str>,
    ) -> Result<Option<Stop>, StoreError> {
        let stops = self.stops().await?;
        let covers = |stop: &&Stop| stop.scope.covers_schedule(schedule, source);
        Ok(stops.iter().find(covers).cloned())
    }

    /// Called by the intent that changed the stops.
    pub(crate) fn stops_changed(&mut self) {
        self.stops = None;
    }

    /// The document of a run.
    pub(crate) async fn run(&mut self, id: RunId) -> Result<Run, StoreError> {
        match self.tx.row(sql::RUN_GET, args![id.to_string()]).await? {
            Some(mut row) => row.json("run"),
            None => Err(StoreError::not_found(format!("run {id}"))),
        }
    }
}

/// A row of [`sql::STOPS`].
pub(crate) fn stop_of(mut row: Row) -> Result<Stop, StoreError> {
    Ok(Stop {
        scope: row.parsed("stop scope")?,
        actor: row.text("stop actor")?,
        reason: row.text("stop reason")?,
        since: row.time("stop time")?,
    })
}

/// How a level is stored, so that "at least" is a comparison.
pub(crate) const fn level_number(level: Level) -> i64 {
    match level {
        Level::Info => 0,
        Level::Warn => 1,
        Level::Error => 2,
    }
}

/// The text of a document to store.
pub(crate) fn to_json<V: Serialize>(what: &str, value: &V) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::unavailable(format!("writing the {what} as JSON"), error))
}
