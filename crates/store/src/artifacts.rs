//! Artifacts, what was decided about them, and where lanes point.

use async_trait::async_trait;

/// Artifacts, what was decided about them, and where lanes point. A part of [`Store`](crate::Store), under its contract.
#[async_trait]
pub trait ArtifactStore: Send + Sync {}
