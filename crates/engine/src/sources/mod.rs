//! Sources, as people steer them.

use async_trait::async_trait;
use moorline_api::SourceOperations;

use crate::engine::Engine;

#[async_trait]
impl SourceOperations for Engine {}
