//! What every handler has.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use moorline_api::ApiError;
use moorline_core::clock::{Clock, Ids, SystemIds};
use moorline_core::config::{ServerSettings, Settings};
use moorline_engine::Engine;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;

pub use moorline_core::config::DEFAULT_PROJECT;

/// A project: everything in it is seen by its own tokens alone (D-AUDIT-3). Each has a store of its own.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its name: a lower-case letter, then letters, digits, `-`.
    pub name: String,
    /// Its engine.
    pub engine: Engine,
}

/// The server, for as long as it runs.
#[derive(Debug)]
pub struct App {
    /// The projects, by name; [`DEFAULT_PROJECT`] is always among them.
    pub projects: BTreeMap<String, Arc<Project>>,
    /// What is configured.
    pub settings: Arc<Settings>,
    /// How the server is called from outside: scheme, host and port, without a path.
    pub origin: String,
    /// The state directory of the installation.
    pub state: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// Where background work is started: the one place, so that the end can wait for it.
    pub tasks: TaskTracker,
    /// Numbers for whoever watches it.
    pub(crate) metrics: Metrics,
    /// Cancelled when the server is to end: streams then end, and nothing new begins.
    pub closing: CancellationToken,
}

impl App {
    /// A server over these projects, called from outside as `origin`.
    ///
    /// # Errors
    /// When its metrics can not be set up.
    pub fn new(
        projects: Vec<Project>,
        settings: Arc<Settings>,
        state: PathBuf,
        clock: Arc<dyn Clock>,
        origin: String,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            projects: projects
                .into_iter()
                .map(|project| (project.name.clone(), Arc::new(project)))
                .collect(),
            settings,
            origin,
            state,
            clock,
            ids: Arc::new(SystemIds),
            tasks: TaskTracker::new(),
            metrics: Metrics::new()?,
            closing: CancellationToken::new(),
        })
    }

    /// What `[server]` says.
    pub fn server(&self) -> &ServerSettings {
        &self.settings.server
    }

    /// Whether browsers reach the server by TLS: then cookies are for that alone.
    pub fn is_secure(&self) -> bool {
        self.origin.starts_with("https://")
    }
}
