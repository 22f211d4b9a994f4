//! Sandboxes: containers that run one command and take further ones, in both versions of the API.
//!
//! A sandbox is a record, which stays, and a [`Live`] beside it until it ends. Version 1 and 2 differ in the
//! form of their ids and in how clients reach the output; what runs is the same. The command router
//! (`services::router`) acts on what is live here.
//!
//! Deliberately absent: memory in memory snapshots (a restored sandbox starts its command anew on the saved
//! files), TLS on tunnels, proxies, OIDC tokens, network file systems, statistics.

pub(crate) mod access;
pub(crate) mod activity;
mod capacity;
pub(crate) mod command;
mod create;
pub(crate) mod definition;
pub(crate) mod images_of;
pub(crate) mod live;
pub(crate) mod network;
pub(crate) mod output;
mod persistent;
mod ports;
mod queries;
pub(crate) mod ready;
mod record;
pub(crate) mod restore;
pub(crate) mod run;
pub(crate) mod sidecars;
pub(crate) mod stdin;
pub(crate) mod version1;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use moorline_modal_proto::client::generic_result::GenericStatus;
use serde::{Deserialize, Serialize};
use tonic::Status;

use self::access::Key;
use self::capacity::Capacity;
use self::live::{Live, Place, ended, lock};
use self::persistent::Persistent;
use self::record::{Record, Table};
use self::restore::Snapshot;
use crate::kept::Kept;
use crate::routes::Rpcs;
use crate::services::named::now;
use crate::world::World;

/// The sandboxes' part of the world.
#[derive(Debug)]
pub(crate) struct Sandboxes {
    pub(crate) kept: Kept<State>,
    /// By sandbox id.
    live: Mutex<HashMap<String, Arc<Live>>>,
    /// Containers that take commands and are no live sandbox, by task id: those of functions, and those of
    /// sandboxes that have just ended.
    guests: Mutex<HashMap<String, Arc<Place>>>,
    capacity: Capacity,
    pub(crate) key: Key,
    /// Holds the outputs of those that are over.
    dir: PathBuf,
}

/// What outlives the emulator.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    table: Table,
    /// Memory snapshots by id.
    snapshots: BTreeMap<String, Snapshot>,
    /// Persistent sandboxes by id.
    persistent: BTreeMap<String, Persistent>,
}

impl Sandboxes {
    /// Reads what an earlier emulator left; what ran then is over now.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let kept: Kept<State> = Kept::open(dir, "sandboxes")?;
        if kept.read().table.running() > 0 {
            kept.write().table.end_all(now());
        }
        let dir = dir.join("sandboxes");
        std::fs::create_dir_all(&dir)?;
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            // Outputs are files; directories were there for containers that are gone.
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(Self {
            kept,
            live: Mutex::default(),
            guests: Mutex::default(),
            capacity: Capacity::default(),
            key: Key::default(),
            dir,
        })
    }

    /// Writes what changed.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.kept.flush()
    }

    /// A sandbox that has not ended, by its id or that of its task.
    pub(crate) fn live(&self, id: &str) -> Option<Arc<Live>> {
        if let Some(live) = lock(&self.live).get(id) {
            return Some(Arc::clone(live));
        }
        let id = self
            .kept
            .read()
            .table
            .get(id)
            .map(|record| record.id.clone())?;
        lock(&self.live).get(&id).map(Arc::clone)
    }

    /// Something of the record of a sandbox, by its id or that of its task.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    fn record<T>(&self, id: &str, look: impl FnOnce(&Record) -> T) -> Result<T, Status> {
        self.kept
            .read()
            .table
            .get(id)
            .map(look)
            .ok_or_else(|| unknown(id))
    }

    /// The answer to whoever wants something of a sandbox that is over, or was never there.
    pub(crate) fn gone(&self, id: &str) -> Status {
        match self.record(id, Record::result) {
            Ok(Some(result)) if result.status() == GenericStatus::InitFailure => {
                let why = result.exception;
                Status::not_found(format!("Sandbox '{id}' could not be started: {why}"))
            }
            Ok(_) => ended(id),
            Err(unknown) => unknown,
        }
    }

    /// Whether the second is the id of a sandbox whose task the first one is.
    pub(crate) fn is_task_of(&self, task_id: &str, sandbox_id: &str) -> bool {
        self.record(sandbox_id, |record| record.task_id == task_id)
            .unwrap_or(false)
    }

    fn remember(&self, live: &Arc<Live>) {
        lock(&self.live).insert(live.id.clone(), Arc::clone(live));
    }

    fn forget(&self, id: &str) {
        lock(&self.live).remove(id);
    }

    /// The command router takes commands for a container that is no live sandbox.
    pub(crate) fn admit(&self, task_id: &str, place: Arc<Place>) {
        lock(&self.guests).insert(task_id.to_owned(), place);
    }

    /// No more commands for that container.
    pub(crate) fn dismiss(&self, task_id: &str) {
        lock(&self.guests).remove(task_id);
    }

    /// A container that was admitted.
    pub(crate) fn guest(&self, task_id: &str) -> Option<Arc<Place>> {
        lock(&self.guests).get(task_id).map(Arc::clone)
    }

    /// All that have not ended.
    fn all_live(&self) -> Vec<Arc<Live>> {
        lock(&self.live).values().map(Arc::clone).collect()
    }
}

fn unknown(id: &str) -> Status {
    Status::not_found(format!("Sandbox '{id}' not found"))
}

/// An app stopped: its sandboxes end. Waits for that.
pub(crate) async fn stop_app(world: &World, app_id: &str) {
    let running = world.sandboxes.kept.read().table.running_of(app_id);
    let live: Vec<_> = running
        .iter()
        .filter_map(|id| world.sandboxes.live(id))
        .collect();
    for live in &live {
        live.terminate("the app was stopped");
    }
    for live in live {
        live.ended_within(std::time::Duration::from_secs(10)).await;
    }
}

/// Ends all of them, and waits for that.
pub(crate) async fn end(world: &World) {
    let live = world.sandboxes.all_live();
    for live in &live {
        live.terminate("the emulator was stopped");
    }
    for live in live {
        live.ended_within(std::time::Duration::from_secs(30)).await;
    }
}

pub(crate) fn register(rpcs: &mut Rpcs<'_>) {
    create::register(rpcs);
    queries::register(rpcs);
    restore::register(rpcs);
    sidecars::register(rpcs);
    version1::register(rpcs);
    persistent::register(rpcs);
}
