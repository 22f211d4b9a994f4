//! [`TokenStore`] for both engines.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::ids::TokenId;
use moorline_core::token::TokenRecord;

use crate::database::backend::Backend;
use crate::error::StoreError;
use crate::tokens::{RevokeToken, TokenStore};

fn todo() -> StoreError {
    StoreError::not_found("part yet")
}

#[async_trait]
impl<B: Backend> TokenStore for B {
    async fn token_create(&self, _token: TokenRecord, _reason: &str) -> Result<(), StoreError> {
        Err(todo())
    }

    async fn token_get(&self, _id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
        Err(todo())
    }

    async fn token_find(&self, _prefix: &str) -> Result<Vec<TokenId>, StoreError> {
        Err(todo())
    }

    async fn tokens_list(&self) -> Result<Vec<TokenRecord>, StoreError> {
        Err(todo())
    }

    async fn token_revoke(&self, _revoke: RevokeToken) -> Result<TokenRecord, StoreError> {
        Err(todo())
    }

    async fn token_used(&self, _id: TokenId, _now: Timestamp) -> Result<bool, StoreError> {
        Err(todo())
    }
}
