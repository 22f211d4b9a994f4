//! [`TokenStore`] for both engines.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::audit::NewAudit;
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::ids::TokenId;
use moorline_core::principal::Principal;
use moorline_core::token::{TokenKind, TokenRecord};
use serde_json::{Value, json};

use crate::database::backend::Backend;
use crate::database::query::Query;
use crate::database::sql::tokens as sql;
use crate::database::tx::{Tx, args};
use crate::database::unit::{Unit, to_json};
use crate::database::writer::Intent;
use crate::error::StoreError;
use crate::tokens::{ENDED_TOKENS_KEPT_FOR, LAST_USE_TO, LISTED_TOKENS, RevokeToken, TokenStore};

#[async_trait]
impl<B: Backend> TokenStore for B {
    async fn token_create(&self, token: TokenRecord, reason: &str) -> Result<(), StoreError> {
        let reason = reason.to_owned();
        self.write(Create { token, reason }).await
    }

    async fn token_get(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
        self.read(Get(id)).await
    }

    async fn token_find(&self, prefix: &str) -> Result<Vec<TokenId>, StoreError> {
        self.read(Find(prefix.to_ascii_lowercase())).await
    }

    async fn tokens_list(&self, all: bool) -> Result<Vec<TokenRecord>, StoreError> {
        self.read(List { all }).await
    }

    async fn token_revoke(&self, revoke: RevokeToken) -> Result<TokenRecord, StoreError> {
        self.write(Revoke(revoke)).await
    }

    async fn token_used(&self, id: TokenId, now: Timestamp) -> Result<bool, StoreError> {
        self.write(Used { id, now }).await
    }
}

/// [`TokenStore::token_create`].
struct Create {
    token: TokenRecord,
    reason: String,
}

impl Intent for Create {
    type Reply = ();

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<(), StoreError> {
        let Self { token, reason } = self;
        let now = token.created_at;
        if let Some(parent) = token.parent {
            let parent = get(unit.tx, parent).await?;
            if !parent.is_some_and(|parent| parent.is_valid(now)) {
                let message = "the token that the session is made from has ended";
                let denial = Denial::new(ErrorCode::Unauthenticated, "D-AUDIT-2", message);
                return Err(denial.hint("log in with a token that is valid").into());
            }
        }
        let id = token.id.to_string();
        let inserted = args![
            &id,
            kind_name(token.kind),
            token.parent.map(|parent| parent.to_string()),
            token.expires_at,
            to_json("token", token)?,
        ];
        if unit.tx.execute(sql::TOKEN_INSERT, inserted).await? == 0 {
            let what = format!("there is a token {id} already");
            return Err(StoreError::Conflict { what });
        }
        tell(unit, token, "created", &token.created_by, now).await?;
        let operation = match token.kind {
            TokenKind::Link => "approval.link",
            TokenKind::Api | TokenKind::Session => "token.create",
        };
        let data = json!({
            "name": token.name,
            "kind": token.kind,
            "principal": token.principal,
            "role": token.role,
            "scopes": token.scopes,
            "parent": token.parent,
            "approval": token.approval,
            "expires_at": token.expires_at,
        });
        let entry = (operation, token.id, &token.created_by, reason.as_str());
        audit(unit, entry, data, now).await?;
        let oldest = now.saturating_sub(ENDED_TOKENS_KEPT_FOR);
        let oldest = oldest.unwrap_or(now);
        unit.tx.execute(sql::TOKENS_EXPIRE, args![oldest]).await?;
        Ok(())
    }
}

/// [`TokenStore::token_revoke`].
struct Revoke(RevokeToken);

impl Intent for Revoke {
    type Reply = TokenRecord;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<TokenRecord, StoreError> {
        let Self(asked) = self;
        let mut token = must_get(unit.tx, asked.id).await?;
        if token.revoked_at.is_some() {
            return Ok(token);
        }
        token.revoked_at = Some(asked.now);
        write(unit.tx, &token).await?;
        tell(unit, &token, "revoked", &asked.actor, asked.now).await?;
        let mut sessions = Vec::new();
        for mut session in children(unit.tx, token.id).await? {
            if session.is_valid(asked.now) {
                session.revoked_at = Some(asked.now);
                write(unit.tx, &session).await?;
                tell(unit, &session, "revoked", &asked.actor, asked.now).await?;
                sessions.push(session.id);
            }
        }
        let data = json!({
            "name": token.name,
            "kind": token.kind,
            "principal": token.principal,
            "sessions": sessions,
        });
        let entry = (
            "token.revoke",
            token.id,
            &asked.actor,
            asked.reason.as_str(),
        );
        audit(unit, entry, data, asked.now).await?;
        Ok(token)
    }
}

