//! The task command router: commands in running containers, and changes to them.
//!
//! A caller shows the token of the task it acts on. A task is a sandbox's or a function's container; further
//! containers of a sandbox are named by an id of their own.
//!
//! Deliberately absent: headers put into outgoing requests (`TaskSetOutboundPolicy` with anything in it),
//! encryption keys of snapshots (they are not encrypted).

mod containers;
mod exec;
mod stdio;
mod task;

use std::sync::Arc;

use tonic::Status;

use crate::call::Meta;
use crate::routes::Rpcs;
use crate::services::sandboxes::access;
use crate::services::sandboxes::activity::Busy;
use crate::services::sandboxes::live::{Live, Place};
use crate::world::World;

pub(crate) fn register(rpcs: &mut Rpcs<'_>) {
    containers::register(rpcs);
    exec::register(rpcs);
    stdio::register(rpcs);
    task::register(rpcs);
}

/// Whether the caller may act on a task.
///
/// # Errors
/// `UNAUTHENTICATED` without a token that is good, `PERMISSION_DENIED` with that of another task.
fn admit(world: &World, meta: &Meta, task_id: &str) -> Result<(), Status> {
    let granted = access::granted(world, meta)?;
    if granted == task_id || world.sandboxes.is_task_of(&granted, task_id) {
        return Ok(());
    }
    Err(Status::permission_denied(format!(
        "the token is not one of task '{task_id}'"
    )))
}

/// A sandbox that runs, or is about to.
///
/// # Errors
/// `NOT_FOUND` when it has ended.
fn live(world: &World, meta: &Meta, task_id: &str) -> Result<Arc<Live>, Status> {
    admit(world, meta, task_id)?;
    world
        .sandboxes
        .live(task_id)
        .ok_or_else(|| world.sandboxes.gone(task_id))
}

/// A container that takes commands.
struct Target {
    place: Arc<Place>,
    /// The sandbox that it belongs to, if it does.
    live: Option<Arc<Live>>,
}

impl Target {
    /// What goes on in it keeps its sandbox from being idle.
    fn begin(&self) -> Option<Busy> {
        self.live.as_ref().map(|live| live.activity.begin())
    }
}

/// The container that is meant; an empty container id is the first one of the task.
///
/// # Errors
/// `NOT_FOUND` when there is none, or it has ended.
async fn target(
    world: &World,
    meta: &Meta,
    task_id: &str,
    container_id: &str,
) -> Result<Target, Status> {
    admit(world, meta, task_id)?;
    let Some(live) = world.sandboxes.live(task_id) else {
        let place = world
            .sandboxes
            .guest(task_id)
            .filter(|_| container_id.is_empty());
        let place = place.ok_or_else(|| world.sandboxes.gone(task_id))?;
        return Ok(Target { place, live: None });
    };
    let place = if container_id.is_empty() {
        let main = live
            .main()
            .await
            .map_err(|_| world.sandboxes.gone(task_id))?;
        Arc::clone(&main.place)
    } else {
        Arc::clone(&containers::by_id(&live, container_id)?.main.place)
    };
    Ok(Target {
        place,
        live: Some(live),
    })
}
