//! Principals, their roles and their keys.
//!
//! A principal's role is the one that is recorded in the store; else the one of the settings; else what its
//! kind has by default. Someone who was removed may only look.

mod keys;

use std::collections::BTreeMap;

use async_trait::async_trait;
use moorline_api::{
    ApiError, Operation, PrincipalChangeRequest, PrincipalOperations, PrincipalRemoveRequest,
    PrincipalRequest, PrincipalView, RoleOrigin, WhoamiRequest,
};
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::{Principal, PrincipalChange, PrincipalKind, PrincipalRecord, Role};
use moorline_store::ChangePrincipal;

pub use keys::KeyPlace;

use crate::engine::{Engine, Inner};
use crate::error::store_error;

#[async_trait]
impl PrincipalOperations for Engine {
    async fn principal_list(&self) -> Result<Vec<PrincipalView>, ApiError> {
        let records = self.inner.store.principals_list().await;
        let records = records.map_err(store_error)?;
        let configured = self.inner.config.settings.principals.keys().cloned();
        let mut all: BTreeMap<Principal, Option<PrincipalRecord>> =
            configured.map(|principal| (principal, None)).collect();
        all.extend(records.into_iter().map(|r| (r.principal.clone(), Some(r))));
        Ok(all
            .into_iter()
            .map(|(principal, record)| self.inner.principal_view(principal, record))
            .collect())
    }

    async fn principal_get(&self, request: PrincipalRequest) -> Result<PrincipalView, ApiError> {
        let record = self.inner.store.principal_get(&request.principal).await;
        let record = record.map_err(store_error)?;
        Ok(self.inner.principal_view(request.principal, record))
    }

    async fn principal_whoami(&self, request: WhoamiRequest) -> Result<PrincipalView, ApiError> {
        let principal = request.actor;
        self.principal_get(PrincipalRequest { principal }).await
    }

    async fn principal_set(
        &self,
        request: PrincipalChangeRequest,
    ) -> Result<PrincipalView, ApiError> {
        let change = PrincipalChange::Set {
            role: request.role,
            add_key: request.add_key,
            retire_key: request.retire_key,
        };
        let change = ChangePrincipal {
            principal: request.principal,
            change,
            actor: request.actor,
            reason: request.reason,
            seen: self.seen(),
            now: self.inner.now(),
        };
        self.inner
            .change_principal(Operation::PrincipalSet, change)
            .await
    }

    async fn principal_remove(
        &self,
        request: PrincipalRemoveRequest,
    ) -> Result<PrincipalView, ApiError> {
        let change = ChangePrincipal {
            principal: request.principal,
            change: PrincipalChange::Remove,
            actor: request.actor,
            reason: request.reason,
            seen: self.seen(),
            now: self.inner.now(),
        };
        self.inner
            .change_principal(Operation::PrincipalRemove, change)
            .await
    }
}

impl Inner {
    async fn change_principal(
        &self,
        operation: Operation,
        change: ChangePrincipal,
    ) -> Result<PrincipalView, ApiError> {
        let (principal, actor) = (change.principal.clone(), change.actor.clone());
        let subject = format!("principal/{principal}");
        let changing = async {
            if change.reason.trim().is_empty() {
                return Err(ApiError::new(
                    ErrorCode::Usage,
                    "who may do what changes for a reason (D-AUDIT-1)",
                )
                .hint("give it with `--reason TEXT`"));
            }
            let record = self.store.principal_change(change).await;
            let record = record.map_err(store_error)?;
            // What they may do holds for their tokens at once.
            self.tokens.clear();
            Ok(self.principal_view(principal, Some(record)))
        };
        self.guarded(operation, &actor, subject, changing).await
    }

    /// The role of a principal: the store's, else the settings', else what its kind has by default.
    ///
    /// # Errors
    /// When the store can not be read: then nobody may do anything.
    pub(crate) async fn role_of(&self, principal: &Principal) -> Result<Role, ApiError> {
        if principal.kind() == PrincipalKind::System {
            return Ok(Role::Admin);
        }
        let record = self.store.principal_get(principal).await;
        let record = record.map_err(store_error)?;
        Ok(self.effective_role(principal, record.as_ref()).0)
    }

    fn effective_role(
        &self,
        principal: &Principal,
        record: Option<&PrincipalRecord>,
    ) -> (Role, RoleOrigin) {
        if let Some(role) = record.and_then(PrincipalRecord::role) {
            return (role, RoleOrigin::Recorded);
        }
        let settings = &self.config.settings;
        if let Some(role) = settings.principals.get(principal) {
            return (*role, RoleOrigin::Configured);
        }
        let role = match principal.kind() {
            PrincipalKind::System => Role::Admin,
            PrincipalKind::Human => settings.default_role,
            PrincipalKind::Agent | PrincipalKind::Ci => Role::Operator,
        };
        (role, RoleOrigin::Default)
    }

    fn principal_view(
        &self,
        principal: Principal,
        record: Option<PrincipalRecord>,
    ) -> PrincipalView {
        let (role, role_from) = self.effective_role(&principal, record.as_ref());
        let removed_at = record.as_ref().and_then(|record| record.removed_at);
        PrincipalView {
            principal,
            role,
            role_from,
            keys: record.map(|record| record.keys).unwrap_or_default(),
            removed_at,
        }
    }
}
