//! [`RefusalStore`] for both engines.

use async_trait::async_trait;
use moorline_core::refusal::RefusalRecord;

use crate::database::backend::Backend;
use crate::database::query::Query;
use crate::database::sql::refusals as sql;
use crate::database::tx::{Row, Tx, args};
use crate::database::unit::{Unit, to_json};
use crate::database::writer::Intent;
use crate::error::StoreError;
use crate::refusals::{KEPT_REFUSALS, REFUSALS_KEPT_FOR, RefusalStore};

#[async_trait]
impl<B: Backend> RefusalStore for B {
    async fn refusal_record(&self, refusal: RefusalRecord) -> Result<(), StoreError> {
        self.write(Record(refusal)).await
    }

    async fn refusal_find(&self, prefix: &str) -> Result<Vec<RefusalRecord>, StoreError> {
        self.read(Find(prefix.to_ascii_lowercase())).await
    }

    async fn refusals_list(&self, limit: u32) -> Result<Vec<RefusalRecord>, StoreError> {
        self.read(Newest(limit)).await
    }
}

struct Record(RefusalRecord);

impl Intent for Record {
    type Reply = ();

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<(), StoreError> {
        let Self(refusal) = self;
        let doc = to_json("refusal", refusal)?;
        let args = args![refusal.id.to_string(), refusal.at, doc];
        unit.tx.execute(sql::REFUSAL_INSERT, args).await?;
        let oldest = refusal.at.saturating_sub(REFUSALS_KEPT_FOR);
        let oldest = oldest.unwrap_or(refusal.at);
        unit.tx.execute(sql::REFUSALS_EXPIRE, args![oldest]).await?;
        unit.tx
            .execute(sql::REFUSALS_TRIM, args![KEPT_REFUSALS])
            .await?;
        Ok(())
    }
}

struct Find(String);

impl Query for Find {
    type Reply = Vec<RefusalRecord>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<RefusalRecord>, StoreError> {
        let Self(prefix) = self;
        let is_id = |byte: u8| byte == b'-' || byte.is_ascii_hexdigit();
        if prefix.is_empty() || !prefix.bytes().all(is_id) {
            return Ok(Vec::new());
        }
        // Ids are hexadecimal digits and hyphens: `g` comes behind all of them.
        let end = format!("{prefix}g");
        refusals_of(tx.rows(sql::REFUSAL_FIND, args![prefix, end]).await?)
    }
}

struct Newest(u32);

impl Query for Newest {
    type Reply = Vec<RefusalRecord>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<RefusalRecord>, StoreError> {
        refusals_of(tx.rows(sql::REFUSALS, args![self.0]).await?)
    }
}

fn refusals_of(rows: Vec<Row>) -> Result<Vec<RefusalRecord>, StoreError> {
    rows.into_iter()
        .map(|mut row| row.json("refusal"))
        .collect()
}
