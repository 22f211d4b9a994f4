//! Schedules, and the evidence for their gates.

use async_trait::async_trait;

/// Schedules, and the evidence for their gates. A part of [`Store`](crate::Store), under its contract.
#[async_trait]
pub trait ScheduleStore: Send + Sync {}
