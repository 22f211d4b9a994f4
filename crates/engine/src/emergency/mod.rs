//! Emergencies: disable, stop, revoke, archive.

use async_trait::async_trait;
use moorline_api::EmergencyOperations;

use crate::engine::Engine;

#[async_trait]
impl EmergencyOperations for Engine {}
