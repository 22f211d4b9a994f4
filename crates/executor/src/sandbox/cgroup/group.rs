//! Groups while they exist: making, joining, reading, ending, removing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::{Controller, Group, Version};

/// How often a removal is tried while the kernel still sees ended processes in a group.
const REMOVALS: u32 = 200;

/// The groups of one attempt. Dropping them removes them.
#[derive(Debug)]
pub(crate) struct Groups {
    groups: Vec<Group>,
}

/// What a tree used, as far as its groups tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TreeUsage {
    pub(crate) peak_memory_bytes: Option<u64>,
    /// Processes that the kernel killed because memory was over.
    pub(crate) memory_kills: u64,
    /// Tasks that could not be started.
    pub(crate) tasks_refused: u64,
}

impl Groups {
    /// Makes the groups and sets their limits. One that is left over from an earlier try is made again.
    pub(crate) fn make(groups: &[Group]) -> Result<Self, String> {
        let mut made = Self { groups: Vec::new() };
        for group in groups {
            let shown = group.dir.display();
            match fs::create_dir(&group.dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(format!("making the cgroup `{shown}`: {error}"));
                }
                _ => made.groups.push(group.clone()),
            }
            for setting in &group.settings {
                let path = group.dir.join(&setting.file);
                match OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .and_then(|mut file| file.write_all(setting.value.as_bytes()))
                {
                    Err(_) if setting.optional => {}
                    other => {
                        other.map_err(|error| format!("setting `{}`: {error}", path.display()))?;
                    }
                }
            }
        }
        Ok(made)
    }

    /// The files by which a process joins: it writes `0` into each.
    pub(crate) fn doors(&self) -> io::Result<Vec<File>> {
        let open = |group: &Group| {
            OpenOptions::new()
                .write(true)
                .open(group.dir.join("cgroup.procs"))
        };
        self.groups.iter().map(open).collect()
    }

    /// Moves another process into them; what it starts from then on is in them too.
    pub(crate) fn add(&self, pid: u32) -> io::Result<()> {
        let join = |group: &Group| fs::write(group.dir.join("cgroup.procs"), pid.to_string());
        self.groups.iter().try_for_each(join)
    }

    /// Lets no new process or thread begin, so that killing comes to an end.
    pub(crate) fn close(&self) -> io::Result<()> {
        for group in self.having(Controller::Pids) {
            fs::write(group.dir.join("pids.max"), "0")?;
        }
        Ok(())
    }

    /// What the tree used.
    pub(crate) fn usage(&self) -> TreeUsage {
        let mut usage = TreeUsage::default();
        for group in self.having(Controller::Memory) {
            let (peak, events) = match group.version {
                Version::V1 => ("memory.max_usage_in_bytes", "memory.oom_control"),
                Version::V2 => ("memory.peak", "memory.events"),
            };
            usage.peak_memory_bytes = number(&group.dir.join(peak));
            usage.memory_kills = counter(&group.dir.join(events), "oom_kill");
        }
        for group in self.having(Controller::Pids) {
            usage.tasks_refused = counter(&group.dir.join("pids.events"), "max");
        }
        usage
    }

    fn having(&self, controller: Controller) -> impl Iterator<Item = &Group> {
        self.groups
            .iter()
            .filter(move |group| group.controllers.contains(&controller))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for group in &self.groups {
            remove(&group.dir);
        }
    }
}

/// Ends what is left in the groups of an attempt whose supervisor is dead, and removes them.
pub(crate) fn abandon<'a>(dirs: impl IntoIterator<Item = &'a Path>) {
    for dir in dirs {
        let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        for pid in members
            .lines()
            .filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw))
        {
            match kill_process(pid, Signal::KILL) {
                // One that can not be killed keeps the group busy, and is seen by whoever lists it.
                Ok(()) | Err(_) => {}
            }
        }
        remove(dir);
    }
}

/// Removes a group. A process that has just ended can keep it busy for a moment; one that does not go
/// keeps it for good, which the next attempt of that name copes with.
fn remove(dir: &Path) {
    for _ in 0..REMOVALS {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::yield_now(),
            _ => return,
        }
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// One line of a file of names and numbers.
fn counter(path: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_their_whole_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.events");
        fs::write(&path, "oom 7\noom_kill 3\noom_group_kill 1\n").unwrap();
        assert_eq!(counter(&path, "oom_kill"), 3);
        assert_eq!(counter(&path, "max"), 0);
        assert_eq!(counter(&dir.path().join("absent"), "max"), 0);
    }
}
