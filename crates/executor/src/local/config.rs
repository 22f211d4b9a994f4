//! What a [`LocalExecutor`](super::LocalExecutor) must be told.

use std::path::PathBuf;
use std::time::Duration;

/// Configuration of the local executor. Two executors with equal configuration are interchangeable: each
/// can use the handles of the other.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LocalConfig {
    /// Directory that holds one directory per attempt; made when it is missing. Only this user gets in.
    pub root: PathBuf,
    /// The supervisor binary, see [`helper_main`](super::helper_main).
    pub helper: PathBuf,
    /// How long the output of a job is read on after its whole tree is dead, when someone outside the
    /// tree keeps its pipes open.
    pub drain: Duration,
}

impl LocalConfig {
    /// The configuration with every default, for attempts below `root` with the supervisor at `helper`.
    pub fn new(root: impl Into<PathBuf>, helper: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), helper: helper.into(), drain: Duration::from_secs(2) }
    }
}
