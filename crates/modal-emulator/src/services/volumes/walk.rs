//! Directories, by descriptor: nothing on the way can be exchanged for a link meanwhile.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use moorline_modal_proto::client::FileEntry;
use moorline_modal_proto::client::file_entry::FileType as EntryType;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RawMode, Stat, statat, unlinkat};
use rustix::io::Errno;

use super::tree::{MAX_DEPTH, Stamp};

/// What kind of file a mode is of.
pub(super) fn kind(mode: RawMode) -> FileType {
    FileType::from_raw_mode(mode)
}

/// An entry of a listing.
pub(super) fn entry(path: &Path, stat: &Stat) -> FileEntry {
    let kind = match kind(stat.st_mode) {
        FileType::RegularFile => EntryType::File,
        FileType::Directory => EntryType::Directory,
        FileType::Symlink => EntryType::Symlink,
        FileType::Fifo => EntryType::Fifo,
        FileType::Socket => EntryType::Socket,
        _ => EntryType::Unspecified,
    };
    let size = match kind {
        EntryType::Directory => 0,
        _ => u64::try_from(stat.st_size).unwrap_or(0),
    };
    FileEntry {
        path: path.to_string_lossy().into_owned(),
        r#type: kind.into(),
        mtime: u64::try_from(Stamp::of(stat).modified.0).unwrap_or(0),
        size,
    }
}

/// Names and states of what is in a directory; what goes away meanwhile is left out.
pub(super) fn entries(dir: BorrowedFd<'_>) -> Result<Vec<(OsString, Stat)>, Errno> {
    let mut found = Vec::new();
    for item in Dir::read_from(dir)? {
        let item = item?;
        let name = item.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        match statat(dir, item.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => found.push((OsString::from_vec(name.to_vec()), stat)),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(found)
}

fn subdirectory(dir: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}

/// Adds what is in a directory, with `recursive` also what is below it.
pub(super) fn walk(
    dir: BorrowedFd<'_>,
    path: &Path,
    recursive: bool,
    depth: usize,
    found: &mut Vec<FileEntry>,
) -> Result<(), Errno> {
    if depth >= MAX_DEPTH {
        return Err(Errno::LOOP);
    }
    for (name, stat) in entries(dir)? {
        let path = path.join(&name);
        found.push(entry(&path, &stat));
        if recursive && kind(stat.st_mode) == FileType::Directory {
            match subdirectory(dir, Path::new(&name)) {
                Ok(below) => walk(below.as_fd(), &path, true, depth + 1, found)?,
                // It went away, or became a link, meanwhile.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(())
}

/// Removes a directory and all in it; links in it are removed, not followed.
pub(super) fn remove_directory(
    dir: BorrowedFd<'_>,
    name: &Path,
    depth: usize,
) -> Result<(), Errno> {
    if depth >= MAX_DEPTH {
        return Err(Errno::LOOP);
    }
    let below = subdirectory(dir, name)?;
    for (inner, stat) in entries(below.as_fd())? {
        let inner = Path::new(&inner);
        if kind(stat.st_mode) == FileType::Directory {
            remove_directory(below.as_fd(), inner, depth + 1)?;
        } else {
            match unlinkat(&below, inner, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    unlinkat(dir, name, AtFlags::REMOVEDIR)
}
