//! What goes to and comes from the tool that Modal has in every sandbox for its files. Pure.
//!
//! The tool takes one JSON argument that names an operation, content by standard input and output, and tells
//! a failure by its exit code and one JSON object on standard error.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::wire::time;
use crate::{Error, ErrorKind, Result};

/// Where the tool is.
pub(super) const TOOL: &str = "/__modal/.bin/modal-sandbox-fs-tools";

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Operation<'a> {
    WriteFile {
        path: &'a str,
    },
    ReadFile {
        path: &'a str,
    },
    ListFiles {
        path: &'a str,
    },
    Stat {
        path: &'a str,
    },
    Remove {
        path: &'a str,
        recursive: bool,
    },
    MakeDirectory {
        path: &'a str,
        parents: bool,
    },
    Watch {
        path: &'a str,
        recursive: bool,
        filter: Option<Vec<&'static str>>,
        timeout_secs: Option<u32>,
    },
}

impl Operation<'_> {
    fn path(&self) -> &str {
        match self {
            Self::WriteFile { path }
            | Self::ReadFile { path }
            | Self::ListFiles { path }
            | Self::Stat { path }
            | Self::Remove { path, .. }
            | Self::MakeDirectory { path, .. }
            | Self::Watch { path, .. } => path,
        }
    }

    /// The command line.
    pub(super) fn command(&self) -> Result<[String; 2]> {
        if !self.path().starts_with('/') {
            let message = format!("`{}` is not an absolute path in the sandbox", self.path());
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let argument = serde_json::to_string(self).map_err(|error| {
            Error::new(ErrorKind::InvalidArgument, "the path can not be sent").with_source(error)
        })?;
        Ok([TOOL.to_owned(), argument])
    }

    /// The error of an exit code other than 0.
    pub(super) fn failure(&self, code: i32, stderr: &[u8]) -> Error {
        if let Ok(failure) = serde_json::from_slice::<Failure>(stderr.trim_ascii()) {
            let message = format!("{}: `{}`", failure.message, self.path());
            return Error::new(failure.kind(), message).with_source(failure);
        }
        let said = String::from_utf8_lossy(stderr);
        let said = said.lines().map(str::trim).find(|line| !line.is_empty());
        let message = match said {
            Some(said) => format!("the file tool failed at `{}`: {said}", self.path()),
            None => format!("the file tool exited with {code} at `{}`", self.path()),
        };
        Error::new(ErrorKind::Internal, message)
    }
}

/// What the tool says on standard error; the source of the error of a file operation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{error_kind}{}{detail}", if detail.is_empty() { "" } else { ": " })]
struct Failure {
    error_kind: String,
    message: String,
    #[serde(default)]
    detail: String,
}

impl Failure {
    fn kind(&self) -> ErrorKind {
        match self.error_kind.as_str() {
            "NotFound" => ErrorKind::NotFound,
            "PermissionDenied" => ErrorKind::PermissionDenied,
            "AlreadyExists" | "PathAlreadyExists" => ErrorKind::AlreadyExists,
            "IsDirectory" | "NotDirectory" | "IsFile" | "DirectoryNotEmpty" => ErrorKind::Conflict,
            "FileTooLarge" => ErrorKind::ResourceExhausted,
            "NotSupported" => ErrorKind::Unimplemented,
            _ => ErrorKind::Internal,
        }
    }
}

/// What a path of a sandbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Something else.
    #[serde(other)]
    Other,
}

/// A path of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// The last part of the path.
    pub name: String,
    /// The whole path.
    pub path: String,
    /// What it is; a link is not followed.
    pub kind: FileKind,
    /// In bytes.
    pub size: u64,
    /// POSIX permission bits, and those of the type.
    pub mode: u32,
    /// The owner's name or number.
    pub owner: String,
    /// The group's name or number.
    pub group: String,
    /// When the content was changed.
    pub modified_at: Option<Timestamp>,
    /// Where a link points to.
    pub symlink_target: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    path: String,
    r#type: FileKind,
    size: u64,
    mode: u32,
    owner: String,
    group: String,
    modified_time: f64,
    #[serde(default)]
    symlink_target: Option<String>,
}

impl From<Entry> for FileInfo {
    fn from(entry: Entry) -> Self {
        Self {
            name: entry.name,
            path: entry.path,
            kind: entry.r#type,
            size: entry.size,
            mode: entry.mode,
            owner: entry.owner,
            group: entry.group,
            modified_at: time(entry.modified_time),
            symlink_target: entry.symlink_target,
        }
    }
}

/// Reads the answer to `Stat`.
pub(super) fn stat(answer: &[u8]) -> Result<FileInfo> {
    serde_json::from_slice::<Entry>(answer)
        .map(FileInfo::from)
        .map_err(unreadable)
}

/// Reads the answer to `ListFiles`.
pub(super) fn list(answer: &[u8]) -> Result<Vec<FileInfo>> {
    let entries: Vec<Entry> = serde_json::from_slice(answer).map_err(unreadable)?;
    Ok(entries.into_iter().map(FileInfo::from).collect())
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::new(
        ErrorKind::Protocol,
        "the file tool's answer can not be read",
    )
    .with_source(error)
}

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WatchKind {
    /// It was read.
    Access,
    /// It was made.
    Create,
    /// Its content, attributes or name changed.
    Modify,
    /// It was removed.
    Remove,
    /// Something that the tool has no name for.
    Other,
}

