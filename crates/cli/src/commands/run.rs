//! `moorline run`

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use moorline_api::{
    ApiError, ControlPlane, LogsRequest, RunChangeRequest, RunRequest, SubmitRequest,
};
use moorline_core::attempt::IsolationNeed;
use moorline_core::error_code::{ErrorCode, RunStatus, exit_code};
use moorline_core::principal::Principal;
use moorline_core::summary::RunSummary;
use serde_json::Value;

use crate::args::{Isolation, RunArgs};
use crate::context::Context;
use crate::output;
use crate::progress::Progress;
use crate::remote::Plane;

/// How long the log of a run that is over may take to be shown to its end.
const LAST_LINES: Duration = Duration::from_secs(5);

pub(super) fn run(context: &Context<'_>, args: &RunArgs) -> Result<u8, ApiError> {
    if args.emulator && args.executor.as_deref() != Some("modal") {
        return Err(
            ApiError::new(ErrorCode::Usage, "--emulator is for runs at Modal")
                .hint("write `--executor modal --emulator`"),
        );
    }
    let request = request(context, args)?;
    if args.emulator || !context.is_remote()? {
        // Compiled beside the opening of the store, so that neither waits for the other.
        drop(std::thread::spawn(moorline_core::spec::warm_up));
        make_state(context)?;
    }
    let work = |plane: Plane| async move {
        let row = plane.run_submit(request).await?;
        follow(context, &*plane, &row.run_id.to_string(), &row.job_id).await
    };
    let summary = if args.emulator {
        with_emulator(context, work)?
    } else {
        context.with_new_plane(work)?
    };
    Ok(finish(context, &summary))
}

/// Makes the state directory when there is none, and says so.
fn make_state(context: &Context<'_>) -> Result<(), ApiError> {
    let fresh = context.find_state().is_none_or(|dir| !dir.is_dir());
    let dirs = context.create_state()?;
    if fresh {
        output::note(&format!(
            "made the state directory {}",
            dirs.root().display()
        ));
    }
    Ok(())
}

/// Runs a command's work with Modal emulated in this process. Its world is gone when the work is done.
fn with_emulator<F>(
    context: &Context<'_>,
    work: impl FnOnce(Plane) -> F,
) -> Result<RunSummary, ApiError>
where
    F: Future<Output = Result<RunSummary, ApiError>>,
{
    let dirs = context.create_state()?;
    let options = super::emulator::options(context)?;
    crate::context::runtime()?.block_on(async {
        let emulator = super::emulator::start(options).await?;
        let mut vars = context.env.vars.clone();
        // Nothing of an account of one's own is to reach the emulator, or be reached.
        vars.retain(|name, _| !name.starts_with("MODAL_"));
        vars.insert("MODAL_CONFIG_PATH".to_owned(), "/dev/null".to_owned());
        let environment = emulator.environment().into_iter();
        vars.extend(environment.map(|(name, value)| (name.to_owned(), value)));
        let done = context
            .with_engine_on(dirs, vars, |engine| work(Arc::new(engine)))
            .await;
        emulator.stop().await;
        done
    })
}

/// Shows a run until it is over. An interrupt cancels it; a second one does not wait for its grace.
pub(super) async fn follow(
    context: &Context<'_>,
    plane: &dyn ControlPlane,
    run: &str,
    job: &str,
) -> Result<RunSummary, ApiError> {
    let actor = context.principal()?;
    let progress = Progress::start(job, run);
    let shown = Cell::new(0);
    let logs = log(plane, &progress, run, true, &shown);
    let end = async {
        tokio::select! {
            ended = plane.run_wait(RunRequest { run: run.to_owned() }) => return ended,
            _ = tokio::signal::ctrl_c() => {}
        }
        progress.print("interrupted: cancelling the run; interrupt again to kill it at once");
        tokio::select! {
            ended = plane.run_cancel(cancel(&actor, run, None)) => return ended,
            _ = tokio::signal::ctrl_c() => {}
        }
        plane.run_cancel(cancel(&actor, run, Some(0.0))).await
    };
    let summary = {
        tokio::pin!(logs, end);
        tokio::select! {
            summary = &mut end => {
                // What was written just before the end is still shown. The log of a run that waits for a
                // person has no end yet, and is whole as far as it is.
                if summary.as_ref().is_ok_and(|s| s.status == RunStatus::AwaitingApproval) {
                    log(plane, &progress, run, false, &shown).await;
                } else {
                    drop(tokio::time::timeout(LAST_LINES, logs).await);
                }
                summary
            }
            () = &mut logs => end.await,
        }
    };
    progress.finish();
    summary
}

