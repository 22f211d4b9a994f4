//! Failures, as the clients read them.

use std::io;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// What a failed operation writes to standard error, as JSON. The clients add the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// Of this object: 1.
    pub version: u32,
    /// What the client makes an exception of.
    #[serde(rename = "error_kind")]
    pub kind: ErrorKind,
    /// One sentence, without the path.
    pub message: String,
    /// The kernel's words, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// Nothing is there.
    NotFound,
    /// A directory is where a file was meant.
    IsDirectory,
    /// A file is where a directory on the way was meant.
    NotDirectory,
    /// A file is where a directory was to be listed.
    IsFile,
    /// Something is there already.
    PathAlreadyExists,
    /// The kernel refuses it.
    PermissionDenied,
    /// The directory has entries.
    DirectoryNotEmpty,
    /// More than can be read at once.
    FileTooLarge,
    /// The file system can not do it.
    NotSupported,
    /// The argument is not an operation.
    InvalidArgument,
    /// Something else.
    Io,
}

impl Error {
    /// Of a kind.
    pub(super) fn new(kind: ErrorKind, message: &str) -> Self {
        Self {
            version: 1,
            kind,
            message: message.to_owned(),
            detail: None,
        }
    }

    pub(super) fn usage(why: &str) -> Self {
        Self {
            detail: Some(why.to_owned()),
            ..Self::new(
                ErrorKind::InvalidArgument,
                "the argument is not an operation",
            )
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Io;
        let (kind, message) = match error.kind() {
            Io::NotFound => (ErrorKind::NotFound, "path does not exist"),
            Io::IsADirectory => (ErrorKind::IsDirectory, "expected a file path"),
            Io::NotADirectory => (
                ErrorKind::NotDirectory,
                "a component of the path is not a directory",
            ),
            Io::AlreadyExists => (ErrorKind::PathAlreadyExists, "path already exists"),
            Io::PermissionDenied | Io::ReadOnlyFilesystem => {
                (ErrorKind::PermissionDenied, "permission denied")
            }
            Io::DirectoryNotEmpty => (ErrorKind::DirectoryNotEmpty, "directory is not empty"),
            Io::Unsupported => (
                ErrorKind::NotSupported,
                "operation not supported by the file system",
            ),
            _ => (ErrorKind::Io, "I/O error"),
        };
        Self {
            detail: Some(error.to_string()),
            ..Self::new(kind, message)
        }
    }
}

impl From<Errno> for Error {
    fn from(error: Errno) -> Self {
        io::Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_as_the_clients_read_it() {
        let error = Error::from(Errno::NOTEMPTY);
        assert_eq!(
            serde_json::to_string(&error).unwrap(),
            r#"{"version":1,"error_kind":"DirectoryNotEmpty","message":"directory is not empty","detail":"Directory not empty (os error 39)"}"#
        );
    }
}
