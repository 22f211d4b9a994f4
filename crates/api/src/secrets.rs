//! Secrets of a lane; never a value.

use async_trait::async_trait;

/// Secrets of a lane; never a value. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait SecretOperations: Send + Sync {}
