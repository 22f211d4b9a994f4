//! Alerts and their deliveries.

use async_trait::async_trait;
use moorline_api::AlertOperations;

use crate::engine::Engine;

#[async_trait]
impl AlertOperations for Engine {}
