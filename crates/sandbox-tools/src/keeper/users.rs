//! User namespaces: the keeper's, when it is not root, and the agent's.

use std::fs;
use std::io;

use nix::sched::{CloneFlags, unshare};
use rustix::process::{getegid, geteuid};

/// Gives this process mounts of its own, and the right to change them.
pub(super) fn enter() -> io::Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    if uid.is_root() {
        return Ok(unshare(CloneFlags::CLONE_NEWNS)?);
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    // The kernel wants this before a group is mapped by someone without privilege.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {} 1", uid.as_raw()))?;
    fs::write("/proc/self/gid_map", format!("0 {} 1", gid.as_raw()))
}

/// Lets the users and groups of a process's new namespace be those of this one, each the same. It has them
/// without this one's powers: those of its root end at its own namespace.
pub(super) fn map(pid: u32) -> io::Result<()> {
    for file in ["uid_map", "gid_map"] {
        let ours = fs::read_to_string(format!("/proc/self/{file}"))?;
        let theirs: String = ours.lines().filter_map(same).collect();
        fs::write(format!("/proc/{pid}/{file}"), theirs)?;
    }
    Ok(())
}

/// From a line `inside outside count` of this namespace, that of one below it.
fn same(line: &str) -> Option<String> {
    let mut words = line.split_ascii_whitespace();
    let (inside, count) = (words.next()?, words.nth(1)?);
    Some(format!("{inside} {inside} {count}\n"))
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn a_map_leads_to_the_same_numbers() {
        assert_eq!(
            same("         0       1000          1").as_deref(),
            Some("0 0 1\n")
        );
        assert_eq!(same(""), None);
    }
}
