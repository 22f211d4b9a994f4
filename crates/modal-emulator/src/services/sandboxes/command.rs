//! A command in a container: its process with its input and outputs, or why there is none.

use std::sync::Arc;

use bytes::Bytes;
use tokio_util::task::TaskTracker;
use tonic::Status;

use super::output::Output;
use super::stdin::Stdin;
use crate::container::{Container, ContainerError, Exec, Exit, Process};

/// What a shell says of a program that is not there.
const NOT_FOUND: i32 = 127;
/// What a shell says of a program that can not be started.
const NOT_STARTED: i32 = 126;

/// One of the two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A command that was started.
#[derive(Debug)]
pub(crate) struct Command {
    run: Run,
    pub(crate) stdin: Stdin,
}

#[derive(Debug)]
enum Run {
    Process(Arc<Process>),
    /// As a shell would tell it: an exit code, and a line on standard error.
    Refused {
        code: i32,
        message: Bytes,
    },
}

impl Command {
    /// Starts it. A program that is not there is a command that failed, as in a shell.
    pub(crate) async fn start(
        container: &Container,
        exec: Exec,
        tasks: &TaskTracker,
    ) -> Result<Self, ContainerError> {
        let refused = |code, message: String| Self {
            run: Run::Refused {
                code,
                message: format!("{message}\n").into(),
            },
            stdin: Stdin::none(),
        };
        match container.exec(exec).await {
            Ok(process) => Ok(Self {
                stdin: Stdin::feed(Arc::clone(&process), tasks),
                run: Run::Process(process),
            }),
            Err(error @ ContainerError::ProgramNotFound { .. }) => {
                Ok(refused(NOT_FOUND, error.to_string()))
            }
            Err(error @ ContainerError::CannotStart { .. }) => {
                Ok(refused(NOT_STARTED, error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// How it ended, if it has.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match &self.run {
            Run::Process(process) => process.exit(),
            Run::Refused { code, .. } => Some(Exit::Code(*code)),
        }
    }

    /// Waits for its end.
    pub(crate) async fn wait(&self) -> Exit {
        match &self.run {
            Run::Process(process) => process.wait().await,
            Run::Refused { code, .. } => Exit::Code(*code),
        }
    }

    /// One of its outputs. The container's files are to stay while a token of `readers` is out.
    pub(crate) fn output(&self, stream: Stream, readers: &TaskTracker) -> Output {
        match (&self.run, stream) {
            (Run::Process(process), Stream::Stdout) => {
                Output::Log(process.stdout().clone(), readers.token())
            }
            (Run::Process(process), Stream::Stderr) => {
                Output::Log(process.stderr().clone(), readers.token())
            }
            (Run::Refused { message, .. }, Stream::Stderr) => Output::Text(message.clone()),
            (Run::Refused { .. }, Stream::Stdout) => Output::Nothing,
        }
    }

    /// Whether there is anything in its two outputs.
    pub(crate) fn wrote(&self) -> [bool; 2] {
        match &self.run {
            Run::Process(process) => [process.stdout().len() > 0, process.stderr().len() > 0],
            Run::Refused { .. } => [false, true],
        }
    }

    /// The process, when it could be started.
    pub(crate) fn process(&self) -> Option<&Arc<Process>> {
        match &self.run {
            Run::Process(process) => Some(process),
            Run::Refused { .. } => None,
        }
    }

    /// The line in place of a process.
    pub(crate) fn refusal(&self) -> Option<&Bytes> {
        match &self.run {
            Run::Process(_) => None,
            Run::Refused { message, .. } => Some(message),
        }
    }
}

/// An error of a container, as the caller of an RPC is told it.
pub(crate) fn told(error: &ContainerError) -> Status {
    let text = error.to_string();
    match error {
        ContainerError::Invalid { .. } => Status::invalid_argument(text),
        ContainerError::Gone => Status::not_found("the container has already finished"),
        ContainerError::Path { .. }
        | ContainerError::Build { .. }
        | ContainerError::Refused { .. }
        | ContainerError::ProgramNotFound { .. }
        | ContainerError::CannotStart { .. } => Status::failed_precondition(text),
        ContainerError::Io { source, .. } => {
            Status::failed_precondition(format!("{text}: {source}"))
        }
    }
}
