//! Apps: what is run or deployed as one.
//!
//! An ephemeral app ends when its client says so, or is silent for a minute; a deployed one when it is stopped.
//! Each deployment is a version that a rollback can put in force again. The objects of an app (functions,
//! sandboxes) are other services' business: they are told when an app stops or another version is in force.

mod deploy;
mod inspect;
mod lifecycle;
pub(super) mod parts;
mod state;

use moorline_modal_proto::client::AppLayout;
use tonic::Status;

pub(crate) use self::lifecycle::{begin, stop_environment};
pub(crate) use self::state::{App, AppsPart, Layout};
pub(crate) use super::logs::{Line, log};
use super::workspace::billing;
use crate::routes::Rpcs;
use crate::world::World;

/// An app, as it is now.
///
/// # Errors
/// `NOT_FOUND`.
pub(crate) fn get(world: &World, app_id: &str) -> Result<App, Status> {
    world.apps.kept.read().get(app_id).cloned()
}

/// An app, if there is one of that id.
pub(crate) fn describe(world: &World, app_id: &str) -> Option<App> {
    get(world, app_id).ok()
}

/// An app that has not stopped: something is to be made in it.
///
/// # Errors
/// `NOT_FOUND`, and `FAILED_PRECONDITION` when it has stopped.
pub(crate) fn live(world: &World, app_id: &str) -> Result<App, Status> {
    let app = get(world, app_id)?;
    if app.ended() {
        let text = format!("App '{app_id}' has stopped: start or deploy it again");
        return Err(Status::failed_precondition(text));
    }
    Ok(app)
}

/// An app in which something may be started: a live one, of an environment that has not spent its budget.
///
/// # Errors
/// Those of [`live`], and `RESOURCE_EXHAUSTED`.
pub(crate) fn may_run(world: &World, app_id: &str) -> Result<App, Status> {
    let app = live(world, app_id)?;
    billing::check_spend(world, &app.environment)?;
    Ok(app)
}

/// The deployed app of a name.
///
/// # Errors
/// `NOT_FOUND`, also for the environment.
pub(crate) fn deployed(world: &World, name: &str, environment: &str) -> Result<App, Status> {
    let environment = super::environments::resolve(world, environment)?;
    let apps = world.apps.kept.read();
    apps.deployed(&environment, name).cloned().ok_or_else(|| {
        Status::not_found(format!(
            "App '{name}' not found in environment '{environment}'"
        ))
    })
}

/// The layout in force, with the metadata of every object: what clients and containers need.
///
/// # Errors
/// `NOT_FOUND`.
pub(crate) fn layout(world: &World, app_id: &str) -> Result<AppLayout, Status> {
    Ok(message(world, &get(world, app_id)?.layout))
}

/// A version's layout; the one in force for version 0.
///
/// # Errors
/// `NOT_FOUND`, also for the version.
pub(crate) fn layout_of_version(
    world: &World,
    app_id: &str,
    version: u32,
) -> Result<Layout, Status> {
    let app = get(world, app_id)?;
    if version == 0 {
        return Ok(app.layout);
    }
    let text = || format!("App '{app_id}' has no version {version}");
    let version = app
        .version(version)
        .ok_or_else(|| Status::not_found(text()))?;
    Ok(version.layout.clone())
}

fn message(world: &World, layout: &Layout) -> AppLayout {
    AppLayout {
        objects: parts::objects(world, layout),
        function_ids: layout.function_ids.clone().into_iter().collect(),
        class_ids: layout.class_ids.clone().into_iter().collect(),
    }
}

/// Follows a new name of an environment.
pub(super) fn rename_environment(world: &World, old: &str, new: &str) {
    for app in world.apps.kept.write().apps.values_mut() {
        if app.environment == old {
            new.clone_into(&mut app.environment);
        }
    }
}

/// Where a person would look at an app.
pub(super) fn page(world: &World, app_id: &str) -> String {
    world.url(&format!("/apps/{app_id}"))
}

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    lifecycle::register(rpcs);
    deploy::register(rpcs);
    inspect::register(rpcs);
}
