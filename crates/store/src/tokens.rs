//! Tokens on record.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::ids::TokenId;
use moorline_core::principal::Principal;
use moorline_core::token::TokenRecord;

use crate::error::StoreError;

/// A token is ended.
#[derive(Debug, Clone)]
pub struct RevokeToken {
    /// Which.
    pub id: TokenId,
    /// Who ends it.
    pub actor: Principal,
    /// Why.
    pub reason: String,
    /// When.
    pub now: Timestamp,
}

/// Tokens on record. A part of [`Store`](crate::Store), under its contract.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Keeps a token: record, event and audit record (with `reason`) at once.
    async fn token_create(&self, token: TokenRecord, reason: &str) -> Result<(), StoreError>;

    /// One token.
    async fn token_get(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError>;

    /// Tokens whose id begins with this text, at most two.
    async fn token_find(&self, prefix: &str) -> Result<Vec<TokenId>, StoreError>;

    /// Every token, newest first.
    async fn tokens_list(&self) -> Result<Vec<TokenRecord>, StoreError>;

    /// Ends a token and the sessions that were made from it. Repeating it is `Ok`.
    async fn token_revoke(&self, revoke: RevokeToken) -> Result<TokenRecord, StoreError>;

    /// Records that a token was shown; for a link, that it is used up: `false` when it was so already.
    async fn token_used(&self, id: TokenId, now: Timestamp) -> Result<bool, StoreError>;
}
