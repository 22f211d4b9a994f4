//! Principals with a role or a key of their own.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::principal::{Principal, PrincipalChange, PrincipalRecord};

use crate::error::StoreError;
use crate::versions::Seen;

/// A change of a principal, on its way into the store.
#[derive(Debug, Clone)]
pub struct ChangePrincipal {
    /// Who is changed.
    pub principal: Principal,
    /// How.
    pub change: PrincipalChange,
    /// Who changes it.
    pub actor: Principal,
    /// Why.
    pub reason: String,
    /// The version that it must still be; none for a change of whatever is there.
    pub seen: Option<Seen>,
    /// When.
    pub now: Timestamp,
}

/// Principals with a role or a key of their own. A part of [`Store`](crate::Store), under its contract.
#[async_trait]
pub trait PrincipalStore: Send + Sync {
    /// All records, by principal, those of who was removed too.
    async fn principals_list(&self) -> Result<Vec<PrincipalRecord>, StoreError>;

    /// The record of a principal.
    async fn principal_get(
        &self,
        principal: &Principal,
    ) -> Result<Option<PrincipalRecord>, StoreError>;

    /// Changes a principal: record, event and audit record at once. What is so already leaves no trace.
    ///
    /// # Errors
    /// As [`moorline_core::principal::change`]; and a key that another principal has is refused
    /// (`D-ART-3`): one signature would stand for two.
    async fn principal_change(
        &self,
        change: ChangePrincipal,
    ) -> Result<PrincipalRecord, StoreError>;
}
