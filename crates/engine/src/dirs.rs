//! The state directory of an installation: where everything is that is not in the store.

use std::io;
use std::path::{Path, PathBuf};

use moorline_core::ids::RunId;

/// Paths below a state directory (`.moorline/`). Nothing is written outside it (L26).
#[derive(Debug, Clone)]
pub struct StateDirs {
    root: PathBuf,
}

impl StateDirs {
    /// The layout below `root`; nothing is created.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Creates the directories, readable by their owner only.
    ///
    /// # Errors
    /// When one can not be created.
    pub fn create(&self) -> io::Result<()> {
        [
            self.attempts(),
            self.artifacts(),
            self.runs(),
            self.exports(),
            self.drivers(),
        ]
        .iter()
        .try_for_each(|dir| private_dir(dir))
    }

    /// The state directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The SQLite store.
    pub fn store(&self) -> PathBuf {
        self.root.join("store.db")
    }

    /// One directory an attempt, owned by the local executor.
    pub fn attempts(&self) -> PathBuf {
        self.root.join("attempts")
    }

    /// Job directories by content id, immutable.
    pub fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    /// One directory a run: inputs, outputs, archive.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// The directory of one run.
    pub fn run(&self, run: RunId) -> PathBuf {
        self.runs().join(run.to_string())
    }

    /// Published outputs, by job.
    pub fn exports(&self) -> PathBuf {
        self.root.join("exports")
    }

    /// What emergencies moved out of the way, one directory each. Nothing here is ever removed.
    pub fn set_aside(&self) -> PathBuf {
        self.root.join("set-aside")
    }

    /// One directory a volume, which jobs mount by its name.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// Lock files of living drivers.
    pub fn drivers(&self) -> PathBuf {
        self.root.join("drivers")
    }
}

/// Creates a directory and its parents, readable by their owner only; one that exists is fine.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}
