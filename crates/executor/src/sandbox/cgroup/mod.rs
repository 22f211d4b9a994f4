//! Limits on a whole tree of processes (cgroups(7)), and what it used.
//!
//! A group is made for one attempt, and only when one of its limits needs it: moving a process into a
//! group makes the kernel wait for a grace period of its own (about 7 ms on an idle machine, next to
//! nothing on a busy one), which is more than the rest of the sandbox costs. Groups lie below the group
//! that this process is in, or beside it where the second version forbids that; other processes are never
//! moved.
//!
//! Planning ([`plan`]) happens on the launcher's side, where a missing controller refuses the launch; making
//! and removing ([`Groups`]) on the supervisor's.

mod find;
mod group;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(crate) use find::{Hierarchy, find};
pub(crate) use group::{Groups, TreeUsage, abandon};

/// What a group can limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Controller {
    /// Bytes of memory.
    Memory,
    /// Number of tasks.
    Pids,
    /// Share of processors.
    Cpu,
}

impl Controller {
    /// The kernel's name for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }
}

/// The two versions of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Version {
    V1,
    V2,
}

/// Limits for a tree of processes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TreeLimits {
    /// Of all its processes together.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// Cores.
    pub cpu: Option<f64>,
}

/// One group to be made, with what is to be written into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) dir: PathBuf,
    pub(crate) version: Version,
    pub(crate) controllers: Vec<Controller>,
    /// File names and values, in order. Those marked optional may be missing in this kernel.
    settings: Vec<Setting>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Setting {
    file: String,
    value: String,
    optional: bool,
}

/// Microseconds in which a share of processors is counted.
const CPU_PERIOD: u64 = 100_000;

/// The groups for these limits, named `name`, in the hierarchies that were found. A limit whose controller
/// was not found is left out; the caller has seen that.
pub(crate) fn plan(limits: TreeLimits, hierarchies: &[Hierarchy], name: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut add = |controller, setting: &dyn Fn(Version) -> Vec<Setting>| {
        let found = hierarchies
            .iter()
            .find(|found| found.controllers.contains(&controller));
        let Some(found) = found else { return };
        let dir = found.parent.join(name);
        let settings = setting(found.version);
        if let Some(group) = groups.iter_mut().find(|group| group.dir == dir) {
            group.controllers.push(controller);
            group.settings.extend(settings);
        } else {
            let controllers = vec![controller];
            groups.push(Group {
                dir,
                version: found.version,
                controllers,
                settings,
            });
        }
    };
    if let Some(bytes) = limits.memory_bytes {
        add(Controller::Memory, &|version| match version {
            Version::V1 => vec![
                setting("memory.limit_in_bytes", bytes),
                // Memory and swap together: none of it in swap.
                optional("memory.memsw.limit_in_bytes", bytes),
            ],
            Version::V2 => vec![
                setting("memory.max", bytes),
                optional("memory.swap.max", 0),
                // One process less is no job: when memory is over, all of it goes.
                optional("memory.oom.group", 0),
            ],
        });
    }
    if let Some(tasks) = limits.tasks {
        // The sandbox around the job is counted as well.
        add(Controller::Pids, &|_| {
            vec![setting("pids.max", tasks + SANDBOX_TASKS)]
        });
    }
    if let Some(cores) = limits.cpu {
        let quota = quota(cores);
        add(Controller::Cpu, &|version| match version {
            Version::V1 => {
                vec![
                    setting("cpu.cfs_period_us", CPU_PERIOD),
                    setting("cpu.cfs_quota_us", quota),
                ]
            }
            Version::V2 => vec![Setting {
                file: "cpu.max".to_owned(),
                value: format!("{quota} {CPU_PERIOD}"),
                optional: false,
            }],
        });
    }
    groups
}

/// Microseconds of processor time in one period; the kernel refuses less than one millisecond.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of processors is far from the ends of both types, and is clamped"
)]
fn quota(cores: f64) -> u64 {
    (cores * CPU_PERIOD as f64).round().clamp(1000.0, 1e15) as u64
}

/// Whether one of the groups limits this.
pub(crate) fn has(groups: &[Group], controller: Controller) -> bool {
    groups
        .iter()
        .any(|group| group.controllers.contains(&controller))
}

/// bubblewrap outside, and the helper inside.
const SANDBOX_TASKS: u64 = 2;

fn setting(file: &str, value: u64) -> Setting {
    Setting {
        file: file.to_owned(),
        value: value.to_string(),
        optional: false,
    }
}

fn optional(file: &str, value: u64) -> Setting {
    Setting {
        optional: true,
        ..setting(file, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(group: &Group) -> Vec<(&str, &str)> {
        group
            .settings
            .iter()
            .map(|set| (set.file.as_str(), set.value.as_str()))
            .collect()
    }

    const ALL: TreeLimits = TreeLimits {
        memory_bytes: Some(1 << 20),
        tasks: Some(64),
        cpu: Some(1.5),
    };

    #[test]
    fn the_first_version_has_one_group_for_each_controller() {
        let hierarchy = |controller: Controller| Hierarchy {
            parent: PathBuf::from("/cg").join(controller.name()),
            version: Version::V1,
            controllers: vec![controller],
        };
        let found = [Controller::Memory, Controller::Pids, Controller::Cpu].map(hierarchy);
        let groups = plan(ALL, &found, "a");
        let dirs: Vec<_> = groups
            .iter()
            .map(|group| group.dir.to_str().unwrap())
            .collect();
        assert_eq!(dirs, ["/cg/memory/a", "/cg/pids/a", "/cg/cpu/a"]);
        assert_eq!(files(&groups[1]), [("pids.max", "66")]);
        let quota = [
            ("cpu.cfs_period_us", "100000"),
            ("cpu.cfs_quota_us", "150000"),
        ];
        assert_eq!(files(&groups[2]), quota);
    }

    #[test]
    fn the_second_version_has_one_group_for_all() {
        let found = [Hierarchy {
            parent: "/cg/slice".into(),
            version: Version::V2,
            controllers: vec![Controller::Memory, Controller::Pids, Controller::Cpu],
        }];
        let groups = plan(ALL, &found, "a");
        assert_eq!(groups.len(), 1);
        let expected = [
            ("memory.max", "1048576"),
            ("memory.swap.max", "0"),
            ("memory.oom.group", "0"),
            ("pids.max", "66"),
            ("cpu.max", "150000 100000"),
        ];
        assert_eq!(files(&groups[0]), expected);
    }

    #[test]
    fn no_limit_needs_no_group() {
        assert_eq!(plan(TreeLimits::default(), &[], "a"), []);
    }
}
