//! How many tasks (processes and threads) may live at once in a process namespace.
//!
//! Since Linux 6.14 each process namespace has its own `pid_max`, the first id that is not given out. Ids
//! below 300 are not given out again after the first round, so the first id is set to 300 as well: then
//! `pid_max` less 300 is the number of tasks that can live beside process 1. It costs nothing, needs no
//! cgroup, and holds for root too.
//!
//! The kernel does not count refusals. [`Watch`] tells a fork bomb by what can be seen: how many tasks there
//! are, each time that it looks. One that has given up by then is not told.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::process::{Pid, test_kill_process};

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
    set(&proc, "sys/kernel/pid_max", RESERVED + limit)?;
    set(&proc, "sys/kernel/ns_last_pid", RESERVED - 1)
}

fn set(proc: &OwnedFd, name: &str, value: u32) -> io::Result<()> {
    let file = openat(proc, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    let text = value.to_string();
    rustix::io::write(file, text.as_bytes())?;
    Ok(())
}

/// Sees how many tasks there are.
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

    /// Looks now: asks for every id that can have been given out.
    ///
    /// Not by `/proc`, where a process can make itself invisible to this one.
    pub(crate) fn look(&mut self) {
        let ids = RESERVED..RESERVED.saturating_add(self.limit);
        let alive = ids.filter(|&id| is_taken(id)).count();
        self.most = self.most.max(u32::try_from(alive).unwrap_or(u32::MAX));
    }
}

/// Whether a task of this process namespace has the id. One that has ended has it until it is reaped.
fn is_taken(id: u32) -> bool {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_task_has_its_id_and_an_impossible_one_has_none() {
        let own = std::process::id();
        let thread = std::thread::spawn(|| {
            let id = rustix::thread::gettid().as_raw_nonzero().get();
            is_taken(id.cast_unsigned())
        });
        assert!(is_taken(own));
        assert!(thread.join().unwrap(), "a thread counts as well");
        // More than the kernel's PID_MAX_LIMIT.
        assert!(!is_taken(1 << 23));
    }
}
