//! A job directory becomes an immutable bundle, named by its content: what was checked is what runs.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use moorline_api::directory::{DirectoryFile, Unfit, survey};
use moorline_core::content_id::{ContentId, TreeEntry, TreeNode};

use crate::files;

/// A job directory that was read completely.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Content id of the tree; time stamps and order of files do not matter.
    pub(crate) id: ContentId,
    files: Vec<DirectoryFile>,
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
    pub(crate) const fn of(id: ContentId, files: Vec<DirectoryFile>) -> Self {
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
    }
}
