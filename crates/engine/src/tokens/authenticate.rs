//! Whom a token's text lets in; sessions of browsers.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::TokenId;
use moorline_core::principal::Principal;
use moorline_core::token::{TokenKind, TokenRecord};
use moorline_store::{LAST_USE_TO, RevokeToken};
use tracing::warn;

use super::Identity;
use super::text::{self, TokenText};
use crate::engine::{Engine, Inner};
use crate::error::store_error;

/// A session that somebody opened: what their browser shows from now on.
#[derive(Clone)]
pub struct OpenedSession {
    /// The text of the session's token: a secret.
    pub token: String,
    /// Whom it lets in.
    pub identity: Identity,
}

impl std::fmt::Debug for OpenedSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenedSession")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// The one answer to whatever lets nobody in.
pub(super) fn nobody() -> ApiError {
    ApiError::new(
        ErrorCode::Unauthenticated,
        "the token lets nobody in (D-AUDIT-2)",
    )
    .hint("give a token that is known, unexpired and not revoked; `moorline tokens create NAME` makes one")
}

impl Engine {
    /// The one answer to whatever lets nobody in, for front ends that refuse before an engine is asked.
    pub fn unauthenticated() -> ApiError {
        nobody()
    }

    /// Whom a token's text lets in: one that programs show, or one of a browser's session. Links let nobody in.
    ///
    /// The secret is compared in constant time. The role is the lesser of the token's and the one that the
    /// principal has on record now. A revocation and a change of a role hold at once in this process, and after
    /// one second in others.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`] for a text that lets nobody in, in the same words whatever the reason.
    pub async fn authenticate(&self, token: &str) -> Result<Identity, ApiError> {
        let inner = &self.inner;
        let parts = inner.parts(token)?;
        let mut identity = match inner.tokens.get(parts.id) {
            Some(known) => known,
            None => inner.identity(parts.id).await?,
        };
        let now = inner.now();
        let record = &identity.token;
        if !parts.has_hash(&record.hash) || !record.is_valid(now) || record.kind == TokenKind::Link
        {
            return Err(nobody());
        }
        if is_due(record.last_used_at, now) {
            identity.token.last_used_at = Some(now);
            inner.tokens.touch(&identity);
            self.record_use(parts.id, now).await;
        }
        Ok(identity)
    }

    /// Whom a token that was shown before lets in now: for connections that stay open.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`] when it lets nobody in any more; [`ErrorCode::Store`] when that can not
    /// be said.
    pub async fn identify(&self, token: TokenId) -> Result<Identity, ApiError> {
        let inner = &self.inner;
        let identity = match inner.tokens.get(token) {
            Some(known) => known,
            None => inner.identity(token).await?,
        };
        if identity.token.is_valid(inner.now()) {
            Ok(identity)
        } else {
            Err(nobody())
        }
    }

    /// Opens a session with a token that programs and people show. It ends with that token, and after
    /// `lifetime` at the latest.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`] as [`authenticate`](Self::authenticate); also for the token of a session.
    pub async fn session_open(
        &self,
        token: &str,
        lifetime: Duration,
    ) -> Result<OpenedSession, ApiError> {
        let inner = &self.inner;
        let Identity {
            principal,
            role,
            token: parent,
        } = self.authenticate(token).await?;
        if parent.kind != TokenKind::Api {
            return Err(nobody());
        }
        let now = inner.now();
        let lifetime = SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX);
        let expires_at = now.checked_add(lifetime).unwrap_or(Timestamp::MAX);
        let id = TokenId::new(inner.ids.uuid());
        let (token, hash) = inner.new_text(id)?;
        let record = TokenRecord {
            id,
            name: parent.name,
            kind: TokenKind::Session,
            principal: principal.clone(),
            role: parent.role,
            scopes: parent.scopes,
            hash,
            parent: Some(parent.id),
            approval: None,
            created_at: now,
            created_by: principal.clone(),
            expires_at: expires_at.min(parent.expires_at),
            revoked_at: None,
            last_used_at: Some(now),
        };
        let created = inner.store.token_create(record.clone(), "logged in").await;
        created.map_err(store_error)?;
        let identity = Identity {
            principal,
            role,
            token: record,
        };
        Ok(OpenedSession { token, identity })
    }

    /// Ends a session: its token lets nobody in any more. Repeating it succeeds.
    ///
    /// # Errors
    /// When the store can not be written.
    pub async fn session_close(&self, identity: &Identity) -> Result<(), ApiError> {
        let Identity {
            principal, token, ..
        } = identity;
        if token.kind != TokenKind::Session {
            return Ok(());
        }
        let closed = self
            .inner
            .revoke_token(token.id, principal.clone(), "logged out".to_owned());
        closed.await.map(drop)
    }

    /// Whether any token would let a program or a person in.
    ///
    /// # Errors
    /// When the store can not be read.
    pub async fn has_valid_token(&self) -> Result<bool, ApiError> {
        let now = self.inner.now();
        let tokens = self.inner.store.tokens_list(false).await;
        let tokens = tokens.map_err(store_error)?;
        Ok(tokens.iter().any(|token| token.is_valid(now)))
    }

    /// In the background: nobody waits for it, and nothing is wrong when it is lost.
    async fn record_use(&self, id: TokenId, now: Timestamp) {
        let engine = self.clone();
        let recording = async move {
            if let Err(error) = engine.inner.store.token_used(id, now).await {
                warn!(%error, token = %id, "the use of a token could not be recorded");
            }
        };
        self.inner.tasks.spawn(recording).await;
    }
}

impl Inner {
    /// The parts of a text that is a token of this project.
    pub(super) fn parts<'t>(&self, text: &'t str) -> Result<TokenText<'t>, ApiError> {
        TokenText::parse(text)
            .filter(|parts| parts.project == self.config.project)
            .ok_or_else(nobody)
    }

    /// A new token's text, and the hash of its secret.
    pub(super) fn new_text(&self, id: TokenId) -> Result<(String, String), ApiError> {
        text::generate(&self.config.project, id).map_err(|error| {
            ApiError::new(ErrorCode::Internal, "the system gives no random numbers").because(error)
        })
    }

    /// What the store says of a token and its principal.
    async fn identity(&self, id: TokenId) -> Result<Identity, ApiError> {
        let mark = self.tokens.mark();
        let token = self.store.token_get(id).await.map_err(store_error)?;
        let token = token.ok_or_else(nobody)?;
        let own = self.role_of(&token.principal).await?;
        let identity = Identity {
            principal: token.principal.clone(),
            role: token.role.map_or(own, |role| role.min(own)),
            token,
        };
        self.tokens.put(mark, &identity);
        Ok(identity)
    }

    /// Ends a token and its sessions, at once in this process.
    pub(super) async fn revoke_token(
        &self,
        id: TokenId,
        actor: Principal,
        reason: String,
    ) -> Result<TokenRecord, ApiError> {
        let revoke = RevokeToken {
            id,
            actor,
            reason,
            now: self.now(),
        };
        let revoked = self.store.token_revoke(revoke).await;
        self.tokens.clear();
        revoked.map_err(store_error)
    }
}

/// Whether the recorded time of the last use is so old that it is written again.
fn is_due(last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_none_or(|last| now.duration_since(last).unsigned_abs() >= LAST_USE_TO)
}
