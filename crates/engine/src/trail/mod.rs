//! The audit trail and explanations.

use async_trait::async_trait;
use moorline_api::TrailOperations;

use crate::engine::Engine;

#[async_trait]
impl TrailOperations for Engine {}
