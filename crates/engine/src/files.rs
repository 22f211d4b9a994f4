//! File operations that are all or nothing: content is complete and on disk before its name appears.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Makes `to` the same content as `from`: a hard link where the file system allows, else a copy that is
/// synced before its name appears. An existing `to` is replaced, unless it is that very file.
pub(crate) fn place(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => replace(from, to),
        Err(_) => copy_synced(from, to),
    }
}

/// Puts another file where one is, in one step; the same file stays. A step that a run comes back to leaves its
/// outputs where those of the time before are.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    let (new, old) = (fs::metadata(from)?, fs::metadata(to)?);
    if (new.dev(), new.ino()) == (old.dev(), old.ino()) {
        return Ok(());
    }
    let temporary = to.with_extension("partial");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match fs::hard_link(from, &temporary) {
        Ok(()) => fs::rename(&temporary, to),
        Err(_) => copy_synced(from, to),
    }
}

/// Copies a file under a temporary name, syncs it and renames it.
pub(crate) fn copy_synced(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let temporary = to.with_extension("partial");
    fs::copy(from, &temporary)?;
    File::open(&temporary)?.sync_all()?;
    fs::rename(&temporary, to)
}

/// Syncs every file and directory below `path`, then the directory that holds it.
pub(crate) fn sync_tree(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                sync_tree(&entry.path())?;
            } else if entry.file_type()?.is_file() {
                File::open(entry.path())?.sync_all()?;
            }
        }
    }
    File::open(path)?.sync_all()
}

/// Replaces a symbolic link in one step. The caller keeps others away from the link meanwhile.
pub(crate) fn relink(target: &Path, link: &Path) -> io::Result<()> {
    let fresh = link.with_extension("partial");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(target, &fresh)?;
    fs::rename(&fresh, link)
}
