//! From what an attempt asks for and what the machine gives to how it runs. Pure.

use std::path::Path;

use moorline_core::attempt::{Attempt, Isolation, IsolationNeed, Limits};
use moorline_core::spec::Egress;

use super::config::LocalConfig;
use super::isolation::{self, Wanted};
use crate::executor::ExecutorError;
use crate::sandbox::bwrap::Sandbox;
use crate::sandbox::cgroup::{self, Controller, Group, Hierarchy, TreeLimits};
use crate::sandbox::link::{Confine, FileAccess, Namespaces};
use crate::sandbox::rlimit::Rlimits;
use crate::sandbox::trial::Findings;
use crate::supervise::request::Backend;

/// Bytes of `/dev/shm` in a sandbox, at most.
const SHARED_MEMORY: u64 = 256 << 20;

/// What is known of the machine.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) findings: Findings,
    /// The `/etc` for sandboxes.
    pub(crate) etc: std::path::PathBuf,
    pub(crate) hierarchies: Vec<Hierarchy>,
    pub(crate) memory_bytes: u64,
}

/// How an attempt runs.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) backend: Backend,
    pub(crate) groups: Vec<Group>,
    pub(crate) isolation: Isolation,
    /// The attempt's limits, completed.
    pub(crate) limits: Limits,
}

/// Plans an attempt without a sandbox.
pub(crate) fn plain(attempt: &Attempt, hierarchies: &[Hierarchy]) -> Result<Plan, ExecutorError> {
    no_moved_mounts(attempt)?;
    let limits = attempt.limits.clone();
    let groups = groups(attempt, &limits, limits.pids, hierarchies);
    let isolation = isolation::plain(&limits, &groups);
    Ok(Plan {
        backend: Backend::Plain,
        groups,
        isolation,
        limits,
    })
}

/// Plans an attempt with all the protection that the machine gives.
///
/// # Errors
/// [`ExecutorError::Isolation`] when the attempt requires one that it does not give, with all of them.
pub(crate) fn isolated(
    attempt: &Attempt,
    machine: &Machine,
    config: &LocalConfig,
) -> Result<Plan, ExecutorError> {
    let mut limits = attempt.limits.clone();
    let defaults = config.defaults;
    limits.pids.get_or_insert(defaults.pids);
    limits.disk_bytes.get_or_insert(defaults.disk_bytes);
    let plan = if machine.findings.sandbox.is_ok() {
        sandboxed(attempt, machine, config, limits)
    } else {
        no_moved_mounts(attempt)?;
        confined(attempt, machine, config, limits)
    };
    let missing = &plan.isolation.missing;
    if attempt.isolation == IsolationNeed::Required && !missing.is_empty() {
        let all = missing
            .iter()
            .map(|missing| format!("{:?}: {}", missing.protection, missing.why));
        return Err(ExecutorError::Isolation {
            missing: all.collect::<Vec<_>>().join("; "),
        });
    }
    Ok(plan)
}

fn sandboxed(attempt: &Attempt, machine: &Machine, config: &LocalConfig, limits: Limits) -> Plan {
    let findings = &machine.findings;
    let network = attempt.egress == Egress::Open;
    let bound = findings.tasks.is_ok().then(|| tasks(&limits)).flatten();
    // Where the process namespace can be bounded no cgroup is needed for it; where one is made for
    // something else, it counts more exactly.
    let tree_tasks = (bound.is_none() || asks_for_group(attempt))
        .then_some(limits.pids)
        .flatten();
    let groups = groups(attempt, &limits, tree_tasks, &machine.hierarchies);
    let isolation = isolation::sandboxed(findings, Wanted::by(attempt), &groups);
    let scratch = limits.disk_bytes.unwrap_or(config.defaults.disk_bytes);
    let read = vec!["/".to_owned()];
    let landlock = findings.landlock.as_ref().ok();
    let confine = Confine {
        namespaces: None,
        tasks: bound,
        rlimits: rlimits(attempt, machine, config, &limits, &groups),
        landlock: landlock.map(|_| FileAccess {
            read,
            ..FileAccess::default()
        }),
        seccomp: findings.seccomp.is_ok(),
    };
    let sandbox = Sandbox {
        bwrap: config.bwrap.clone().unwrap_or_default(),
        helper: config.helper.clone(),
        etc: machine.etc.clone(),
        system: config.system_dirs.clone(),
        network,
        // It lives in memory: never more than half of it.
        scratch_bytes: scratch.min(machine.memory_bytes / 2),
        shared_memory_bytes: SHARED_MEMORY.min(scratch).min(machine.memory_bytes / 8),
    };
    let backend = Backend::Bubblewrap { sandbox, confine };
    Plan {
        backend,
        groups,
        isolation,
        limits,
    }
}

