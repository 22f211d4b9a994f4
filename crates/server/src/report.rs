//! What the program says to whoever started it: one line that it listens, errors with what to do.

use std::io::Write as _;
use std::process::ExitCode;

use moorline_api::ApiError;

/// Prints one line to stdout; a closed pipe is a quiet end.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ignored = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints one line to stderr.
pub(crate) fn note(text: &str) {
    let _ignored = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints an error and gives the exit code of its row in the table.
pub(crate) fn failure(error: &ApiError) -> ExitCode {
    note(&format!(
        "error[{}]: {}",
        error.code.as_str(),
        error.message
    ));
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !error.message.contains(&text) {
            note(&format!("  because: {text}"));
        }
        cause = inner.source();
    }
    for detail in &error.details {
        let hint = detail.hint.as_ref().map(|hint| format!("; {hint}"));
        note(&format!(
            "  {}: {} ({}){}",
            detail.at,
            detail.message,
            detail.rule,
            hint.unwrap_or_default()
        ));
    }
    if let Some(hint) = &error.hint {
        note(&format!("  hint: {hint}"));
    }
    ExitCode::from(error.code.info().exit_code)
}

/// Help, version, or arguments that make no sense.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // A closed pipe is a quiet end.
    drop(error.print());
    if error.use_stderr() {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}
