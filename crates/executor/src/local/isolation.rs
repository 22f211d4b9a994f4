//! What stands between a job and the machine, as it is reported: protections in force, and those that were
//! wanted and can not be had, each with what would give it. Pure.

use moorline_core::attempt::{Attempt, Isolation, Limits, MissingProtection, Protection};
use moorline_core::spec::Egress;

use crate::sandbox::cgroup::{self, Controller, Group, Hierarchy, TreeLimits};
use crate::sandbox::trial::Findings;

/// Name of the back end with a sandbox.
pub(crate) const SANDBOX: &str = "bubblewrap";

/// What an attempt wants beyond what every attempt wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    egress: &'a Egress,
    memory: bool,
    cpu: bool,
}

impl<'a> Wanted<'a> {
    pub(crate) const fn by(attempt: &'a Attempt) -> Self {
        let limits = &attempt.limits;
        Self {
            egress: &attempt.egress,
            memory: limits.memory_bytes.is_some(),
            cpu: limits.cpu.is_some(),
        }
    }
}

/// The most that an attempt can have here.
pub(crate) fn most(findings: &Findings, hierarchies: &[Hierarchy]) -> Isolation {
    let all = TreeLimits {
        memory_bytes: Some(1),
        tasks: Some(1),
        cpu: Some(1.0),
    };
    let groups = cgroup::plan(all, hierarchies, "");
    let wanted = Wanted {
        egress: &Egress::None,
        memory: true,
        cpu: true,
    };
    if findings.sandbox.is_ok() {
        sandboxed(findings, wanted, &groups)
    } else {
        confined(findings, wanted, &groups)
    }
}

/// Without any: only limits that were asked for.
pub(crate) fn plain(limits: &Limits, groups: &[Group]) -> Isolation {
    let mut report = Report::new("none");
    if limits.pids.is_some() {
        report.group(Protection::Pids, Controller::Pids, groups);
    }
    if limits.disk_bytes.is_some() {
        report.have(Protection::Disk);
    }
    report.limits(limits.memory_bytes.is_some(), limits.cpu.is_some(), groups);
    report.0
}

/// In a sandbox.
pub(crate) fn sandboxed(findings: &Findings, wanted: Wanted<'_>, groups: &[Group]) -> Isolation {
    let mut report = Report::new(SANDBOX);
    for protection in [
        Protection::Filesystem,
        Protection::Processes,
        Protection::Ipc,
    ] {
        report.have(protection);
    }
    if *wanted.egress != Egress::Open {
        report.have(Protection::Network);
    }
    report.have(Protection::NoNewPrivileges);
    report.result(Protection::Syscalls, &findings.seccomp);
    report.have(Protection::Disk);
    if cgroup::has(groups, Controller::Pids) {
        report.have(Protection::Pids);
    } else {
        report.result(Protection::Pids, &findings.tasks);
    }
    report.limits(wanted.memory, wanted.cpu, groups);
    report.0
}

/// Without bubblewrap: what a process can take from itself.
pub(crate) fn confined(findings: &Findings, wanted: Wanted<'_>, groups: &[Group]) -> Isolation {
    let why = findings.sandbox.as_ref().err().map_or("", String::as_str);
    let mut report = Report::new("process");
    let files = match &findings.landlock {
        Ok(_) => {
            "landlock keeps the contents of other files closed, not their names, and not sockets"
        }
        Err(error) => error,
    };
    report.lack(
        Protection::Filesystem,
        format!("{why}; without it, {files}"),
    );
    report.lack(Protection::Processes, why.to_owned());
    match (wanted.egress, &findings.namespaces) {
        (Egress::Open, _) => {}
        (Egress::None, namespaces) => report.result(Protection::Network, namespaces),
        (Egress::Allow(_), _) => {
            report.lack(
                Protection::Network,
                format!("{why}; an allow-list needs its sandbox"),
            );
        }
    }
    report.result(Protection::Ipc, &findings.namespaces);
    report.have(Protection::NoNewPrivileges);
    report.result(Protection::Syscalls, &findings.seccomp);
    report.have(Protection::Disk);
    // In a user namespace of its own, a user's tasks are limited; those of root are not.
    if findings.namespaces.is_ok() && !findings.root {
        report.have(Protection::Pids);
    } else {
        report.group(Protection::Pids, Controller::Pids, groups);
    }
    report.limits(wanted.memory, wanted.cpu, groups);
    report.0
}

