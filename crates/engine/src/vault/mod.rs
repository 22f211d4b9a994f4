//! Secrets, as people keep them: set, rotate, revoke, audit.

use async_trait::async_trait;
use moorline_api::SecretOperations;

use crate::engine::Engine;

#[async_trait]
impl SecretOperations for Engine {}
