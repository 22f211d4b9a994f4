//! Review and promotion of artifacts.

use async_trait::async_trait;
use moorline_api::ArtifactOperations;

use crate::engine::Engine;

#[async_trait]
impl ArtifactOperations for Engine {}
