//! What every handler has.

use std::collections::BTreeMap;
use std::sync::Arc;

use moorline_core::clock::Clock;
use moorline_engine::Engine;

/// The project of an installation that names none.
pub const DEFAULT_PROJECT: &str = "default";

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
    /// The projects, by name.
    pub projects: BTreeMap<String, Arc<Project>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}
