//! Who acts here, with which role and key.

use async_trait::async_trait;

/// Who acts here, with which role and key. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait PrincipalOperations: Send + Sync {}
