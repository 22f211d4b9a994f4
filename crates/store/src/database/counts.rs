//! [`CountStore`] for both engines.

use async_trait::async_trait;
use moorline_core::error_code::RunStatus;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

use crate::counts::{CountStore, StoreCounts};
use crate::database::backend::Backend;
use crate::database::query::Query;
use crate::database::sql::counts as sql;
use crate::database::tx::{Row, Tx, args};
use crate::error::StoreError;

#[async_trait]
impl<B: Backend> CountStore for B {
    async fn counts(&self) -> Result<StoreCounts, StoreError> {
        self.read(Counts).await
    }
}

struct Counts;

impl Query for Counts {
    type Reply = StoreCounts;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<StoreCounts, StoreError> {
        let runs = tx.rows(sql::COUNT_RUNS, args![]).await?;
        let mut counts = StoreCounts {
            runs: runs.into_iter().map(by_status).collect::<Result<_, _>>()?,
            ..StoreCounts::default()
        };
        if let Some(mut row) = tx.row(sql::COUNT_OTHERS, args![]).await? {
            counts.attempts_live = row.unsigned("count of attempts")?;
            counts.approvals_open = row.unsigned("count of requests")?;
            counts.events_head = row.unsigned("id of an event")?;
            counts.outbox_pending = row.unsigned("count of effects")?;
        }
        Ok(counts)
    }
}

fn by_status(mut row: Row) -> Result<(RunStatus, u64), StoreError> {
    let text = row.text("status of runs")?;
    let text: StrDeserializer<'_, ValueError> = text.as_str().into_deserializer();
    let status = RunStatus::deserialize(text)
        .map_err(|error| StoreError::corrupt("status of runs", error))?;
    Ok((status, row.unsigned("count of runs")?))
}
