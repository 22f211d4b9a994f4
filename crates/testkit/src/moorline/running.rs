//! A command that runs, and what it leaves.

use std::fmt;
use std::io::{self, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::HarnessError;
use crate::wait;

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

    /// Writes `input` to its standard input and closes that.
    pub(super) fn feed(&mut self, input: &[u8]) -> Result<(), HarnessError> {
        let Some(mut stdin) = self.child.stdin.take() else {
            return Ok(());
        };
        match stdin.write_all(input) {
            // It may end without reading.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(HarnessError::io("write to standard input")),
        }
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

    const DEADLINE: Duration = Duration::from_mins(1);

    fn shell(script: &str) -> Running {
        Running::start(Command::new("sh").args(["-c", script]).stdin(Stdio::null())).unwrap()
    }

    #[test]
    fn reports_code_and_both_outputs() {
        let output = shell("echo out; echo err >&2; exit 3")
            .wait(DEADLINE)
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
        wait::until(DEADLINE, "the first line", || {
            running.stdout_so_far() == "up\n"
        })
        .unwrap();
        running.signal(Signal::TERM).unwrap();
        let output = running.wait(DEADLINE).unwrap();
        assert_eq!((output.code, output.signal), (None, Some(15)));
    }

    /// L22 holds for the harness too: a pipe that a grandchild keeps open does not hang it.
    #[test]
    fn a_grandchild_that_keeps_the_pipe_does_not_hang_it() {
        let output = shell("sleep 3 & echo done").wait(DEADLINE).unwrap();
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
