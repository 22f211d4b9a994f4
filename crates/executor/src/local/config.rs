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
    /// bubblewrap's `bwrap`; `None` runs without it. By default the first one found in the usual
    /// directories.
    pub bwrap: Option<PathBuf>,
    /// Directories of the system that sandboxes can read besides `/usr`, `/bin`, `/lib` and the like, at
    /// the same path, e.g. `/opt/python`.
    pub system_dirs: Vec<PathBuf>,
    /// Limits for sandboxed attempts that ask for none.
    pub defaults: DefaultLimits,
    /// How long the output of a job is read on after its whole tree is dead, when someone outside the
    /// tree keeps its pipes open.
    pub drain: Duration,
}

/// Limits where an attempt asks for none. They hold in every sandbox, since they cost nothing there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DefaultLimits {
    /// Processes and threads at once: 512.
    pub pids: u64,
    /// Bytes written to `/tmp` and to the outputs, each: 4 GiB.
    pub disk_bytes: u64,
    /// Bytes of memory of each single process; `None`, the default, for four fifths of the machine's.
    /// For a limit on all processes together an attempt has to ask, as it takes a cgroup.
    pub process_memory_bytes: Option<u64>,
    /// Open files of each process: 65,536.
    pub open_files: u64,
}

impl Default for DefaultLimits {
    fn default() -> Self {
        Self {
            pids: 512,
            disk_bytes: 4 << 30,
            process_memory_bytes: None,
            open_files: 65_536,
        }
    }
}

/// Where `bwrap` is looked for. Not the caller's `PATH`: the choice must not hang on who calls.
const BWRAP: [&str; 3] = ["/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"];

impl LocalConfig {
    /// The configuration with every default, for attempts below `root` with the supervisor at `helper`.
    pub fn new(root: impl Into<PathBuf>, helper: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            helper: helper.into(),
            bwrap: BWRAP.iter().map(PathBuf::from).find(|path| path.is_file()),
            system_dirs: Vec::new(),
            defaults: DefaultLimits::default(),
            drain: Duration::from_secs(2),
        }
    }

    /// The configured bubblewrap, if it is there.
    pub(crate) fn find_bwrap(&self) -> Option<PathBuf> {
        self.bwrap.clone().filter(|path| path.is_file())
    }
}
