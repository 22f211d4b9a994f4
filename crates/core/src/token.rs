//! Tokens: how programs, browsers and links prove who they are over a network (`D-AUDIT-2`).
//!
//! The text of a token is `mlt_<project>_<id>_<secret>`, shown once, when it is made. What is kept is a hash
//! of the secret; a token that is unknown, wrong, expired, used up or revoked is refused the same way.
//!
//! A token never permits more than its principal's role does: its own role and its scopes only take away.
//!
//! Deliberately absent: making random secrets, and the time.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{ApprovalId, TokenId};
use crate::principal::{Principal, Role};

/// A token on record; nothing here lets anyone in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Identity; a part of the token's text.
    pub id: TokenId,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub kind: TokenKind,
    /// Who whoever shows it is.
    pub principal: Principal,
    /// The most that it permits; what the principal may do when absent.
    pub role: Option<Role>,
    /// Operations that it permits: names (`run.get`), areas (`run.*`) or `*`.
    pub scopes: Vec<String>,
    /// SHA-256 of its secret, in hex.
    pub hash: String,
    /// The token that it was made from, for sessions: they end together.
    pub parent: Option<TokenId>,
    /// The one request that it may decide, for links.
    pub approval: Option<ApprovalId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: Principal,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When somebody ended it before that.
    pub revoked_at: Option<Timestamp>,
    /// When it was last shown, to the minute; for links, when it was used up.
    pub last_used_at: Option<Timestamp>,
}

/// What a token is for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// Programs and people.
    Api,
    /// A browser that somebody logged in with a token.
    Session,
    /// A link by which one person decides one request, once.
    Link,
}

impl TokenRecord {
    /// Whether it lets anyone in at this time.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        let used_up = self.kind == TokenKind::Link && self.last_used_at.is_some();
        self.revoked_at.is_none() && now < self.expires_at && !used_up
    }

    /// Whether its scopes name the operation, as in `run.get`.
    pub fn covers(&self, operation: &str) -> bool {
        self.scopes
            .iter()
            .any(|scope| match scope.strip_suffix('*') {
                Some(area) => operation.starts_with(area),
                None => scope == operation,
            })
    }
}
