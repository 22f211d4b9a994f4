//! A job directory becomes an immutable bundle, named by its content: what was checked is what runs.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use moorline_api::directory::{DirectoryFile, Unfit, content_id, survey};
use moorline_core::content_id::ContentId;

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
        let id = content_id(&files)?;
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
                io::copy(&mut file.open()?, &mut File::create_new(&to)?)?;
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

/// Packs a kept bundle as a tar that is the same wherever it is made: entries by path, and nothing of the
/// owner or of the time. `None` when it is larger than `limit` bytes.
pub(crate) fn pack(dir: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let (mut files, _) = survey(dir)?;
    files.sort_unstable_by(|a, b| a.relative.cmp(&b.relative));
    let mut packed = tar::Builder::new(Vec::new());
    for file in &files {
        let mut header = tar::Header::new_gnu();
        if let Some(target) = &file.link {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            header.set_mode(0o777);
            packed.append_link(&mut header, &file.relative, target)?;
        } else {
            let source = file.open()?;
            let size = source.metadata()?.len();
            if packed.get_ref().len() as u64 + size > limit as u64 {
                return Ok(None);
            }
            header.set_size(size);
            header.set_mode(if file.executable { 0o555 } else { 0o444 });
            packed.append_data(&mut header, &file.relative, source)?;
        }
    }
    let packed = packed.into_inner()?;
    Ok((packed.len() <= limit).then_some(packed))
}

/// Keeps a bundle that was [packed](pack) elsewhere, after a look at what it really holds.
pub(crate) fn unpack(packed: &[u8], id: ContentId, artifacts: &Path) -> io::Result<PathBuf> {
    let staging = tempfile::Builder::new()
        .prefix(".fetched-")
        .tempdir_in(artifacts)?;
    for entry in tar::Archive::new(packed).entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        // Never outside of the directory, also through a link of the same archive: that is what this checks.
        if !(kind.is_file() || kind.is_symlink()) || !entry.unpack_in(staging.path())? {
            return Err(io::Error::other("it holds what no job directory holds"));
        }
    }
    let bundle = Bundle::read(staging.path())?;
    if bundle.id != id {
        let found = format!("its content is {}, and it was kept as {id}", bundle.id);
        return Err(io::Error::other(found));
    }
    bundle.keep(artifacts)
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
    fn a_packed_bundle_is_kept_elsewhere_and_anything_else_is_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/run.sh"), "echo").unwrap();
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(dir.path().join("sub/run.sh"), executable).unwrap();
        fs::write(dir.path().join("a"), "1").unwrap();
        std::os::unix::fs::symlink("sub/run.sh", dir.path().join("link")).unwrap();
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bundle = Bundle::read(dir.path()).unwrap();
        let kept = bundle.keep(here.path()).unwrap();
        let packed = pack(&kept, 1 << 20).unwrap().unwrap();
        assert_eq!(pack(&kept, 1 << 20).unwrap().unwrap(), packed);
        assert_eq!(pack(&kept, 3).unwrap(), None);

        let fetched = unpack(&packed, bundle.id, there.path()).unwrap();
        assert_eq!(Bundle::read(&fetched).unwrap().id, bundle.id);
        // From the fetched one, the same bytes: the owner and the time are no part of it.
        assert_eq!(pack(&fetched, 1 << 20).unwrap().unwrap(), packed);

        let other = ContentId::of_bytes(b"other");
        let error = unpack(&packed, other, there.path()).unwrap_err();
        assert!(error.to_string().contains("it was kept as"), "{error}");
        assert_eq!(fs::read_dir(there.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_packed_bundle_writes_nothing_outside() {
        let outside = tempfile::tempdir().unwrap();
        let artifacts = outside.path().join("artifacts");
        fs::create_dir(&artifacts).unwrap();
        let mut packed = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        packed
            .append_link(&mut header, "out", outside.path())
            .unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        packed
            .append_data(&mut header, "out/file", &b"x"[..])
            .unwrap();
        let packed = packed.into_inner().unwrap();
        unpack(&packed, ContentId::of_bytes(b""), &artifacts).unwrap_err();
        assert!(!outside.path().join("file").exists());
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