/// Shows the log behind what was shown.
async fn log(
    plane: &dyn ControlPlane,
    progress: &Progress,
    run: &str,
    follow: bool,
    shown: &Cell<u64>,
) {
    let request = LogsRequest {
        run: run.to_owned(),
        follow,
        step: None,
        after: shown.get(),
    };
    let mut lines = plane.run_logs(request);
    while let Some(line) = lines.next().await {
        match line {
            Ok(line) => {
                progress.line(&line);
                shown.set(line.line);
            }
            Err(error) => progress.print(&format!("the log can not be read: {error}")),
        }
    }
}

fn cancel(actor: &Principal, run: &str, grace_seconds: Option<f64>) -> RunChangeRequest {
    RunChangeRequest {
        run: run.to_owned(),
        actor: actor.clone(),
        reason: "interrupted on the command line".to_owned(),
        grace_seconds,
    }
}

/// Prints a summary and gives its exit code (`contracts`: exit codes of `moorline run`).
pub(super) fn finish(context: &Context<'_>, summary: &RunSummary) -> u8 {
    if context.json() {
        output::json(summary);
    } else {
        super::runs::print_summary(summary);
    }
    if summary.status == RunStatus::AwaitingApproval && !context.json() {
        output::note(&format!(
            "it waits for a decision: `moorline approvals list --run {}` shows it, \
             `moorline approvals decide {} OPTION` decides",
            summary.run_id, summary.run_id
        ));
    }
    exit_code(
        summary.status,
        summary.failure.as_ref().map(|failure| failure.class),
    )
}

fn request(context: &Context<'_>, args: &RunArgs) -> Result<SubmitRequest, ApiError> {
    let mut inputs = BTreeMap::new();
    for text in &args.inputs {
        let (name, path) = pair("--input", text, "NAME=FILE")?;
        // A failed run is named, and is no path.
        let path = match path.strip_prefix("run:") {
            Some(_) => PathBuf::from(path),
            None => context.env.cwd.join(PathBuf::from(path)),
        };
        inputs.insert(name, path);
    }
    let mut params = serde_json::Map::new();
    for text in &args.params {
        let (name, value) = pair("--param", text, "NAME=VALUE")?;
        // What is no JSON is text, so that a word needs no quotes inside quotes.
        let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
        params.insert(name, value);
    }
    let mode = args.mode.as_deref().map(str::parse).transpose();
    let mode = mode.map_err(|error: moorline_core::spec::UnknownMode| {
        ApiError::new(ErrorCode::Usage, error.to_string()).hint("modes are `mock` and `real`")
    })?;
    Ok(SubmitRequest {
        job: job(context, args),
        inputs,
        params,
        mode,
        lane: context.global.lane.clone(),
        executor: args.executor.clone(),
        isolation: args.isolation.map(|need| match need {
            Isolation::Required => IsolationNeed::Required,
            Isolation::BestEffort => IsolationNeed::BestEffort,
            Isolation::Off => IsolationNeed::Off,
        }),
        idempotency_key: args.idempotency_key.clone(),
        actor: context.principal()?,
    })
}

/// The directory; or `live:JOB`, which the engine resolves in the lane.
fn job(context: &Context<'_>, args: &RunArgs) -> PathBuf {
    if let Some(job) = &args.live {
        return PathBuf::from(format!("live:{job}"));
    }
    let given = args.job.clone().unwrap_or_default();
    if given.to_str().is_some_and(|text| text.starts_with("live:")) {
        return given;
    }
    context.env.cwd.join(given)
}

/// A `NAME=VALUE` of the command line.
pub(super) fn pair(flag: &str, text: &str, form: &str) -> Result<(String, String), ApiError> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(ApiError::new(
            ErrorCode::Usage,
            format!("{flag} `{text}` is not of the form {form}"),
        )
        .hint(format!("write {flag} {form}"))),
    }
}
