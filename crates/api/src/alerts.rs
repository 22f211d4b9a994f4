//! Alerts and their deliveries.

use async_trait::async_trait;

/// Alerts and their deliveries. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait AlertOperations: Send + Sync {}