/// The isolation being reported.
struct Report(Isolation);

impl Report {
    fn new(backend: &str) -> Self {
        Self(Isolation {
            backend: backend.to_owned(),
            ..Isolation::default()
        })
    }

    fn have(&mut self, protection: Protection) {
        self.0.protections.push(protection);
    }

    fn lack(&mut self, protection: Protection, why: String) {
        self.0.missing.push(MissingProtection { protection, why });
    }

    fn result<T>(&mut self, protection: Protection, result: &Result<T, String>) {
        match result {
            Ok(_) => self.have(protection),
            Err(why) => self.lack(protection, why.clone()),
        }
    }

    fn group(&mut self, protection: Protection, controller: Controller, groups: &[Group]) {
        if cgroup::has(groups, controller) {
            self.have(protection);
        } else {
            let name = controller.name();
            let how = "run as root, or in a systemd unit with `Delegate=yes`";
            self.lack(
                protection,
                format!("no {name} cgroup can be made here: {how}"),
            );
        }
    }

    fn limits(&mut self, memory: bool, cpu: bool, groups: &[Group]) {
        if memory {
            self.group(Protection::Memory, Controller::Memory, groups);
        }
        if cpu {
            self.group(Protection::Cpu, Controller::Cpu, groups);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::cgroup::Version;

    fn good() -> Findings {
        Findings {
            sandbox: Ok("bubblewrap 0.8.0".to_owned()),
            tasks: Ok(()),
            landlock: Ok("ABI 7".to_owned()),
            seccomp: Ok(()),
            namespaces: Ok(()),
            kernel: "6.18".to_owned(),
            root: false,
        }
    }

    fn no_bwrap() -> Findings {
        Findings {
            sandbox: Err("bubblewrap (bwrap) is not installed".to_owned()),
            ..good()
        }
    }

    fn missing(isolation: &Isolation) -> Vec<Protection> {
        isolation
            .missing
            .iter()
            .map(|missing| missing.protection)
            .collect()
    }

    const NOTHING: Wanted<'static> = Wanted {
        egress: &Egress::None,
        memory: false,
        cpu: false,
    };

    #[test]
    fn a_sandbox_gives_all_that_was_not_asked_to_be_open() {
        let closed = sandboxed(&good(), NOTHING, &[]);
        assert_eq!(missing(&closed), []);
        assert!(closed.protections.contains(&Protection::Network));
        let open = sandboxed(
            &good(),
            Wanted {
                egress: &Egress::Open,
                ..NOTHING
            },
            &[],
        );
        assert_eq!(missing(&open), []);
        assert!(!open.protections.contains(&Protection::Network));
    }

    #[test]
    fn a_limit_that_needs_a_cgroup_is_missing_without_one() {
        let wanted = Wanted {
            memory: true,
            ..NOTHING
        };
        assert_eq!(
            missing(&sandboxed(&good(), wanted, &[])),
            [Protection::Memory]
        );
        let found = [Hierarchy {
            parent: "/cg".into(),
            version: Version::V1,
            controllers: vec![Controller::Memory],
        }];
        let tree = TreeLimits {
            memory_bytes: Some(1),
            ..TreeLimits::default()
        };
        let groups = cgroup::plan(tree, &found, "a");
        assert_eq!(missing(&sandboxed(&good(), wanted, &groups)), []);
    }

    #[test]
    fn without_bubblewrap_what_it_gave_is_missing_and_named() {
        let report = confined(&no_bwrap(), NOTHING, &[]);
        assert_eq!(
            missing(&report),
            [Protection::Filesystem, Protection::Processes]
        );
        assert!(
            report
                .missing
                .iter()
                .all(|missing| missing.why.contains("bubblewrap"))
        );
        let allow = Egress::Allow(vec!["a.example".to_owned()]);
        let report = confined(
            &no_bwrap(),
            Wanted {
                egress: &allow,
                ..NOTHING
            },
            &[],
        );
        assert!(missing(&report).contains(&Protection::Network));
        let root = Findings {
            root: true,
            ..no_bwrap()
        };
        assert!(missing(&confined(&root, NOTHING, &[])).contains(&Protection::Pids));
    }
}
