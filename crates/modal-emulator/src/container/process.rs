//! A process in a container.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moorline_sandbox_tools::wire::{Orders, RunnerReport, RunnerRequest};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncWriteExt as _;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::{Mutex, mpsc, watch};

use super::link::Link;
use super::log::nonblocking;
use super::{ContainerError, Exec, Exit, Log};

/// SIGKILL.
const KILL: i32 = 9;
/// What a terminal takes for the end of input.
const END_OF_INPUT: &[u8] = b"\x04";

/// A process that [`Container::exec`](super::Container::exec) started.
#[derive(Debug)]
pub(crate) struct Process {
    stdout: Log,
    stderr: Log,
    stdin: Mutex<Option<Stdin>>,
    wishes: mpsc::UnboundedSender<RunnerRequest>,
    exit: watch::Receiver<Option<Exit>>,
}

#[derive(Debug)]
enum Stdin {
    Pipe(pipe::Sender),
    Terminal(AsyncFd<OwnedFd>),
}

impl Process {
    /// Starts it over a link whose other end a runner reads. Its logs go to `dir`.
    pub(super) async fn start(
        mut link: Link,
        dir: &Path,
        exec: Exec,
    ) -> Result<Arc<Self>, ContainerError> {
        let program = exec.argv.first().cloned().unwrap_or_default();
        let io = |source| ContainerError::Io {
            path: dir.to_path_buf(),
            source,
        };
        std::fs::create_dir_all(dir).map_err(io)?;
        let (stdout, stdout_writer) = Log::create(dir.join("stdout")).map_err(io)?;
        let (stderr, stderr_writer) = Log::create(dir.join("stderr")).map_err(io)?;
        let orders = RunnerRequest::Start(Orders {
            argv: exec.argv,
            env: exec.env,
            cwd: exec.cwd.unwrap_or_default(),
            terminal: exec.pty.as_ref().map(|pty| (pty.rows, pty.cols)),
        });
        let pipes = match exec.pty {
            None => Some(Pipes::new().map_err(io)?),
            Some(_) => None,
        };
        let descriptors: Vec<_> = pipes.iter().flat_map(Pipes::theirs).collect();
        // When the container has ended meanwhile, the answer says so.
        drop(link.send(&orders, &descriptors).await);
        drop(descriptors);
        drop(orders);
        match link.receive().await.map_err(io)? {
            Some(RunnerReport::Started) => {}
            Some(RunnerReport::NotFound) => {
                return Err(ContainerError::ProgramNotFound { program });
            }
            Some(RunnerReport::Failed(reason)) => {
                return Err(ContainerError::CannotStart { program, reason });
            }
            Some(RunnerReport::Exited(_) | RunnerReport::Signaled(_)) | None => {
                return Err(ContainerError::Gone);
            }
        }
        let (finish, finished) = watch::channel(false);
        let (stdin, pumps) = if let Some(pipes) = pipes {
            let pumps = Pumps {
                stdout: spawn(stdout_writer.drain_pipe(pipes.stdout.0, finished.clone())),
                stderr: spawn(stderr_writer.drain_pipe(pipes.stderr.0, finished)),
            };
            let stdin = pipe::Sender::from_owned_fd(pipes.stdin.1).map_err(io)?;
            (Stdin::Pipe(stdin), pumps)
        } else {
            let master = link.take_descriptor().map_err(io)?;
            let copy = master.try_clone().map_err(io)?;
            let terminal = nonblocking(master).map_err(io)?;
            stderr_writer.end();
            let pumps = Pumps {
                stdout: spawn(stdout_writer.drain_terminal(copy, finished)),
                stderr: spawn(std::future::ready(())),
            };
            (Stdin::Terminal(terminal), pumps)
        };
        let (wishes, wished) = mpsc::unbounded_channel();
        let (exit_sender, exit) = watch::channel(None);
        let mut logs = (stdout.clone(), stderr.clone());
        spawn(async move {
            let exit = watch_over(link, wished, exec.timeout).await;
            finish.send_replace(true);
            logs.0.ended().await;
            logs.1.ended().await;
            exit_sender.send_replace(Some(exit));
            pumps.join().await;
        });
        Ok(Arc::new(Self {
            stdout,
            stderr,
            stdin: Mutex::new(Some(stdin)),
            wishes,
            exit,
        }))
    }

    /// Standard output, or all of a terminal's. Ends when the process does.
    pub(crate) fn stdout(&self) -> &Log {
        &self.stdout
    }

    /// Standard error; empty with a terminal.
    pub(crate) fn stderr(&self) -> &Log {
        &self.stderr
    }

