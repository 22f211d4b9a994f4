//! Reads, each written once for both engines. A read is one statement (or independent ones), so it
//! needs no transaction and never waits for the writer.

mod audit;
mod lists;

use jiff::Timestamp;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::SourceState;
use moorline_core::ids::{AttemptId, RunId};
use moorline_core::run::Run;
use moorline_core::stop::Stop;
use moorline_core::summary::RunSummary;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

use crate::database::sql;
use crate::database::tx::{Row, Tx, args};
use crate::database::unit::stop_of;
use crate::error::StoreError;
use crate::types::{AttemptRecord, AuditHead, LiveRun, OutboxRow};

pub(crate) use audit::{Audit, SearchAudit};
pub(crate) use lists::{Events, Runs};

/// A read of the store.
pub(crate) trait Query: Send + 'static {
    /// What it gives.
    type Reply: Send + 'static;

    /// Does it.
    fn read<T: Tx>(
        &self,
        tx: &mut T,
    ) -> impl Future<Output = Result<Self::Reply, StoreError>> + Send;
}

async fn all<T: Tx, V>(
    tx: &mut T,
    sql: &'static str,
    args: &[crate::database::tx::Val<'_>],
    of: fn(Row) -> Result<V, StoreError>,
) -> Result<Vec<V>, StoreError> {
    tx.rows(sql, args).await?.into_iter().map(of).collect()
}

/// [`Store::run_get`](crate::Store::run_get).
pub(crate) struct GetRun(pub(crate) RunId);

impl Query for GetRun {
    type Reply = Option<Run>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Option<Run>, StoreError> {
        let row = tx.row(sql::RUN_GET, args![self.0.to_string()]).await?;
        row.map(|mut row| row.json("run")).transpose()
    }
}

/// [`Store::run_find`](crate::Store::run_find).
pub(crate) struct FindRun(pub(crate) String);

impl Query for FindRun {
    type Reply = Vec<RunId>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<RunId>, StoreError> {
        // Ids are hexadecimal digits and hyphens: `g` comes behind all of them.
        let prefix = self.0.to_ascii_lowercase();
        if !prefix
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
        {
            return Ok(Vec::new());
        }
        let end = format!("{prefix}g");
        all(tx, sql::RUN_FIND, args![prefix, end], |mut row| {
            row.parsed("run id")
        })
        .await
    }
}

/// [`Store::run_jobs`](crate::Store::run_jobs): one look into an index for each job, however many runs it has.
pub(crate) struct RunJobs;

impl Query for RunJobs {
    type Reply = Vec<String>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<String>, StoreError> {
        let mut jobs: Vec<String> = Vec::new();
        loop {
            let behind = jobs.last().map_or("", String::as_str);
            let row = tx.row(sql::JOB_NEXT, args![behind]).await?;
            match row.map(|mut row| row.text("job id")).transpose()? {
                Some(job) => jobs.push(job),
                None => return Ok(jobs),
            }
        }
    }
}

/// [`Store::runs_live`](crate::Store::runs_live).
pub(crate) struct LiveRuns;

impl Query for LiveRuns {
    type Reply = Vec<LiveRun>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<LiveRun>, StoreError> {
        all(tx, sql::RUNS_LIVE, args![], |mut row| {
            Ok(LiveRun {
                run: row.json("run")?,
                lease_until: row.time("lease end")?,
            })
        })
        .await
    }
}

/// [`Store::next_due`](crate::Store::next_due).
pub(crate) struct NextDue(pub(crate) Option<RunId>);

impl Query for NextDue {
    type Reply = Option<Timestamp>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Option<Timestamp>, StoreError> {
        let row = match self.0 {
            Some(run) => tx.row(sql::NEXT_DUE_RUN, args![run.to_string()]).await?,
            None => tx.row(sql::NEXT_DUE, args![]).await?,
        };
        row.map_or(Ok(None), |mut row| row.time_opt("due time"))
    }
}

/// [`Store::summary_get`](crate::Store::summary_get).
pub(crate) struct GetSummary(pub(crate) RunId);

impl Query for GetSummary {
    type Reply = Option<RunSummary>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Option<RunSummary>, StoreError> {
        let row = tx.row(sql::SUMMARY_GET, args![self.0.to_string()]).await?;
        row.map(|mut row| row.json("run summary")).transpose()
    }
}

/// [`Store::attempts_list`](crate::Store::attempts_list).
pub(crate) struct Attempts(pub(crate) RunId);

impl Query for Attempts {
    type Reply = Vec<AttemptRecord>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<AttemptRecord>, StoreError> {
        all(tx, sql::ATTEMPTS, args![self.0.to_string()], |mut row| {
            Ok(AttemptRecord {
                id: row.parsed("attempt id")?,
                run_id: row.parsed("run id")?,
                step: row.text("step name")?,
                number: row.unsigned("attempt number")?,
                handle: row.json_opt("handle")?,
                outcome: row.json_opt("outcome")?,
                claimed_at: row.time("time of a claim")?,
                ended_at: row.time_opt("end of an attempt")?,
            })
        })
        .await
    }
}

/// [`Store::attempt_run`](crate::Store::attempt_run).
pub(crate) struct AttemptRun(pub(crate) AttemptId);

impl Query for AttemptRun {
    type Reply = Option<RunId>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Option<RunId>, StoreError> {
        let row = tx.row(sql::ATTEMPT_RUN, args![self.0.to_string()]).await?;
        row.map(|mut row| row.parsed("run id")).transpose()
    }
}

/// [`Store::spec_get`](crate::Store::spec_get).
pub(crate) struct GetSpec(pub(crate) ContentId);

impl Query for GetSpec {
    type Reply = Option<String>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Option<String>, StoreError> {
        let row = tx.row(sql::SPEC_GET, args![self.0.to_string()]).await?;
        row.map(|mut row| row.text("job spec")).transpose()
    }
}

/// [`Store::stops_list`](crate::Store::stops_list).
pub(crate) struct Stops;

impl Query for Stops {
    type Reply = Vec<Stop>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<Stop>, StoreError> {
        all(tx, sql::STOPS, args![], stop_of).await
    }
}

/// [`Store::audit_head`](crate::Store::audit_head).
pub(crate) struct Head;

impl Query for Head {
    type Reply = AuditHead;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<AuditHead, StoreError> {
        let row = tx.row(sql::HEAD_READ, args![]).await?;
        let mut row = row.ok_or_else(|| StoreError::not_found("head row in the store"))?;
        Ok(AuditHead {
            id: row.unsigned("last audit id")?,
            hash: row.text("last audit hash")?,
        })
    }
}

/// [`Store::outbox_pending`](crate::Store::outbox_pending).
pub(crate) struct Outbox(pub(crate) Option<RunId>);

impl Query for Outbox {
    type Reply = Vec<OutboxRow>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<OutboxRow>, StoreError> {
        let of = |mut row: Row| {
            Ok(OutboxRow {
                id: row.unsigned("outbox id")?,
                run_id: row.parsed("run id")?,
                effect: row.json("effect")?,
                created_at: row.time("time of an outbox row")?,
            })
        };
        match self.0 {
            Some(run) => all(tx, sql::OUTBOX_RUN, args![run.to_string()], of).await,
            None => all(tx, sql::OUTBOX, args![], of).await,
        }
    }
}

/// The state that a name stands for.
pub(crate) fn source_state_of(name: &str) -> Result<SourceState, StoreError> {
    let name: StrDeserializer<'_, ValueError> = name.into_deserializer();
    SourceState::deserialize(name).map_err(|error| StoreError::corrupt("source state", error))
}
