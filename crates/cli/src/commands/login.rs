//! `moorline login` and `moorline logout`

use std::io::IsTerminal as _;

use moorline_api::client::{Client, Options};
use moorline_api::{ApiError, PrincipalOperations as _, PrincipalView, WhoamiRequest};
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::Principal;
use moorline_secrets::PromptSource;
use serde_json::json;

use crate::args::{LoginArgs, LogoutArgs};
use crate::context::Context;
use crate::contexts::{Saved, check_name, name_of, project_of};
use crate::output;

/// Takes a token from standard input or a prompt, tries it, and keeps it.
pub(super) fn login(context: &Context<'_>, args: LoginArgs) -> Result<u8, ApiError> {
    let server = args.url.trim_end_matches('/').to_owned();
    let name = args.name.unwrap_or_else(|| name_of(&server));
    check_name(&name)?;
    let place = context.context_place()?;
    let mut contexts = place.read()?;
    // What is wrong with the address is said before a token is asked for.
    Client::new(Options::new(server.as_str(), ""))?;
    let token = ask(&server)?;
    let project = project_of(token.expose()).map(str::to_owned);
    if project.is_none() {
        let message = "what was given is no token of Moorline; nothing was kept";
        return Err(ApiError::new(ErrorCode::Usage, message)
            .hint("tokens begin with `mlt_`; `moorline tokens create NAME` on the server's machine makes one"));
    }
    let client = Client::new(Options::new(server.as_str(), token.expose()))?;
    let who = crate::context::runtime()?.block_on(who(&client))?;
    let token = place.keep_token(&name, token.expose())?;
    contexts.current = Some(name.clone());
    let saved = Saved {
        server: server.clone(),
        project,
        token,
    };
    let replaced = contexts.contexts.insert(name.clone(), saved.clone());
    place.write(&contexts)?;
    if let Some(old) = replaced.filter(|old| old.token != saved.token) {
        // The token before this one is still where it was kept.
        place.forget_token(&name, old.token)?;
    }
    let principal = who.as_ref().map(|who| who.principal.to_string());
    if context.json() {
        output::json(&json!({
            "context": name,
            "server": server,
            "project": saved.project,
            "principal": principal,
            "role": who.map(|who| who.role),
            "token": saved.token,
        }));
        return Ok(0);
    }
    let who = who.map_or_else(String::new, |who| {
        format!(" as {} ({})", who.principal, who.role)
    });
    output::line(&format!("logged in to {server}{who}"));
    output::line(&format!(
        "the context `{name}` is in use; `moorline contexts use --local` works here again"
    ));
    Ok(0)
}

/// The token: one value on standard input, or typed without echo; never an argument (D-SEC-3).
fn ask(server: &str) -> Result<moorline_secrets::SecretValue, ApiError> {
    let usage = |message: String| {
        ApiError::new(ErrorCode::Usage, message)
            .hint("give the token by `< FILE`, by a pipe, or at the prompt; nothing was kept")
    };
    let prompt = PromptSource::stdin()
        .map_err(|error| usage("standard input can not be read".to_owned()).because(error))?;
    if std::io::stdin().is_terminal() {
        output::note(&format!(
            "the token of {server} is asked for; it is not shown"
        ));
    }
    prompt
        .ask("token")
        .map_err(|error| usage(format!("no token: {error}")))
}

/// Whom the token is of; none where it is too narrow to ask that.
async fn who(client: &Client) -> Result<Option<PrincipalView>, ApiError> {
    let request = WhoamiRequest {
        actor: Principal::default(),
    };
    match client.principal_whoami(request).await {
        Ok(who) => Ok(Some(who)),
        Err(error) if error.code == ErrorCode::Forbidden => Ok(None),
        Err(error) => Err(error),
    }
}

/// Forgets a token and its context. The token itself stays valid at the server.
pub(super) fn logout(context: &Context<'_>, args: LogoutArgs) -> Result<u8, ApiError> {
    let place = context.context_place()?;
    let mut contexts = place.read()?;
    let name = args.name.or_else(|| contexts.current.clone());
    let name = name.ok_or_else(|| {
        ApiError::new(
            ErrorCode::Usage,
            "no context is in use, so none can be left",
        )
        .hint("name one; `moorline contexts list` shows them")
    })?;
    let Some(saved) = contexts.contexts.remove(&name) else {
        return Err(super::contexts::unknown(&name, &contexts));
    };
    place.forget_token(&name, saved.token)?;
    if contexts.current.as_ref() == Some(&name) {
        contexts.current = None;
    }
    place.write(&contexts)?;
    if context.json() {
        output::json(&json!({"context": name, "server": saved.server}));
    } else {
        output::line(&format!("logged out of {}", saved.server));
        output::note("the token is forgotten here; `moorline tokens revoke` ends it at the server");
    }
    Ok(0)
}
