//! Questions about apps, and their tags.

use std::sync::Arc;

use moorline_modal_proto::client::app_list_response::AppListItem;
use moorline_modal_proto::client::{
    AppFunctionCounts, AppFunctionStatsGroup, AppGetByDeploymentNameRequest,
    AppGetByDeploymentNameResponse, AppGetInfoRequest, AppGetInfoResponse, AppGetLifecycleRequest,
    AppGetLifecycleResponse, AppGetTagsRequest, AppGetTagsResponse, AppGetTimeRangeStatsRequest,
    AppGetTimeRangeStatsResponse, AppHandleMetadata, AppListRequest, AppListResponse,
    AppLookupRequest, AppLookupResponse, AppSandboxCounts, AppServerCounts, AppServerStatsGroup,
    AppSetTagsRequest, AppState,
};
use tonic::Status;

use super::parts;
use super::state::App;
use crate::call::Call;
use crate::clock;
use crate::routes::Rpcs;
use crate::services::environments;
use crate::world::World;

/// How long stopped apps are listed, in seconds.
const LISTED: f64 = 24.0 * 3600.0;

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.read("AppList", list);
    rpcs.read("AppLookup", lookup);
    rpcs.read("AppGetByDeploymentName", get_by_name);
    rpcs.read("AppGetLifecycle", get_lifecycle);
    rpcs.read("AppGetInfo", get_info);
    rpcs.write("AppSetTags", set_tags);
    rpcs.read("AppGetTags", get_tags);
    rpcs.read("AppGetTimeRangeStats", stats);
}

/// What a handle of the SDKs is made of.
pub(super) fn handle(world: &World, app: &App) -> AppHandleMetadata {
    let (functions, servers) = parts::names(world, &app.layout);
    AppHandleMetadata {
        description: app.description.clone(),
        app_id: app.id.clone(),
        environment_name: app.environment.clone(),
        lifecycle: Some(app.lifecycle()),
        functions,
        servers,
    }
}

async fn list(world: Arc<World>, call: Call<AppListRequest>) -> Result<AppListResponse, Status> {
    let environment = environments::resolve(&world, &call.message.environment_name)?;
    let recent = clock::seconds() - LISTED;
    let shown = |app: &&App| {
        app.environment == environment
            && (app.state() != AppState::Stopped || app.stopped_at > recent)
    };
    let apps: Vec<App> = world
        .apps
        .kept
        .read()
        .apps
        .values()
        .filter(shown)
        .cloned()
        .collect();
    let running = parts::running(&world);
    let item = |app: &App| AppListItem {
        app_id: app.id.clone(),
        description: app.description.clone(),
        state: app.state().into(),
        created_at: app.created_at,
        stopped_at: app.stopped_at,
        n_running_tasks: running.get(&app.id).copied().unwrap_or_default(),
        name: match app.state() {
            AppState::Deployed => app.name.clone().unwrap_or_default(),
            _ => String::new(),
        },
        metadata: Some(handle(&world, app)),
    };
    let mut apps: Vec<AppListItem> = apps.iter().map(item).collect();
    apps.sort_by(|a, b| b.created_at.total_cmp(&a.created_at));
    Ok(AppListResponse { apps })
}

async fn lookup(
    world: Arc<World>,
    call: Call<AppLookupRequest>,
) -> Result<AppLookupResponse, Status> {
    let app = super::deployed(
        &world,
        &call.message.app_name,
        &call.message.environment_name,
    )?;
    Ok(AppLookupResponse { app_id: app.id })
}

async fn get_by_name(
    world: Arc<World>,
    call: Call<AppGetByDeploymentNameRequest>,
) -> Result<AppGetByDeploymentNameResponse, Status> {
    let AppGetByDeploymentNameRequest {
        name,
        environment_name,
    } = call.message;
    let environment_name = environments::resolve(&world, &environment_name)?;
    let apps = world.apps.kept.read();
    let deployed = apps.deployed(&environment_name, &name);
    let stopped = match deployed {
        Some(_) => None,
        None => apps.stopped(&environment_name, &name),
    };
    let id = |app: Option<&App>| app.map(|app| app.id.clone()).unwrap_or_default();
    Ok(AppGetByDeploymentNameResponse {
        app_id: id(deployed),
        previous_app_id: id(stopped),
        lifecycle: deployed.or(stopped).map(App::lifecycle),
        environment_name,
    })
}

async fn get_lifecycle(
    world: Arc<World>,
    call: Call<AppGetLifecycleRequest>,
) -> Result<AppGetLifecycleResponse, Status> {
    let lifecycle = super::get(&world, &call.message.app_id)?.lifecycle();
    Ok(AppGetLifecycleResponse {
        lifecycle: Some(lifecycle),
    })
}

async fn get_info(
    world: Arc<World>,
    call: Call<AppGetInfoRequest>,
) -> Result<AppGetInfoResponse, Status> {
    let app = super::get(&world, &call.message.app_id)?;
    Ok(AppGetInfoResponse {
        function_info_summaries: parts::summaries(&world, &app.layout),
        info: Some(handle(&world, &app)),
    })
}

async fn set_tags(world: Arc<World>, call: Call<AppSetTagsRequest>) -> Result<(), Status> {
    let AppSetTagsRequest { app_id, tags } = call.message;
    world.apps.kept.write().get_mut(&app_id)?.tags = tags.into_iter().collect();
    call.meta.effect("app.tags", &app_id);
    Ok(())
}

async fn get_tags(
    world: Arc<World>,
    call: Call<AppGetTagsRequest>,
) -> Result<AppGetTagsResponse, Status> {
    let tags = super::get(&world, &call.message.app_id)?.tags;
    Ok(AppGetTagsResponse {
        tags: tags.into_iter().collect(),
    })
}

/// Containers and deployments are counted; calls are not.
async fn stats(
    world: Arc<World>,
    call: Call<AppGetTimeRangeStatsRequest>,
) -> Result<AppGetTimeRangeStatsResponse, Status> {
    let AppGetTimeRangeStatsRequest {
        app_id,
        since,
        until,
    } = call.message;
    let app = super::get(&world, &app_id)?;
    let (functions, sandboxes) = parts::live(&world, &app_id);
    let from = clock::from_message(since.as_ref()).unwrap_or(0.0);
    let to = clock::from_message(until.as_ref()).unwrap_or(f64::INFINITY);
    let inside = app
        .versions
        .iter()
        .filter(|v| (from..to).contains(&v.deployed_at))
        .count();
    let mut counts = AppFunctionCounts::default();
    counts
        .containers
        .get_or_insert_default()
        .container_active_count = functions;
    counts.calls.get_or_insert_default();
    let mut servers = AppServerCounts::default();
    servers.containers.get_or_insert_default();
    servers.requests.get_or_insert_default();
    Ok(AppGetTimeRangeStatsResponse {
        since,
        until,
        functions: Some(AppFunctionStatsGroup {
            total: Some(counts),
            ..Default::default()
        }),
        servers: Some(AppServerStatsGroup {
            total: Some(servers),
            ..Default::default()
        }),
        sandboxes: Some(AppSandboxCounts {
            total: sandboxes,
            finished: 0,
            live: sandboxes,
        }),
        lifecycle: Some(app.lifecycle()),
        deployment_count: Some(inside as u64),
    })
}
