//! The state of the emulated Modal: one part a resource, each with a lock of its own.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::emulator::EmulatorOptions;
use crate::engine::Engine;
use crate::faults::Faults;
use crate::http::Server;
use crate::http::gateway::Gateways;
use crate::journal::Journal;
use crate::kept::Kept;
use crate::services::apps::{self, AppsPart};
use crate::services::environments::Environments;
use crate::services::functions::{self, Functions};
use crate::services::logs::Logs;
use crate::services::sandboxes::{self, Sandboxes};
use crate::services::schedules::Schedules;
use crate::services::secrets::Secrets;
use crate::services::storage::Storage;
use crate::services::tasks::Tasks;
use crate::services::workspace::{Workspace, billing};

/// Everything there is.
#[derive(Debug)]
pub(crate) struct World {
    /// As it was started.
    pub(crate) options: EmulatorOptions,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The state directory. Parts keep files below a directory of their own name.
    pub(crate) dir: PathBuf,
    /// Cancelled when the emulator stops: background work ends with it.
    pub(crate) stop: CancellationToken,
    /// Background work is spawned here, so that stopping waits for it.
    pub(crate) tasks: TaskTracker,
    pub(crate) faults: Faults,
    pub(crate) journal: Arc<Journal>,
    server: OnceLock<Weak<Server>>,
    // The parts. Each is a type of its service module.
    pub(crate) apps: AppsPart,
    pub(crate) environments: Kept<Environments>,
    pub(crate) functions: Functions,
    pub(crate) gateways: Gateways,
    pub(crate) logs: Logs,
    /// What runs user code.
    pub(crate) runtime: Engine,
    pub(crate) sandboxes: Sandboxes,
    pub(crate) schedules: Schedules,
    pub(crate) secrets: Kept<Secrets>,
    pub(crate) workspace: Kept<Workspace>,
    /// Containers that run, and those that ran lately.
    pub(crate) running: Tasks,
    /// Blobs, mounts, volumes, dicts, queues, images.
    pub(crate) storage: Storage,
    /// Removed with the world, when no directory was given.
    _temporary: Option<TempDir>,
}

impl World {
    /// Opens the state directory, or makes a temporary one.
    pub(crate) fn open(
        options: EmulatorOptions,
        address: SocketAddr,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> io::Result<Arc<Self>> {
        let temporary = match &options.state {
            Some(_) => None,
            None => Some(
                tempfile::Builder::new()
                    .prefix("moorline-emulator-")
                    .tempdir()?,
            ),
        };
        let dir = match (&options.state, &temporary) {
            (Some(dir), _) => dir.clone(),
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        std::fs::create_dir_all(&dir)?;
        let faults = Faults::default();
        faults.set(options.faults.clone());
        Ok(Arc::new(Self {
            address,
            stop,
            faults,
            journal: Arc::default(),
            server: OnceLock::new(),
            apps: AppsPart::new(Kept::open(&dir, "apps")?),
            environments: Kept::open(&dir, "environments")?,
            functions: Functions::open(&dir)?,
            gateways: Gateways::default(),
            logs: Logs::new(dir.clone(), tasks.clone()),
            runtime: Engine::open(&dir, &options),
            sandboxes: Sandboxes::open(&dir)?,
            schedules: Schedules::default(),
            secrets: Kept::open(&dir, "secrets")?,
            workspace: Kept::open(&dir, "workspace")?,
            storage: Storage::open(&dir)?,
            running: Tasks::default(),
            dir,
            options,
            tasks,
            _temporary: temporary,
        }))
    }

    /// Called once everything can be reached: starts what runs by itself (schedules, reapers).
    pub(crate) fn begin(self: &Arc<Self>) {
        apps::begin(self);
        Storage::begin(self);
        functions::begin(self);
    }

    /// Ends every container and background work, for [`crate::Emulator::stop`].
    pub(crate) async fn end(&self) {
        functions::end(self);
        sandboxes::end(self).await;
    }

    /// Writes what changed.
    pub(crate) fn flush(&self) -> io::Result<()> {
        if self.options.state.is_none() {
            // Nobody will read it.
            return Ok(());
        }
        billing::settle(self);
        self.apps.flush()?;
        self.environments.flush()?;
        self.functions.flush()?;
        self.sandboxes.flush()?;
        self.secrets.flush()?;
        self.workspace.flush()?;
        self.storage.flush()
    }

    /// The URL of this emulator, e.g. for uploads.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The state directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn set_server(&self, server: &Arc<Server>) {
        self.server.get_or_init(|| Arc::downgrade(server));
    }

    /// The server, to open further doors: unix sockets for containers, ports for web functions.
    pub(crate) fn server(&self) -> Option<Arc<Server>> {
        self.server.get()?.upgrade()
    }
}
