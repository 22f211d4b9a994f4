//! Principals with a role or a key of their own.

use async_trait::async_trait;

/// Principals with a role or a key of their own. A part of [`Store`](crate::Store), under its contract.
#[async_trait]
pub trait PrincipalStore: Send + Sync {}
