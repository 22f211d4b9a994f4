//! `moorline principal …`

use std::fmt::Display;
use std::str::FromStr;

use moorline_api::{
    ApiError, Operation, PrincipalChangeRequest, PrincipalRemoveRequest, PrincipalRequest,
    PrincipalView, RoleOrigin, WhoamiRequest, authorization,
};
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::{Principal, PublicKey, Role};
use moorline_engine::StateDirs;
use serde_json::json;

use crate::args::{PrincipalCommand, PrincipalSetArgs};
use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>, command: PrincipalCommand) -> Result<u8, ApiError> {
    match command {
        PrincipalCommand::List => list(context),
        PrincipalCommand::Show { principal } => show(context, parsed(&principal)?),
        PrincipalCommand::Whoami => whoami(context),
        PrincipalCommand::Set(args) => set(context, args),
        PrincipalCommand::Remove { principal, reason } => {
            let request = PrincipalRemoveRequest {
                principal: parsed(&principal)?,
                actor: context.principal()?,
                reason,
            };
            let view =
                context.with_plane(|plane| async move { plane.principal_remove(request).await })?;
            print(context, &view);
            Ok(0)
        }
        PrincipalCommand::Keygen => keygen(context),
    }
}

fn list(context: &Context<'_>) -> Result<u8, ApiError> {
    let views = context.with_plane(|plane| async move { plane.principal_list().await })?;
    if context.json() {
        output::json(&views);
        return Ok(0);
    }
    if views.is_empty() {
        output::note("nobody is named; people have the role that `default_role` says");
        return Ok(0);
    }
    let rows = views.iter().map(|view| {
        let valid = view.keys.iter().filter(|key| key.until.is_none()).count();
        vec![
            view.principal.to_string(),
            view.role.to_string(),
            origin(view).to_owned(),
            valid.to_string(),
        ]
    });
    output::table(&["PRINCIPAL", "ROLE", "FROM", "KEYS"], rows.collect());
    Ok(0)
}

const fn origin(view: &PrincipalView) -> &'static str {
    match (view.removed_at, view.role_from) {
        (Some(_), _) => "removed",
        (None, RoleOrigin::Recorded) => "recorded",
        (None, RoleOrigin::Configured) => "configured",
        (None, RoleOrigin::Default) => "default",
    }
}

/// Every operation that a principal with this role may do.
fn may(view: &PrincipalView) -> Vec<&'static str> {
    Operation::ALL
        .iter()
        .filter(|operation| authorization::permit(**operation, &view.principal, view.role).is_ok())
        .map(|operation| operation.as_str())
        .collect()
}

fn show(context: &Context<'_>, principal: Principal) -> Result<u8, ApiError> {
    let request = PrincipalRequest { principal };
    let view = context.with_plane(|plane| async move { plane.principal_get(request).await })?;
    print(context, &view);
    Ok(0)
}

fn whoami(context: &Context<'_>) -> Result<u8, ApiError> {
    let actor = context.principal()?;
    let request = WhoamiRequest { actor };
    let view = context.with_plane(|plane| async move { plane.principal_whoami(request).await })?;
    print(context, &view);
    Ok(0)
}

fn print(context: &Context<'_>, view: &PrincipalView) {
    let may = may(view);
    if context.json() {
        output::json(&json!({
            "principal": view.principal,
            "role": view.role,
            "role_from": view.role_from,
            "keys": view.keys,
            "removed_at": view.removed_at,
            "may": may,
        }));
        return;
    }
    let text = |label: &str, value: &str| output::line(&format!("{label:<12}{value}"));
    text("principal", &view.principal.to_string());
    text("role", &format!("{} ({})", view.role, origin(view)));
    for key in &view.keys {
        let until = key.until.map(|until| format!(", retired {until}"));
        let until = until.unwrap_or_default();
        text(
            "key",
            &format!("{} since {}{until}", key.public_key, key.since),
        );
    }
    let changes: Vec<&str> = Operation::ALL
        .iter()
        .filter(|operation| operation.mutates() && may.contains(&operation.as_str()))
        .map(|operation| operation.as_str())
        .collect();
    text(
        "may",
        &format!("look at everything; {}", changes.join(", ")),
    );
}

fn set(context: &Context<'_>, args: PrincipalSetArgs) -> Result<u8, ApiError> {
    let role = match args.role.as_deref() {
        Some(text) => Some(role(text)?),
        None => None,
    };
    let key = |text: Option<String>| text.as_deref().map(parsed::<PublicKey>).transpose();
    let request = PrincipalChangeRequest {
        principal: parsed(&args.principal)?,
        role,
        add_key: key(args.add_key)?,
        retire_key: key(args.retire_key)?,
        actor: context.principal()?,
        reason: args.reason,
    };
    let view = context.with_plane(|plane| async move { plane.principal_set(request).await })?;
    print(context, &view);
    Ok(0)
}

fn role(text: &str) -> Result<Role, ApiError> {
    Role::ALL
        .into_iter()
        .find(|role| role.as_str() == text)
        .ok_or_else(|| {
            let known = Role::ALL.map(Role::as_str).join(", ");
            ApiError::new(ErrorCode::Usage, format!("`{text}` is not a role"))
                .hint(format!("roles are {known}"))
        })
}

/// Makes a key file; opens no store, so that a key can be made before there is anything to sign.
fn keygen(context: &Context<'_>) -> Result<u8, ApiError> {
    let principal = context.claimed_principal()?;
    let state = StateDirs::new(context.new_state());
    let keys = context.keys(state.root());
    let (key, new) = keys.read_or_make(&principal)?;
    let public = PublicKey::from(key.verifying_key());
    let file = keys.of(&principal);
    if context.json() {
        output::json(&json!({
            "principal": principal,
            "public_key": public,
            "file": file,
            "new": new,
        }));
    } else {
        output::line(&public.to_string());
        let what = if new { "made" } else { "is there already" };
        output::note(&format!("the private key {what}: {}", file.display()));
    }
    Ok(0)
}

fn parsed<T>(text: &str) -> Result<T, ApiError>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse()
        .map_err(|error: T::Err| ApiError::new(ErrorCode::Usage, error.to_string()))
}
