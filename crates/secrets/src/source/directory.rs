//! A directory with one file per key.

use std::path::{Path, PathBuf};

use super::private;
use super::{Origin, SecretSource};
use crate::error::{SourceError, SourceProblem};
use crate::name::EnvKey;
use crate::value::SecretValue;

/// The most bytes that are read of one value.
const LIMIT: usize = 64 << 10;

/// Secrets in a directory: the file `DIR/KEY` holds the value of `KEY`, without the line end after
/// it.
///
/// Only the owner may read the files and change the directory. A file is read when its key is asked
/// for.
#[derive(Debug)]
pub struct DirectorySource {
    path: PathBuf,
    origin: Origin,
}

impl DirectorySource {
    /// Uses the directory.
    ///
    /// # Errors
    /// There is none; it belongs to someone else; others can change what is in it.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let origin = Origin::at("directory", path);
        private::check_directory(path, &origin)?;
        Ok(Self {
            path: path.to_owned(),
            origin,
        })
    }
}

impl SecretSource for DirectorySource {
    fn origin(&self) -> Origin {
        self.origin.clone()
    }

    fn get(&self, key: &EnvKey) -> Result<Option<SecretValue>, SourceError> {
        // A key has neither `/` nor `.`, so this is a file of the directory.
        let path = self.path.join(key.as_str());
        let origin = Origin::at("file", &path);
        let Some(bytes) = private::read(&path, &origin, LIMIT)? else {
            return Ok(None);
        };
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Some(without_line_end(text).into())),
            Err(_) => Err(SourceError::new(
                origin,
                SourceProblem::NotUtf8 { key: key.clone() },
            )),
        }
    }
}

/// Editors and `echo` end a file with a line end that is not part of the value.
pub(super) fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}
