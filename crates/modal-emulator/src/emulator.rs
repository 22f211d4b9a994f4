//! Starting and stopping.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::faults::FaultPlan;
use crate::http::Server;
use crate::journal::Journal;
use crate::routes::Coverage;
use crate::world::World;

/// How an [`Emulator`] is started.
#[derive(Debug, Clone)]
pub struct EmulatorOptions {
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Where its world is kept. Without it the world is gone when the emulator stops.
    pub state: Option<PathBuf>,
    /// The Python that runs functions: one that has the package `modal` and what the functions import.
    /// `python3` of the machine's `PATH` by default.
    pub python: PathBuf,
    /// The program of package `moorline-sandbox-tools`, or one that calls its `helper_main` first.
    pub helper: PathBuf,
    /// Faults from the start.
    pub faults: FaultPlan,
    /// Blobs longer than this are uploaded in parts, in bytes. 1 GiB by default, as on Modal.
    pub multipart_threshold: u64,
}

impl Default for EmulatorOptions {
    fn default() -> Self {
        Self {
            port: 0,
            state: None,
            python: "python3".into(),
            helper: "modal-sandbox-fs-tools".into(),
            faults: FaultPlan::default(),
            multipart_threshold: 1 << 30,
        }
    }
}

/// Why an emulator could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatorError {
    /// The port is taken or not allowed.
    #[error("could not listen on 127.0.0.1:{port}")]
    Listen {
        /// The port asked for.
        port: u16,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The state directory could not be read or written.
    #[error("could not open the state directory `{}`", path.display())]
    State {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// A running emulator. Dropping it stops it and all that runs in it.
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    server: Arc<Server>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Emulator {
    /// Binds 127.0.0.1, opens the state, and serves on the caller's tokio runtime until
    /// [`stop`](Self::stop) or drop.
    ///
    /// # Errors
    /// [`EmulatorError`].
    pub async fn start(options: EmulatorOptions) -> Result<Self, EmulatorError> {
        let port = options.port;
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listen = |source| EmulatorError::Listen { port, source };
        let listener = listening.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let path = options
            .state
            .clone()
            .unwrap_or_else(|| "(temporary)".into());
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let world = World::open(options, address, stop.clone(), tasks.clone())
            .map_err(|source| EmulatorError::State { path, source })?;
        let server = Server::new(world);
        tasks.spawn(Arc::clone(&server).accept(listener, stop.clone()));
        tasks.spawn(keep(Arc::clone(&server), stop.clone()));
        server.world().begin();
        Ok(Self {
            address,
            server,
            stop,
            tasks,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, as `MODAL_SERVER_URL` takes it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The variables that point an official client at this emulator.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("MODAL_SERVER_URL", self.url()),
            ("MODAL_TOKEN_ID", "ak-emulator".to_owned()),
            ("MODAL_TOKEN_SECRET", "as-emulator".to_owned()),
        ]
    }

    /// Puts a fault plan in force, from the next call on.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.server.world().faults.set(plan);
    }

    /// What really happened.
    pub fn journal(&self) -> &Journal {
        &self.server.world().journal
    }

    /// Which RPCs are implemented, and which were called.
    pub fn coverage(&self) -> Coverage {
        self.server.coverage()
    }

    /// Ends everything that runs in it, writes its state, and waits for that.
    pub async fn stop(self) {
        self.server.world().end().await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Writes the state each second while something changed, and once more in the end.
async fn keep(server: Arc<Server>, stop: CancellationToken) {
    loop {
        let ended = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => false,
        };
        if let Err(error) = server.world().flush() {
            tracing::error!(%error, "the state of the emulator was not written");
        }
        if ended {
            return;
        }
    }
}
