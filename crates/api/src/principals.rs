//! Who acts here, with which role and key.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::principal::{Principal, PublicKey, RegisteredKey, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// Show a principal.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrincipalRequest {
    /// Who.
    pub principal: Principal,
}

/// Ask who one is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhoamiRequest {
    /// Who asks.
    pub actor: Principal,
}

/// Give a principal a role or a key, or retire a key. What is absent stays as it is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrincipalChangeRequest {
    /// Who is changed; need not be known before.
    pub principal: Principal,
    /// The role.
    pub role: Option<Role>,
    /// A key to register; only for people.
    pub add_key: Option<PublicKey>,
    /// A key to retire; what it signed before stays valid.
    pub retire_key: Option<PublicKey>,
    /// Who asks.
    pub actor: Principal,
    /// Why.
    pub reason: String,
}

/// Take role and keys from a principal.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrincipalRemoveRequest {
    /// Who is removed.
    pub principal: Principal,
    /// Who asks.
    pub actor: Principal,
    /// Why.
    pub reason: String,
}

/// Where a role comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleOrigin {
    /// It was given, or taken away, by `principal.set` and `principal.remove`.
    Recorded,
    /// The settings name the principal.
    Configured,
    /// Nobody named the principal; its kind has this role.
    Default,
}

/// A principal, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrincipalView {
    /// Who.
    pub principal: Principal,
    /// The role that counts.
    pub role: Role,
    /// Where that role comes from.
    pub role_from: RoleOrigin,
    /// Its keys, oldest first, the retired ones too.
    pub keys: Vec<RegisteredKey>,
    /// When it was removed.
    pub removed_at: Option<Timestamp>,
}

/// Who acts here, with which role and key. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait PrincipalOperations: Send + Sync {
    /// Principals that have a record or that the settings name, in order.
    async fn principal_list(&self) -> Result<Vec<PrincipalView>, ApiError>;

    /// One principal, known or not.
    async fn principal_get(&self, request: PrincipalRequest) -> Result<PrincipalView, ApiError>;

    /// Whoever asks: over a network, whom the token is of.
    async fn principal_whoami(&self, request: WhoamiRequest) -> Result<PrincipalView, ApiError>;

    /// Gives a role or a key, or retires a key. Brings back who was removed.
    ///
    /// # Errors
    /// `D-AUDIT-2` for who lowers their own role, `D-ART-4` for a key of who is no person, `D-ART-3` for a key
    /// that is retired or another principal's.
    async fn principal_set(
        &self,
        request: PrincipalChangeRequest,
    ) -> Result<PrincipalView, ApiError>;

    /// Takes the role away and retires all keys. The record stays: what the keys signed can be checked for ever.
    ///
    /// # Errors
    /// `D-AUDIT-2` for who removes themself, or of whom nothing is recorded.
    async fn principal_remove(
        &self,
        request: PrincipalRemoveRequest,
    ) -> Result<PrincipalView, ApiError>;
}
