//! Who may do what: principals with their roles, and tokens. Nothing here lets anyone in.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use moorline_api::{
    Operation, PrincipalOperations as _, PrincipalView, RoleOrigin, TokenListRequest,
    TokenOperations as _, TokenRevokeRequest,
};
use moorline_core::token::{TokenKind, TokenRecord};

use super::{done, html};
use crate::dashboard::chrome::{Area, Chrome};
use crate::dashboard::fault::Fault;
use crate::dashboard::fields::Fields;
use crate::dashboard::parts::{Badge, Countdown, Id, Moment, Tone};
use crate::dashboard::viewer::Viewer;

/// A principal in the list.
struct PrincipalLine {
    who: String,
    role: String,
    from: &'static str,
    keys: usize,
    removed: bool,
}

impl From<PrincipalView> for PrincipalLine {
    fn from(view: PrincipalView) -> Self {
        Self {
            who: view.principal.to_string(),
            role: view.role.to_string(),
            from: match view.role_from {
                RoleOrigin::Recorded => "given",
                RoleOrigin::Configured => "settings",
                RoleOrigin::Default => "default of its kind",
            },
            keys: view.keys.len(),
            removed: view.removed_at.is_some(),
        }
    }
}

/// A token in the list.
struct TokenLine {
    id: Id,
    name: String,
    kind: &'static str,
    who: String,
    role: String,
    scopes: String,
    state: Badge,
    created: Moment,
    expires: Countdown,
    used: Option<Moment>,
    valid: bool,
}

impl TokenLine {
    fn of(viewer: &Viewer, token: TokenRecord) -> Self {
        let valid = token.is_valid(viewer.now);
        let state = if token.revoked_at.is_some() {
            Badge::new(Tone::Bad, "revoked")
        } else if valid {
            Badge::new(Tone::Good, "valid")
        } else {
            Badge::new(Tone::Idle, "over")
        };
        Self {
            id: Id::plain(token.id),
            name: token.name,
            kind: match token.kind {
                TokenKind::Api => "token",
                TokenKind::Session => "session",
                TokenKind::Link => "link",
            },
            who: token.principal.to_string(),
            role: token
                .role
                .map_or_else(|| "as the principal".to_owned(), |role| role.to_string()),
            scopes: token.scopes.join(", "),
            state,
            created: viewer.moment(token.created_at),
            expires: viewer.countdown(token.expires_at),
            used: token.last_used_at.map(|at| viewer.moment(at)),
            valid,
        }
    }
}

#[derive(Template)]
#[template(path = "access.html")]
struct Page {
    chrome: Chrome,
    principals: Vec<PrincipalLine>,
    tokens: Vec<TokenLine>,
    all: bool,
    may_see_tokens: bool,
    may_revoke: bool,
}

/// The page.
pub(super) async fn page(viewer: Viewer, fields: Fields) -> Result<Response, Fault> {
    viewer.permit(Operation::PrincipalList)?;
    let engine = viewer.engine();
    let principals = engine.principal_list().await?;
    let all = fields.get("all").is_some();
    let may_see_tokens = viewer.may(Operation::TokenList);
    let tokens = if may_see_tokens {
        let request = TokenListRequest {
            principal: None,
            all,
        };
        engine.token_list(request).await?
    } else {
        Vec::new()
    };
    let page = Page {
        chrome: Chrome::load(&viewer, Area::Access, "Access").await?,
        principals: principals.into_iter().map(PrincipalLine::from).collect(),
        tokens: tokens
            .into_iter()
            .map(|token| TokenLine::of(&viewer, token))
            .collect(),
        all,
        may_see_tokens,
        may_revoke: viewer.may(Operation::TokenRevoke),
    };
    html(&page)
}

/// Ends a token, and the sessions that were made from it.
pub(super) async fn revoke(
    viewer: Viewer,
    Path(token): Path<String>,
    fields: Fields,
) -> Result<Response, Fault> {
    let subject = format!("token/{token}");
    viewer.admit(Operation::TokenRevoke, &subject).await?;
    let request = TokenRevokeRequest {
        token,
        actor: viewer.actor(),
        reason: fields
            .text("reason")
            .unwrap_or_else(|| "revoked from the dashboard".to_owned()),
    };
    viewer.engine().token_revoke(request).await?;
    Ok(done("/access", "revoked"))
}
