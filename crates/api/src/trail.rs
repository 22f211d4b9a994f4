//! The audit trail, and explanations.

use async_trait::async_trait;

/// The audit trail, and explanations. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait TrailOperations: Send + Sync {}
