//! What is told of a file.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// One file, directory or link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The last part of its path.
    pub name: String,
    /// Absolute.
    pub path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// Type and permissions, as `st_mode` (stat(2)).
    pub mode: u32,
    /// Permissions in octal, of four digits.
    pub permissions: String,
    /// A user's name; the number of one who has none.
    pub owner: String,
    /// A group's name; the number of one that has none.
    pub group: String,
    /// Seconds since the epoch.
    pub modified_time: f64,
    /// Where a link leads, as it is written in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symlink_target: Option<String>,
}

/// Kinds of files. Devices, pipes and sockets count as files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

/// Names of users and groups.
#[derive(Debug)]
pub(super) struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    /// Those of this system.
    pub(super) fn read() -> Self {
        let read = |path| numbered(&fs::read_to_string(path).unwrap_or_default());
        Self {
            users: read("/etc/passwd"),
            groups: read("/etc/group"),
        }
    }
}

/// Both files have lines of `name:password:number:…`.
fn numbered(text: &str) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (name, number) = (fields.next(), fields.nth(1));
        if let (Some(name), Some(Ok(number))) = (name, number.map(str::parse)) {
            // The first name of a number is its name.
            names.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    names
}

impl Entry {
    /// Of what is at `path`, a link not followed.
    pub(super) fn of(path: &Path, names: &Names) -> io::Result<Self> {
        let meta = fs::symlink_metadata(path)?;
        let kind = if meta.is_symlink() {
            Kind::Symlink
        } else if meta.is_dir() {
            Kind::Directory
        } else {
            Kind::File
        };
        let target = (kind == Kind::Symlink).then(|| fs::read_link(path));
        let target = target.transpose()?;
        let named = |names: &HashMap<u32, String>, number: u32| {
            names
                .get(&number)
                .cloned()
                .unwrap_or_else(|| number.to_string())
        };
        Ok(Self {
            name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            path: path.to_string_lossy().into_owned(),
            kind,
            size: meta.len(),
            mode: meta.mode(),
            permissions: format!("{:04o}", meta.mode() & 0o7777),
            owner: named(&names.users, meta.uid()),
            group: named(&names.groups, meta.gid()),
            modified_time: seconds(&meta),
            symlink_target: target.map(|target| target.to_string_lossy().into_owned()),
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the clients take a float; it is exact to the microsecond for centuries"
)]
fn seconds(meta: &Metadata) -> f64 {
    meta.mtime() as f64 + meta.mtime_nsec() as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_first_line_with_the_number() {
        let names = numbered("root:x:0:0::/root:/bin/sh\ntoor:x:0:0\n\nnobody:x:65534\nbad\n");
        let expected = [(0, "root".to_owned()), (65534, "nobody".to_owned())];
        assert_eq!(names, HashMap::from(expected));
    }
}
