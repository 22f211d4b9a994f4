//! Sources, as people steer them.

use async_trait::async_trait;

/// Sources, as people steer them. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait SourceOperations: Send + Sync {}
