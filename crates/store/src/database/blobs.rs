//! [`BlobStore`] for both engines: content in parts, named when all of them are there.
//!
//! A part is a transaction of its own, so that no other write waits for 64 MiB. Parts are kept by the hash of
//! the whole, so one content has one set of them, whatever its names and however often it is put; the name
//! comes last, in a transaction that sees all parts. What is read is compared with the hash.
//!
//! Parts are base64: the values that both engines store alike are integers and text. It costs a third more
//! room, and a kind of value less in every other statement.

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use moorline_core::content_id::ContentId;

use crate::blobs::{BLOB_LIMIT, BlobStore};
use crate::database::backend::Backend;
use crate::database::query::Query;
use crate::database::sql::blobs as sql;
use crate::database::tx::{Tx, args};
use crate::database::unit::Unit;
use crate::database::writer::Intent;
use crate::error::StoreError;

/// Bytes of one part.
const PART: usize = 1 << 20;

/// How often parts are put again that somebody removed before they had a name.
const TRIES: usize = 3;

#[async_trait]
impl<B: Backend> BlobStore for B {
    fn is_shared(&self) -> bool {
        B::SHARED
    }

    async fn blob_exists(&self, name: &ContentId) -> Result<bool, StoreError> {
        Ok(self.read(Find(*name)).await?.is_some())
    }

    async fn blob_put(
        &self,
        name: &ContentId,
        bytes: Vec<u8>,
        until: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        if bytes.len() > BLOB_LIMIT {
            let what = format!(
                "content of {} bytes is too large to be shared: at most {BLOB_LIMIT}",
                bytes.len()
            );
            return Err(StoreError::Conflict { what });
        }
        if self.read(Find(*name)).await?.is_some() {
            return Ok(());
        }
        let content = ContentId::of_bytes(&bytes);
        let found = Found {
            content: content.to_string(),
            size: bytes.len() as u64,
            parts: bytes.len().div_ceil(PART) as u64,
        };
        for _ in 0..TRIES {
            for (part, bytes) in bytes.chunks(PART).enumerate() {
                let part = Part {
                    content: found.content.clone(),
                    number: part as u64,
                    data: BASE64_STANDARD.encode(bytes),
                };
                self.write(part).await?;
            }
            let naming = Naming {
                name: *name,
                found: found.clone(),
                until,
            };
            if self.write(naming).await? {
                return Ok(());
            }
        }
        let what = format!("content {name} is being removed by others; put it again later");
        Err(StoreError::Conflict { what })
    }

    async fn blob_get(&self, name: &ContentId) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(Get(*name)).await
    }

    async fn blobs_expired(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<ContentId>, StoreError> {
        self.read(Expired { now, limit }).await
    }

    async fn blob_remove(&self, name: &ContentId) -> Result<(), StoreError> {
        self.write(Remove(*name)).await
    }
}

/// What is known of content that has a name.
#[derive(Debug, Clone)]
struct Found {
    content: String,
    size: u64,
    parts: u64,
}

async fn find<T: Tx>(tx: &mut T, name: &ContentId) -> Result<Option<Found>, StoreError> {
    let row = tx.row(sql::BLOB_GET, args![name.to_string()]).await?;
    row.map(|mut row| {
        Ok(Found {
            content: row.text("hash of content")?,
            size: row.unsigned("size of content")?,
            parts: row.unsigned("count of parts")?,
        })
    })
    .transpose()
}

/// Looks for a name.
#[derive(Debug)]
struct Find(ContentId);

impl Query for Find {
    type Reply = Option<Found>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Self::Reply, StoreError> {
        find(tx, &self.0).await
    }
}

/// Looks for names whose end has come.
#[derive(Debug)]
struct Expired {
    now: Timestamp,
    limit: u32,
}

impl Query for Expired {
    type Reply = Vec<ContentId>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Self::Reply, StoreError> {
        let rows = tx
            .rows(sql::BLOBS_EXPIRED, args![self.now, self.limit])
            .await?;
        let names = rows
            .into_iter()
            .map(|mut row| row.parsed("name of content"));
        names.collect()
    }
}

/// Reads content, part by part.
#[derive(Debug)]
struct Get(ContentId);

impl Query for Get {
    type Reply = Option<Vec<u8>>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Self::Reply, StoreError> {
        let Some(found) = find(tx, &self.0).await? else {
            return Ok(None);
        };
        let size = usize::try_from(found.size).unwrap_or(BLOB_LIMIT);
        let mut bytes = Vec::with_capacity(size.min(BLOB_LIMIT));
        for part in 0..found.parts {
            let args = args![&found.content, part];
            let Some(mut row) = tx.row(sql::BLOB_PART_GET, args).await? else {
                // Removed since its name was read.
                return Ok(None);
            };
            let part = BASE64_STANDARD.decode(row.text("part of content")?);
            bytes.extend(part.map_err(|error| StoreError::corrupt("part of content", error))?);
        }
        if ContentId::of_bytes(&bytes).to_string() == found.content {
            return Ok(Some(bytes));
        }
        Err(StoreError::Corrupt {
            what: format!("content {}", self.0),
            source: None,
        })
    }
}

/// One part, which has no name yet.
#[derive(Debug)]
struct Part {
    content: String,
    number: u64,
    data: String,
}

impl Intent for Part {
    type Reply = ();

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<(), StoreError> {
        let args = args![&self.content, self.number, &self.data];
        unit.tx.execute(sql::BLOB_PART_INSERT, args).await?;
        Ok(())
    }
}

/// Gives content its name; `false` when a part of it is not there.
#[derive(Debug)]
struct Naming {
    name: ContentId,
    found: Found,
    until: Option<Timestamp>,
}

impl Intent for Naming {
    type Reply = bool;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<bool, StoreError> {
        let Found {
            content,
            size,
            parts,
        } = &self.found;
        let row = unit.tx.row(sql::BLOB_PARTS_COUNT, args![content]).await?;
        let there: u64 = row.map_or(Ok(0), |mut row| row.unsigned("count of parts"))?;
        if there != *parts {
            return Ok(false);
        }
        let args = args![self.name.to_string(), content, *size, *parts, self.until];
        unit.tx.execute(sql::BLOB_INSERT, args).await?;
        Ok(true)
    }
}

/// Takes a name away, and the content with the last of its names.
#[derive(Debug)]
struct Remove(ContentId);

impl Intent for Remove {
    type Reply = ();

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<(), StoreError> {
        let Some(found) = find(unit.tx, &self.0).await? else {
            return Ok(());
        };
        let name = args![self.0.to_string()];
        unit.tx.execute(sql::BLOB_DELETE, name).await?;
        let content = args![&found.content];
        if unit.tx.row(sql::BLOB_OF_CONTENT, content).await?.is_none() {
            unit.tx.execute(sql::BLOB_PARTS_DELETE, content).await?;
        }
        Ok(())
    }
}
