//! Content that every machine of an installation can get: job directories, inputs, outputs of steps.
//!
//! On one machine, content is in the state directory alone. Where a store is shared by several, what a run
//! needs is put here too, so that another machine can go on with it.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::content_id::ContentId;

use crate::error::StoreError;

/// The largest blob that is kept, in bytes.
pub const BLOB_LIMIT: usize = 64 << 20;

/// Content by its hash. A part of [`Store`](crate::Store), under its contract.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Whether other machines may share this store, so that content has to be in it.
    fn is_shared(&self) -> bool;

    /// Whether there is content of this name, whole.
    async fn blob_exists(&self, name: &ContentId) -> Result<bool, StoreError>;

    /// Keeps bytes under a name of theirs, e.g. the content id of the tree that they pack; until then, where an
    /// end is given, after which [`blobs_expired`](Self::blobs_expired) finds them. What is there already stays,
    /// with its end. Not one transaction but one for each MiB; the name appears with the last, so nobody
    /// sees a part of it.
    ///
    /// # Errors
    /// A conflict for more than [`BLOB_LIMIT`] bytes.
    async fn blob_put(
        &self,
        name: &ContentId,
        bytes: Vec<u8>,
        until: Option<Timestamp>,
    ) -> Result<(), StoreError>;

    /// Names whose end has come, earliest end first, so many at most. Whoever asks removes them.
    async fn blobs_expired(&self, now: Timestamp, limit: u32)
    -> Result<Vec<ContentId>, StoreError>;

    /// The bytes of a name, compared with the hash that they were kept with.
    async fn blob_get(&self, name: &ContentId) -> Result<Option<Vec<u8>>, StoreError>;

    /// Takes a name away; its bytes go with the last of their names. `Ok` when there is none.
    async fn blob_remove(&self, name: &ContentId) -> Result<(), StoreError>;
}
