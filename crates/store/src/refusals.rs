//! Refusals that someone may ask about.

use async_trait::async_trait;

/// Refusals that someone may ask about. A part of [`Store`](crate::Store), under its contract.
#[async_trait]
pub trait RefusalStore: Send + Sync {}
