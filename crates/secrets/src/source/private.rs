//! Reads files that only their owner can read.

use std::fs::File;
use std::io::Read as _;
use std::mem;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use super::Origin;
use crate::error::{SourceError, SourceProblem};

/// Permission bits for people other than the owner.
const OTHERS: u32 = 0o077;
/// Those of them that let others change what is in a directory.
const OTHERS_WRITE: u32 = 0o022;

/// The bytes of a regular file that this user owns and no other user can read or change
/// (`D-SEC-3`). None if there is no such file.
///
/// What is checked is the file that was opened, so it can not be swapped in between.
pub(crate) fn read(
    path: &Path,
    origin: &Origin,
    limit: usize,
) -> Result<Option<Zeroizing<Vec<u8>>>, SourceError> {
    // Without NONBLOCK, opening a named pipe would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let Some(file) = open(path, flags, origin)? else {
        return Ok(None);
    };
    let metadata = file
        .metadata()
        .map_err(|cause| SourceError::io(origin.clone(), cause))?;
    if !metadata.is_file() {
        return Err(SourceError::new(
            origin.clone(),
            SourceProblem::NotA {
                wanted: "regular file",
            },
        ));
    }
    check(&metadata, OTHERS, "read or change it", origin)?;

    // One more than allowed, to tell that there is more; reserved at once, so that no copy is left
    // behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| SourceError::io(origin.clone(), cause))?;
    if bytes.len() > limit {
        return Err(SourceError::new(
            origin.clone(),
            SourceProblem::TooLong { limit },
        ));
    }
    Ok(Some(bytes))
}

/// The text of a file that this user owns and no other user can read or change (`D-SEC-3`); none if there is no
/// such file. `what` it is, such as `key file`, is for the error, and `limit` is in bytes.
///
/// What is checked is the file that was opened, so it can not be swapped in between.
///
/// # Errors
/// When it can not be read, others can read or change it, it is no regular file, longer than `limit`, or not
/// UTF-8.
pub fn read_private(
    what: &str,
    path: &Path,
    limit: usize,
) -> Result<Option<Zeroizing<String>>, SourceError> {
    let origin = Origin::at(what, path);
    let Some(mut bytes) = read(path, &origin, limit)? else {
        return Ok(None);
    };
    match String::from_utf8(mem::take(&mut *bytes)) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(SourceError::new(origin, SourceProblem::NotText))
        }
    }
}

/// Refuses a directory that is not this user's, or that others can put files into.
pub(super) fn check_directory(path: &Path, origin: &Origin) -> Result<(), SourceError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let directory = open(path, flags, origin)?
        .ok_or_else(|| SourceError::io(origin.clone(), rustix::io::Errno::NOENT))?;
    let metadata = directory
        .metadata()
        .map_err(|cause| SourceError::io(origin.clone(), cause))?;
    if !metadata.is_dir() {
        return Err(SourceError::new(
            origin.clone(),
            SourceProblem::NotA {
                wanted: "directory",
            },
        ));
    }
    check(&metadata, OTHERS_WRITE, "change what is in it", origin)
}

fn open(path: &Path, flags: OFlags, origin: &Origin) -> Result<Option<File>, SourceError> {
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(File::from(fd))),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(cause) => Err(SourceError::io(origin.clone(), cause)),
    }
}

fn check(
    metadata: &std::fs::Metadata,
    forbidden: u32,
    what: &'static str,
    origin: &Origin,
) -> Result<(), SourceError> {
    let user = rustix::process::geteuid().as_raw();
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    let problem = if owner != user {
        SourceProblem::Owner { owner, user }
    } else if mode & forbidden != 0 {
        SourceProblem::Mode { mode, what }
    } else {
        return Ok(());
    };
    Err(SourceError::new(origin.clone(), problem))
}
