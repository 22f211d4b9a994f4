//! The reads of [`AlertStore`](crate::AlertStore).

use jiff::Timestamp;
use moorline_core::alert::Alert;
use moorline_core::ids::AlertId;

use crate::alerts::{AlertFilter, AlertRecord};
use crate::database::query::Query;
use crate::database::sql::alerts as sql;
use crate::database::tx::{Tx, args};
use crate::error::StoreError;

/// Behind every id, as text.
const END: &str = "g";

/// Alerts of a page when none is asked for.
const PAGE: u32 = 50;

/// [`AlertStore::alerts_raised`](crate::AlertStore::alerts_raised).
pub(super) struct Raised(pub(super) u32);

impl Query for Raised {
    type Reply = Vec<Alert>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<Alert>, StoreError> {
        let rows = tx.rows(sql::ALERTS_RAISED, args![self.0]).await?;
        rows.into_iter().map(|mut row| row.json("alert")).collect()
    }
}

/// [`AlertStore::alerts_list`](crate::AlertStore::alerts_list).
pub(super) struct List(pub(super) AlertFilter);

impl Query for List {
    type Reply = Vec<AlertRecord>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<AlertRecord>, StoreError> {
        let Self(filter) = self;
        let before = filter
            .before
            .map_or_else(|| END.to_owned(), |id| id.to_string());
        let limit = if filter.limit == 0 {
            PAGE
        } else {
            filter.limit
        };
        let statement = if filter.dead {
            sql::ALERTS_DEAD
        } else {
            sql::ALERTS
        };
        let mut records = Vec::new();
        for mut row in tx.rows(statement, args![before, limit]).await? {
            records.push(with_deliveries(tx, row.json("alert")?).await?);
        }
        Ok(records)
    }
}

/// [`AlertStore::alert_get`](crate::AlertStore::alert_get).
pub(super) struct Get(pub(super) AlertId);

impl Query for Get {
    type Reply = Option<AlertRecord>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Option<AlertRecord>, StoreError> {
        match tx.row(sql::ALERT_GET, args![self.0.to_string()]).await? {
            Some(mut row) => Ok(Some(with_deliveries(tx, row.json("alert")?).await?)),
            None => Ok(None),
        }
    }
}

async fn with_deliveries<T: Tx>(tx: &mut T, alert: Alert) -> Result<AlertRecord, StoreError> {
    let rows = tx
        .rows(sql::DELIVERIES, args![alert.id.to_string()])
        .await?;
    let deliveries = rows
        .into_iter()
        .map(|mut row| row.json("delivery"))
        .collect::<Result<_, _>>()?;
    Ok(AlertRecord { alert, deliveries })
}

/// [`AlertStore::alert_find`](crate::AlertStore::alert_find).
pub(super) struct Find(pub(super) String);

impl Query for Find {
    type Reply = Vec<AlertId>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<AlertId>, StoreError> {
        let prefix = self.0.to_ascii_lowercase();
        if !prefix
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
        {
            return Ok(Vec::new());
        }
        let end = format!("{prefix}{END}");
        let rows = tx.rows(sql::ALERT_FIND, args![prefix, end]).await?;
        rows.into_iter()
            .map(|mut row| row.parsed("alert id"))
            .collect()
    }
}

/// [`AlertStore::deliveries_next`](crate::AlertStore::deliveries_next).
pub(super) struct Next;

impl Query for Next {
    type Reply = Option<Timestamp>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Option<Timestamp>, StoreError> {
        let row = tx.row(sql::DELIVERIES_NEXT, args![]).await?;
        row.map_or(Ok(None), |mut row| row.time_opt("due time"))
    }
}
