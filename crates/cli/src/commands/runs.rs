//! `moorline runs …`

use futures::StreamExt as _;
use moorline_api::{
    ApiError, LogsRequest, OutputRequest, RunChangeRequest, RunListRequest, RunRequest, RunRow,
    RunView, WorkflowView,
};
use moorline_core::approval::ApprovalStatus;
use moorline_core::error_code::{ErrorCode, RunStatus};
use moorline_core::summary::RunSummary;
use serde_json::json;

use super::run as follow;
use crate::args::RunsCommand;
use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>, command: RunsCommand) -> Result<u8, ApiError> {
    match command {
        RunsCommand::List {
            statuses,
            job,
            source,
            before,
            limit,
        } => list(context, &statuses, job, source, before, limit),
        RunsCommand::Show { run } => show(context, run),
        RunsCommand::Logs {
            run,
            follow,
            step,
            after,
        } => {
            let request = LogsRequest {
                run,
                follow,
                step,
                after,
            };
            logs(context, request)
        }
        RunsCommand::Output {
            run,
            path,
            out,
            hash,
        } => super::output_file::run(context, OutputRequest { run, path, hash }, out.as_deref()),
        RunsCommand::Wait { run, all } => wait(context, run.filter(|_| !all)),
        RunsCommand::Cancel { run, reason, grace } => {
            let actor = context.principal()?;
            let request = RunChangeRequest {
                run,
                actor,
                reason,
                grace_seconds: grace,
            };
            let summary =
                context.with_plane(|plane| async move { plane.run_cancel(request).await })?;
            print(context, &summary);
            Ok(0)
        }
        RunsCommand::Retry { run, reason } => {
            let actor = context.principal()?;
            let request = RunChangeRequest {
                run,
                actor,
                reason,
                grace_seconds: None,
            };
            let summary = context.with_plane(|plane| async move {
                let row = plane.run_retry(request).await?;
                follow::follow(context, &*plane, &row.run_id.to_string(), &row.job_id).await
            })?;
            Ok(follow::finish(context, &summary))
        }
    }
}

fn list(
    context: &Context<'_>,
    statuses: &[String],
    job_id: Option<String>,
    source_id: Option<String>,
    before: Option<String>,
    limit: u32,
) -> Result<u8, ApiError> {
    let statuses = statuses
        .iter()
        .map(|text| status(text))
        .collect::<Result<Vec<_>, _>>()?;
    let rows = context.with_plane(|plane| async move {
        let before = match before {
            Some(run) => Some(plane.run_get(RunRequest { run }).await?.summary.run_id),
            None => None,
        };
        let request = RunListRequest {
            statuses,
            job_id,
            source_id,
            before,
            limit,
        };
        plane.run_list(request).await
    })?;
    if context.json() {
        output::json(&rows);
        return Ok(0);
    }
    if rows.is_empty() {
        output::note("no runs; `moorline run DIR` makes one");
        return Ok(0);
    }
    let header = [
        "RUN", "JOB", "STATUS", "STEP", "ATTEMPTS", "TX", "CREATED", "FAILURE",
    ];
    output::table(&header, rows.iter().map(row).collect());
    Ok(0)
}

fn status(text: &str) -> Result<RunStatus, ApiError> {
    RunStatus::ALL
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or_else(|| {
            let known: Vec<&str> = RunStatus::ALL
                .iter()
                .map(|status| status.as_str())
                .collect();
            ApiError::new(ErrorCode::Usage, format!("`{text}` is not a status"))
                .hint(format!("statuses are {}", known.join(", ")))
        })
}

fn row(row: &RunRow) -> Vec<String> {
    vec![
        row.run_id.to_string(),
        row.job_id.clone(),
        output::status(row.status),
        row.step.clone().unwrap_or_default(),
        row.attempts.to_string(),
        row.transaction_count
            .map(|n| n.to_string())
            .unwrap_or_default(),
        row.created_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        row.failure_class
            .map(|class| format!("{class}: {}", short(row.failure_reason.as_deref())))
            .unwrap_or_default(),
    ]
}

/// The beginning of a reason, for a line of a list.
fn short(reason: Option<&str>) -> String {
    const MOST: usize = 60;
    let reason = reason.unwrap_or_default();
    if reason.chars().count() <= MOST {
        return reason.to_owned();
    }
    let cut: String = reason.chars().take(MOST).collect();
    format!("{cut}…")
}

fn show(context: &Context<'_>, run: String) -> Result<u8, ApiError> {
    let view =
        context.with_plane(|plane| async move { plane.run_get(RunRequest { run }).await })?;
    if context.json() {
        output::json(&view.summary);
    } else {
        print_view(&view);
    }
    Ok(0)
}

fn logs(context: &Context<'_>, request: LogsRequest) -> Result<u8, ApiError> {
    let json = context.json();
    context.with_plane(|plane| async move {
        let mut lines = plane.run_logs(request);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await {
            let line = line?;
            if json {
                all.push(line);
            } else if line.stream == "stdout" {
                output::line(&line.text);
            } else {
                output::note(&line.text);
            }
        }
        if json {
            output::json(&all);
        }
        Ok(0)
    })
}

