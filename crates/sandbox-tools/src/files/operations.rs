//! Reading, writing, listing, making and removing.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::entry::Names;
use super::{Entry, Error, ErrorKind};

/// Larger files are refused, as by Modal.
const LARGEST: u64 = 5 << 30;

/// Writes a file to standard output.
pub(super) fn read(path: &str) -> Result<(), Error> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    if meta.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    if meta.len() > LARGEST {
        let message = format!(
            "file is {} bytes, which exceeds the {LARGEST} byte limit",
            meta.len()
        );
        return Err(Error::new(ErrorKind::FileTooLarge, &message));
    }
    io::copy(&mut file, &mut io::stdout().lock())?;
    Ok(())
}

/// Makes a file of standard input, and the directories that lead to it.
pub(super) fn write(path: &str) -> Result<(), Error> {
    let path = Path::new(path);
    if let Some(parent) = path.parent() {
        directories(parent)?;
    }
    let mut file = File::create(path)?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    Ok(())
}

/// What is in a directory, sorted by name.
pub(super) fn list(path: &str) -> Result<Vec<Entry>, Error> {
    let path = Path::new(path);
    if !fs::metadata(path)?.is_dir() {
        return Err(Error::new(ErrorKind::IsFile, "expected a directory path"));
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(path)? {
        paths.push(path.join(entry?.file_name()));
    }
    paths.sort();
    let names = Names::read();
    let mut entries = Vec::with_capacity(paths.len());
    for path in paths {
        match Entry::of(&path, &names) {
            // Removed since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            entry => entries.push(entry?),
        }
    }
    Ok(entries)
}

/// What is at a path.
pub(super) fn stat(path: &str) -> Result<Entry, Error> {
    Ok(Entry::of(Path::new(path), &Names::read())?)
}

/// Makes a directory; with `parents`, those that lead to it, and one that is there is fine.
pub(super) fn make_directory(path: &str, parents: bool) -> Result<(), Error> {
    let path = Path::new(path);
    if !parents {
        return Ok(fs::create_dir(path)?);
    }
    if let Some(parent) = path.parent() {
        directories(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => Ok(made?),
    }
}

/// Removes what is at a path, a link and not what it leads to.
pub(super) fn remove(path: &str, recursive: bool) -> Result<(), Error> {
    let path = Path::new(path);
    if !fs::symlink_metadata(path)?.is_dir() {
        Ok(fs::remove_file(path)?)
    } else if recursive {
        Ok(fs::remove_dir_all(path)?)
    } else {
        Ok(fs::remove_dir(path)?)
    }
}

/// Makes all directories of a path. A file among them is one where a directory was meant.
fn directories(path: &Path) -> io::Result<()> {
    match fs::create_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(io::ErrorKind::NotADirectory.into())
        }
        made => made,
    }
}
