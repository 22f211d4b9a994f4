//! [`ArtifactStore`] for both engines.

use async_trait::async_trait;
use moorline_core::artifact::{Artifact, Promotion};
use moorline_core::ids::ArtifactId;
use moorline_core::lane::Lane;

use crate::artifacts::ArtifactStore;
use crate::database::backend::Backend;
use crate::database::tx::Tx;
use crate::database::unit::Unit;
use crate::error::StoreError;

#[async_trait]
impl<B: Backend> ArtifactStore for B {}

/// What a lane points to for a job, read in the transaction.
pub(crate) async fn live<T: Tx>(
    _unit: &mut Unit<'_, T>,
    _lane: &Lane,
    _job_id: &str,
) -> Result<Option<Promotion>, StoreError> {
    Ok(None)
}

/// One artifact, read in the transaction.
pub(crate) async fn artifact<T: Tx>(
    _unit: &mut Unit<'_, T>,
    id: ArtifactId,
) -> Result<Artifact, StoreError> {
    Err(StoreError::not_found(format!("artifact {id}")))
}
