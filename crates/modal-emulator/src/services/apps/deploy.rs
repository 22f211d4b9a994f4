//! Versions of an app: publish, history, rollback, promotion, rollover.
//!
//! A publish is always a new version, also when nothing changed: whether Modal would skip it depends on
//! hashes of the source that only Modal computes.

use std::sync::Arc;

use moorline_modal_proto::client::{
    AppDeploymentHistory, AppDeploymentHistoryRequest, AppDeploymentHistoryResponse,
    AppGetLayoutRequest, AppGetLayoutResponse, AppPromoteRequest, AppPromoteResponse,
    AppPublishRequest, AppPublishResponse, AppRollbackRequest, AppRollbackResponse,
    AppRolloverRequest, AppRolloverResponse, AppState, DeploymentType,
};
use tonic::Status;

use super::state::{App, Layout, Version};
use super::{lifecycle, page, parts};
use crate::call::{Call, Meta};
use crate::clock;
use crate::routes::Rpcs;
use crate::services::workspace;
use crate::world::World;

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("AppPublish", publish);
    rpcs.read("AppGetLayout", get_layout);
    rpcs.read("AppDeploymentHistory", history);
    rpcs.write("AppRollback", rollback);
    rpcs.write("AppPromote", promote);
    rpcs.write("AppRollover", rollover);
}

/// A version to come: all but its number and time.
struct Draft {
    layout: Layout,
    kind: DeploymentType,
    repeats: u32,
    tag: String,
    commit: Option<super::state::Commit>,
    client: String,
}

impl Draft {
    /// An earlier version again.
    fn of(version: &Version, kind: DeploymentType, meta: &Meta) -> Self {
        Self {
            layout: version.layout.clone(),
            kind,
            repeats: version.number,
            tag: version.tag.clone(),
            commit: version.commit.clone(),
            client: client_version(meta, ""),
        }
    }
}

fn client_version(meta: &Meta, told: &str) -> String {
    match told {
        "" => meta
            .header("x-modal-client-version")
            .unwrap_or_default()
            .to_owned(),
        told => told.to_owned(),
    }
}

/// Adds a version; unless it is only staged, it is in force from here on. Answers its time.
fn add(app: &mut App, draft: Draft) -> f64 {
    let deployed_at = clock::seconds();
    let number = app.versions.last().map_or(0, |last| last.number) + 1;
    let staged = draft.kind == DeploymentType::Staged;
    if !staged {
        app.production = number;
        app.layout = draft.layout.clone();
    }
    app.versions.push(Version {
        number,
        layout: draft.layout,
        tags: app.tags.clone(),
        deployed_at,
        client: draft.client,
        tag: draft.tag,
        commit: draft.commit,
        kind: draft.kind.into(),
        repeats: draft.repeats,
        staged,
    });
    deployed_at
}

async fn publish(
    world: Arc<World>,
    call: Call<AppPublishRequest>,
) -> Result<AppPublishResponse, Status> {
    let Call {
        message: request,
        meta,
    } = call;
    let app_id = request.app_id;
    let layout = Layout {
        function_ids: request.function_ids.into_iter().collect(),
        class_ids: request.class_ids.into_iter().collect(),
        definition_ids: request.definition_ids.into_iter().collect(),
    };
    for id in layout.function_ids.values() {
        parts::check_function(&world, &app_id, id)?;
    }
    let state = AppState::try_from(request.app_state).unwrap_or(AppState::Unspecified);
    let deploys = state == AppState::Deployed;
    if deploys && request.name.is_empty() {
        return Err(Status::invalid_argument("a deployed app needs a name"));
    }
    let mut deployed_at = clock::seconds();
    let rival = {
        let mut apps = world.apps.kept.write();
        let app = apps.get(&app_id)?;
        if app.ended() {
            let text = format!("App '{app_id}' has stopped, and nothing can be published in it");
            return Err(Status::failed_precondition(text));
        }
        let rival = apps.deployed(&app.environment, &request.name);
        let rival = rival.filter(|_| deploys).map(|app| app.id.clone());
        let app = apps.get_mut(&app_id)?;
        if !request.tags.is_empty() || deploys {
            app.tags = request.tags.into_iter().collect();
        }
        if deploys {
            app.set_state(AppState::Deployed);
            app.description.clone_from(&request.name);
            app.name = Some(request.name);
            deployed_at = add(
                app,
                Draft {
                    layout,
                    kind: if request.staged {
                        DeploymentType::Staged
                    } else {
                        DeploymentType::Standard
                    },
                    repeats: 0,
                    tag: request.deployment_tag,
                    commit: request.commit_info.map(Into::into),
                    client: client_version(&meta, &request.client_version),
                },
            );
        } else {
            if state != AppState::Unspecified {
                app.set_state(state);
            }
            app.layout = layout;
        }
        rival.filter(|rival| *rival != app_id)
    };
    if deploys {
        world.apps.forget(&app_id);
    }
    meta.effect("app.publish", &app_id);
    // Two deployments under one name at the same time: the later one is the app of that name.
    if let Some(rival) = rival {
        lifecycle::stop(&world, &rival, workspace::USER, meta.idempotency_key()).await;
    }
    if !request.staged {
        parts::in_force(&world, &app_id, false);
    }
    Ok(AppPublishResponse {
        url: page(&world, &app_id),
        deployed_at,
        ..Default::default()
    })
}

