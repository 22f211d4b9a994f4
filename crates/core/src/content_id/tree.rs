//! The content id of a directory, from a list of its entries.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{ContentHasher, ContentId};
use crate::error_code::ErrorCode;
use crate::paths::{OutputPath, OutputPathError};

impl ContentId {
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