/// Without bubblewrap: what a process can take from itself.
fn confined(attempt: &Attempt, machine: &Machine, config: &LocalConfig, limits: Limits) -> Plan {
    let findings = &machine.findings;
    let groups = groups(attempt, &limits, limits.pids, &machine.hierarchies);
    let none = attempt.egress == Egress::None;
    let isolation = isolation::confined(findings, Wanted::by(attempt), &groups);
    let read: Vec<String> = CONFINED_READ.iter().map(|&path| path.to_owned()).collect();
    let system = config
        .system_dirs
        .iter()
        .map(|dir| dir.display().to_string());
    let landlock = findings.landlock.as_ref().ok().map(|_| FileAccess {
        read: read.into_iter().chain(system).collect(),
        write: vec!["/dev/null".to_owned(), "/dev/shm".to_owned()],
        no_tcp: none,
    });
    let confine = Confine {
        namespaces: findings
            .namespaces
            .is_ok()
            .then_some(Namespaces { network: none }),
        tasks: None,
        rlimits: rlimits(attempt, machine, config, &limits, &groups),
        landlock,
        seccomp: findings.seccomp.is_ok(),
    };
    let backend = Backend::Process {
        helper: config.helper.clone(),
        confine,
    };
    Plan {
        backend,
        groups,
        isolation,
        limits,
    }
}

/// What a job without a sandbox can read beside its own directories.
const CONFINED_READ: [&str; 17] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/ssl/certs",
    "/dev",
    "/proc",
];

fn rlimits(
    attempt: &Attempt,
    machine: &Machine,
    config: &LocalConfig,
    limits: &Limits,
    groups: &[Group],
) -> Rlimits {
    let all = machine.memory_bytes / 5 * 4;
    let default = config.defaults.process_memory_bytes.unwrap_or(all);
    let data = if cgroup::has(groups, Controller::Memory) {
        None
    } else {
        Some(attempt.limits.memory_bytes.unwrap_or(default))
    };
    Rlimits {
        file_bytes: limits.disk_bytes,
        data_bytes: data,
        open_files: Some(config.defaults.open_files),
        // In a user namespace of its own the kernel counts only what is in it.
        tasks: limits.pids.map(|tasks| tasks + 1),
    }
}

fn tasks(limits: &Limits) -> Option<u32> {
    limits.pids.and_then(|tasks| u32::try_from(tasks).ok())
}

/// Whether some limit needs a cgroup whatever else there is.
const fn asks_for_group(attempt: &Attempt) -> bool {
    attempt.limits.memory_bytes.is_some() || attempt.limits.cpu.is_some()
}

fn groups(
    attempt: &Attempt,
    limits: &Limits,
    tasks: Option<u64>,
    hierarchies: &[Hierarchy],
) -> Vec<Group> {
    let tree = TreeLimits {
        memory_bytes: limits.memory_bytes,
        tasks,
        cpu: limits.cpu,
    };
    cgroup::plan(tree, hierarchies, &format!("moorline-{}", attempt.id))
}

/// Without a sandbox there is only the machine's own view of its files.
fn no_moved_mounts(attempt: &Attempt) -> Result<(), ExecutorError> {
    let moved = attempt
        .mounts
        .iter()
        .find(|mount| mount.source != Path::new(&mount.path));
    match moved {
        None => Ok(()),
        Some(mount) => Err(ExecutorError::Unsupported {
            executor: super::handle::NAME.to_owned(),
            what: format!(
                "mount `{}` at `{}` without a sandbox: give both the same path, or run it sandboxed",
                mount.source.display(),
                mount.path
            ),
        }),
    }
}
