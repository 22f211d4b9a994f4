//! Review and promotion.

use async_trait::async_trait;

/// Review and promotion. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait ArtifactOperations: Send + Sync {}
