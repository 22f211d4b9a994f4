//! The files of an artifact, in memory: what a review looks at.
//!
//! Whoever reads them reads each once: the content id is of the very bytes that are reviewed. Deliberately
//! absent: reading a directory (the engine does), and times and owners of files, which are no part of a
//! content.

use std::collections::BTreeMap;

use crate::content_id::{ContentId, TreeEntry, TreeError, TreeNode};

/// The largest file that is read and reviewed, in bytes. A larger one is a finding.
pub const MAX_FILE_BYTES: u64 = 10 << 20;
/// The most bytes of all files together.
pub const MAX_TOTAL_BYTES: u64 = 100 << 20;
/// The most files.
pub const MAX_FILES: usize = 10_000;

/// A directory, by path (`extractor/main.py`), in the order of the paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<String, Entry>);

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A regular file.
    File {
        /// Its owner may execute it.
        executable: bool,
        /// Content id of its bytes.
        content: ContentId,
        /// How many they are.
        size: u64,
        /// The bytes; none when there are more than [`MAX_FILE_BYTES`].
        bytes: Option<Vec<u8>>,
    },
    /// A symbolic link, with its target as written.
    Link {
        /// Where it points.
        target: String,
    },
}

impl Entry {
    /// A file with these bytes.
    pub fn file(executable: bool, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::File {
            executable,
            content: ContentId::of_bytes(&bytes),
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            bytes: Some(bytes),
        }
    }
}

impl Files {
    /// Puts something at a path; returns what stood there.
    pub fn insert(&mut self, path: impl Into<String>, entry: Entry) -> Option<Entry> {
        self.0.insert(path.into(), entry)
    }

    /// Takes away what stands at a path.
    pub fn remove(&mut self, path: &str) -> Option<Entry> {
        self.0.remove(path)
    }

    /// What stands at a path.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(path)
    }

    /// Everything, in the order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of a file; none when there is no such file, or it is too large.
    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        match self.get(path)? {
            Entry::File { bytes, .. } => bytes.as_deref(),
            Entry::Link { .. } => None,
        }
    }

    /// The text of a file; none when there is no such file, or it is too large or not UTF-8.
    pub fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(self.bytes(path)?).ok()
    }

    /// Entries below a directory (`extractor`), at any depth.
    pub fn below<'a>(&'a self, dir: &'a str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        self.iter().filter(move |(path, _)| {
            path.strip_prefix(dir)
                .is_some_and(|rest| rest.starts_with('/'))
        })
    }

    /// The content id of the directory: of the order of its entries and their times it is independent.
    ///
    /// # Errors
    /// A path that is not canonical; a directory that was read has none.
    pub fn content_id(&self) -> Result<ContentId, TreeError> {
        ContentId::of_tree(self.iter().map(|(path, entry)| TreeEntry {
            path: path.to_owned(),
            node: match entry {
                Entry::File {
                    executable,
                    content,
                    ..
                } => TreeNode::File {
                    executable: *executable,
                    content: *content,
                },
                Entry::Link { target } => TreeNode::Symlink {
                    target: target.clone(),
                },
            },
        }))
    }
}

impl FromIterator<(String, Entry)> for Files {
    fn from_iter<I: IntoIterator<Item = (String, Entry)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}
