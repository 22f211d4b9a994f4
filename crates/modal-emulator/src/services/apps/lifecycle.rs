//! How an app begins and ends.

use std::sync::Arc;
use std::time::Duration;

use moorline_modal_proto::client::{
    AppClientDisconnectRequest, AppCreateRequest, AppCreateResponse, AppGetOrCreateRequest,
    AppGetOrCreateResponse, AppHeartbeatRequest, AppState, AppStopRequest, ObjectCreationType,
};
use tonic::Status;

use super::state::App;
use super::{inspect, page, parts};
use crate::call::Call;
use crate::routes::Rpcs;
use crate::services::{environments, logs, secrets, workspace};
use crate::world::World;
use crate::{clock, ids};

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("AppCreate", create);
    rpcs.write("AppGetOrCreate", get_or_create);
    // Not a `write`: it is sent for ever, and nobody needs to know how often.
    rpcs.read("AppHeartbeat", heartbeat);
    rpcs.write("AppClientDisconnect", disconnect);
    rpcs.write("AppStop", stop_rpc);
}

/// Ends what an earlier emulator left unfinished, and watches heartbeats from now on.
pub(crate) fn begin(world: &Arc<World>) {
    let now = clock::seconds();
    let mut apps = world.apps.kept.write();
    for app in apps.apps.values_mut() {
        if !matches!(app.state(), AppState::Deployed | AppState::Stopped) {
            app.set_state(AppState::Stopped);
            app.stopped_at = now;
        }
    }
    drop(apps);
    world.tasks.spawn(watch(Arc::clone(world)));
}

