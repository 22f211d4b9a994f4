//! `moorline modal app …`

use std::pin::pin;

use futures::TryStreamExt as _;
use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use moorline_modal_client::Client;
use moorline_modal_client::apps::{AppState, LogBatch, LogFilter, LogRange, LogSource};
use serde_json::json;

use super::{Modal, time, told};
use crate::args::AppCommand;
use crate::output;

pub(super) fn run(modal: &Modal<'_>, command: AppCommand) -> Result<u8, ApiError> {
    modal.with_client(|client| async move {
        match command {
            AppCommand::List => list(modal, &client).await,
            AppCommand::Logs { app, follow, tail } => {
                logs(modal, &client, &app, follow, tail).await
            }
            AppCommand::Stop { app, yes } => {
                let id = resolve(modal, &client, &app).await?;
                super::confirm(
                    yes,
                    &format!("stop the app {app} and everything that runs in it"),
                )?;
                client.apps().stop(&id).await.map_err(told)?;
                output::note(&format!("stopped {app}"));
                Ok(0)
            }
            AppCommand::History { app } => history(modal, &client, &app).await,
            AppCommand::Rollback { app, version } => {
                rollback(modal, &client, &app, version.as_deref()).await
            }
        }
    })
}

/// The id that an id or the name of a deployed app stands for.
async fn resolve(modal: &Modal<'_>, client: &Client, app: &str) -> Result<String, ApiError> {
    let is_id = app.strip_prefix("ap-").is_some_and(|rest| rest.len() == 22);
    if is_id {
        return Ok(app.to_owned());
    }
    let found = client.apps().get_deployed(app, modal.environment()).await;
    if let Ok(found) = found {
        return Ok(found.id);
    }
    // Apps of sandboxes are not deployed; they have their name all the same.
    let apps = client
        .apps()
        .list(modal.environment())
        .await
        .map_err(told)?;
    let named = |info: &&moorline_modal_client::apps::AppInfo| {
        info.name.as_deref() == Some(app) || info.description == app
    };
    let alive = |info: &&moorline_modal_client::apps::AppInfo| info.state != AppState::Stopped;
    match apps
        .iter()
        .filter(alive)
        .find(named)
        .or_else(|| apps.iter().find(named))
    {
        Some(info) => Ok(info.id.clone()),
        None => found.map(|app| app.id).map_err(told),
    }
}

/// The state in the words of the official command line.
fn state(state: AppState) -> &'static str {
    match state {
        AppState::Initializing => "initializing",
        AppState::Ephemeral => "ephemeral",
        AppState::Detached => "ephemeral (detached)",
        AppState::Deployed => "deployed",
        AppState::Stopping => "stopping",
        AppState::Stopped => "stopped",
        AppState::Disabled => "disabled",
        _ => "unknown",
    }
}

async fn list(modal: &Modal<'_>, client: &Client) -> Result<u8, ApiError> {
    let apps = client
        .apps()
        .list(modal.environment())
        .await
        .map_err(told)?;
    if modal.json() {
        let apps: Vec<_> = apps
            .iter()
            .map(|app| {
                json!({
                    "app_id": app.id,
                    "name": app.name,
                    "description": app.description,
                    "state": state(app.state),
                    "tasks": app.running_tasks,
                    "created_at": app.created_at,
                    "stopped_at": app.stopped_at,
                })
            })
            .collect();
        output::json(&apps);
        return Ok(0);
    }
    let rows = apps.iter().map(|app| {
        vec![
            app.id.clone(),
            app.name.clone().unwrap_or_else(|| app.description.clone()),
            state(app.state).to_owned(),
            app.running_tasks.to_string(),
            time(app.created_at),
            time(app.stopped_at),
        ]
    });
    output::table(
        &["APP ID", "NAME", "STATE", "TASKS", "CREATED", "STOPPED"],
        rows.collect(),
    );
    Ok(0)
}

async fn logs(
    modal: &Modal<'_>,
    client: &Client,
    app: &str,
    follow: bool,
    tail: u32,
) -> Result<u8, ApiError> {
    let id = resolve(modal, client, app).await?;
    let filter = LogFilter::new();
    if !follow {
        let range = LogRange {
            limit: tail,
            ..LogRange::default()
        };
        for batch in client
            .apps()
            .fetch_logs(&id, &filter, &range)
            .await
            .map_err(told)?
        {
            print(modal, &batch);
        }
        return Ok(0);
    }
    let mut batches = pin!(client.apps().follow_logs(&id, &filter));
    let all = async {
        while let Some(batch) = batches.try_next().await.map_err(told)? {
            print(modal, &batch);
        }
        Ok(0)
    };
    tokio::select! {
        done = all => done,
        _ = tokio::signal::ctrl_c() => Ok(130),
    }
}

fn print(modal: &Modal<'_>, batch: &LogBatch) {
    for line in &batch.lines {
        if modal.json() {
            output::json_line(&json!({
                "text": line.text,
                "source": source(line.source),
                "time": line.time,
                "task_id": batch.task_id,
                "function_id": batch.function_id,
            }));
            continue;
        }
        output::raw(line.text.as_bytes());
        if !line.text.ends_with('\n') {
            output::raw(b"\n");
        }
    }
}

fn source(source: LogSource) -> &'static str {
    match source {
        LogSource::Stdout => "stdout",
        LogSource::Stderr => "stderr",
        LogSource::System => "system",
    }
}

async fn history(modal: &Modal<'_>, client: &Client, app: &str) -> Result<u8, ApiError> {
    let id = resolve(modal, client, app).await?;
    let deployments = client.apps().history(&id).await.map_err(told)?;
    if modal.json() {
        let all: Vec<_> = deployments
            .iter()
            .map(|deployment| {
                json!({
                    "version": deployment.version,
                    "deployed_at": deployment.deployed_at,
                    "deployed_by": deployment.deployed_by,
                    "client": deployment.client_version,
                    "tag": deployment.tag,
                    "commit": deployment.commit,
                    "rollback_of": deployment.rollback_of,
                    "in_production": deployment.in_production,
                })
            })
            .collect();
        output::json(&all);
        return Ok(0);
    }
    let rows = deployments.iter().map(|deployment| {
        vec![
            format!("v{}", deployment.version),
            time(deployment.deployed_at),
            deployment.client_version.clone(),
            deployment.deployed_by.clone(),
            deployment.tag.clone().unwrap_or_default(),
            deployment
                .rollback_of
                .map(|version| format!("v{version}"))
                .unwrap_or_default(),
        ]
    });
    let header = ["VERSION", "DEPLOYED", "CLIENT", "BY", "TAG", "ROLLBACK OF"];
    output::table(&header, rows.collect());
    Ok(0)
}

async fn rollback(
    modal: &Modal<'_>,
    client: &Client,
    app: &str,
    version: Option<&str>,
) -> Result<u8, ApiError> {
    let number = |text: &str| text.strip_prefix('v').unwrap_or(text).parse::<u32>();
    let version = version.map(number).transpose().map_err(|_| {
        ApiError::new(ErrorCode::Usage, "the version is no number")
            .hint("write it as `moorline modal app history` shows it: v3")
    })?;
    let id = resolve(modal, client, app).await?;
    let published = client.apps().rollback(&id, version).await.map_err(told)?;
    for warning in &published.warnings {
        output::note(&format!("warning: {warning}"));
    }
    if modal.json() {
        output::json(&json!({"app_id": id, "url": published.url}));
    } else {
        output::note(&format!("rolled {app} back: {}", published.url));
    }
    Ok(0)
}