async fn get_layout(
    world: Arc<World>,
    call: Call<AppGetLayoutRequest>,
) -> Result<AppGetLayoutResponse, Status> {
    let layout = super::layout(&world, &call.message.app_id)?;
    Ok(AppGetLayoutResponse {
        app_layout: Some(layout),
    })
}

async fn history(
    world: Arc<World>,
    call: Call<AppDeploymentHistoryRequest>,
) -> Result<AppDeploymentHistoryResponse, Status> {
    let apps = world.apps.kept.read();
    let app = apps.get(&call.message.app_id)?;
    let told = |version: &Version| AppDeploymentHistory {
        app_id: app.id.clone(),
        version: version.number,
        client_version: version.client.clone(),
        deployed_at: version.deployed_at,
        deployed_by: workspace::USER.to_owned(),
        tag: version.tag.clone(),
        rollback_version: version.repeats,
        rollback_allowed: !version.staged && version.number != app.production,
        deployed_by_avatar_url: String::new(),
        commit_info: version.commit.clone().map(Into::into),
        deployment_type: version.kind,
    };
    Ok(AppDeploymentHistoryResponse {
        app_deployment_histories: app.versions.iter().rev().map(told).collect(),
        production_app_version: app.production,
    })
}

/// Puts an earlier version in force, as a new one.
async fn again(
    world: &Arc<World>,
    meta: &Meta,
    app_id: &str,
    kind: DeploymentType,
    pick: impl FnOnce(&App) -> Result<Version, Status> + Send,
) -> Result<f64, Status> {
    let deployed_at = {
        let mut apps = world.apps.kept.write();
        let app = apps.get_mut(app_id)?;
        if app.state() != AppState::Deployed {
            let text = format!("App '{app_id}' is not deployed");
            return Err(Status::failed_precondition(text));
        }
        let version = pick(app)?;
        app.tags.clone_from(&version.tags);
        add(app, Draft::of(&version, kind, meta))
    };
    meta.effect("app.publish", app_id);
    parts::in_force(world, app_id, true);
    Ok(deployed_at)
}

fn numbered(app: &App, number: i32) -> Result<Version, Status> {
    let version = u32::try_from(number)
        .ok()
        .and_then(|number| app.version(number));
    version.cloned().ok_or_else(|| {
        Status::not_found(format!(
            "App '{}' has no version v{number}",
            app.description
        ))
    })
}

async fn rollback(
    world: Arc<World>,
    call: Call<AppRollbackRequest>,
) -> Result<AppRollbackResponse, Status> {
    let AppRollbackRequest { app_id, version } = call.message;
    let pick = |app: &App| rollback_target(app, version);
    let deployed_at = again(&world, &call.meta, &app_id, DeploymentType::Rollback, pick).await?;
    Ok(AppRollbackResponse {
        url: page(&world, &app_id),
        deployed_at,
        ..Default::default()
    })
}

/// The version that is meant: by its number, or the one before that in force.
pub(super) fn rollback_target(app: &App, version: i32) -> Result<Version, Status> {
    if version < 0 {
        let earlier = |version: &&Version| version.number < app.production && !version.staged;
        return app
            .versions
            .iter()
            .rev()
            .find(earlier)
            .cloned()
            .ok_or_else(|| {
                let text = format!("App '{}' has no earlier version", app.description);
                Status::failed_precondition(text)
            });
    }
    let version = numbered(app, version)?;
    let refused = match () {
        () if version.staged => "is staged: promote it instead",
        () if version.number == app.production => "is the current version",
        () => return Ok(version),
    };
    let text = format!("v{} of App '{}' {refused}", version.number, app.description);
    Err(Status::failed_precondition(text))
}

async fn promote(
    world: Arc<World>,
    call: Call<AppPromoteRequest>,
) -> Result<AppPromoteResponse, Status> {
    let AppPromoteRequest { app_id, version } = call.message;
    let pick = |app: &App| {
        let version = numbered(app, version)?;
        if !version.staged {
            return Err(Status::failed_precondition(format!(
                "v{} of App '{}' is not staged: roll back to it instead",
                version.number, app.description
            )));
        }
        Ok(version)
    };
    let deployed_at = again(&world, &call.meta, &app_id, DeploymentType::Promotion, pick).await?;
    Ok(AppPromoteResponse {
        url: page(&world, &app_id),
        deployed_at,
        ..Default::default()
    })
}

async fn rollover(
    world: Arc<World>,
    call: Call<AppRolloverRequest>,
) -> Result<AppRolloverResponse, Status> {
    let app_id = call.message.app_id;
    let pick = |app: &App| {
        app.version(app.production).cloned().ok_or_else(|| {
            let text = format!("App '{}' has no version yet", app.description);
            Status::failed_precondition(text)
        })
    };
    let deployed_at = again(&world, &call.meta, &app_id, DeploymentType::Rollover, pick).await?;
    Ok(AppRolloverResponse {
        url: page(&world, &app_id),
        deployed_at,
        ..Default::default()
    })
}
