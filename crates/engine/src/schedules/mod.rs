//! Schedules and their gates.

mod probe;

use async_trait::async_trait;
use moorline_api::ScheduleOperations;

use crate::engine::Engine;

#[async_trait]
impl ScheduleOperations for Engine {}
