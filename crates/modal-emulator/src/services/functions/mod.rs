//! Functions: how they are defined and bound, their calls, and the containers that run them.
//!
//! # Map
//! * `catalog`: definitions, kept with the state directory; `define`, `classes`, `options`: how they get there.
//! * `calls`, `pools`, `scaling`, `board`: calls and containers as plain state. Calls live in memory: they and
//!   their results end with the emulator.
//! * `invoke`: what callers ask; `serve`: what containers ask; `autoscaler`: what both may tune.
//! * `containers`: the processes. `ask`: calls that the emulator makes itself, for schedules and HTTP.
//!
//! Containers run the official `modal._container_entrypoint`. A container calls over a unix socket of its
//! own, which is its identity.
//!
//! Deliberately absent: the input plane (`input_plane_url` stays empty), memory snapshots of containers,
//! clusters, and functions that serve HTTP by themselves (`modal.Server`).

mod ask;
mod autoscaler;
mod board;
mod calls;
mod catalog;
pub(crate) mod classes;
mod containers;
mod define;
mod invoke;
mod launch;
mod options;
mod pools;
mod scaling;
mod serve;
mod stored;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use moorline_modal_proto::client::object::HandleMetadataOneof;
use moorline_modal_proto::client::{Object, WebhookConfig};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::Status;

pub(crate) use self::ask::{Asked, begin_call, cancel, output};
use self::board::{Board, Follow};
pub(crate) use self::calls::DataStream;
use self::catalog::Catalog;
pub(crate) use self::catalog::Entry;
pub(crate) use self::define::set_urls;
use self::scaling::Bounds;
use crate::kept::Kept;
use crate::routes::Rpcs;
use crate::world::World;

/// The functions' part of the world.
#[derive(Debug)]
pub(crate) struct Functions {
    pub(crate) catalog: Kept<Catalog>,
    board: Mutex<Board>,
    /// Told of each container that is gone.
    ended: Notify,
    /// The emulator stops: containers end without grace.
    ending: CancellationToken,
}

impl Functions {
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            catalog: Kept::open(dir, "functions")?,
            board: Mutex::default(),
            ended: Notify::new(),
            ending: CancellationToken::new(),
        })
    }

    pub(crate) fn flush(&self) -> io::Result<()> {
        self.catalog.flush()
    }
}

pub(crate) fn register(rpcs: &mut Rpcs<'_>) {
    define::register(rpcs);
    classes::register(rpcs);
    autoscaler::register(rpcs);
    invoke::register(rpcs);
    serve::register(rpcs);
}

/// Now, for deadlines.
#[expect(
    clippy::disallowed_methods,
    reason = "containers are real processes, in real time"
)]
fn instant() -> Instant {
    Instant::now()
}

fn lock(world: &World) -> MutexGuard<'_, Board> {
    world
        .functions
        .board
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Changes calls or pools under the lock, then does what follows from it.
fn act<R>(world: &Arc<World>, change: impl FnOnce(&mut Board) -> R) -> R {
    let (answer, follow) = {
        let mut board = lock(world);
        let answer = change(&mut board);
        (answer, std::mem::take(&mut board.follow))
    };
    follow_up(world, follow);
    answer
}

fn follow_up(world: &Arc<World>, follow: Follow) {
    let Follow {
        scale,
        later,
        leave,
    } = follow;
    for leave in leave {
        leave.now.cancel();
    }
    for later in later {
        let world_then = Arc::clone(world);
        world.tasks.spawn(async move {
            let sleep = tokio::time::sleep(later.after);
            if world_then.stop.run_until_cancelled(sleep).await.is_some() {
                act(&world_then, |board| board.later(&later));
            }
        });
    }
    for function_id in scale {
        containers::scale(world, &function_id);
    }
}

/// Makes sure that a function has a pool, with the bounds that are in force. None for one that is not
/// defined.
fn ready_pool(world: &World, board: &mut Board, function_id: &str) -> Option<()> {
    let (effective, overrides) = {
        let catalog = world.functions.catalog.read();
        let overrides = catalog.function(function_id)?.overrides.0;
        (catalog.effective(function_id)?, overrides)
    };
    let bounds = Bounds::of(&effective.function, &overrides);
    board.pool(function_id, &effective.app_id, bounds, effective.generation);
    Some(())
}

/// A function with what clients must know of it, for layouts.
pub(crate) fn object(world: &World, function_id: &str) -> Option<Object> {
    let handle = world.functions.catalog.read().handle(function_id)?;
    Some(Object {
        object_id: function_id.to_owned(),
        handle_metadata_oneof: Some(HandleMetadataOneof::FunctionHandleMetadata(handle)),
    })
}