fn wait(context: &Context<'_>, run: Option<String>) -> Result<u8, ApiError> {
    let Some(run) = run else {
        return wait_all(context);
    };
    let summary = context.with_plane(|plane| async move {
        let view = plane.run_get(RunRequest { run }).await?;
        let id = view.summary.run_id.to_string();
        follow::follow(context, &*plane, &id, &view.summary.job_id).await
    })?;
    Ok(follow::finish(context, &summary))
}

fn wait_all(context: &Context<'_>) -> Result<u8, ApiError> {
    let summaries = context.with_plane(|plane| async move {
        let unfinished = RunListRequest {
            statuses: vec![RunStatus::Queued, RunStatus::Running],
            limit: 10_000,
            ..RunListRequest::default()
        };
        let mut rows = plane.run_list(unfinished).await?;
        rows.reverse();
        let waits = rows.iter().map(|row| {
            plane.run_wait(RunRequest {
                run: row.run_id.to_string(),
            })
        });
        futures::future::try_join_all(waits).await
    })?;
    if context.json() {
        output::json(&summaries);
    } else {
        for summary in &summaries {
            output::line(&format!(
                "{} {} {}",
                summary.run_id,
                summary.job_id,
                output::status(summary.status)
            ));
        }
        output::note(&format!("{} ended", summaries.len()));
    }
    Ok(0)
}

fn print(context: &Context<'_>, summary: &RunSummary) {
    if context.json() {
        output::json(summary);
    } else {
        print_summary(summary);
    }
}

/// A summary for people.
pub(super) fn print_summary(summary: &RunSummary) {
    let text = |label: &str, value: &str| output::line(&format!("{label:<14}{value}"));
    text("run", &summary.run_id.to_string());
    text(
        "job",
        &format!("{} (spec version {})", summary.job_id, summary.spec_version),
    );
    text("status", &output::status(summary.status));
    if let Some(failure) = &summary.failure {
        text(
            "failure",
            &format!("{}: {} [{}]", failure.class, failure.reason, failure.code),
        );
        text("hint", failure.code.info().hint);
    }
    if let Some(source) = &summary.source_id {
        let state = summary
            .effects
            .source_state
            .map(|state| format!(" is {state}"));
        text("source", &format!("{source}{}", state.unwrap_or_default()));
    }
    if let Some(count) = summary.transaction_count {
        text("transactions", &count.to_string());
    }
    text("attempts", &summary.attempts.to_string());
    let lane = format!("{}, {}, {}", summary.lane, summary.mode, summary.executor);
    text("ran as", &lane);
    let used = &summary.resources;
    let resources = format!(
        "{} wall, {} cpu, {} peak memory",
        output::seconds(used.wall_seconds),
        output::seconds(used.cpu_seconds),
        output::bytes(used.peak_memory_bytes)
    );
    text("resources", &resources);
    if !summary.isolation.backend.is_empty() {
        text("isolation", &summary.isolation.backend);
    }
    for missing in &summary.isolation.missing {
        text(
            "",
            &format!(
                "without {}: {}",
                json!(missing.protection).as_str().unwrap_or_default(),
                missing.why
            ),
        );
    }
    for output_file in &summary.outputs {
        let size = output::bytes(output_file.size);
        text(
            "output",
            &format!("{} ({size}, {})", output_file.path, output_file.hash),
        );
    }
}

fn print_view(view: &RunView) {
    print_summary(&view.summary);
    let text = |label: &str, value: &str| output::line(&format!("{label:<14}{value}"));
    text("created", &format!("{} by {}", view.created_at, view.actor));
    if let Some(reason) = &view.cancel_requested {
        text("ending", reason);
    }
    if let Some(due) = view.due_at {
        text("next attempt", &due.to_string());
    }
    for attempt in &view.attempts {
        let exit = attempt.exit.as_ref().map(|exit| json!(exit).to_string());
        let exit = exit.unwrap_or_else(|| "not over".to_owned());
        text(
            "attempt",
            &format!(
                "{} {} of {}: {exit}",
                attempt.id, attempt.number, attempt.step
            ),
        );
        for hit in &attempt.limits_hit {
            text("", &format!("limit reached: {}", hit.detail));
        }
    }
    if let Some(workflow) = &view.workflow {
        print_workflow(workflow);
    }
    if let Some(dir) = &view.exported_to {
        text("exported to", &dir.display().to_string());
    }
    if let Some(dir) = &view.archived_to {
        text("archived to", &dir.display().to_string());
    }
    if let Some(dir) = &view.quarantined_in {
        text("quarantined", &dir.display().to_string());
    }
    text("kept in", &view.kept_in.display().to_string());
}

/// The way that it took, and what was asked on it.
fn print_workflow(workflow: &WorkflowView) {
    let text = |label: &str, value: &str| output::line(&format!("{label:<14}{value}"));
    let way: Vec<&str> = workflow
        .flow
        .path
        .iter()
        .map(|passage| passage.node.as_str())
        .collect();
    text("way", &way.join(" > "));
    for request in &workflow.approvals {
        let became = match &request.decision {
            Some(decision) => format!("{} by {}", decision.option, decision.by),
            None => request.status.as_str().to_owned(),
        };
        let gate = &request.checkpoint;
        text("gate", &format!("{gate}: {became} ({})", request.id));
        if request.status == ApprovalStatus::Pending {
            let options: Vec<&str> = request.options.iter().map(|o| o.name.as_str()).collect();
            text("", &request.title);
            text("", &format!("options: {}", options.join(", ")));
            text("", &format!("until {}", request.expires_at));
        }
    }
}
