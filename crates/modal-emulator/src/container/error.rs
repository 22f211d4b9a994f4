//! What can go wrong.

use std::io;
use std::path::PathBuf;

/// Why a container or a process could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContainerError {
    /// Something in the specification can not be used.
    #[error("{what}: {why}")]
    Invalid {
        /// The field and its value.
        what: String,
        /// What is wrong, and what to write instead.
        why: String,
    },
    /// This machine refuses to build the container.
    #[error("the container could not be built: {reason}")]
    Build {
        /// The step and the kernel's answer, for people.
        reason: String,
    },
    /// There is no such program inside.
    #[error("no program `{program}` in the container's PATH")]
    ProgramNotFound {
        /// As it was given.
        program: String,
    },
    /// The program is there and can not be started.
    #[error("`{program}` can not be started: {reason}")]
    CannotStart {
        /// As it was given.
        program: String,
        /// The kernel's answer.
        reason: String,
    },
    /// The container has ended.
    #[error("the container has ended")]
    Gone,
    /// Nothing listens on the port.
    #[error("nothing listens on port {port} in the container")]
    Refused {
        /// The port.
        port: u16,
    },
    /// An operation on a path inside failed.
    #[error("{operation} of `{path}` failed: {reason}")]
    Path {
        /// What was tried.
        operation: &'static str,
        /// As it was given.
        path: String,
        /// The kernel's answer.
        reason: String,
    },
    /// A file or socket of the emulator's own.
    #[error("`{}`", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
