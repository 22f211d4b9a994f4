//! How many tasks (processes and threads) may live at once in a process namespace.
//!
//! Since Linux 6.14 each process namespace has its own `pid_max`. Ids below 300 are not given out again
//! after the first round, so the first id is set to 300 as well: then `pid_max` less 301 is the number of
//! tasks that can live beside process 1. It costs nothing, needs no cgroup, and holds for root too.
//!
//! The kernel does not count refusals. [`Watch`] tells a fork bomb by what can be seen: whether enough ids
//! were ever used, and if so, how many tasks there are.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// The kernel's `RESERVED_PIDS`.
const RESERVED: u32 = 300;

/// Bounds the tasks of this process namespace. Needs `CAP_SYS_ADMIN` over it; process 1 must be the only
/// task.
pub(crate) fn bound(limit: u32) -> io::Result<()> {
    // The /proc of the sandbox is read-only where it matters; this one is never attached anywhere.
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let proc = fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?;
    set(&proc, "sys/kernel/pid_max", RESERVED + 1 + limit)?;
    set(&proc, "sys/kernel/ns_last_pid", RESERVED)
}

fn set(proc: &OwnedFd, name: &str, value: u32) -> io::Result<()> {
    let file = openat(proc, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    let text = value.to_string();
    rustix::io::write(file, text.as_bytes())?;
    Ok(())
}

/// Sees how many tasks there are, without counting them when there can not be many.
#[derive(Debug)]
pub(crate) struct Watch {
    limit: u32,
    /// Most tasks seen.
    pub(crate) most: u32,
}

impl Watch {
    pub(crate) const fn new(limit: u32) -> Self {
        Self { limit, most: 0 }
    }

    /// Looks now.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        // While ids go up from the first one, their number bounds that of the tasks.
        let used = last_id()?.saturating_sub(RESERVED);
        if used >= self.limit / 2 {
            self.most = self.most.max(count(Path::new("/proc"))?);
        }
        Ok(())
    }
}

/// The id that was given out last in this namespace: the last field of `/proc/loadavg`.
fn last_id() -> io::Result<u32> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let last = text
        .split_ascii_whitespace()
        .next_back()
        .and_then(|id| id.parse().ok());
    last.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// All tasks that are visible, process 1 left out.
fn count(proc: &Path) -> io::Result<u32> {
    let mut count = 0;
    for entry in fs::read_dir(proc)? {
        let entry = entry?;
        let is_process = entry
            .file_name()
            .as_encoded_bytes()
            .iter()
            .all(u8::is_ascii_digit);
        if is_process {
            // A process that ends meanwhile no longer counts.
            let threads = entry
                .path()
                .join("task")
                .metadata()
                .map_or(0, |meta| links(&meta));
            count += threads;
        }
    }
    Ok(count.saturating_sub(1))
}

/// A task directory has one subdirectory per thread, and `.` and its own name.
fn links(meta: &fs::Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    u32::try_from(meta.nlink().saturating_sub(2)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_and_process_1_does_not() {
        let proc = tempfile::tempdir().unwrap();
        for thread in [
            "1/task/1",
            "12/task/12",
            "12/task/13",
            "7/task/7",
            "sys/kernel",
        ] {
            fs::create_dir_all(proc.path().join(thread)).unwrap();
        }
        assert_eq!(count(proc.path()).unwrap(), 3);
    }

    #[test]
    fn the_last_id_is_a_number() {
        assert!(last_id().unwrap() > 0);
    }
}
