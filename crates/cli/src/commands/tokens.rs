//! `moorline tokens …`

use jiff::Timestamp;
use moorline_api::{
    ApiError, TokenCreateRequest, TokenCreated, TokenListRequest, TokenRevokeRequest,
};
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::{Principal, PrincipalError, Role};
use moorline_core::token::{TokenKind, TokenRecord};

use crate::args::{TokenCreateArgs, TokensCommand};
use crate::context::Context;
use crate::output;
use crate::remote::Plane;

pub(super) fn run(context: &Context<'_>, command: TokensCommand) -> Result<u8, ApiError> {
    match command {
        TokensCommand::Create(args) => create(context, args),
        TokensCommand::List { principal, all } => {
            let principal = principal.as_deref().map(who).transpose()?;
            list(context, TokenListRequest { principal, all })
        }
        TokensCommand::Revoke { token, reason } => {
            let request = TokenRevokeRequest {
                token: id(token)?,
                actor: context.principal()?,
                reason,
            };
            let record =
                context.with_plane(|plane| async move { plane.token_revoke(request).await })?;
            if context.json() {
                output::json(&record);
            } else {
                output::line(&format!("revoked {} ({})", record.id, record.name));
            }
            Ok(0)
        }
    }
}

fn create(context: &Context<'_>, args: TokenCreateArgs) -> Result<u8, ApiError> {
    let target = if args.local {
        context.only_here("tokens create --local", "makes the token on this machine")?;
        None
    } else {
        context.target()?
    };
    let principal = match args.principal.as_deref() {
        Some(text) => who(text)?,
        None => context.claimed_principal()?,
    };
    let request = TokenCreateRequest {
        name: args.name,
        principal,
        role: args.role.as_deref().map(role).transpose()?,
        scopes: args.scopes,
        days: args.days,
        actor: match target {
            Some(_) => context.principal()?,
            None => context.claimed_principal()?,
        },
        reason: args.reason,
    };
    // Before there is anything else: the first token is made where no server ever ran.
    let made = |plane: Plane| async move { plane.token_create(request).await };
    let created = context.with_new_plane_at(target.as_ref(), made)?;
    if context.json() {
        output::json(&created);
        return Ok(0);
    }
    let TokenCreated { token, record } = created;
    output::line(&token);
    let role = record.role.map_or_else(
        || "what they may do".to_owned(),
        |role| format!("at most `{role}`"),
    );
    output::note(&format!(
        "shown this once: lets {} in until {}, with {role}, for {}",
        record.principal,
        minute(record.expires_at),
        record.scopes.join(", ")
    ));
    output::note(&match target {
        Some(target) => format!(
            "made at {}, as `{}` says; `--local` makes one on this machine",
            target.server, target.by
        ),
        None => format!("made on this machine, in {}", context.state()?.display()),
    });
    Ok(0)
}

fn list(context: &Context<'_>, request: TokenListRequest) -> Result<u8, ApiError> {
    let tokens = context.with_plane(|plane| async move { plane.token_list(request).await })?;
    if context.json() {
        output::json(&tokens);
        return Ok(0);
    }
    if tokens.is_empty() {
        output::note("there are no tokens; `moorline tokens create NAME` makes one");
        return Ok(0);
    }
    let rows = tokens.iter().map(|token| {
        vec![
            token.id.to_string(),
            token.name.clone(),
            kind(token.kind).to_owned(),
            token.principal.to_string(),
            token.role.map_or("-", Role::as_str).to_owned(),
            token.scopes.join(" "),
            standing(token),
            token
                .last_used_at
                .map_or_else(|| "never".to_owned(), minute),
        ]
    });
    let header = [
        "TOKEN",
        "NAME",
        "KIND",
        "PRINCIPAL",
        "ROLE",
        "SCOPES",
        "UNTIL",
        "LAST USED",
    ];
    output::table(&header, rows.collect());
    Ok(0)
}

const fn kind(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Api => "api",
        TokenKind::Session => "session",
        TokenKind::Link => "link",
    }
}

/// Until when it holds, or that it was ended before.
fn standing(token: &TokenRecord) -> String {
    match token.revoked_at {
        Some(_) => "revoked".to_owned(),
        None => minute(token.expires_at),
    }
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

/// A token's id. Its text is refused: what stands in arguments, others on this machine can read.
fn id(text: String) -> Result<String, ApiError> {
    if !text.starts_with("mlt_") {
        return Ok(text);
    }
    let message =
        "a token is revoked by its id, not by its text, which others may read in arguments";
    Err(ApiError::new(ErrorCode::Usage, message).hint("`moorline tokens list` shows the ids"))
}

fn who(text: &str) -> Result<Principal, ApiError> {
    text.parse()
        .map_err(|error: PrincipalError| ApiError::new(ErrorCode::Usage, error.to_string()))
}

fn role(text: &str) -> Result<Role, ApiError> {
    Role::ALL
        .into_iter()
        .find(|role| role.as_str() == text)
        .ok_or_else(|| {
            let known = Role::ALL.map(Role::as_str).join(", ");
            let message = format!("`{text}` is not a role");
            ApiError::new(ErrorCode::Usage, message).hint(format!("roles are {known}"))
        })
}
