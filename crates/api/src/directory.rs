//! What of a directory is part of a job: one rule for everybody who packs one.
//!
//! Plain files, whether they may be executed, and symbolic links that stay inside. Names of caches, version
//! control and state are passed over; sockets, devices, links that leave, and names that are not UTF-8 can be no
//! part of a job, and all of them are told at once.
//!
//! Deliberately absent: reading the files, and hashing them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

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
    let (mut files, mut unfit) = (Vec::new(), Vec::new());
    walk(dir, "", &mut files, &mut unfit)?;
    Ok((files, unfit))
}

fn walk(
    dir: &Path,
    prefix: &str,
    files: &mut Vec<DirectoryFile>,
    unfit: &mut Vec<Unfit>,
) -> io::Result<()> {
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
                unfit.push(Unfit {
                    path: under(&name.to_string_lossy()),
                    why: "has a name that is not UTF-8; rename it".to_owned(),
                });
                continue;
            }
        };
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let relative = under(&name);
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), &relative, files, unfit)?;
        } else if kind.is_symlink() {
            let link = fs::read_link(entry.path())?;
            if !stays_inside(&relative, &link) || link.to_str().is_none() {
                unfit.push(Unfit {
                    path: relative,
                    why: "is a link that leaves the job directory; copy its target there instead"
                        .to_owned(),
                });
                continue;
            }
            let source = entry.path();
            files.push(DirectoryFile {
                relative,
                source,
                link: Some(link),
                executable: false,
            });
        } else if kind.is_file() {
            let executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
            files.push(DirectoryFile {
                relative,
                source: entry.path(),
                link: None,
                executable,
            });
        } else {
            unfit.push(Unfit {
                path: relative,
                why: "is neither a file nor a directory; leave it out".to_owned(),
            });
        }
    }
    Ok(())
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
