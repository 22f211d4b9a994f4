//! Namespaces that a process makes for itself, for machines without bubblewrap.
//!
//! Less than a sandbox: the file system and the processes of the machine stay visible. Deliberately so;
//! building mounts is bubblewrap's work, and a second, home-made way would be trusted less than the first.

use std::fs;
use std::io;

use nix::sched::{CloneFlags, unshare};
use rustix::process::{Signal, getegid, geteuid, getppid, set_parent_process_death_signal};

use super::link::Namespaces;

/// Moves this process into namespaces of its own for users and IPC, and without network if so asked.
pub(crate) fn enter(namespaces: Namespaces) -> io::Result<()> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let parent = getppid();
    let mut flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWIPC;
    if namespaces.network {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    unshare(flags)?;
    // The kernel wants this before a group is mapped by someone without privilege.
    fs::write("/proc/self/setgroups", "deny")?;
    // Not as root inside: then nothing is gained back by exec.
    fs::write("/proc/self/uid_map", format!("1000 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("1000 {gid} 1"))?;
    // New credentials can have cleared it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == parent {
        Ok(())
    } else {
        Err(io::ErrorKind::Interrupted.into())
    }
}
