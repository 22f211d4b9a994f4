//! Principals, their roles and their keys.

use async_trait::async_trait;
use moorline_api::PrincipalOperations;

use crate::engine::Engine;

#[async_trait]
impl PrincipalOperations for Engine {}
