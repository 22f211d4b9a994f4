//! What apps ask of the services whose objects they hold together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use moorline_modal_proto::client::Object;
use moorline_modal_proto::client::app_get_info_response::FunctionInfoSummary;
use tonic::Status;

use super::state::Layout;
use crate::services::functions::{self, classes};
use crate::services::sandboxes;
use crate::services::tasks::TaskKind;
use crate::world::World;

/// The objects of a layout, with what their handles need.
pub(super) fn objects(world: &World, layout: &Layout) -> Vec<Object> {
    let functions = layout
        .function_ids
        .values()
        .filter_map(|id| functions::object(world, id));
    let classes = layout
        .class_ids
        .values()
        .filter_map(|id| classes::object(world, id));
    functions.chain(classes).collect()
}

/// Refuses a function that does not exist or is another app's.
pub(super) fn check_function(world: &World, app_id: &str, id: &str) -> Result<(), Status> {
    if functions::app_of(world, id)? != app_id {
        let text = format!("Function '{id}' is not of App '{app_id}'");
        return Err(Status::invalid_argument(text));
    }
    Ok(())
}

/// Puts the app's current layout in force; `anew`: in new containers, also where nothing changed.
pub(super) fn in_force(world: &Arc<World>, app_id: &str, anew: bool) {
    functions::in_force(world, app_id, anew);
}

/// Ends what runs in an app, and waits for that.
pub(super) async fn stop(world: &Arc<World>, app_id: &str) {
    sandboxes::stop_app(world, app_id).await;
    functions::stop_app(world, app_id).await;
}

/// Names and ids of the functions of a layout, and of its servers.
pub(super) fn names(
    world: &World,
    layout: &Layout,
) -> (HashMap<String, String>, HashMap<String, String>) {
    let catalog = world.functions.catalog.read();
    let all = layout
        .function_ids
        .iter()
        .map(|(name, id)| (name.clone(), id.clone()));
    all.partition(|(_, id)| !catalog.data(id).is_some_and(|data| data.is_server))
}

/// What a person would want to know of each function of a layout.
pub(super) fn summaries(world: &World, layout: &Layout) -> HashMap<String, FunctionInfoSummary> {
    let catalog = world.functions.catalog.read();
    let summary = |id: &String| {
        let data = catalog.data(id)?;
        let ranked = data
            .ranked_functions
            .iter()
            .filter_map(|one| one.function.as_ref());
        let gpus = ranked.filter_map(|one| one.resources.as_ref()?.gpu_config.clone());
        let gpu_config = gpus.filter(|gpu| gpu.count > 0).collect();
        let web = data
            .webhook_config
            .as_ref()
            .filter(|config| config.r#type != 0);
        let summary = FunctionInfoSummary {
            gpu_config,
            schedule: data.schedule.clone(),
            web_function: web.is_some(),
            requires_proxy_auth: web.map(|config| config.requires_proxy_auth),
            is_sessioned: false,
        };
        Some((id.clone(), summary))
    };
    layout.function_ids.values().filter_map(summary).collect()
}

/// Functions that were made of a function, with parameters or options.
pub(in crate::services) fn variants(world: &World, function_id: &str) -> Vec<String> {
    functions::variants(world, function_id)
}

/// Containers that run, by app.
pub(super) fn running(world: &World) -> BTreeMap<String, i32> {
    let mut counts = BTreeMap::new();
    for (_, _, app_id) in world.running.running() {
        *counts.entry(app_id).or_default() += 1;
    }
    counts
}

/// Whether anything in an app is under way.
pub(super) fn busy(world: &World, app_id: &str) -> bool {
    world
        .running
        .running()
        .iter()
        .any(|(_, _, app)| app == app_id)
}

/// Containers of functions, and sandboxes, that run in an app.
pub(super) fn live(world: &World, app_id: &str) -> (u64, u64) {
    let mut counts = (0, 0);
    for (_, kind, _) in world
        .running
        .running()
        .iter()
        .filter(|(_, _, app)| app == app_id)
    {
        match kind {
            TaskKind::Function(_) => counts.0 += 1,
            TaskKind::Sandbox(_) => counts.1 += 1,
        }
    }
    counts
}
