//! Content ids: what a thing is called when its name is what it holds (`D-PROC-2`, `D-SPEC-5`).
//!
//! A [`ContentId`] is `b3:` and the 64 lower-case hex digits of a BLAKE3 hash. There are three ways to one,
//! none of which depends on the machine, the process or the time:
//!
//! | of | by |
//! |---|---|
//! | bytes | [`ContentId::of_bytes`], [`ContentId::of_reader`], or piecewise by a [`ContentHasher`] |
//! | a value | [`ContentId::of_json`]: the bytes of its canonical JSON |
//! | a directory | [`ContentId::of_tree`]: paths, kinds, executable bits and contents; no times, no owners |
//!
//! Deliberately absent: walking a directory. The crate does no I/O; who walks hands in the entries.
//!
//! ```
//! use moorline_core::content_id::ContentId;
//!
//! let spec = serde_json::json!({"version": 1, "job": "statement"});
//! let same = serde_json::json!({"job": "statement", "version": 1.0});
//! assert_eq!(ContentId::of_json(&spec)?, ContentId::of_json(&same)?);
//! # Ok::<(), moorline_core::canonical::CanonicalError>(())
//! ```

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::Serialize;

use crate::canonical::{self, CanonicalError};
use crate::error_code::ErrorCode;
use crate::paths::{OutputPath, OutputPathError};
use crate::text::{quoted, serde_as_text};

/// A BLAKE3 content id, written `b3:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId([u8; 32]);

serde_as_text!(
    ContentId,
    "^b3:[0-9a-f]{64}$",
    "Content id: `b3:` and the BLAKE3 hash in hex"
);

impl ContentId {
    /// The id of some bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The id of everything that a reader gives, in constant memory.
    ///
    /// # Errors
    /// What the reader fails with.
    pub fn of_reader(reader: impl Read) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(reader)?;
        Ok(Self(*hasher.finalize().as_bytes()))
    }

    /// The id of a value: of its canonical JSON, see [`canonical::to_string`].
    ///
    /// # Errors
    /// [`CanonicalError`] when the value has no canonical form.
    pub fn of_json<T: Serialize + ?Sized>(value: &T) -> Result<Self, CanonicalError> {
        canonical::to_string(value).map(|text| Self::of_bytes(text.as_bytes()))
    }

    /// The id of a directory, from its entries in any order.
    ///
    /// Directories that hold something need no entry of their own; whether they have one does matter.
    ///
    /// # Errors
    /// [`TreeError`] when a path is not canonical as an [`OutputPath`] is, or stands twice.
    pub fn of_tree(entries: impl IntoIterator<Item = TreeEntry>) -> Result<Self, TreeError> {
        let mut sorted = BTreeMap::new();
        for entry in entries {
            let path: OutputPath = entry.path.parse()?;
            match sorted.entry(path) {
                Entry::Vacant(place) => _ = place.insert(entry.node),
                Entry::Occupied(place) => return Err(TreeError::Duplicate(place.remove_entry().0)),
            }
        }
        let mut hasher = ContentHasher::default();
        // Each part has its length before it, so that no two trees give the same bytes; the first line
        // keeps them apart from any file.
        hasher.update(b"moorline tree 1\n");
        for (path, node) in &sorted {
            hasher.framed(path.as_str().as_bytes());
            match node {
                TreeNode::File {
                    executable,
                    content,
                } => {
                    hasher.update(if *executable { b"x" } else { b"f" });
                    hasher.framed(&content.0);
                }
                TreeNode::Symlink { target } => {
                    hasher.update(b"l");
                    hasher.framed(target.as_bytes());
                }
                TreeNode::Directory => hasher.update(b"d"),
            }
        }
        Ok(hasher.finish())
    }

    /// The hash itself.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash as 64 hex digits, without `b3:`; for file names.
    pub fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b3:{}", blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentId({self})")
    }
}

impl FromStr for ContentId {
    type Err = ContentIdError;

