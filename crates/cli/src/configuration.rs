//! Where the configuration of this invocation is, and what it says.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moorline_api::{ApiError, ErrorDetail};
use moorline_core::config::{
    ConfigFile, ConfigFlag, Layers, Problems, Resolved, Settings, StoreUrl, VARIABLES,
};
use moorline_core::error_code::ErrorCode;
use moorline_engine::{KeyPlace, configure};

use crate::context::Context;
use crate::output;

/// The project's file.
const PROJECT: &str = "moorline.toml";
/// The variable that names it, wherever it is.
const NAMED: &str = "MOORLINE_CONFIG";
/// The variable that names the key file of whoever acts.
const KEY: &str = "MOORLINE_KEY";

/// Where the files of the configuration are, or would be.
#[derive(Debug, Clone)]
pub(crate) struct ConfigPaths {
    /// The project's file; none when there is none here or above.
    pub(crate) project: Option<PathBuf>,
    /// The user's file, there or not; none without a home directory.
    pub(crate) user: Option<PathBuf>,
}

impl Context<'_> {
    /// Where the files of the configuration are.
    pub(crate) fn config_paths(&self) -> ConfigPaths {
        let named = self.env.var(NAMED).filter(|path| !path.is_empty());
        let project = match named {
            Some(path) => Some(self.env.cwd.join(path)),
            None => self
                .env
                .cwd
                .ancestors()
                .map(|dir| dir.join(PROJECT))
                .find(|file| file.is_file()),
        };
        ConfigPaths {
            project,
            user: self.user_dir().map(|dir| dir.join("config.toml")),
        }
    }

    /// The user's directory of Moorline: `$XDG_CONFIG_HOME/moorline`, or `~/.config/moorline`.
    fn user_dir(&self) -> Option<PathBuf> {
        let var = |name| self.env.var(name).filter(|value| value.starts_with('/'));
        let config = match var("XDG_CONFIG_HOME") {
            Some(dir) => PathBuf::from(dir),
            None => Path::new(var("HOME")?).join(".config"),
        };
        Some(config.join("moorline"))
    }

    /// Where the private keys of this machine's people are: the user's, and not the state's, so that a copy
    /// of the state can sign nothing.
    pub(crate) fn keys(&self, state: &Path) -> KeyPlace {
        let dir = self.user_dir().unwrap_or_else(|| state.to_owned());
        let mut place = KeyPlace::new(dir.join("keys"));
        place.file = self
            .env
            .var(KEY)
            .filter(|path| !path.is_empty())
            .map(|path| self.env.cwd.join(path));
        place
    }

    /// The layers of the configuration, as they were found.
    pub(crate) fn config_layers(&self) -> Result<Layers, ApiError> {
        let paths = self.config_paths();
        let named = self.env.var(NAMED).is_some_and(|path| !path.is_empty());
        let mut flags = Vec::with_capacity(self.global.set.len());
        for text in &self.global.set {
            let Some((key, value)) = text.split_once('=') else {
                let message = format!("--set `{text}` is not of the form KEY=VALUE");
                return Err(ApiError::new(ErrorCode::Usage, message)
                    .hint("write for example `--set review.two_person=true`"));
            };
            flags.push(ConfigFlag {
                flag: "--set".to_owned(),
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
            });
        }
        Ok(Layers {
            project: read(paths.project.as_deref(), named)?,
            user: read(paths.user.as_deref(), false)?,
            variables: self.variables(),
            flags,
        })
    }

    fn variables(&self) -> BTreeMap<String, String> {
        let counts = |name: &str| {
            name.starts_with("MOORLINE_") || VARIABLES.iter().any(|(known, _)| *known == name)
        };
        self.env
            .vars
            .iter()
            .filter(|(name, _)| counts(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The configuration, with where every value comes from.
    pub(crate) fn configuration(&self) -> Result<Resolved, ApiError> {
        configure(&self.config_layers()?).map_err(refused)
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
            store: self.store_anyhow().map(StoreUrl::new),
            ..Settings::default()
        };
        Arc::new(settings)
    }

    /// The store of a configuration that is wrong elsewhere.
    fn store_anyhow(&self) -> Option<String> {
        let given = self.env.var("MOORLINE_STORE").filter(|url| !url.is_empty());
        if let Some(url) = given {
            return Some(url.to_owned());
        }
        let paths = self.config_paths();
        [paths.user, paths.project]
            .into_iter()
            .flatten()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .find_map(|text| moorline_core::config::store_of(&text))
    }
}

/// A file that may be missing, unless it `must` be there.
fn read(path: Option<&Path>, must: bool) -> Result<Option<ConfigFile>, ApiError> {
    let Some(path) = path else {
        return Ok(None);
    };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(ConfigFile {
            path: path.display().to_string(),
            text,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must => Ok(None),
        Err(error) => {
            let message = format!("can not read the configuration {}: {error}", path.display());
            Err(ApiError::new(ErrorCode::Config, message)
                .hint("make it readable, or name another with MOORLINE_CONFIG"))
        }
    }
}

/// A configuration that is wrong: every problem, with its place.
pub(crate) fn refused(problems: Problems) -> ApiError {
    let problems = problems.into_vec();
    let message = match problems.as_slice() {
        [one] => format!("{}: {} ({})", one.place(), one.message, one.rule),
        several => format!("the configuration has {} problems", several.len()),
    };
    let details = problems
        .into_iter()
        .map(|problem| ErrorDetail {
            at: problem.place(),
            rule: problem.rule,
            message: problem.message,
            hint: problem.hint,
        })
        .collect();
    ApiError::new(ErrorCode::Config, message)
        .hint("see all of it with `moorline config check`")
        .with_details(details)
}
