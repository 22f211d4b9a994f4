//! Where the configuration of this invocation is, and what it says.

use std::path::Path;
use std::sync::Arc;

use moorline_api::ApiError;
use moorline_core::config::{Layers, Resolved, Settings, StoreUrl};
use moorline_engine::KeyPlace;
use moorline_engine::surroundings::{ConfigPaths, Surroundings};

use crate::context::Context;
use crate::output;

impl Context<'_> {
    /// What this invocation was started with.
    pub(crate) fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            vars: &self.env.vars,
            cwd: &self.env.cwd,
            state: self.global.state.as_deref(),
            set: &self.global.set,
        }
    }

    /// Where the files of the configuration are.
    pub(crate) fn config_paths(&self) -> ConfigPaths {
        self.surroundings().config_paths()
    }

    /// Where the private keys of this machine's people are.
    pub(crate) fn keys(&self, state: &Path) -> KeyPlace {
        self.surroundings().keys(state)
    }

    /// The layers of the configuration, as they were found.
    pub(crate) fn config_layers(&self) -> Result<Layers, ApiError> {
        self.surroundings().layers()
    }

    /// The configuration, with where every value comes from.
    pub(crate) fn configuration(&self) -> Result<Resolved, ApiError> {
        self.surroundings().configuration()
    }

    /// The settings.
    pub(crate) fn settings(&self) -> Result<Arc<Settings>, ApiError> {
        Ok(Arc::new(self.configuration()?.settings))
    }

    /// The settings of a stop, which nothing wrong with a file may prevent: then they are the built-in ones,
    /// over the store that the files or the environment name.
    pub(crate) fn settings_of_stop(&self) -> Arc<Settings> {
        let error = match self.settings() {
            Ok(settings) => return settings,
            Err(error) => error,
        };
        output::note(&format!(
            "{}; stopping by the built-in settings",
            error.message
        ));
        let settings = Settings {
            store: self.surroundings().store_anyhow().map(StoreUrl::new),
            ..Settings::default()
        };
        Arc::new(settings)
    }
}
