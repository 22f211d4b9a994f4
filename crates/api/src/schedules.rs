//! Schedules and their gates.

use async_trait::async_trait;

/// Schedules and their gates. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait ScheduleOperations: Send + Sync {}
