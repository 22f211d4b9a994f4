//! What is known of secrets; never a value.

use async_trait::async_trait;

/// What is known of secrets; never a value. A part of [`Store`](crate::Store), under its contract.
#[async_trait]
pub trait SecretStore: Send + Sync {}
