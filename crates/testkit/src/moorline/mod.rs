//! The built `moorline` binary, run in a clean environment with its own state directory.
//!
//! A [`Moorline`] is a home of its own: a temporary directory with a working directory `work/`, a
//! state directory `state/` (given to every command by the global flag `--state`) and a `home/`.
//! The environment of the tests is not handed on, but for `PATH`; what a command shall see is set
//! by [`Moorline::env`].
//!
//! ```no_run
//! use moorline_testkit::moorline::Moorline;
//!
//! let moorline = Moorline::new()?;
//! let done = moorline.run(["runs", "list", "--json"])?;
//! assert_eq!(done.code, Some(0), "{done}");
//! assert!(done.json()?.is_object());
//! # Ok::<(), moorline_testkit::moorline::HarnessError>(())
//! ```
//!
//! Nothing is built here: the binary lies beside the running test, in the same target directory,
//! put there by `cargo build --workspace` or by `cargo xtask test`.

mod running;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub use rustix::process::Signal;

pub use self::running::{Output, Running};
use crate::wait::TimedOut;

/// How long [`Moorline::run`] lets a command take before it is killed.
const RUN_DEADLINE: Duration = Duration::from_mins(1);

/// Why a command could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// The binary is not in the target directory.
    #[error("{} is not built; run `cargo build --workspace`, or the tests by `cargo xtask test`", path.display())]
    NotBuilt {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file system, or the start of the process.
    #[error("could not {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The command did not end in time; it was killed.
    #[error("{0}; it was killed")]
    TimedOut(#[from] TimedOut),
    /// A command did not do what the test needs.
    #[error("could not {what}: {output}")]
    Failed {
        /// What was wanted.
        what: String,
        /// The whole output.
        output: Box<Output>,
    },
    /// A server ended instead of listening.
    #[error("the server ended before it listened: {log}")]
    NotListening {
        /// What it wrote to standard error.
        log: String,
    },
    /// Standard output is not one JSON document.
    #[error("standard output is not one JSON document: {output}")]
    NotJson {
        /// What the parser says.
        source: serde_json::Error,
        /// The whole output.
        output: Box<Output>,
    },
}

impl HarnessError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// The path of a binary of this workspace that was built together with the running test.
///
/// # Errors
///
/// [`HarnessError::NotBuilt`].
pub fn binary(name: &str) -> Result<PathBuf, HarnessError> {
    let me = env::current_exe().map_err(HarnessError::io("find the running test"))?;
    // target/debug/deps/test-1234 or target/debug/examples/name, next to target/debug/moorline
    let directory = me.ancestors().skip(1).find(|directory| {
        !matches!(
            directory.file_name().and_then(OsStr::to_str),
            Some("deps" | "examples")
        )
    });
    let path = directory.unwrap_or_else(|| Path::new("")).join(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(HarnessError::NotBuilt { path })
    }
}

/// The binary under test, and a home of its own.
#[derive(Debug)]
pub struct Moorline {
    binary: PathBuf,
    home: TempDir,
    directory: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl Moorline {
    /// The `moorline` binary with a fresh home.
    ///
    /// # Errors
    ///
    /// [`HarnessError::NotBuilt`], and [`HarnessError::Io`] when the home can not be made.
    pub fn new() -> Result<Self, HarnessError> {
        Self::of_binary(binary("moorline")?)
    }

    /// Another binary that takes `--state`, with a fresh home: `moorlined`, or one of another commit.
    ///
    /// # Errors
    ///
    /// [`HarnessError::Io`] when the home can not be made.
    pub fn of_binary(binary: impl Into<PathBuf>) -> Result<Self, HarnessError> {
        let binary = binary.into();
        let home = tempfile::Builder::new()
            .prefix("moorline-test-")
            .tempdir()
            .map_err(HarnessError::io("make a home"))?;
        let directory = home.path().join("work");
        for made in [&directory, &home.path().join("home")] {
            std::fs::create_dir(made).map_err(HarnessError::io("make a home"))?;
        }
        Ok(Self {
            binary,
            home,
            directory,
            environment: Vec::new(),
        })
    }

    /// Sets a variable for every later command.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Runs every later command in `directory` instead of `work/`.
    #[must_use]
    pub fn in_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// The directory that holds everything of this home.
    pub fn root(&self) -> &Path {
        self.home.path()
    }

    /// The state directory. It does not exist before a command has made it.
    pub fn state_dir(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// The working directory of the commands.
    pub fn work_dir(&self) -> &Path {
        &self.directory
    }

    /// The command as it would be run, for a test that needs more than this type offers. Standard
    /// input is empty; `--state` stands before `arguments`.
    pub fn command<I>(&self, arguments: I) -> Command
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let mut command = self.bare_command();
        command.arg("--state").arg(self.state_dir()).args(arguments);
        command
    }

    /// As [`Moorline::command`], but without `--state`: for tests of how the state directory is
    /// found, and of a command exactly as a page prints it.
    #[expect(
        clippy::disallowed_methods,
        reason = "test support: the subject is a process"
    )]
    pub fn bare_command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env_clear()
            .envs(crate::env::read("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.home.path().join("home"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, at most 60 s.
    ///
    /// # Errors
    ///
    /// [`HarnessError::Io`] and [`HarnessError::TimedOut`]. A command that fails is no error.
    pub fn run<I>(&self, arguments: I) -> Result<Output, HarnessError>
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        self.spawn(arguments)?.wait(RUN_DEADLINE)
    }

    /// As [`Moorline::run`], with `input` on standard input.
    ///
    /// # Errors
    ///
    /// As [`Moorline::run`].
    pub fn run_with_input<I>(&self, arguments: I, input: &[u8]) -> Result<Output, HarnessError>
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let mut running = Running::start(self.command(arguments).stdin(Stdio::piped()))?;
        running.feed(input)?;
        running.wait(RUN_DEADLINE)
    }

    /// Starts a command and comes back at once.
    ///
    /// # Errors
    ///
    /// [`HarnessError::Io`].
    pub fn spawn<I>(&self, arguments: I) -> Result<Running, HarnessError>
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        Running::start(&mut self.command(arguments))
    }
}