    fn from_str(text: &str) -> Result<Self, ContentIdError> {
        let refuse = || ContentIdError(text.to_owned());
        let hex = text
            .strip_prefix("b3:")
            .filter(|hex| is_lower_hex_64(hex))
            .ok_or_else(refuse)?;
        let hash = blake3::Hash::from_hex(hex).map_err(|_| refuse())?;
        Ok(Self(*hash.as_bytes()))
    }
}

/// 64 lower-case hex digits: the text of a 256-bit hash.
pub(crate) fn is_lower_hex_64(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The text is not a content id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a content id: write `b3:` and 64 lower-case hex digits", quoted(.0))]
pub struct ContentIdError(String);

impl ContentIdError {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::Inputs;
}

/// Makes a [`ContentId`] of bytes that come in pieces.
#[derive(Debug, Clone, Default)]
pub struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The id of all bytes so far.
    pub fn finish(&self) -> ContentId {
        ContentId(*self.0.finalize().as_bytes())
    }

    /// Adds bytes behind their length.
    fn framed(&mut self, bytes: &[u8]) {
        self.update(&(bytes.len() as u64).to_le_bytes());
        self.update(bytes);
    }
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Where it stands, relative to the root of the tree, segments joined by `/`.
    pub path: String,
    /// What stands there.
    pub node: TreeNode,
}

/// What stands at a path of a tree. Names and targets that are not UTF-8 have no place in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeNode {
    /// A regular file.
    File {
        /// Its owner may execute it.
        executable: bool,
        /// The id of its bytes.
        content: ContentId,
    },
    /// A symbolic link. It is never followed.
    Symlink {
        /// What it points to, as it is written in the link.
        target: String,
    },
    /// A directory; for those that hold nothing.
    Directory,
}

/// The entries do not make a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A path that leads out of the tree, or could be read in two ways.
    #[error("a path of the tree is not valid")]
    Path(#[from] OutputPathError),
    /// Two entries have this path.
    #[error("the tree has two entries `{0}`")]
    Duplicate(OutputPath),
}

impl TreeError {
    /// The code of this error.
    pub const CODE: ErrorCode = ErrorCode::Inputs;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The input of BLAKE3's published vectors: 0, 1, ... 250, and again.
    fn vector_input(length: usize) -> Vec<u8> {
        (0..=250).cycle().take(length).collect()
    }

