//! What is known of secrets; never a value.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::lane::Lane;
use moorline_core::principal::Principal;
use moorline_core::secret::{ExpiryStage, Reauth, SecretChange, SecretRecord};

use crate::error::StoreError;

/// What is known of secrets; never a value. A part of [`Store`](crate::Store), under its contract.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Records that keys of a secret were set or rotated. [`StoreError::Denied`] when the change is
    /// refused (`moorline_core::secret::apply`).
    async fn secret_record(&self, record: RecordSecret) -> Result<SecretRecord, StoreError>;

    /// Forgets secrets that were revoked, in one transaction with one audit record; returns those that were
    /// on record. The audit record is written also when none was, as removing what nobody recorded is a
    /// change too.
    async fn secret_forget(&self, forget: ForgetSecrets) -> Result<Vec<SecretRecord>, StoreError>;

    /// Every secret on record (of one lane, when given), by lane and name.
    async fn secrets_list(&self, lane: Option<&Lane>) -> Result<Vec<SecretRecord>, StoreError>;

    /// Records that a stage of a secret's expiry is told, with its event and alert. `None`, and nothing is
    /// written, when there is nothing to tell of this secret at `now`, or someone told it before.
    async fn secret_tell(
        &self,
        lane: &Lane,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<ExpiryStage>, StoreError>;

    /// How far a re-authentication has come.
    async fn reauth_get(&self, lane: &Lane, source_id: &str) -> Result<Option<Reauth>, StoreError>;

    /// Records how far a re-authentication has come, with its audit record.
    async fn reauth_record(&self, reauth: Reauth) -> Result<(), StoreError>;
}

/// A change of a secret by someone.
#[derive(Debug, Clone)]
pub struct RecordSecret {
    /// What changes.
    pub change: SecretChange,
    /// Who changes it.
    pub actor: Principal,
    /// Why.
    pub reason: Option<String>,
    /// Now.
    pub now: Timestamp,
}

/// Secrets that were revoked.
#[derive(Debug, Clone)]
pub struct ForgetSecrets {
    /// Which, by lane and name.
    pub secrets: BTreeSet<(Lane, String)>,
    /// Objects that were removed from where they are kept, for the audit record: lane and object.
    pub removed: BTreeSet<(Lane, String)>,
    /// Runs that were stopped first, for the audit record.
    pub stopped: Vec<moorline_core::ids::RunId>,
    /// Who revoked them.
    pub actor: Principal,
    /// Why.
    pub reason: String,
    /// Now.
    pub now: Timestamp,
}
