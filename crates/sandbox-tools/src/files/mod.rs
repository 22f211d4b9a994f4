//! Modal's file-system API for sandboxes: `modal-sandbox-fs-tools '<json>'`, one operation a call.
//!
//! | operation | standard input | standard output |
//! |---|---|---|
//! | `{"ReadFile":{"path"}}` | | the content |
//! | `{"WriteFile":{"path"}}` | the content | |
//! | `{"ListFiles":{"path"}}` | | a JSON array of [`Entry`]s, sorted by name |
//! | `{"Stat":{"path"}}` | | an [`Entry`]; of a link, not of what it leads to |
//! | `{"MakeDirectory":{"path","parents"}}` | | |
//! | `{"Remove":{"path","recursive"}}` | | |
//! | `{"Watch":{"path","recursive","filter","timeout_secs"}}` | its end ends the watch | a line of JSON for each event |
//!
//! A failure is exit code 1 and one JSON object on standard error, an [`Error`]. Unknown fields are ignored,
//! as newer clients may send more.
//!
//! The contract is that of the official Python (1.6.4) and JavaScript (0.11.1) clients. Deliberately
//! absent: relative paths, which both refuse before they call.

mod entry;
mod error;
mod operations;
mod watch;

use std::io::Write as _;

use serde::Deserialize;

pub use self::entry::{Entry, Kind};
pub use self::error::{Error, ErrorKind};

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
enum Command {
    ReadFile {
        path: String,
    },
    WriteFile {
        path: String,
    },
    ListFiles {
        path: String,
    },
    Stat {
        path: String,
    },
    MakeDirectory {
        path: String,
        #[serde(default = "yes")]
        parents: bool,
    },
    Remove {
        path: String,
        #[serde(default)]
        recursive: bool,
    },
    Watch {
        path: String,
        #[serde(default)]
        recursive: bool,
        /// Kinds of events that are told; all when absent.
        #[serde(default)]
        filter: Option<Vec<String>>,
        #[serde(default)]
        timeout_secs: Option<u64>,
    },
}

const fn yes() -> bool {
    true
}

/// Runs one operation.
pub(crate) fn main() -> i32 {
    match run() {
        Ok(()) => 0,
        Err(error) => {
            let text = serde_json::to_string(&error).unwrap_or_default();
            // Nobody else could be told.
            drop(std::io::stderr().write_all(text.as_bytes()));
            1
        }
    }
}

fn run() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(text), None) = (arguments.next(), arguments.next()) else {
        return Err(Error::usage("give one argument, an operation as JSON"));
    };
    let command = serde_json::from_str(&text).map_err(|error| Error::usage(&error.to_string()))?;
    match command {
        Command::ReadFile { path } => operations::read(&path),
        Command::WriteFile { path } => operations::write(&path),
        Command::ListFiles { path } => tell(&operations::list(&path)?),
        Command::Stat { path } => tell(&operations::stat(&path)?),
        Command::MakeDirectory { path, parents } => operations::make_directory(&path, parents),
        Command::Remove { path, recursive } => operations::remove(&path, recursive),
        Command::Watch {
            path,
            recursive,
            filter,
            timeout_secs,
        } => watch::watch(&path, recursive, filter.as_deref(), timeout_secs),
    }
}

fn tell<T: serde::Serialize>(value: &T) -> Result<(), Error> {
    let text = serde_json::to_vec(value).map_err(std::io::Error::from)?;
    Ok(std::io::stdout().write_all(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_as_the_clients_write_them() {
        for (text, expected) in [
            (
                r#"{"MakeDirectory": {"path": "/a", "parents": false}}"#,
                Command::MakeDirectory {
                    path: "/a".into(),
                    parents: false,
                },
            ),
            (
                r#"{"Remove":{"path":"/a","later":1}}"#,
                Command::Remove {
                    path: "/a".into(),
                    recursive: false,
                },
            ),
            (
                r#"{"Watch":{"path":"/a","recursive":true,"filter":null,"timeout_secs":null}}"#,
                Command::Watch {
                    path: "/a".into(),
                    recursive: true,
                    filter: None,
                    timeout_secs: None,
                },
            ),
        ] {
            assert_eq!(serde_json::from_str::<Command>(text).unwrap(), expected);
        }
        assert!(serde_json::from_str::<Command>(r#"{"Format":{"path":"/"}}"#).is_err());
    }
}
