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

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{env, fmt};

use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

pub use rustix::process::Signal;

use crate::wait::{self, TimedOut};

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
        let binary = binary("moorline")?;
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
        if let Some(mut stdin) = running.child.stdin.take() {
            match stdin.write_all(input) {
                // It may end without reading.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                written => written.map_err(HarnessError::io("write to standard input"))?,
            }
        }
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

/// A command that runs. Dropping the value kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    started: String,
    stdout: Capture,
    stderr: Capture,
}

impl Running {
    /// Starts `command`, whatever it is, with both outputs captured.
    ///
    /// # Errors
    ///
    /// [`HarnessError::Io`].
    pub fn start(command: &mut Command) -> Result<Self, HarnessError> {
        let started = format!("{command:?}");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(HarnessError::io(format!("start {started}")))?;
        let stdout = Capture::of(child.stdout.take());
        let stderr = Capture::of(child.stderr.take());
        Ok(Self {
            child,
            started,
            stdout,
            stderr,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    pub fn stdout_so_far(&self) -> String {
        self.stdout.text()
    }

    /// What it has written to standard error so far.
    pub fn stderr_so_far(&self) -> String {
        self.stderr.text()
    }

    /// Sends `signal` to it; one that has ended already is no error.
    ///
    /// # Errors
    ///
    /// [`HarnessError::Io`].
    pub fn signal(&mut self, signal: Signal) -> Result<(), HarnessError> {
        let failed = || HarnessError::io(format!("signal {}", self.started));
        // Asking first keeps the signal from a stranger that got the same id: while the child is
        // not reaped, its id is not given out again.
        if self.child.try_wait().map_err(failed())?.is_some() {
            return Ok(());
        }
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).map_err(|error| failed()(error.into()))
    }

    /// Waits for its end and gives what it wrote.
    ///
    /// A grandchild that keeps an output open does not hold this up for longer than a second: what
    /// was written until then is taken.
    ///
    /// # Errors
    ///
    /// [`HarnessError::TimedOut`] when it does not end within `deadline`; it is killed then.
    pub fn wait(mut self, deadline: Duration) -> Result<Output, HarnessError> {
        let what = format!("{} to end", self.started);
        let child = &mut self.child;
        let status = wait::some(deadline, &what, || child.try_wait().transpose())?
            .map_err(HarnessError::io(format!("wait for {}", self.started)))?;
        Ok(Output::new(
            status,
            self.stdout.finish(),
            self.stderr.finish(),
        ))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One output of a process, read by a thread so that a full pipe never blocks the process.
#[derive(Debug)]
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Capture {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let reader = pipe.map(|mut pipe| {
            let bytes = Arc::clone(&bytes);
            std::thread::spawn(move || {
                let mut chunk = [0; 8192];
                // An error of a pipe means the same as its end.
                while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                    let read = chunk.get(..count).unwrap_or_default();
                    bytes
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .extend_from_slice(read);
                }
            })
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let ended = || reader.is_finished();
            drop(wait::until(
                Duration::from_secs(1),
                "the end of an output",
                ended,
            ));
        }
        self.text()
    }
}

/// How a command ended and what it wrote; invalid UTF-8 is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    fn new(status: ExitStatus, stdout: String, stderr: String) -> Self {
        Self {
            code: status.code(),
            signal: status.signal(),
            stdout,
            stderr,
        }
    }

    /// Standard output as the one JSON document that it has to be (L16).
    ///
    /// # Errors
    ///
    /// [`HarnessError::NotJson`] when it is none, or more than one.
    pub fn json(&self) -> Result<serde_json::Value, HarnessError> {
        serde_json::from_str(&self.stdout).map_err(|source| HarnessError::NotJson {
            source,
            output: Box::new(self.clone()),
        })
    }
}

impl fmt::Display for Output {
    /// Everything, for the message of a failed assertion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}")?,
            (None, Some(signal)) => write!(f, "ended by signal {signal}")?,
            (None, None) => write!(f, "no exit code")?,
        }
        write!(
            f,
            "\n--- stdout ---\n{}\n--- stderr ---\n{}",
            self.stdout, self.stderr
        )
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the harness is tried on a shell")]
mod tests {
    use super::*;

    fn shell(script: &str) -> Running {
        Running::start(Command::new("sh").args(["-c", script]).stdin(Stdio::null())).unwrap()
    }

    #[test]
    fn reports_code_and_both_outputs() {
        let output = shell("echo out; echo err >&2; exit 3")
            .wait(RUN_DEADLINE)
            .unwrap();
        let expected = Output {
            code: Some(3),
            signal: None,
            stdout: "out\n".into(),
            stderr: "err\n".into(),
        };
        assert_eq!(output, expected);
    }

    #[test]
    fn a_signal_is_told_from_an_exit_code() {
        let mut running = shell("echo up; exec sleep 1000");
        wait::until(RUN_DEADLINE, "the first line", || {
            running.stdout_so_far() == "up\n"
        })
        .unwrap();
        running.signal(Signal::TERM).unwrap();
        let output = running.wait(RUN_DEADLINE).unwrap();
        assert_eq!((output.code, output.signal), (None, Some(15)));
    }

    /// L22 holds for the harness too: a pipe that a grandchild keeps open does not hang it.
    #[test]
    fn a_grandchild_that_keeps_the_pipe_does_not_hang_it() {
        let output = shell("sleep 3 & echo done").wait(RUN_DEADLINE).unwrap();
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), "done\n"));
    }

    #[test]
    fn a_command_that_does_not_end_is_killed() {
        let running = shell("exec sleep 1000");
        let pid = running.pid();
        let error = running.wait(Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, HarnessError::TimedOut(_)), "{error}");
        assert_eq!(crate::process::find(pid), None);
    }

    #[test]
    fn two_documents_are_not_one() {
        let output = |stdout: &str| Output {
            code: Some(0),
            signal: None,
            stdout: stdout.into(),
            stderr: String::new(),
        };
        assert_eq!(
            output("{\"a\": 1}\n").json().unwrap(),
            serde_json::json!({"a": 1})
        );
        assert!(output("{} {}").json().is_err());
        assert!(output("").json().is_err());
    }
}