impl WatchKind {
    /// The tool's names for it.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Access => &["Access"],
            Self::Create => &["Create"],
            Self::Modify => &["Modify", "Rename", "RenameFrom", "RenameTo"],
            Self::Remove => &["Remove"],
            Self::Other => &["Unknown"],
        }
    }

    fn of(name: &str) -> Self {
        let all = [Self::Access, Self::Create, Self::Modify, Self::Remove];
        all.into_iter()
            .find(|kind| kind.names().contains(&name))
            .unwrap_or(Self::Other)
    }
}

/// A change below a watched path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchEvent {
    /// What happened.
    pub kind: WatchKind,
    /// The paths that it happened to; two for a change of name.
    pub paths: Vec<String>,
}

impl WatchEvent {
    /// Reads a line of the tool; `None` for one that tells no change.
    pub(super) fn of_line(line: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Line {
            event_type: String,
            paths: Vec<String>,
        }
        let line: Line = serde_json::from_str(line.trim()).ok()?;
        let kind = WatchKind::of(&line.event_type);
        (!line.paths.is_empty()).then_some(Self {
            kind,
            paths: line.paths,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(operation: &Operation<'_>) -> String {
        let [tool, argument] = operation.command().unwrap();
        assert_eq!(tool, TOOL);
        argument
    }

    #[test]
    fn operations_are_named_as_the_tool_expects_them() {
        let path = "/a \"b\"";
        assert_eq!(
            argument(&Operation::WriteFile { path }),
            r#"{"WriteFile":{"path":"/a \"b\""}}"#
        );
        let path = "/a";
        assert_eq!(
            argument(&Operation::ReadFile { path }),
            r#"{"ReadFile":{"path":"/a"}}"#
        );
        assert_eq!(
            argument(&Operation::ListFiles { path }),
            r#"{"ListFiles":{"path":"/a"}}"#
        );
        assert_eq!(
            argument(&Operation::Stat { path }),
            r#"{"Stat":{"path":"/a"}}"#
        );
        assert_eq!(
            argument(&Operation::Remove {
                path,
                recursive: true
            }),
            r#"{"Remove":{"path":"/a","recursive":true}}"#
        );
        assert_eq!(
            argument(&Operation::MakeDirectory {
                path,
                parents: false
            }),
            r#"{"MakeDirectory":{"path":"/a","parents":false}}"#
        );
        let filter = Some(WatchKind::Create.names().to_vec());
        assert_eq!(
            argument(&Operation::Watch {
                path,
                recursive: false,
                filter,
                timeout_secs: None
            }),
            r#"{"Watch":{"path":"/a","recursive":false,"filter":["Create"],"timeout_secs":null}}"#
        );
        let relative = Operation::Stat { path: "a" }.command().unwrap_err();
        assert_eq!(relative.kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn failures_have_a_kind_and_the_path() {
        let failed = |stderr: &str| Operation::Stat { path: "/a" }.failure(3, stderr.as_bytes());
        let error =
            failed(r#"{"error_kind":"NotFound","message":"no such file","detail":"os error 2"}"#);
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.to_string(), "no such file: `/a`");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "NotFound: os error 2");
        assert_eq!(
            failed("killed\n").to_string(),
            "the file tool failed at `/a`: killed"
        );
        assert_eq!(
            failed("").to_string(),
            "the file tool exited with 3 at `/a`"
        );
        let kind =
            |name: &str| failed(&format!(r#"{{"error_kind":"{name}","message":"m"}}"#)).kind();
        assert_eq!(kind("DirectoryNotEmpty"), ErrorKind::Conflict);
        assert_eq!(kind("PathAlreadyExists"), ErrorKind::AlreadyExists);
        assert_eq!(kind("FileTooLarge"), ErrorKind::ResourceExhausted);
        assert_eq!(kind("NotSupported"), ErrorKind::Unimplemented);
        assert_eq!(kind("New"), ErrorKind::Internal);
    }

    #[test]
    fn entries_are_read() {
        let entry = r#"{"name":"a","path":"/a","type":"symlink","size":5,"mode":41471,
            "permissions":"0777","owner":"root","group":"0","modified_time":1.5,"symlink_target":"b"}"#;
        let info = FileInfo {
            name: "a".into(),
            path: "/a".into(),
            kind: FileKind::Symlink,
            size: 5,
            mode: 0o120_777,
            owner: "root".into(),
            group: "0".into(),
            modified_at: time(1.5),
            symlink_target: Some("b".into()),
        };
        assert_eq!(stat(entry.as_bytes()).unwrap(), info);
        assert_eq!(list(format!("[{entry}]").as_bytes()).unwrap(), [info]);
        assert_eq!(stat(b"[]").unwrap_err().kind(), ErrorKind::Protocol);
    }

    #[test]
    fn renames_are_modifications_and_other_lines_are_none() {
        let event = |kind: &str| {
            WatchEvent::of_line(&format!(r#"{{"event_type":"{kind}","paths":["/a"]}}"#))
                .unwrap()
                .kind
        };
        assert_eq!(event("RenameTo"), WatchKind::Modify);
        assert_eq!(event("Create"), WatchKind::Create);
        assert_eq!(event("New"), WatchKind::Other);
        assert_eq!(WatchEvent::of_line("{}"), None);
        assert_eq!(
            WatchEvent::of_line(r#"{"event_type":"Create","paths":[]}"#),
            None
        );
    }
}
