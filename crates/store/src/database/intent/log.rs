//! Entries that change nothing but the logs and the outbox.

use jiff::Timestamp;
use moorline_core::audit::NewAudit;
use moorline_core::ids::RunId;

use crate::database::sql;
use crate::database::tx::{Tx, args};
use crate::database::unit::{Subject, Unit};
use crate::database::writer::Intent;
use crate::error::StoreError;
use crate::types::OutboxDone;

/// [`Store::audit_append`](crate::Store::audit_append).
pub(crate) struct AppendAudit(pub(crate) NewAudit);

impl Intent for AppendAudit {
    type Reply = ();

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<(), StoreError> {
        unit.audit(self.0.clone()).await
    }
}

/// [`Store::outbox_done`](crate::Store::outbox_done).
pub(crate) struct FinishOutbox(pub(crate) OutboxDone);

impl Intent for FinishOutbox {
    type Reply = ();

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<(), StoreError> {
        let Self(done) = self;
        let row = unit.tx.row(sql::OUTBOX_GET, args![done.id]).await?;
        let missing = || StoreError::not_found(format!("outbox row {}", done.id));
        let mut row = row.ok_or_else(missing)?;
        let run_id: RunId = row.parsed("run id")?;
        let done_at: Option<Timestamp> = row.time_opt("time of an outbox row")?;
        if done_at.is_some() {
            return Ok(());
        }
        unit.tx
            .execute(sql::OUTBOX_DONE, args![done.now, done.id])
            .await?;
        let Some(event) = &done.event else {
            return Ok(());
        };
        let row = unit.tx.row(sql::RUN_JOB, args![run_id.to_string()]).await?;
        let missing = || StoreError::not_found(format!("run {run_id}"));
        let job_id = row.ok_or_else(missing)?.text("job id")?;
        unit.event(
            Some(Subject {
                run_id,
                job_id: &job_id,
            }),
            event,
            done.now,
        )
        .await
    }
}

/// Asks the writer for a sign of life: its transaction takes the write lock and changes nothing.
pub(crate) struct Probe;

impl Intent for Probe {
    type Reply = ();

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<(), StoreError> {
        unit.stops().await.map(drop)
    }
}
