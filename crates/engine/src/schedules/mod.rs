//! Schedules and their gates.

use async_trait::async_trait;
use moorline_api::ScheduleOperations;

use crate::engine::Engine;

#[async_trait]
impl ScheduleOperations for Engine {}
