//! State that can outlive the emulator: a value behind a lock, written to a file when it changed.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// One part of the world's state, as JSON in `DIR/<name>.json`, for the eyes of its owner alone.
///
/// Locks are held for moments and never across an await. A change is on disk after the next
/// [`flush`](Self::flush): the emulator flushes each second while something changed, and when it stops.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    value: Mutex<T>,
    dirty: AtomicBool,
    file: PathBuf,
}

impl<T: Serialize + DeserializeOwned + Default> Kept<T> {
    /// Reads what an earlier emulator left in `dir`, or begins with nothing.
    pub(crate) fn open(dir: &Path, name: &str) -> io::Result<Self> {
        let file = dir.join(format!("{name}.json"));
        let value = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                io::Error::other(format!("`{}` is damaged: {error}", file.display()))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => T::default(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            value: Mutex::new(value),
            dirty: AtomicBool::new(false),
            file,
        })
    }

    /// For reading.
    pub(crate) fn read(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For changing.
    pub(crate) fn write(&self) -> MutexGuard<'_, T> {
        self.dirty.store(true, Ordering::Relaxed);
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the value, if it changed since the last time.
    pub(crate) fn flush(&self) -> io::Result<()> {
        if !self.dirty.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let text = serde_json::to_vec(&*self.read())?;
        let part = self.file.with_extension("json.part");
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        file.write_all(&text)?;
        fs::rename(part, &self.file)
    }
}