    /// L11: BLAKE3 known answers, whole, streamed and in pieces.
    #[test]
    fn known_answers_of_blake3() {
        for (length, hex) in [
            (
                0,
                "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            ),
            (
                1,
                "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
            ),
            (
                1024,
                "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
            ),
            (
                1025,
                "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
            ),
            (
                8192,
                "aae792484c8efe4f19e2ca7d371d8c467ffb10748d8a5a1ae579948f718a2a63",
            ),
            (
                102_400,
                "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
            ),
        ] {
            let input = vector_input(length);
            let expected = format!("b3:{hex}");
            assert_eq!(
                ContentId::of_bytes(&input).to_string(),
                expected,
                "{length}"
            );
            assert_eq!(
                ContentId::of_reader(&*input).unwrap().to_string(),
                expected,
                "{length}"
            );
            let mut pieces = ContentHasher::default();
            input.chunks(1000).for_each(|piece| pieces.update(piece));
            assert_eq!(pieces.finish().to_string(), expected, "{length}");
        }
    }

    #[test]
    fn text_round_trips_and_nothing_else_is_read() {
        let id = ContentId::of_bytes(b"abc");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string(), format!("b3:{}", id.to_hex()));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<ContentId>(&json).unwrap(), id);
        let hex = id.to_hex();
        for text in [
            String::new(),
            hex.clone(),
            format!("b3:{}", hex.to_uppercase()),
            format!("B3:{hex}"),
            format!("b3:{hex}0"),
            format!("b3:{hex} "),
            format!("sha256:{hex}"),
            "b3:pending".to_owned(),
        ] {
            assert_eq!(text.parse::<ContentId>(), Err(ContentIdError(text.clone())));
        }
    }

    #[test]
    fn a_reader_that_fails_gives_its_error() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("disk gone"))
            }
        }
        assert_eq!(
            ContentId::of_reader(Broken).unwrap_err().to_string(),
            "disk gone"
        );
    }

    fn entry(path: &str, node: TreeNode) -> TreeEntry {
        TreeEntry {
            path: path.to_owned(),
            node,
        }
    }

    fn file(path: &str, executable: bool, bytes: &[u8]) -> TreeEntry {
        let content = ContentId::of_bytes(bytes);
        entry(
            path,
            TreeNode::File {
                executable,
                content,
            },
        )
    }

    fn link(path: &str, target: &str) -> TreeEntry {
        entry(
            path,
            TreeNode::Symlink {
                target: target.to_owned(),
            },
        )
    }

    fn directory(path: &str) -> TreeEntry {
        entry(path, TreeNode::Directory)
    }

    fn tree(entries: &[TreeEntry]) -> ContentId {
        ContentId::of_tree(entries.iter().cloned()).unwrap()
    }

    #[test]
    fn a_tree_is_the_same_in_any_order_of_its_entries() {
        let mut entries = [
            file("run.py", true, b"print(1)"),
            file("data/é.txt", false, b""),
            link("latest", "../gone"),
            directory("empty"),
        ];
        let id = tree(&entries);
        entries.reverse();
        assert_eq!(tree(&entries), id);
        entries.swap(0, 2);
        assert_eq!(tree(&entries), id);
        assert_eq!(
            id.to_string(),
            "b3:38fdc2c3176880e885b1ef81c6f486771a2c3b149318722f4af2a83285062bf9"
        );
    }

    /// The bytes behind a tree's id, written out: what another implementation would hash.
    #[test]
    fn a_trees_id_is_the_hash_of_its_framed_entries_in_order_of_path() {
        let content = ContentId::of_bytes(b"x");
        let mut framed = b"moorline tree 1\n".to_vec();
        framed.extend(b"\x01\0\0\0\0\0\0\0al\x02\0\0\0\0\0\0\0/b");
        framed.extend(b"\x03\0\0\0\0\0\0\0b/cx\x20\0\0\0\0\0\0\0");
        framed.extend(content.as_bytes());
        framed.extend(b"\x01\0\0\0\0\0\0\0dd");
        let entries = [directory("d"), file("b/c", true, b"x"), link("a", "/b")];
        assert_eq!(tree(&entries), ContentId::of_bytes(&framed));
    }

    #[test]
    fn any_difference_of_a_tree_is_a_difference_of_its_id() {
        let trees: Vec<Vec<TreeEntry>> = vec![
            vec![],
            vec![file("a", false, b"x")],
            vec![file("a", true, b"x")],
            vec![file("b", false, b"x")],
            vec![file("a", false, b"y")],
            vec![link("a", "x")],
            vec![link("a", "y")],
            vec![directory("a")],
            vec![file("a", false, b"x"), file("b", false, b"x")],
            vec![file("ab", false, b"x")],
            vec![file("a/b", false, b"x")],
            vec![file("a/b", false, b"x"), directory("a")],
        ];
        let mut ids: Vec<_> = trees.iter().map(|entries| tree(entries)).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), trees.len());
    }

    #[test]
    fn paths_that_escape_or_stand_twice_are_no_tree() {
        let entries = [file("a/b", false, b"x"), file("./a/b", true, b"x")];
        let twice = TreeError::Duplicate("a/b".parse().unwrap());
        assert_eq!(ContentId::of_tree(entries), Err(twice));
        let problem = "../a".parse::<OutputPath>().unwrap_err();
        assert_eq!(
            ContentId::of_tree([link("../a", "b")]),
            Err(TreeError::Path(problem))
        );
    }
}