/// What is bound to a function, by id.
pub(crate) fn variants(world: &World, function_id: &str) -> Vec<String> {
    let catalog = world.functions.catalog.read();
    let bound = catalog.ids().filter(|(_, entry)| {
        entry
            .bound
            .as_ref()
            .is_some_and(|bound| bound.base == function_id)
    });
    bound.map(|(id, _)| id.to_owned()).collect()
}

/// The app of a function.
///
/// # Errors
/// `NOT_FOUND`.
pub(crate) fn app_of(world: &World, function_id: &str) -> Result<String, Status> {
    let catalog = world.functions.catalog.read();
    let entry = catalog
        .function(function_id)
        .ok_or_else(|| no_function(function_id))?;
    Ok(entry.app_id.clone())
}

fn no_function(id: &str) -> Status {
    Status::not_found(format!("Function '{id}' not found"))
}

fn no_call(id: &str) -> Status {
    Status::not_found(format!("FunctionCall '{id}' not found"))
}

/// An app's layout is in force: its definitions are now, too. With `renew`, also containers of an unchanged
/// definition are replaced.
pub(crate) fn in_force(world: &Arc<World>, app_id: &str, renew: bool) {
    let Ok(app) = super::apps::get(world, app_id) else {
        return;
    };
    let now = crate::clock::seconds();
    let ids: Vec<String> = {
        let mut catalog = world.functions.catalog.write();
        for id in app.layout.function_ids.values() {
            let named = app.layout.definition_ids.get(id).cloned();
            let newest = || catalog.function(id).and_then(|entry| entry.newest.clone());
            if let Some(definition_id) = named.or_else(newest) {
                catalog.activate(id, &definition_id);
            }
            catalog.published(id, now);
            if renew {
                catalog.renew(id);
            }
        }
        catalog
            .of_app(app_id)
            .map(|(id, _)| id.to_owned())
            .collect()
    };
    act(world, |board| {
        for id in &ids {
            // Pools that exist follow the definition; those that are to be kept warm begin.
            let _ = ready_pool(world, board, id);
        }
    });
    world.schedules.look();
}

/// Starts what runs by itself: web ports, schedules, and the containers that are kept warm. What is left of
/// apps that have stopped is forgotten.
pub(crate) fn begin(world: &Arc<World>) {
    let ids: Vec<String> = {
        let mut catalog = world.functions.catalog.write();
        catalog.forget(|app_id| super::apps::live(world, app_id).is_err());
        catalog.ids().map(|(id, _)| id.to_owned()).collect()
    };
    crate::http::gateway::begin(world);
    super::schedules::begin(world);
    act(world, |board| {
        for id in &ids {
            let _ = ready_pool(world, board, id);
        }
    });
}

/// The URLs that a web function has or had, by method.
pub(crate) fn urls(world: &World, function_id: &str) -> BTreeMap<String, String> {
    let catalog = world.functions.catalog.read();
    catalog
        .function(function_id)
        .map(|entry| entry.web.clone())
        .unwrap_or_default()
}

/// The web functions of apps that have not stopped, with what of them answers HTTP.
pub(crate) fn web_functions(world: &World) -> Vec<(String, BTreeMap<String, WebhookConfig>)> {
    let all: Vec<(String, String)> = {
        let catalog = world.functions.catalog.read();
        let defined = catalog.ids().filter(|(_, entry)| entry.bound.is_none());
        defined
            .map(|(id, entry)| (id.to_owned(), entry.app_id.clone()))
            .collect()
    };
    let live = all
        .into_iter()
        .filter(|(_, app)| super::apps::live(world, app).is_ok());
    let webhooks = |id: String| {
        let data = world.functions.catalog.read().data(&id)?;
        let webhooks = Catalog::webhooks(&data);
        (!webhooks.is_empty()).then_some((id, webhooks))
    };
    live.filter_map(|(id, _)| webhooks(id)).collect()
}

/// Ends everything of an app: calls, containers, ports.
pub(crate) async fn stop_app(world: &Arc<World>, app_id: &str) {
    crate::http::gateway::close_app(world, app_id);
    act(world, |board| board.stop_app(app_id));
    containers::gone(world, app_id).await;
}

/// Lets a container be lost, as a preemption does: its inputs run elsewhere. Without a task id, the one that
/// began first. Answers its task id; none when there is no such container.
pub(crate) fn preempt(world: &World, task: Option<&str>) -> Option<String> {
    use super::tasks::TaskKind;
    let running = world.running.running();
    let functions = running
        .into_iter()
        .filter(|(_, kind, _)| matches!(kind, TaskKind::Function(_)));
    let (id, _, _) = functions
        .into_iter()
        .find(|(id, _, _)| task.is_none_or(|task| task == id))?;
    world.running.leave(&id)?.now.cancel();
    Some(id)
}

/// Ends all containers, without grace. They are gone when the world's tasks have ended.
pub(crate) fn end(world: &World) {
    world.functions.ending.cancel();
}