/// Stops the apps whose clients fell silent, and those that outlived their clients and have nothing to do.
async fn watch(world: Arc<World>) {
    loop {
        let (expired, next) = world.apps.expired(clock::seconds());
        for id in expired {
            world.apps.forget(&id);
            tracing::info!(app = id, "the client of an app fell silent");
            disconnected(&world, &id).await;
        }
        let next = async {
            match next {
                Some(next) => tokio::time::sleep(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = world.stop.cancelled() => return,
            () = world.apps.watch.notified() => {}
            () = world.running.ended.notified() => stop_idle(&world).await,
            () = next => {}
        }
    }
}

async fn create(
    world: Arc<World>,
    call: Call<AppCreateRequest>,
) -> Result<AppCreateResponse, Status> {
    let request = call.message;
    let environment = environments::resolve(&world, &request.environment_name)?;
    let state = match AppState::try_from(request.app_state) {
        Ok(state @ (AppState::Ephemeral | AppState::Detached | AppState::Initializing)) => state,
        Ok(AppState::Unspecified) => AppState::Initializing,
        _ => {
            return Err(Status::invalid_argument(
                "an app cannot be created in that state",
            ));
        }
    };
    let mut app = App::new(ids::new("ap"), request.description, environment, state);
    app.tags = request.tags.into_iter().collect();
    let app_id = app.id.clone();
    world.apps.hear(&app_id, clock::seconds());
    world.apps.kept.write().apps.insert(app_id.clone(), app);
    call.meta.effect("app.create", &app_id);
    Ok(AppCreateResponse {
        app_page_url: page(&world, &app_id),
        app_logs_url: format!("{}/logs", page(&world, &app_id)),
        app_id,
    })
}

async fn get_or_create(
    world: Arc<World>,
    call: Call<AppGetOrCreateRequest>,
) -> Result<AppGetOrCreateResponse, Status> {
    use ObjectCreationType as Kind;

    let AppGetOrCreateRequest {
        app_name,
        environment_name,
        object_creation_type,
    } = call.message;
    let environment = environments::resolve(&world, &environment_name)?;
    if app_name.is_empty() {
        return Err(Status::invalid_argument("an app needs a name"));
    }
    let kind = Kind::try_from(object_creation_type).unwrap_or(Kind::Unspecified);
    let app = {
        let mut apps = world.apps.kept.write();
        let found = apps.deployed(&environment, &app_name).cloned();
        match (found, kind) {
            (Some(_), Kind::CreateFailIfExists) => {
                return Err(Status::already_exists(format!(
                    "App '{app_name}' already exists"
                )));
            }
            (Some(app), _) => app,
            (None, Kind::Unspecified) => {
                return Err(Status::not_found(format!(
                    "App '{app_name}' not found in environment '{environment}'"
                )));
            }
            (None, _) => {
                let id = ids::new("ap");
                let mut app = App::new(id, app_name.clone(), environment, AppState::Deployed);
                app.name = Some(app_name);
                apps.apps.insert(app.id.clone(), app.clone());
                call.meta.effect("app.create", &app.id);
                app
            }
        }
    };
    let handle_metadata = Some(inspect::handle(&world, &app));
    Ok(AppGetOrCreateResponse {
        app_id: app.id,
        handle_metadata,
    })
}

async fn heartbeat(world: Arc<World>, call: Call<AppHeartbeatRequest>) -> Result<(), Status> {
    let id = &call.message.app_id;
    let needs = world.apps.kept.read().get(id)?.has_client();
    if needs {
        world.apps.hear(id, clock::seconds());
    }
    Ok(())
}

/// How long a caller waits for what it stopped. Stopping goes on when that is over.
const WAIT: Duration = Duration::from_secs(5);

/// Waits for something that goes on in the background if it takes longer.
async fn wait<T>(task: tokio::task::JoinHandle<T>) {
    if let Ok(Err(error)) = tokio::time::timeout(WAIT, task).await {
        tracing::error!(%error, "an app was not stopped");
    }
}

async fn disconnect(
    world: Arc<World>,
    call: Call<AppClientDisconnectRequest>,
) -> Result<(), Status> {
    let AppClientDisconnectRequest {
        app_id,
        reason,
        exception,
    } = call.message;
    world.apps.kept.read().get(&app_id)?;
    if !exception.is_empty() {
        tracing::info!(
            app = app_id,
            reason,
            "the client of an app ended with an exception"
        );
    }
    world.apps.forget(&app_id);
    let task = world.tasks.spawn({
        let world = Arc::clone(&world);
        let app_id = app_id.clone();
        async move { disconnected(&world, &app_id).await }
    });
    call.meta.effect("app.disconnect", &app_id);
    wait(task).await;
    Ok(())
}

/// What the end of a client means for its app.
async fn disconnected(world: &Arc<World>, app_id: &str) {
    let state = match world.apps.kept.read().get(app_id) {
        Ok(app) => app.state(),
        Err(_) => return,
    };
    match state {
        AppState::Ephemeral | AppState::Initializing => {
            stop(world, app_id, "", None).await;
        }
        AppState::Detached => {
            if let Ok(app) = world.apps.kept.write().get_mut(app_id) {
                app.set_state(AppState::DetachedDisconnected);
            }
            stop_idle(world).await;
        }
        _ => {}
    }
}

/// Ends the apps that outlived their clients and in which nothing runs any more.
async fn stop_idle(world: &Arc<World>) {
    let left: Vec<String> = {
        let apps = world.apps.kept.read();
        let left = apps
            .apps
            .values()
            .filter(|a| a.state() == AppState::DetachedDisconnected);
        left.map(|app| app.id.clone()).collect()
    };
    for id in left {
        if !parts::busy(world, &id) {
            stop(world, &id, "", None).await;
        }
    }
}

async fn stop_rpc(world: Arc<World>, call: Call<AppStopRequest>) -> Result<(), Status> {
    let app_id = call.message.app_id;
    world.apps.kept.read().get(&app_id)?;
    let task = world.tasks.spawn({
        let world = Arc::clone(&world);
        let app_id = app_id.clone();
        let key = call.meta.idempotency_key().map(str::to_owned);
        async move { stop(&world, &app_id, workspace::USER, key.as_deref()).await }
    });
    wait(task).await;
    Ok(())
}

/// Stops an app and all that runs in it; `by` is empty when it ended by itself, `key` is the call's. Answers
/// whether this stopped it.
pub(super) async fn stop(world: &Arc<World>, app_id: &str, by: &str, key: Option<&str>) -> bool {
    {
        let mut apps = world.apps.kept.write();
        let Ok(app) = apps.get_mut(app_id) else {
            return false;
        };
        if app.ended() {
            return false;
        }
        app.set_state(AppState::Stopping);
        by.clone_into(&mut app.stopped_by);
    }
    world.apps.forget(app_id);
    parts::stop(world, app_id).await;
    // Before it counts as stopped: a reader of its log who sees that reads on to the end, and no further.
    logs::finish(world, app_id);
    if let Ok(app) = world.apps.kept.write().get_mut(app_id) {
        app.set_state(AppState::Stopped);
        app.stopped_at = clock::seconds();
    }
    secrets::remove_of_app(world, app_id);
    world.journal.record("app.stop", app_id, key);
    logs::wake(world, app_id);
    true
}

/// Stops all apps of an environment that goes away, and forgets them.
pub(crate) async fn stop_environment(world: &Arc<World>, environment: &str) {
    let ids: Vec<String> = {
        let apps = world.apps.kept.read();
        let there = apps
            .apps
            .values()
            .filter(|app| app.environment == environment);
        there.map(|app| app.id.clone()).collect()
    };
    for id in ids {
        stop(world, &id, workspace::USER, None).await;
        world.apps.kept.write().apps.remove(&id);
    }
}
