//! Secrets, as people keep them: set, rotate, revoke, audit (D-SEC).
//!
//! | module | what |
//! |---|---|
//! | `keeping` | [`Vault`]: the back end, the key of the installation, the lock |
//! | `policy` | from the settings of a lane to the objects that hold its secrets |
//! | `change` | set and rotate |
//! | `revoke` | revocation, after what holds a secret is stopped |
//! | `audit` | what is kept against what is recorded and declared |
//! | `reauth` | the re-authentication of a source, step by step |
//! | `expiry` | telling of sessions before they end |
//!
//! A value passes through here on its way to the back end, and nowhere else; what is recorded of it is a
//! keyed hash. Deliberately absent: resolving secrets for runs, which is `crate::secrets`.

mod audit;
mod change;
mod expiry;
mod keeping;
pub(crate) mod policy;
mod reauth;
mod revoke;

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_api::secrets::{
    SecretAuditReport, SecretAuditRequest, SecretKeySet, SecretListRequest, SecretRevokeReport,
    SecretRevokeRequest, SecretSetRequest, SecretView,
};
use moorline_api::{ApiError, Operation, SecretOperations};
use moorline_core::error_code::ErrorCode;
use moorline_core::lane::Lane;
use moorline_core::secret::{SecretChangeKind, SecretRecord};

use crate::engine::{Engine, Inner};
use crate::error::store_error;
use crate::submit;

pub use keeping::Vault;

#[async_trait]
impl SecretOperations for Engine {
    async fn secret_list(&self, request: SecretListRequest) -> Result<Vec<SecretView>, ApiError> {
        let inner = &self.inner;
        let lane = match request.lane.as_deref() {
            Some(name) => Some(inner.lane_named(Some(name))?),
            None => None,
        };
        let records = inner.store.secrets_list(lane.as_ref()).await;
        let now = inner.now();
        Ok(records
            .map_err(store_error)?
            .into_iter()
            .map(|record| view(record, now))
            .collect())
    }

    async fn secret_set(&self, request: SecretSetRequest) -> Result<SecretView, ApiError> {
        self.inner
            .change_secret(SecretChangeKind::Set, request)
            .await
    }

    async fn secret_rotate(&self, request: SecretSetRequest) -> Result<SecretView, ApiError> {
        self.inner
            .change_secret(SecretChangeKind::Rotate, request)
            .await
    }

    async fn secret_revoke(
        &self,
        request: SecretRevokeRequest,
    ) -> Result<SecretRevokeReport, ApiError> {
        let inner = &self.inner;
        let subject = match &request.secret {
            Some(secret) => format!("secret/{secret}"),
            None => "secret/all".to_owned(),
        };
        let actor = request.actor.clone();
        // Boxed: it holds what it waits for, every run that holds one of them.
        let work = Box::pin(inner.revoke(request));
        inner
            .guarded(Operation::SecretRevoke, &actor, subject, work)
            .await
    }

    async fn secret_audit(
        &self,
        request: SecretAuditRequest,
    ) -> Result<SecretAuditReport, ApiError> {
        self.inner.audit_secrets(request).await
    }
}

impl Inner {
    /// A configured lane; `dev` when none is named.
    fn lane_named(&self, name: Option<&str>) -> Result<Lane, ApiError> {
        submit::lane(&self.config.settings, name).map(|(lane, _)| lane)
    }

    /// The lanes that a request is about: the one that it names, or all.
    fn lanes_named(&self, name: Option<&str>) -> Result<Vec<Lane>, ApiError> {
        match name {
            Some(name) => Ok(vec![self.lane_named(Some(name))?]),
            None => Ok(self.config.settings.lanes.keys().cloned().collect()),
        }
    }

    /// Where secrets are kept.
    pub(crate) fn must_vault(&self) -> Result<&Vault, ApiError> {
        self.vault.as_deref().ok_or_else(|| {
            ApiError::new(ErrorCode::Config, "this engine keeps no secrets")
                .hint("give it a `Vault` where it is built")
        })
    }
}

/// A secret on record, for people and programs.
fn view(record: SecretRecord, now: Timestamp) -> SecretView {
    let expiry = record.stage(now);
    let SecretRecord {
        lane,
        name,
        object,
        environment,
        backend,
        keys,
        expires_at,
        source_id,
        ..
    } = record;
    let keys = keys.into_iter().map(|(key, set)| SecretKeySet {
        key,
        set_at: set.set_at,
        by: set.by,
    });
    SecretView {
        lane,
        secret: name,
        object,
        environment,
        backend,
        keys: keys.collect(),
        source_id,
        expires_at,
        expiry,
    }
}
