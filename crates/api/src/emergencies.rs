//! Emergencies.

use async_trait::async_trait;

/// Emergencies. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait EmergencyOperations: Send + Sync {}
