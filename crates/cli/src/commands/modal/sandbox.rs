//! `moorline modal sandbox …`

use std::io::{IsTerminal as _, Read as _};
use std::pin::pin;

use futures::TryStreamExt as _;
use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use moorline_modal_client::sandbox::{ExecSpec, Output, Process, Pty, SandboxFilter};
use moorline_modal_client::{Client, Error};
use serde_json::json;

use super::{Modal, time, told};
use crate::args::SandboxCommand;
use crate::output;

pub(super) fn run(modal: &Modal<'_>, command: SandboxCommand) -> Result<u8, ApiError> {
    modal.with_client(|client| async move {
        match command {
            SandboxCommand::List { app, tags, all } => list(modal, &client, app, &tags, all).await,
            SandboxCommand::Exec { sandbox, command } => {
                exec(&client, &sandbox, ExecSpec::new(command)).await
            }
            SandboxCommand::Shell { sandbox, cmd } => shell(&client, &sandbox, cmd).await,
            SandboxCommand::Logs { sandbox, follow } => logs(&client, &sandbox, follow).await,
            SandboxCommand::Terminate { sandbox } => {
                let found = client.sandboxes().from_id(&sandbox).await.map_err(told)?;
                found.terminate().await.map_err(told)?;
                output::note(&format!("ended {sandbox}"));
                Ok(0)
            }
        }
    })
}

async fn list(
    modal: &Modal<'_>,
    client: &Client,
    app: Option<String>,
    tags: &[String],
    all: bool,
) -> Result<u8, ApiError> {
    let mut filter = SandboxFilter::new();
    filter.app_id = app;
    filter.environment = modal.environment().map(str::to_owned);
    filter.include_finished = all;
    for text in tags {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            ApiError::new(
                ErrorCode::Usage,
                format!("--tag `{text}` is not of the form NAME=VALUE"),
            )
        })?;
        filter = filter.tag(name, value);
    }
    let sandboxes: Vec<_> = client
        .sandboxes()
        .list(filter)
        .try_collect()
        .await
        .map_err(told)?;
    if modal.json() {
        let sandboxes: Vec<_> = sandboxes
            .iter()
            .map(|sandbox| {
                json!({
                    "sandbox_id": sandbox.id,
                    "app_id": sandbox.app_id,
                    "name": sandbox.name,
                    "tags": sandbox.tags,
                    "created_at": sandbox.created_at,
                    "started_at": sandbox.started_at,
                    "finished_at": sandbox.finished_at,
                    "outcome": sandbox.outcome.as_ref().map(ToString::to_string),
                })
            })
            .collect();
        output::json(&sandboxes);
        return Ok(0);
    }
    let rows = sandboxes.into_iter().map(|sandbox| {
        let tags: Vec<String> = sandbox
            .tags
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        vec![
            sandbox.id,
            sandbox.name.unwrap_or_default(),
            time(sandbox.created_at),
            sandbox
                .outcome
                .map_or_else(|| "running".to_owned(), |outcome| outcome.to_string()),
            tags.join(" "),
        ]
    });
    output::table(
        &["SANDBOX ID", "NAME", "CREATED", "STATE", "TAGS"],
        rows.collect(),
    );
    Ok(0)
}

/// Runs a command with this program's standard streams. Its exit code becomes this program's.
async fn exec(client: &Client, sandbox: &str, spec: ExecSpec) -> Result<u8, ApiError> {
    let sandbox = client.sandboxes().from_id(sandbox).await.map_err(told)?;
    let process = sandbox.exec(&spec).await.map_err(told)?;
    let shown = async {
        tokio::try_join!(show(process.stdout(), false), show(process.stderr(), true))?;
        process.wait().await.map_err(told)
    };
    // Standard input may have no end, and nothing waits for it.
    let feeding = async {
        feed(process.clone()).await;
        std::future::pending::<std::convert::Infallible>().await
    };
    let exit = tokio::select! {
        exit = shown => exit?,
        never = feeding => match never {},
    };
    Ok(u8::try_from(exit.code()).unwrap_or(1))
}

async fn shell(client: &Client, sandbox: &str, cmd: String) -> Result<u8, ApiError> {
    let mut spec = ExecSpec::new([cmd]);
    let raw = RawTerminal::take();
    if raw.is_some() {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
        let (rows, columns) =
            size.map_or((24, 80), |size| (size.ws_row.into(), size.ws_col.into()));
        spec = spec.pty(Pty {
            rows,
            columns,
            term: "xterm-256color".to_owned(),
        });
    }
    let done = exec(client, sandbox, spec).await;
    drop(raw);
    done
}

/// What is typed, or comes from a pipe, until it ends. A thread reads it, for the runtime can not wait for
/// a terminal; the program's end does not wait for that thread.
async fn feed(process: Process) {
    let (sender, mut pieces) = tokio::sync::mpsc::channel::<Vec<u8>>(4);
    drop(std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = std::io::stdin().lock().read(&mut buffer) {
            let piece = buffer.get(..length).unwrap_or_default().to_vec();
            if sender.blocking_send(piece).is_err() {
                return;
            }
        }
    }));
    let mut stdin = process.stdin();
    while let Some(piece) = pieces.recv().await {
        if stdin.write(piece).await.is_err() {
            // It has ended; its exit code tells the rest.
            return;
        }
    }
    drop(stdin.close().await);
}

async fn show(output: Output, to_stderr: bool) -> Result<(), ApiError> {
    use std::io::Write as _;
    let mut output = pin!(output);
    while let Some(chunk) = output.try_next().await.map_err(told)? {
        if to_stderr {
            let _ignored = std::io::stderr().lock().write_all(&chunk.data);
        } else {
            output::raw(&chunk.data);
            let _ignored = std::io::stdout().lock().flush();
        }
    }
    Ok(())
}

async fn logs(client: &Client, sandbox: &str, follow: bool) -> Result<u8, ApiError> {
    let sandbox = client.sandboxes().from_id(sandbox).await.map_err(told)?;
    let both = async {
        let (stdout, stderr) = (sandbox.stdout().await?, sandbox.stderr().await?);
        Ok::<_, Error>((stdout, stderr))
    };
    let (stdout, stderr) = both.await.map_err(told)?;
    let shown = async { tokio::try_join!(show(stdout, false), show(stderr, true)).map(drop) };
    if follow || sandbox.outcome().is_some() {
        tokio::select! {
            done = shown => done?,
            _ = tokio::signal::ctrl_c() => return Ok(130),
        }
        return Ok(0);
    }
    // It still runs, and its output has no end yet: what there is comes at once.
    match tokio::time::timeout(std::time::Duration::from_secs(1), shown).await {
        Ok(done) => done?,
        Err(_) => output::note("it still runs; -f goes on until it ends"),
    }
    Ok(0)
}

/// The terminal without line editing and echo, as it was when this is dropped.
struct RawTerminal {
    before: rustix::termios::Termios,
}

impl RawTerminal {
    fn take() -> Option<Self> {
        if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            return None;
        }
        let before = rustix::termios::tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        let now = rustix::termios::OptionalActions::Now;
        rustix::termios::tcsetattr(std::io::stdin(), now, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let now = rustix::termios::OptionalActions::Now;
        let _ignored = rustix::termios::tcsetattr(std::io::stdin(), now, &self.before);
    }
}
