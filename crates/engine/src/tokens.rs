//! Tokens: the operations, and who a token's text is of (D-AUDIT-2).

use async_trait::async_trait;
use moorline_api::{
    ApiError, TokenCreateRequest, TokenCreated, TokenListRequest, TokenOperations,
    TokenRevokeRequest,
};
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::{Principal, Role};
use moorline_core::token::TokenRecord;

use crate::engine::Engine;

/// Whom a token lets in, and how far.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Who.
    pub principal: Principal,
    /// The role that counts: the lesser of the token's and the principal's.
    pub role: Role,
    /// The token.
    pub token: TokenRecord,
}

fn todo() -> ApiError {
    ApiError::new(ErrorCode::Internal, "not there yet")
}

impl Engine {
    /// Whom a token's text lets in.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`] for a text that lets nobody in, whatever the reason.
    pub async fn authenticate(&self, _token: &str) -> Result<Identity, ApiError> {
        Err(todo())
    }
}

#[async_trait]
impl TokenOperations for Engine {
    async fn token_list(&self, _request: TokenListRequest) -> Result<Vec<TokenRecord>, ApiError> {
        Err(todo())
    }

    async fn token_create(&self, _request: TokenCreateRequest) -> Result<TokenCreated, ApiError> {
        Err(todo())
    }

    async fn token_revoke(&self, _request: TokenRevokeRequest) -> Result<TokenRecord, ApiError> {
        Err(todo())
    }
}
