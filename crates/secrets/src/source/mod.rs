//! Where values come from.
//!
//! | source | what it is |
//! |---|---|
//! | [`EnvironmentSource`] | the environment that the caller hands over; nothing here reads it |
//! | [`FileSource`] | a file of `KEY=VALUE` lines that only its owner can read |
//! | [`DirectorySource`] | a directory with one such file per key, as container platforms mount secrets |
//! | [`PromptSource`] | the person at the terminal, without echo; or the one value on standard input |
//! | [`KeptSource`] | what was read from a [`SecretBackend`](crate::backend::SecretBackend) |
//! | [`SourceChain`] | several of them: the first that has a key gives it |
//!
//! A source that can not be read is an error and never an empty source: the next one in the chain
//! may hold an older value.

mod chain;
mod directory;
mod dotenv;
mod environment;
mod file;
mod kept;
pub(crate) mod private;
mod prompt;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

pub use chain::{KeyCheck, KeyStatus, SourceChain};
pub use directory::DirectorySource;
pub use environment::EnvironmentSource;
pub use file::FileSource;
pub use kept::KeptSource;
pub use private::read_private;
pub use prompt::PromptSource;

use crate::error::SourceError;
use crate::name::EnvKey;
use crate::value::SecretValue;

/// Something that has values for environment variables.
///
/// # Contract
/// * `get` gives the same answer for the same key for as long as the source lives; none means that
///   it has no such key, an error that it can not say.
/// * An error, an [`Origin`], and `Debug` show no value.
/// * Nothing is written to disk.
pub trait SecretSource: fmt::Debug + Send + Sync {
    /// What the source is called in reports.
    fn origin(&self) -> Origin;

    /// The value of a key. May be empty, which [`SourceChain`] treats as absent.
    ///
    /// # Errors
    /// The source can not be read, or the value is not UTF-8.
    fn get(&self, key: &EnvKey) -> Result<Option<SecretValue>, SourceError>;

    /// Whether `get` waits for a person. Such a source is not asked by a check, nor for what a step
    /// can do without.
    fn is_interactive(&self) -> bool {
        false
    }
}

/// What a source is called: `environment`, `file secrets.env`, `prompt`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    name: Cow<'static, str>,
    path: Option<PathBuf>,
}

impl Origin {
    /// A source that is not in this crate.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            path: None,
        }
    }

    /// The environment.
    pub const fn environment() -> Self {
        Self {
            name: Cow::Borrowed("environment"),
            path: None,
        }
    }

    pub(crate) fn at(what: &str, path: &Path) -> Self {
        Self {
            name: Cow::Owned(format!("{what} {}", path.display())),
            path: Some(path.to_owned()),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

impl JsonSchema for Origin {
    fn schema_name() -> Cow<'static, str> {
        "Origin".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "What a source of secrets is called: `environment`, `file PATH`, `directory PATH`, `prompt`."
        })
    }
}
