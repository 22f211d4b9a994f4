//! Alerts and their deliveries.

use async_trait::async_trait;

/// Alerts and their deliveries. A part of [`Store`](crate::Store), under its contract.
#[async_trait]
pub trait AlertStore: Send + Sync {}
