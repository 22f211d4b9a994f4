//! What `/proc` says about processes: who is alive, whose child it is, who carries a marker.
//!
//! A process is named by its id **and** its start time, since ids are used again. Start times are
//! in clock ticks since boot, field 22 of `/proc/PID/stat` (proc(5)).
//!
//! Linux only. A process that ends while it is being read is left out of the answer; one that this
//! user may not look into is there, without its environment.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

/// One process at the moment it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Process id of the parent; 0 for the first process of a namespace.
    pub parent: u32,
    /// Clock ticks since boot.
    pub start_time: u64,
    /// State letter of proc(5): `R` running, `S` sleeping, `Z` zombie, and so on.
    pub state: char,
    /// Arguments; invalid UTF-8 is replaced. Empty for a zombie and for a kernel thread.
    pub argv: Vec<String>,
}

impl Process {
    /// True when it has ended and only waits for its parent to ask.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// The process `pid`, if there is one.
pub fn find(pid: u32) -> Option<Process> {
    read(Path::new(&format!("/proc/{pid}")), pid)
}

/// All processes that are visible from here.
///
/// # Errors
///
/// Whatever the file system says when `/proc` can not be listed.
pub fn all() -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        found.extend(pid.and_then(|pid| read(&entry.path(), pid)));
    }
    Ok(found)
}

/// True when the very process that started at `start_time` still runs. A zombie does not run.
pub fn alive(pid: u32, start_time: u64) -> bool {
    find(pid).is_some_and(|process| process.start_time == start_time && !process.is_zombie())
}

/// The running processes, this one left out, that have `marker` in an argument or in their
/// environment.
///
/// A marker in the environment goes to every child that does not clear it, so this also finds the
/// grandchild that double-forked out of its tree.
///
/// # Errors
///
/// As [`all`].
pub fn matching(marker: &str) -> io::Result<Vec<Process>> {
    let carries = |pid: u32, file: &str| {
        fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| {
            bytes
                .windows(marker.len())
                .any(|part| part == marker.as_bytes())
        })
    };
    let mut found = all()?;
    found.retain(|process| {
        process.pid != std::process::id()
            && !process.is_zombie()
            && (carries(process.pid, "cmdline") || carries(process.pid, "environ"))
    });
    Ok(found)
}

/// The children of `pid`, their children, and so on; `pid` itself is not among them.
///
/// One that was adopted by another process (its parent is dead) is no longer a descendant; use
/// [`matching`] to find such.
///
/// # Errors
///
/// As [`all`].
pub fn descendants(pid: u32) -> io::Result<Vec<Process>> {
    let mut rest = all()?;
    let mut family = BTreeSet::from([pid]);
    let mut found = Vec::new();
    loop {
        let (children, others): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|process| family.contains(&process.parent));
        if children.is_empty() {
            return Ok(found);
        }
        family.extend(children.iter().map(|process| process.pid));
        found.extend(children);
        rest = others;
    }
}

fn read(directory: &Path, pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    let arguments = fs::read(directory.join("cmdline")).unwrap_or_default();
    let (state, parent, start_time) = parse_stat(&stat)?;
    let argv = arguments
        .strip_suffix(b"\0")
        .map(|joined| {
            joined
                .split(|&b| b == 0)
                .map(|a| String::from_utf8_lossy(a).into_owned())
                .collect()
        })
        .unwrap_or_default();
    Some(Process {
        pid,
        parent,
        start_time,
        state,
        argv,
    })
}

/// State, parent and start time. The name in parentheses may itself hold spaces and parentheses,
/// so the fields are counted from the last one.
fn parse_stat(stat: &str) -> Option<(char, u32, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let start_time = fields.nth(17)?.parse().ok()?;
    Some((state, parent, start_time))
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the probes are tried on real children"
)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use super::*;
    use crate::wait;

    /// A shell that stays until it is killed, with one child that stays too.
    fn family(marker: &str) -> Child {
        Command::new("sh")
            .args(["-c", "sleep 1000 & wait"])
            .env("TESTKIT_MARKER", marker)
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn end(mut child: Child) {
        for process in descendants(child.id()).unwrap() {
            let pid = rustix::process::Pid::from_raw(process.pid.cast_signed()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn reads_a_name_with_parentheses() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987 55 66";
        assert_eq!(parse_stat(stat), Some(('S', 7, 987)));
    }

    #[test]
    fn finds_children_and_their_markers() {
        let marker = format!("marker-{}", std::process::id());
        let child = family(&marker);
        let shell = child.id();
        wait::until(Duration::from_secs(10), "the shell and its child", || {
            matching(&marker).unwrap().len() == 2 && descendants(shell).unwrap().len() == 1
        })
        .unwrap();
        let below = descendants(shell).unwrap();
        assert_eq!(below[0].parent, shell);
        assert_eq!(below[0].argv, ["sleep", "1000"]);
        end(child);
        assert_eq!(matching(&marker).unwrap(), []);
    }

    #[test]
    fn a_zombie_and_a_namesake_are_not_alive() {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let process = find(child.id()).unwrap();
        assert!(alive(process.pid, process.start_time));
        assert!(!alive(process.pid, process.start_time + 1));
        child.kill().unwrap();
        wait::until(Duration::from_secs(10), "the zombie", || {
            find(process.pid).is_some_and(|p| p.is_zombie())
        })
        .unwrap();
        assert!(!alive(process.pid, process.start_time));
        child.wait().unwrap();
        assert_eq!(find(process.pid), None);
    }
}
