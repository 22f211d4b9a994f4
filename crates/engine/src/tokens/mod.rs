//! Tokens: the operations, and who a token's text is of (D-AUDIT-2).
//!
//! | module | what |
//! |---|---|
//! | `text` | the text of a token, and the hash that is kept of it |
//! | `authenticate` | whom a text lets in; sessions of browsers |
//! | `cache` | what the store said about tokens a moment ago |
//! | `scopes` | what a token may name |
//! | `links` | links by which one person decides one request, once |
//! | `hooks` | signed requests that start a job |
//!
//! Deliberately absent: headers and cookies, which are the server's.

mod authenticate;
mod cache;
#[cfg(feature = "alerts")]
mod hooks;
mod links;
mod scopes;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use moorline_api::{
    ApiError, Operation, TokenCreateRequest, TokenCreated, TokenListRequest, TokenOperations,
    TokenRevokeRequest,
};
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::TokenId;
use moorline_core::principal::{Principal, PrincipalKind, Role};
use moorline_core::token::{TokenKind, TokenRecord};

pub use authenticate::OpenedSession;
pub(crate) use cache::TokenCache;
#[cfg(feature = "alerts")]
pub use hooks::{HOOK_TOLERANCE, HookRequest};
pub use links::{LinkChoice, LinkState, LinkView};
pub use text::token_project;

use crate::beginning::{is_beginning, only};
use crate::engine::{Engine, Inner};
use crate::error::store_error;

/// For how many days a token holds when nobody says.
const DEFAULT_DAYS: u32 = 30;

/// For how many days a token holds at most.
const MOST_DAYS: u32 = 366;

/// Characters of a token's name.
const MOST_NAME: usize = 100;

/// Whom a token lets in, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub principal: Principal,
    /// The role that counts: the lesser of the token's and the principal's.
    pub role: Role,
    /// The token.
    pub token: TokenRecord,
}

impl Engine {
    /// The engine for whoever a token let in: what they do here reaches no further than the token's role and
    /// scopes, also where a rule asks for more than the table does (the role that a gate wants, the scopes of
    /// a token that they make).
    #[must_use]
    pub fn acting_for(&self, identity: Identity) -> Self {
        Self {
            acting: Some(Arc::new(identity)),
            ..self.clone()
        }
    }

    /// The role that counts for what an actor does: that of the record, and of the token that let them in.
    pub(crate) async fn acting_role(&self, actor: &Principal) -> Result<Role, ApiError> {
        let own = self.inner.role_of(actor).await?;
        let cap = self.acting.as_ref().filter(|by| by.principal == *actor);
        Ok(cap.map_or(own, |by| by.role.min(own)))
    }

    async fn create(&self, request: TokenCreateRequest) -> Result<TokenCreated, ApiError> {
        let inner = &self.inner;
        let name = name(&request.name)?;
        if request.principal.kind() == PrincipalKind::System {
            let message = format!("nobody can be {}", request.principal);
            return Err(Denial::new(ErrorCode::Forbidden, "D-AUDIT-2", message)
                .hint("make it for a person, an agent or a pipeline")
                .into());
        }
        if request.reason.trim().is_empty() {
            let message = "a token is made for a reason (D-AUDIT-1)";
            return Err(
                ApiError::new(ErrorCode::Usage, message).hint("give it with `--reason TEXT`")
            );
        }
        let scopes = scopes::checked(&request.scopes)?;
        if let Some(acting) = &self.acting {
            scopes::within(&scopes, &acting.token.scopes)?;
        }
        let creators = self.acting_role(&request.actor).await?;
        let wanted = match request.role {
            Some(role) => role,
            None => inner.role_of(&request.principal).await?,
        };
        if wanted > creators {
            let message = format!(
                "a token with the role `{wanted}` reaches beyond `{creators}`, the role of {}",
                request.actor
            );
            return Err(Denial::new(ErrorCode::Forbidden, "D-AUDIT-2", message)
                .hint(format!("ask for `{creators}` or less"))
                .into());
        }
        let now = inner.now();
        let id = TokenId::new(inner.ids.uuid());
        let (token, hash) = inner.new_text(id)?;
        let record = TokenRecord {
            id,
            name,
            kind: TokenKind::Api,
            principal: request.principal,
            role: request.role,
            scopes,
            hash,
            parent: None,
            approval: None,
            created_at: now,
            created_by: request.actor,
            expires_at: end(now, request.days)?,
            revoked_at: None,
            last_used_at: None,
        };
        let created = inner.store.token_create(record.clone(), &request.reason);
        created.await.map_err(store_error)?;
        Ok(TokenCreated { token, record })
    }
}