/// [`TokenStore::token_used`].
struct Used {
    id: TokenId,
    now: Timestamp,
}

impl Intent for Used {
    type Reply = bool;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<bool, StoreError> {
        let Self { id, now } = *self;
        let mut token = must_get(unit.tx, id).await?;
        let is_link = token.kind == TokenKind::Link;
        if is_link && !token.is_valid(now) {
            return Ok(false);
        }
        let recent = |last: Timestamp| now.duration_since(last).unsigned_abs() < LAST_USE_TO;
        if !is_link && token.last_used_at.is_some_and(recent) {
            return Ok(true);
        }
        token.last_used_at = Some(now);
        write(unit.tx, &token).await?;
        if is_link {
            let principal = token.principal.clone();
            tell(unit, &token, "used", &principal, now).await?;
        }
        Ok(true)
    }
}

async fn tell<T: Tx>(
    unit: &mut Unit<'_, T>,
    token: &TokenRecord,
    change: &str,
    by: &Principal,
    at: Timestamp,
) -> Result<(), StoreError> {
    let event = NewEvent {
        kind: EventKind::TokenChanged,
        level: Level::Info,
        data: json!({
            "token": token.id,
            "name": token.name,
            "kind": token.kind,
            "principal": token.principal,
            "change": change,
            "by": by,
        }),
    };
    unit.event(None, &event, at).await
}

async fn audit<T: Tx>(
    unit: &mut Unit<'_, T>,
    entry: (&str, TokenId, &Principal, &str),
    data: Value,
    at: Timestamp,
) -> Result<(), StoreError> {
    let (operation, token, actor, reason) = entry;
    unit.audit(NewAudit {
        actor: actor.to_string(),
        operation: operation.to_owned(),
        subject: format!("token/{token}"),
        reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
        data,
        at,
    })
    .await
}

struct Get(TokenId);

impl Query for Get {
    type Reply = Option<TokenRecord>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Self::Reply, StoreError> {
        get(tx, self.0).await
    }
}

struct Find(String);

impl Query for Find {
    type Reply = Vec<TokenId>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Self::Reply, StoreError> {
        let Self(prefix) = self;
        let is_id = |byte: u8| byte == b'-' || byte.is_ascii_hexdigit();
        if prefix.is_empty() || !prefix.bytes().all(is_id) {
            return Ok(Vec::new());
        }
        // Ids are hexadecimal digits and hyphens: `g` comes behind all of them.
        let end = format!("{prefix}g");
        let rows = tx.rows(sql::TOKEN_FIND, args![prefix, end]).await?;
        rows.into_iter()
            .map(|mut row| row.parsed("token id"))
            .collect()
    }
}

struct List {
    all: bool,
}

impl Query for List {
    type Reply = Vec<TokenRecord>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Self::Reply, StoreError> {
        let rows = if self.all {
            tx.rows(sql::TOKENS, args![LISTED_TOKENS]).await?
        } else {
            let api = kind_name(TokenKind::Api);
            tx.rows(sql::TOKENS_KIND, args![api, LISTED_TOKENS]).await?
        };
        rows.into_iter().map(|mut row| row.json("token")).collect()
    }
}

/// As the column has it.
const fn kind_name(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Api => "api",
        TokenKind::Session => "session",
        TokenKind::Link => "link",
    }
}

async fn get<T: Tx>(tx: &mut T, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
    let row = tx.row(sql::TOKEN_GET, args![id.to_string()]).await?;
    row.map(|mut row| row.json("token")).transpose()
}

async fn must_get<T: Tx>(tx: &mut T, id: TokenId) -> Result<TokenRecord, StoreError> {
    let token = get(tx, id).await?;
    token.ok_or_else(|| StoreError::not_found(format!("token {id}")))
}

async fn children<T: Tx>(tx: &mut T, parent: TokenId) -> Result<Vec<TokenRecord>, StoreError> {
    let rows = tx
        .rows(sql::TOKENS_PARENT, args![parent.to_string()])
        .await?;
    rows.into_iter().map(|mut row| row.json("token")).collect()
}

async fn write<T: Tx>(tx: &mut T, token: &TokenRecord) -> Result<(), StoreError> {
    let doc = to_json("token", token)?;
    let args = args![doc, token.id.to_string()];
    tx.execute(sql::TOKEN_UPDATE, args).await?;
    Ok(())
}
