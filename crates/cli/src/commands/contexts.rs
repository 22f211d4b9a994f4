//! `moorline contexts …`

use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use serde_json::json;

use crate::args::ContextsCommand;
use crate::context::Context;
use crate::contexts::Contexts;
use crate::output;

pub(super) fn run(context: &Context<'_>, command: ContextsCommand) -> Result<u8, ApiError> {
    match command {
        ContextsCommand::List => list(context),
        ContextsCommand::Use { name, .. } => choose(context, name),
        ContextsCommand::Show => show(context),
    }
}

fn list(context: &Context<'_>) -> Result<u8, ApiError> {
    let Contexts { current, contexts } = context.context_place()?.read()?;
    let in_use = |name: &String| current.as_ref() == Some(name);
    if context.json() {
        let all: Vec<_> = contexts
            .iter()
            .map(|(name, saved)| {
                json!({
                    "name": name,
                    "server": saved.server,
                    "project": saved.project,
                    "token": saved.token,
                    "current": in_use(name),
                })
            })
            .collect();
        output::json(&all);
    } else if contexts.is_empty() {
        output::note("no contexts; `moorline login URL` makes one");
    } else {
        let rows = contexts.iter().map(|(name, saved)| {
            let mark = if in_use(name) { "*" } else { "" };
            vec![
                mark.to_owned(),
                name.clone(),
                saved.server.clone(),
                saved.project.clone().unwrap_or_default(),
                saved.token.as_str().to_owned(),
            ]
        });
        output::table(
            &["", "CONTEXT", "SERVER", "PROJECT", "TOKEN IN"],
            rows.collect(),
        );
    }
    Ok(0)
}

fn choose(context: &Context<'_>, name: Option<String>) -> Result<u8, ApiError> {
    let place = context.context_place()?;
    let mut contexts = place.read()?;
    if let Some(name) = &name
        && !contexts.contexts.contains_key(name)
    {
        return Err(unknown(name, &contexts));
    }
    contexts.current = name;
    place.write(&contexts)?;
    show_of(context, &contexts)
}

fn show(context: &Context<'_>) -> Result<u8, ApiError> {
    let contexts = context.context_place()?.read()?;
    show_of(context, &contexts)
}

/// What a command would work with: flags and variables count before what is in use.
fn show_of(context: &Context<'_>, contexts: &Contexts) -> Result<u8, ApiError> {
    let Some(target) = context.target()? else {
        if context.json() {
            output::json(&json!({"server": null, "state": context.find_state()}));
        } else {
            let state = context.find_state().map_or_else(
                || "none yet".to_owned(),
                |state| state.display().to_string(),
            );
            output::line(&format!("this machine, state directory {state}"));
        }
        return Ok(0);
    };
    let saved = target
        .context
        .as_ref()
        .and_then(|name| contexts.contexts.get(name));
    if context.json() {
        output::json(&json!({
            "server": target.server,
            "context": target.context,
            "project": saved.and_then(|saved| saved.project.clone()),
            "by": target.by,
        }));
    } else {
        output::line(&format!("{} (by {})", target.server, target.by));
        if let Some(name) = &target.context {
            output::line(&format!("context {name}"));
        }
        if let Some(project) = saved.and_then(|saved| saved.project.as_ref()) {
            output::line(&format!("project {project}"));
        }
    }
    Ok(0)
}

/// There is no such context.
pub(crate) fn unknown(name: &str, contexts: &Contexts) -> ApiError {
    let known: Vec<&str> = contexts.contexts.keys().map(String::as_str).collect();
    let hint = if known.is_empty() {
        "there are none; `moorline login URL` makes one".to_owned()
    } else {
        format!("contexts are {}", known.join(", "))
    };
    ApiError::new(ErrorCode::NotFound, format!("there is no context `{name}`")).hint(hint)
}
