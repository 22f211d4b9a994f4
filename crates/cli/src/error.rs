//! Errors at the edge: printed once, to stderr, with what to do; with `--json` also as the one document.

use std::process::ExitCode;

use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use serde_json::json;

use crate::context::Context;
use crate::env::Env;
use crate::output;

/// Prints an error and gives the exit code of its row in the table.
pub(crate) fn report(context: &Context<'_>, error: &ApiError) -> ExitCode {
    output::note(&format!(
        "error[{}]: {}",
        error.code.as_str(),
        error.message
    ));
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !error.message.contains(&text) {
            output::note(&format!("  because: {text}"));
        }
        cause = inner.source();
    }
    for detail in &error.details {
        let at = if detail.at.is_empty() {
            "document"
        } else {
            &detail.at
        };
        let hint = detail
            .hint
            .as_ref()
            .map(|hint| format!("; {hint}"))
            .unwrap_or_default();
        output::note(&format!(
            "  {at}: {} ({}){hint}",
            detail.message, detail.rule
        ));
    }
    if let Some(hint) = &error.hint {
        output::note(&format!("  hint: {hint}"));
    }
    if context.json() {
        output::json(&json!({"error": error}));
    }
    ExitCode::from(error.code.info().exit_code)
}

/// Help, version, or arguments that make no sense.
pub(crate) fn usage(error: &clap::Error, env: &Env) -> ExitCode {
    let json = env.args.iter().any(|arg| arg == "--json");
    if json && error.use_stderr() {
        let body = ApiError::new(ErrorCode::Usage, error.kind().to_string());
        output::json(&json!({"error": body}));
    }
    // A closed pipe is a quiet end.
    drop(error.print());
    if error.use_stderr() {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}
