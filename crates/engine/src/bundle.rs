//! A job directory becomes an immutable bundle, named by its content: what was checked is what runs.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use moorline_core::content_id::{ContentId, TreeEntry, TreeNode};

use crate::files;

/// Names that are never part of a job: state, version control, caches.
const SKIPPED: &[&str] = &[
    ".moorline",
    ".git",
    "__pycache__",
    ".venv",
    "node_modules",
    "target",
];

/// A job directory that was read completely.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Content id of the tree; time stamps and order of files do not matter.
    pub(crate) id: ContentId,
    files: Vec<BundleFile>,
}

/// One file or link of a job directory.
#[derive(Debug)]
pub(crate) struct BundleFile {
    /// Its path below the directory, segments joined by `/`.
    pub(crate) relative: String,
    /// Where it is.
    pub(crate) source: PathBuf,
    /// Its target, when it is a link.
    pub(crate) link: Option<PathBuf>,
    /// Whether anybody may execute it.
    pub(crate) executable: bool,
}

/// Why something can be no part of a job.
#[derive(Debug, thiserror::Error)]
#[error("{path} {why}")]
pub(crate) struct Unfit {
    /// Its path below the directory.
    pub(crate) path: String,
    /// What is wrong with it, and what to do.
    pub(crate) why: String,
}

impl Bundle {
    /// Reads a job directory. Symbolic links are kept as links and must stay inside; sockets, devices and
    /// names that are not UTF-8 are refused.
    pub(crate) fn read(dir: &Path) -> io::Result<Self> {
        let (files, unfit) = survey(dir)?;
        if !unfit.is_empty() {
            let all: Vec<String> = unfit.iter().map(Unfit::to_string).collect();
            return Err(io::Error::other(all.join("; ")));
        }
        let mut entries = Vec::with_capacity(files.len());
        for file in &files {
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
        let id = ContentId::of_tree(entries).map_err(io::Error::other)?;
        Ok(Self { id, files })
    }

    /// A bundle of files whose content id is known: what [`keep`](Self::keep) copies must still have it.
    pub(crate) const fn of(id: ContentId, files: Vec<BundleFile>) -> Self {
        Self { id, files }
    }

    /// Copies the bundle below `artifacts` under its content id, unless it is there.
    pub(crate) fn keep(&self, artifacts: &Path) -> io::Result<PathBuf> {
        let target = location(artifacts, &self.id);
        if target.exists() {
            return Ok(target);
        }
        let staging = tempfile::Builder::new()
            .prefix(".staging-")
            .tempdir_in(artifacts)?;
        let root = staging.path().join("job");
        fs::create_dir(&root)?;
        for file in &self.files {
            let to = root.join(&file.relative);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            if let Some(link) = &file.link {
                std::os::unix::fs::symlink(link, &to)?;
            } else {
                fs::copy(&file.source, &to)?;
                let mode = if file.executable { 0o555 } else { 0o444 };
                fs::set_permissions(&to, fs::Permissions::from_mode(mode))?;
            }
        }
        // A file that changed since it was read must not be kept under the name of what was read.
        if Self::read(&root)?.id != self.id {
            return Err(io::Error::other("the directory changed while it was read"));
        }
        files::sync_tree(&root)?;
        match fs::rename(&root, &target) {
            // Another process kept the same content at the same time.
            Err(_) if target.exists() => Ok(target),
            Err(error) => Err(error),
            Ok(()) => Ok(target),
        }
    }
}

/// Where a kept bundle is.
pub(crate) fn location(artifacts: &Path, id: &ContentId) -> PathBuf {
    artifacts.join(id.to_string().replace(':', "-"))
}

/// Lists a job directory without reading the files: what is part of the job, and all that can not be.
pub(crate) fn survey(dir: &Path) -> io::Result<(Vec<BundleFile>, Vec<Unfit>)> {
    let (mut files, mut unfit) = (Vec::new(), Vec::new());
    walk(dir, "", &mut files, &mut unfit)?;
    Ok((files, unfit))
}

fn walk(
    dir: &Path,
    prefix: &str,
    files: &mut Vec<BundleFile>,
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
            files.push(BundleFile {
                relative,
                source,
                link: Some(link),
                executable: false,
            });
        } else if kind.is_file() {
            let executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
            files.push(BundleFile {
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

/// Whether a link at `relative` that points to `target` stays below the root.
fn stays_inside(relative: &str, target: &Path) -> bool {
    let mut depth = relative.matches('/').count();
    for part in target.components() {
        match part {
            std::path::Component::Normal(_) => depth += 1,
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_bundle_and_a_changed_byte_another() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "1").unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/b"), "2").unwrap();
        let first = Bundle::read(dir.path()).unwrap();
        let artifacts = tempfile::tempdir().unwrap();
        let kept = first.keep(artifacts.path()).unwrap();
        assert_eq!(Bundle::read(&kept).unwrap().id, first.id);
        assert_eq!(first.keep(artifacts.path()).unwrap(), kept);
        fs::write(dir.path().join("a"), "3").unwrap();
        assert_ne!(Bundle::read(dir.path()).unwrap().id, first.id);
    }

    #[test]
    fn a_directory_that_changes_while_it_is_read_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "1").unwrap();
        let bundle = Bundle::read(dir.path()).unwrap();
        fs::write(dir.path().join("a"), "2").unwrap();
        let artifacts = tempfile::tempdir().unwrap();
        bundle.keep(artifacts.path()).unwrap_err();
        assert_eq!(fs::read_dir(artifacts.path()).unwrap().count(), 0);
    }

    #[test]
    fn everything_that_can_not_be_part_of_a_job_is_said_at_once() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("../outside", dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("etc")).unwrap();
        fs::write(dir.path().join("a"), "1").unwrap();
        let (files, unfit) = survey(dir.path()).unwrap();
        assert_eq!(files.len(), 1);
        let mut paths: Vec<_> = unfit.into_iter().map(|unfit| unfit.path).collect();
        paths.sort();
        assert_eq!(paths, ["etc", "link"]);
    }

    #[test]
    fn links_that_leave_the_job_directory_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("../outside", dir.path().join("link")).unwrap();
        assert!(
            Bundle::read(dir.path())
                .unwrap_err()
                .to_string()
                .contains("leaves the job directory")
        );
        assert!(stays_inside("sub/link", Path::new("../a")));
        assert!(!stays_inside("link", Path::new("/etc/passwd")));
    }
}