#[async_trait]
impl TokenOperations for Engine {
    async fn token_list(&self, request: TokenListRequest) -> Result<Vec<TokenRecord>, ApiError> {
        let tokens = self.inner.store.tokens_list(request.all).await;
        let mut tokens = tokens.map_err(store_error)?;
        if let Some(principal) = &request.principal {
            tokens.retain(|token| token.principal == *principal);
        }
        // What is made of a secret is nobody's business who only wants to see what there is.
        for token in &mut tokens {
            token.hash.clear();
        }
        Ok(tokens)
    }

    async fn token_create(&self, request: TokenCreateRequest) -> Result<TokenCreated, ApiError> {
        let subject = format!("token/{}", request.name);
        let actor = request.actor.clone();
        let work = Box::pin(self.create(request));
        let mut created = self
            .inner
            .guarded(Operation::TokenCreate, &actor, subject, work)
            .await?;
        created.record.hash.clear();
        Ok(created)
    }

    async fn token_revoke(&self, request: TokenRevokeRequest) -> Result<TokenRecord, ApiError> {
        let subject = format!("token/{}", request.token);
        let actor = request.actor.clone();
        let work = Box::pin(async {
            let id = self.inner.find_token(&request.token).await?;
            self.inner
                .revoke_token(id, request.actor.clone(), request.reason)
                .await
        });
        let mut revoked = self
            .inner
            .guarded(Operation::TokenRevoke, &actor, subject, work)
            .await?;
        revoked.hash.clear();
        Ok(revoked)
    }
}

impl Inner {
    /// A token by its id or a unique beginning of it, with or without hyphens.
    async fn find_token(&self, text: &str) -> Result<TokenId, ApiError> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let found = if is_beginning(text) {
            self.store.token_find(text).await.map_err(store_error)?
        } else {
            Vec::new()
        };
        only(found, text, "tokens", || {
            ApiError::new(ErrorCode::NotFound, "there is no such token").hint(
                "`moorline tokens list` shows the ids; a unique beginning of eight characters will do",
            )
        })
    }
}

fn name(text: &str) -> Result<String, ApiError> {
    let name = text.trim();
    let fits = !name.is_empty()
        && name.chars().count() <= MOST_NAME
        && !name.chars().any(char::is_control);
    if fits {
        return Ok(name.to_owned());
    }
    let message = format!("a token has a name of 1 to {MOST_NAME} characters (D-AUDIT-2)");
    let hint = "name it after where it is used, as `ci` or `ada's laptop`";
    Err(ApiError::new(ErrorCode::Usage, message).hint(hint))
}

fn end(now: Timestamp, days: Option<u32>) -> Result<Timestamp, ApiError> {
    let days = days.unwrap_or(DEFAULT_DAYS);
    if !(1..=MOST_DAYS).contains(&days) {
        let message = format!("a token holds for 1 to {MOST_DAYS} days, not {days} (D-AUDIT-2)");
        let hint = "make another one before it ends; both are valid for a while";
        return Err(ApiError::new(ErrorCode::Usage, message).hint(hint));
    }
    let span = SignedDuration::from_hours(24 * i64::from(days));
    Ok(now.checked_add(span).unwrap_or(Timestamp::MAX))
}
