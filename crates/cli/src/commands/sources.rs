//! `moorline sources …`

use moorline_api::{
    ApiError, SourceChangeRequest, SourceDetail, SourceRequest, SourceResumeRequest, SourceView,
};

use crate::args::SourcesCommand;
use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>, command: SourcesCommand) -> Result<u8, ApiError> {
    match command {
        SourcesCommand::List => list(context),
        SourcesCommand::Reauth(args) => super::reauth::run(context, args),
        SourcesCommand::Show { source } => {
            let detail = context.with_plane(|plane| async move {
                plane.source_show(SourceRequest { source_id: source }).await
            })?;
            if context.json() {
                output::json(&detail);
            } else {
                print_detail(&detail);
            }
            Ok(0)
        }
        SourcesCommand::Pause { source, reason } => {
            let request = SourceChangeRequest {
                source_id: source,
                actor: context.principal()?,
                reason,
            };
            let view =
                context.with_plane(|plane| async move { plane.source_pause(request).await })?;
            changed(context, &view);
            Ok(0)
        }
        SourcesCommand::Resume {
            source,
            reason,
            looked_into,
        } => {
            let request = SourceResumeRequest {
                source_id: source,
                actor: context.principal()?,
                reason,
                looked_into,
            };
            let view =
                context.with_plane(|plane| async move { plane.source_resume(request).await })?;
            changed(context, &view);
            Ok(0)
        }
    }
}

fn list(context: &Context<'_>) -> Result<u8, ApiError> {
    let sources = context.with_plane(|plane| async move { plane.source_list().await })?;
    if context.json() {
        output::json(&sources);
        return Ok(0);
    }
    if sources.is_empty() {
        output::note("no sources; one is known from the first run that reads it");
        return Ok(0);
    }
    let rows = sources.iter().map(|source| {
        vec![
            source.source_id.clone(),
            state(source),
            source.by.to_string(),
            source.updated_at.to_string(),
            source.reason.clone().unwrap_or_default(),
        ]
    });
    output::table(&["SOURCE", "STATE", "BY", "SINCE", "WHY"], rows.collect());
    Ok(0)
}

/// A state, and whether a person holds it.
fn state(source: &SourceView) -> String {
    if source.held {
        format!("{} (held)", source.state)
    } else {
        source.state.to_string()
    }
}

fn changed(context: &Context<'_>, source: &SourceView) {
    if context.json() {
        output::json(source);
    } else {
        output::line(&format!("{} is {}", source.source_id, state(source)));
    }
}

fn print_detail(detail: &SourceDetail) {
    let text = |label: &str, value: &str| output::line(&format!("{label:<14}{value}"));
    let source = &detail.source;
    text("source", &source.source_id);
    text("state", &state(source));
    text("since", &format!("{} by {}", source.updated_at, source.by));
    if let Some(reason) = &source.reason {
        text("why", reason);
    }
    if let Some(run) = source.run_id {
        text("by run", &run.to_string());
    }
    if source.failed_in_a_row > 0 {
        let failed = format!("{} runs in a row", source.failed_in_a_row);
        text("failed", &failed);
    }
    if let Some(hint) = &detail.hint {
        text("to do", hint);
    }
    for read in &detail.schedules {
        text("schedule", &format!("{} {}", read.schedule, read.state));
    }
    for run in &detail.runs {
        let status = output::status(run.status);
        text("run", &format!("{} {} {status}", run.run_id, run.job_id));
    }
}
