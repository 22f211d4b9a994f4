//! Tokens on record.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::ids::TokenId;
use moorline_core::principal::Principal;
use moorline_core::token::TokenRecord;

use crate::error::StoreError;

/// For how long a session or a link is kept after its end: long enough to tell whoever comes late that it is
/// used up.
pub const ENDED_TOKENS_KEPT_FOR: Duration = Duration::from_hours(30 * 24);

/// The most tokens that one list gives.
pub const LISTED_TOKENS: u32 = 1000;

/// How old the recorded time of the last use may get before it is written again.
pub const LAST_USE_TO: Duration = Duration::from_mins(1);

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
    /// Keeps a token: record, event and audit record (with `reason`) at once. Sessions and links that ended
    /// longer than [`ENDED_TOKENS_KEPT_FOR`] ago are removed.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for a session whose parent has ended: a revocation is never outrun by a login.
    async fn token_create(&self, token: TokenRecord, reason: &str) -> Result<(), StoreError>;

    /// One token.
    async fn token_get(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError>;

    /// Tokens whose id begins with this text, at most two.
    async fn token_find(&self, prefix: &str) -> Result<Vec<TokenId>, StoreError>;

    /// Tokens, newest first, at most [`LISTED_TOKENS`]; sessions and links only with `all`.
    async fn tokens_list(&self, all: bool) -> Result<Vec<TokenRecord>, StoreError>;

    /// Ends a token and the sessions that were made from it. Repeating it is `Ok` and writes nothing.
    async fn token_revoke(&self, revoke: RevokeToken) -> Result<TokenRecord, StoreError>;

    /// Records that a token was shown, at most once in [`LAST_USE_TO`]; for a link, that it is used up: `false`
    /// when it was so already, or ended otherwise.
    async fn token_used(&self, id: TokenId, now: Timestamp) -> Result<bool, StoreError>;
}
