//! Emergencies and how far each got.

use async_trait::async_trait;

/// Emergencies and how far each got. A part of [`Store`](crate::Store), under its contract.
#[async_trait]
pub trait EmergencyStore: Send + Sync {}
