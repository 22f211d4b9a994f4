//! A file of `KEY=VALUE` lines.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::dotenv;
use super::private;
use super::{Origin, SecretSource};
use crate::error::{SourceError, SourceProblem};
use crate::name::EnvKey;
use crate::value::SecretValue;

/// The most bytes that are read: more than all secrets of a job take.
const LIMIT: usize = 1 << 20;

/// Secrets in a file of `KEY=VALUE` lines, which only its owner may read (mode 600, or 400).
///
/// ```text
/// # comment
/// OPENAI_API_KEY=sk-…
/// export DB_PASSWORD='it has # and blanks'
/// TLS_KEY="-----BEGIN PRIVATE KEY-----
/// …"
/// ```
///
/// Without quotes a value ends with its line, and may hold neither quotes nor blanks nor `#`, whose
/// meaning differs between tools. In single quotes everything stands for itself; in double quotes
/// `\n`, `\r`, `\t`, `\"`, `\\` and `\$` are escapes. Quoted values may go over several lines. `$`
/// is an ordinary character: nothing is substituted.
///
/// The file is read once, when it is opened.
pub struct FileSource {
    origin: Origin,
    values: BTreeMap<EnvKey, SecretValue>,
}

impl FileSource {
    /// Reads the file.
    ///
    /// # Errors
    /// There is none; others can read it; it belongs to someone else; a line is not as above.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        Self::open_if_present(path)?
            .ok_or_else(|| SourceError::io(Origin::at("file", path), rustix::io::Errno::NOENT))
    }

    /// Reads the file if there is one.
    ///
    /// # Errors
    /// As [`open`](Self::open), except that it may be missing.
    pub fn open_if_present(path: &Path) -> Result<Option<Self>, SourceError> {
        let origin = Origin::at("file", path);
        let Some(bytes) = private::read(path, &origin, LIMIT)? else {
            return Ok(None);
        };
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return Err(SourceError::new(origin, SourceProblem::NotText));
        };
        Self::parse(text, origin).map(Some)
    }

    /// Reads text of the same form that came from elsewhere, such as standard input.
    ///
    /// # Errors
    /// A line is not as above.
    pub fn parse(text: &str, origin: Origin) -> Result<Self, SourceError> {
        match dotenv::parse(text) {
            Ok(values) => Ok(Self { origin, values }),
            Err(dotenv::LineError { line, problem }) => Err(SourceError::new(
                origin,
                SourceProblem::Line { line, problem },
            )),
        }
    }

    /// Its keys and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&EnvKey, &SecretValue)> {
        self.values.iter()
    }
}

impl SecretSource for FileSource {
    fn origin(&self) -> Origin {
        self.origin.clone()
    }

    fn get(&self, key: &EnvKey) -> Result<Option<SecretValue>, SourceError> {
        Ok(self.values.get(key).cloned())
    }
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSource")
            .field("origin", &self.origin.as_str())
            .field("keys", &self.values.len())
            .finish_non_exhaustive()
    }
}