    /// Writes all of it to standard input, waiting while the process reads slowly. An error of the kind
    /// `BrokenPipe` when nobody will read it. Not cancel-safe: a part may have been written.
    pub(crate) async fn write_stdin(&self, data: Bytes) -> io::Result<()> {
        let mut exit = self.exit.clone();
        tokio::select! {
            written = self.write(&data) => written,
            // A child that lives on can hold the pipe open and never read it.
            _ = exit.wait_for(Option::is_some) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    async fn write(&self, data: &[u8]) -> io::Result<()> {
        match &mut *self.stdin.lock().await {
            None => Err(io::ErrorKind::BrokenPipe.into()),
            Some(Stdin::Pipe(pipe)) => pipe.write_all(data).await,
            Some(Stdin::Terminal(terminal)) => write_terminal(terminal, data).await,
        }
    }

    /// Ends standard input (on a terminal: sends its end-of-file character).
    pub(crate) async fn close_stdin(&self) {
        if let Some(Stdin::Terminal(terminal)) = self.stdin.lock().await.take() {
            // It may be gone with the process.
            drop(write_terminal(&terminal, END_OF_INPUT).await);
        }
    }

    /// How it ended, if it has.
    pub(crate) fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Waits for its end. Both logs have ended by then. Cancel-safe.
    pub(crate) async fn wait(&self) -> Exit {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await;
        ended
            .ok()
            .and_then(|exit| *exit)
            .unwrap_or(Exit::ContainerGone)
    }

    /// Sends a signal to its process group; SIGKILL goes to everything that it started. Nothing happens when
    /// it has ended.
    pub(crate) fn kill(&self, signal: i32) {
        drop(self.wishes.send(RunnerRequest::Signal(signal)));
    }
}

/// Both ends of the pipes for standard streams: reading, writing.
struct Pipes {
    stdin: (OwnedFd, OwnedFd),
    stdout: (OwnedFd, OwnedFd),
    stderr: (OwnedFd, OwnedFd),
}

impl Pipes {
    fn new() -> io::Result<Self> {
        Ok(Self {
            stdin: pipe_with(PipeFlags::CLOEXEC)?,
            stdout: pipe_with(PipeFlags::CLOEXEC)?,
            stderr: pipe_with(PipeFlags::CLOEXEC)?,
        })
    }

    fn theirs(&self) -> [std::os::fd::BorrowedFd<'_>; 3] {
        [
            self.stdin.0.as_fd(),
            self.stdout.1.as_fd(),
            self.stderr.1.as_fd(),
        ]
    }
}

/// What keeps the logs.
struct Pumps {
    stdout: tokio::task::JoinHandle<()>,
    stderr: tokio::task::JoinHandle<()>,
}

impl Pumps {
    async fn join(self) {
        // A task of ours does not panic; if it did, there is nothing more to wait for.
        drop(self.stdout.await);
        drop(self.stderr.await);
    }
}

/// Passes signals on until the process has ended.
async fn watch_over(
    mut link: Link,
    mut wishes: mpsc::UnboundedReceiver<RunnerRequest>,
    timeout: Option<Duration>,
) -> Exit {
    let deadline = tokio::time::sleep(timeout.unwrap_or(Duration::MAX));
    tokio::pin!(deadline);
    let mut is_over_time = false;
    loop {
        tokio::select! {
            report = link.receive::<RunnerReport>() => {
                return match report {
                    Ok(Some(_)) if is_over_time => Exit::TimedOut,
                    Ok(Some(RunnerReport::Exited(code))) => Exit::Code(code),
                    Ok(Some(RunnerReport::Signaled(signal))) => Exit::Signal(signal),
                    _ => Exit::ContainerGone,
                };
            }
            Some(wish) = wishes.recv() => {
                // A runner that is gone is the end that the other branch sees.
                drop(link.send(&wish, &[]).await);
            }
            () = &mut deadline, if !is_over_time => {
                is_over_time = true;
                drop(link.send(&RunnerRequest::Signal(KILL), &[]).await);
            }
        }
    }
}

async fn write_terminal(terminal: &AsyncFd<OwnedFd>, data: &[u8]) -> io::Result<()> {
    let mut rest = data;
    while !rest.is_empty() {
        let mut ready = terminal.writable().await?;
        let written = ready.try_io(|terminal| Ok(rustix::io::write(terminal.get_ref(), rest)?));
        // Else it was not ready after all.
        if let Ok(written) = written {
            rest = rest.get(written?..).unwrap_or_default();
        }
    }
    Ok(())
}

/// Starts a task that ends with its container.
pub(super) fn spawn<F>(task: F) -> tokio::task::JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends when the container's processes have, which the runtime waits for"
    )]
    tokio::spawn(task)
}
