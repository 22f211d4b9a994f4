//! Tokens, by which programs and browsers prove who they are to a server (D-AUDIT-2).

use async_trait::async_trait;
use moorline_core::principal::{Principal, Role};
use moorline_core::token::TokenRecord;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// Tokens. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait TokenOperations: Send + Sync {
    /// Tokens on record, newest first; nothing that lets anyone in.
    async fn token_list(&self, request: TokenListRequest) -> Result<Vec<TokenRecord>, ApiError>;

    /// Makes a token. Its text is in the answer and nowhere else.
    async fn token_create(&self, request: TokenCreateRequest) -> Result<TokenCreated, ApiError>;

    /// Ends a token, and the sessions that were made from it. Repeating it succeeds.
    async fn token_revoke(&self, request: TokenRevokeRequest) -> Result<TokenRecord, ApiError>;
}

/// List tokens.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenListRequest {
    /// Only those of this principal.
    pub principal: Option<Principal>,
    /// Sessions and links too.
    pub all: bool,
}

/// Make a token.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenCreateRequest {
    /// What people call it.
    pub name: String,
    /// Who whoever shows it is.
    pub principal: Principal,
    /// The most that it permits; what the principal may do when absent.
    pub role: Option<Role>,
    /// Operations that it permits: names (`run.get`), areas (`run.*`) or `*`; all when empty.
    pub scopes: Vec<String>,
    /// For how many days it holds, at most 366; 30 when absent.
    pub days: Option<u32>,
    /// Who asks.
    pub actor: Principal,
    /// Why.
    pub reason: String,
}

/// A token that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenCreated {
    /// Its text: shown this once.
    pub token: String,
    /// What is on record.
    pub record: TokenRecord,
}

/// End a token.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenRevokeRequest {
    /// Its id, or a unique beginning of it, of eight characters at least.
    pub token: String,
    /// Who asks.
    pub actor: Principal,
    /// Why.
    pub reason: String,
}
