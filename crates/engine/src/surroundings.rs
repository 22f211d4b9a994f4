//! Where a program finds its configuration and its state, from what it was started with.
//!
//! Programs read their environment once and hand it over as [`Surroundings`]; the rules of what is found
//! where are the same for each of them:
//!
//! | what | where |
//! |---|---|
//! | the project's file | `MOORLINE_CONFIG`, else `moorline.toml` here or above |
//! | the user's file | `$XDG_CONFIG_HOME/moorline/config.toml`, else below `~/.config` |
//! | the state directory | `--state`, `MOORLINE_STATE`, else `.moorline` here or above |
//! | people's private keys | `keys` in the user's directory; `MOORLINE_KEY` names one file |
//!
//! Deliberately absent: reading the environment itself, and making a state directory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use moorline_api::{ApiError, ErrorDetail};
use moorline_core::config::{
    ConfigFile, ConfigFlag, Layers, Problems, Resolved, VARIABLES, store_of,
};
use moorline_core::error_code::ErrorCode;

use crate::configuration::configure;
use crate::principals::KeyPlace;

/// The project's file.
const PROJECT: &str = "moorline.toml";
/// Name of the state directory.
pub const STATE: &str = ".moorline";
/// The variable that names the project's file, wherever it is.
const NAMED: &str = "MOORLINE_CONFIG";
/// The variable that names the key file of whoever acts.
const KEY: &str = "MOORLINE_KEY";

/// What a program was started with.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The variables of the environment.
    pub vars: &'a BTreeMap<String, String>,
    /// The working directory.
    pub cwd: &'a Path,
    /// The flag `--state`.
    pub state: Option<&'a Path>,
    /// The flags `--set`, each `KEY=VALUE`.
    pub set: &'a [String],
}

/// Where the files of the configuration are, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigPaths {
    /// The project's file; none when there is none here or above.
    pub project: Option<PathBuf>,
    /// The user's file, there or not; none without a home directory.
    pub user: Option<PathBuf>,
}

impl Surroundings<'_> {
    /// A variable that is set and not empty.
    fn var(&self, name: &str) -> Option<&str> {
        let value = self.vars.get(name)?;
        (!value.is_empty()).then_some(value)
    }

    /// Where the files of the configuration are.
    pub fn config_paths(&self) -> ConfigPaths {
        let project = match self.var(NAMED) {
            Some(path) => Some(self.cwd.join(path)),
            None => self
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

    /// The user's directory of Moorline: `$XDG_CONFIG_HOME/moorline`, or `~/.config/moorline`; none without
    /// a home.
    pub fn user_dir(&self) -> Option<PathBuf> {
        let absolute = |name| self.var(name).filter(|value| value.starts_with('/'));
        let config = match absolute("XDG_CONFIG_HOME") {
            Some(dir) => PathBuf::from(dir),
            None => Path::new(absolute("HOME")?).join(".config"),
        };
        Some(config.join("moorline"))
    }

    /// Where the private keys of this machine's people are: the user's, and not the state's, so that a copy
    /// of the state can sign nothing.
    pub fn keys(&self, state: &Path) -> KeyPlace {
        let dir = self.user_dir().unwrap_or_else(|| state.to_owned());
        let mut place = KeyPlace::new(dir.join("keys"));
        place.file = self.var(KEY).map(|path| self.cwd.join(path));
        place
    }

    /// The state directory: the flag, the environment, or the nearest one above the working directory; none
    /// where nothing names one.
    pub fn find_state(&self) -> Option<PathBuf> {
        if let Some(given) = self.state {
            return Some(self.cwd.join(given));
        }
        if let Some(given) = self.var("MOORLINE_STATE") {
            return Some(self.cwd.join(given));
        }
        self.cwd
            .ancestors()
            .map(|dir| dir.join(STATE))
            .find(|dir| dir.is_dir())
    }

    /// The layers of the configuration, as they were found.
    ///
    /// # Errors
    /// [`ErrorCode::Usage`] for a `--set` that is not `KEY=VALUE`, [`ErrorCode::Config`] for a file that can
    /// not be read.
    pub fn layers(&self) -> Result<Layers, ApiError> {
        let paths = self.config_paths();
        let named = self.var(NAMED).is_some();
        let mut flags = Vec::with_capacity(self.set.len());
        for text in self.set {
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
        self.vars
            .iter()
            .filter(|(name, _)| counts(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The configuration, with where every value comes from.
    ///
    /// # Errors
    /// As [`Surroundings::layers`] and [`configure`]; the second as [`refused`] tells it.
    pub fn configuration(&self) -> Result<Resolved, ApiError> {
        configure(&self.layers()?).map_err(refused)
    }

    /// The store that the environment or a file names, whatever else is wrong with the configuration.
    pub fn store_anyhow(&self) -> Option<String> {
        if let Some(url) = self.var("MOORLINE_STORE") {
            return Some(url.to_owned());
        }
        let paths = self.config_paths();
        [paths.user, paths.project]
            .into_iter()
            .flatten()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .find_map(|text| store_of(&text))
    }
}

/// The program that supervises attempts: `moorline-supervisor` beside the running program, or that program
/// itself.
///
/// # Errors
/// [`ErrorCode::Internal`] when nothing says where the running program is.
pub fn helper(program: Option<&Path>) -> Result<PathBuf, ApiError> {
    let program = program.ok_or_else(|| {
        ApiError::new(
            ErrorCode::Internal,
            "can not find out where this program is",
        )
    })?;
    let beside = program.with_file_name("moorline-supervisor");
    Ok(if beside.is_file() {
        beside
    } else {
        program.to_owned()
    })
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
pub fn refused(problems: Problems) -> ApiError {
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
