//! How much a job has written to its directories.
//!
//! The kernel has no limit for a directory, so it is measured: rarely while there is much room, more often
//! when there is little, never more than ten times a second. What can be written between two looks is the
//! most by which the limit is exceeded.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::unnamed;

/// Shortest and longest time between two looks.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Bytes a millisecond that a fast disk takes.
const SPEED: u64 = 4 << 20;
/// What an entry costs beside its blocks.
const ENTRY: u64 = 256;
/// Directories in directories; a job that goes deeper hides something.
const DEEPEST: usize = 128;

/// Watches over directories, each of which may hold as much as the limit.
#[derive(Debug)]
pub(super) struct DiskWatch {
    directories: Vec<PathBuf>,
    limit: u64,
    /// When to look next.
    next: Duration,
}

impl DiskWatch {
    pub(super) fn new(directories: Vec<PathBuf>, limit: u64, now: Duration) -> Self {
        Self {
            directories,
            limit,
            next: now + PAUSE.0,
        }
    }

    pub(super) const fn next(&self) -> Duration {
        self.next
    }

    /// Looks if it is time to. True when there is more than the limit.
    pub(super) fn look(&mut self, now: Duration) -> io::Result<bool> {
        if now < self.next {
            return Ok(false);
        }
        let used = self.fullest()?;
        let room = self.limit.saturating_sub(used);
        let pause = Duration::from_millis(room / SPEED);
        self.next = now + pause.clamp(PAUSE.0, PAUSE.1);
        Ok(used > self.limit)
    }

    /// Whether there is more than the limit, or a file as large as one file can get.
    pub(super) fn exceeded(&self) -> io::Result<bool> {
        Ok(self.fullest()? >= self.limit)
    }

    fn fullest(&self) -> io::Result<u64> {
        let mut most = 0;
        let mut device = None;
        for directory in &self.directories {
            most = most.max(measure(directory)?);
            device = device.or_else(|| fs::metadata(directory).ok().map(|meta| meta.dev()));
        }
        // They are all below one directory of this machine's, so on one device.
        let unnamed = device
            .map(unnamed::measure)
            .transpose()?
            .unwrap_or_default();
        Ok(most.saturating_add(unnamed))
    }
}

/// Bytes on the disk for everything in a directory. Links are not followed. What the job hides counts as
/// endless: a tree that is too deep to be honest, a directory that it closed, which it can write into all the
/// same by a descriptor or after opening it again.
fn measure(directory: &Path) -> io::Result<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(CWD, directory, flags, Mode::empty()) {
        Ok(root) => walk(&root, 0),
        Err(Errno::NOENT) => Ok(0),
        Err(Errno::ACCESS) => Ok(u64::MAX),
        Err(error) => Err(error.into()),
    }
}

fn walk(directory: &OwnedFd, depth: usize) -> io::Result<u64> {
    if depth > DEEPEST {
        return Ok(u64::MAX);
    }
    let mut total: u64 = 0;
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(Errno::ACCESS) => return Ok(u64::MAX),
            Err(error) => return Err(error.into()),
        };
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
        total = total
            .saturating_add(blocks.saturating_mul(512))
            .saturating_add(ENTRY);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(directory, name, flags, Mode::empty()) {
                Ok(below) => total = total.saturating_add(walk(&below, depth + 1)?),
                // Gone, or swapped for something else.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(Errno::ACCESS) => return Ok(u64::MAX),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_below_counts_and_links_do_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/file"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("usr")).unwrap();
        let size = measure(dir.path()).unwrap();
        assert!((100_000..200_000).contains(&size), "{size}");
        assert_eq!(measure(&dir.path().join("absent")).unwrap(), 0);
    }

    #[test]
    fn empty_files_cost_something_and_endless_nesting_everything() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..100 {
            fs::write(dir.path().join(n.to_string()), "").unwrap();
        }
        assert!(measure(dir.path()).unwrap() >= 100 * ENTRY);
        let deep = dir.path().join("d/".repeat(DEEPEST + 2));
        fs::create_dir_all(deep).unwrap();
        assert_eq!(measure(dir.path()).unwrap(), u64::MAX);
    }

    #[test]
    fn it_looks_more_often_when_there_is_little_room() {
        let dir = tempfile::tempdir().unwrap();
        let now = Duration::from_secs(10);
        let mut roomy = DiskWatch::new(vec![dir.path().to_owned()], 1 << 40, now);
        assert_eq!(roomy.next(), now + PAUSE.0);
        assert!(!roomy.look(now + PAUSE.0).unwrap());
        assert_eq!(roomy.next(), now + PAUSE.0 + PAUSE.1);
        fs::write(dir.path().join("file"), vec![1; 5000]).unwrap();
        let mut tight = DiskWatch::new(vec![dir.path().to_owned()], 4000, now);
        assert!(!tight.look(now).unwrap(), "not yet time");
        assert!(tight.look(now + PAUSE.0).unwrap());
        assert_eq!(tight.next(), now + 2 * PAUSE.0);
    }
}
