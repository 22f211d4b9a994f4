//! What of a directory is part of a job: one rule for everybody who packs one.
//!
//! Plain files, whether they may be executed, and symbolic links that stay inside. Names of caches, version
//! control and state are passed over; sockets, devices, links that leave, and names that are not UTF-8 can be no
//! part of a job, and all of them are told at once.
//!
//! Deliberately absent: keeping the files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use moorline_core::content_id::{ContentId, TreeEntry, TreeNode};

/// Names that are never part of a job: state, version control, caches.
pub const SKIPPED: &[&str] = &[
    ".moorline",
    ".git",
    "__pycache__",
    ".venv",
    "node_modules",
    "target",
];

/// One file or link of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryFile {
    /// Its path below the directory, segments joined by `/`.
    pub relative: String,
    /// Where it is.
    pub source: PathBuf,
    /// Its target, when it is a link.
    pub link: Option<PathBuf>,
    /// Whether anybody may execute it.
    pub executable: bool,
}

/// Why something can be no part of a job.
#[derive(Debug, thiserror::Error)]
#[error("{path} {why}")]
pub struct Unfit {
    /// Its path below the directory.
    pub path: String,
    /// What is wrong with it, and what to do.
    pub why: String,
}

/// Lists a directory without reading its files: what is part of the job, and all that can not be.
///
/// # Errors
/// When a directory can not be read.
pub fn survey(dir: &Path) -> io::Result<(Vec<DirectoryFile>, Vec<Unfit>)> {
    let mut survey = Survey::passing_over(SKIPPED);
    survey.walk(dir, "")?;
    Ok((survey.files, survey.unfit))
}

/// As [`survey`], but that no name is passed over.
///
/// # Errors
/// As [`survey`].
pub fn survey_all(dir: &Path) -> io::Result<(Vec<DirectoryFile>, Vec<Unfit>)> {
    let mut survey = Survey::passing_over(&[]);
    survey.walk(dir, "")?;
    Ok((survey.files, survey.unfit))
}

/// The content id of these files: order and times do not matter (D-ART-2).
///
/// # Errors
/// When a file can not be read.
pub fn content_id(files: &[DirectoryFile]) -> io::Result<ContentId> {
    let mut entries = Vec::with_capacity(files.len());
    for file in files {
        let node = match &file.link {
            Some(target) => TreeNode::Symlink {
                target: target.to_string_lossy().into_owned(),
            },
            None => TreeNode::File {
                executable: file.executable,
                content: ContentId::of_reader(File::open(&file.source)?)?,
            },
        };
        entries.push(TreeEntry {
            path: file.relative.clone(),
            node,
        });
    }
    ContentId::of_tree(entries).map_err(io::Error::other)
}

/// A directory while it is looked through.
struct Survey {
    skipped: &'static [&'static str],
    files: Vec<DirectoryFile>,
    unfit: Vec<Unfit>,
}

impl Survey {
    const fn passing_over(skipped: &'static [&'static str]) -> Self {
        Self {
            skipped,
            files: Vec::new(),
            unfit: Vec::new(),
        }
    }

    fn walk(&mut self, dir: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let under = |name: &str| {
                if prefix.is_empty() {
                    name.to_owned()
                } else {
                    format!("{prefix}/{name}")
                }
            };
            let name = match entry.file_name().into_string() {
                Ok(name) => name,
                Err(name) => {
                    self.unfit.push(Unfit {
                        path: under(&name.to_string_lossy()),
                        why: "has a name that is not UTF-8; rename it".to_owned(),
                    });
                    continue;
                }
            };
            if self.skipped.contains(&name.as_str()) {
                continue;
            }
            let relative = under(&name);
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.walk(&entry.path(), &relative)?;
            } else if kind.is_symlink() {
                let link = fs::read_link(entry.path())?;
                if !stays_inside(&relative, &link) || link.to_str().is_none() {
                    self.unfit.push(Unfit {
                        path: relative,
                        why:
                            "is a link that leaves the job directory; copy its target there instead"
                                .to_owned(),
                    });
                    continue;
                }
                let source = entry.path();
                self.files.push(DirectoryFile {
                    relative,
                    source,
                    link: Some(link),
                    executable: false,
                });
            } else if kind.is_file() {
                let executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
                self.files.push(DirectoryFile {
                    relative,
                    source: entry.path(),
                    link: None,
                    executable,
                });
            } else {
                self.unfit.push(Unfit {
                    path: relative,
                    why: "is neither a file nor a directory; leave it out".to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// Whether a link at `relative` (below the root, joined by `/`) that points to `target` stays below the root.
pub fn stays_inside(relative: &str, target: &Path) -> bool {
    let mut depth = relative.matches('/').count();
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside_or_do_not() {
        assert!(stays_inside("sub/link", Path::new("../a")));
        assert!(stays_inside("link", Path::new("./sub/../a")));
        assert!(!stays_inside("link", Path::new("../a")));
        assert!(!stays_inside("sub/link", Path::new("../../a")));
        assert!(!stays_inside("link", Path::new("/etc/passwd")));
    }
}
