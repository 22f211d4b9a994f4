//! [`BlobStore`] for both engines.

use async_trait::async_trait;
use moorline_core::content_id::ContentId;

use crate::blobs::BlobStore;
use crate::database::backend::Backend;
use crate::error::StoreError;

#[async_trait]
impl<B: Backend> BlobStore for B {
    fn is_shared(&self) -> bool {
        false
    }

    async fn blob_put(&self, _name: &ContentId, _bytes: Vec<u8>) -> Result<(), StoreError> {
        Err(StoreError::not_found("part yet"))
    }

    async fn blob_get(&self, _name: &ContentId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }
}
