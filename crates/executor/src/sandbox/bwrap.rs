//! The command line of bubblewrap (bwrap(1)): namespaces and mounts, and nothing secret.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The job directory inside.
pub(crate) const JOB: &str = "/job";
/// Where inputs are inside.
pub(crate) const INPUT: &str = "/in";
/// Where outputs are written inside.
pub(crate) const OUTPUT: &str = "/out";
/// The private temporary directory inside.
pub(crate) const SCRATCH: &str = "/tmp";
/// POSIX shared memory inside.
pub(crate) const SHARED_MEMORY: &str = "/dev/shm";
/// The helper inside.
pub(crate) const HELPER: &str = "/run/moorline/init";

/// Devices that a job has, all of them harmless.
pub(super) const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Links that programs expect in `/dev`.
const DEVICE_LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];
/// Directories beside `/usr` that hold programs or libraries; on most systems links into `/usr`.
const SYSTEM: [&str; 6] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// One sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sandbox {
    pub(crate) bwrap: PathBuf,
    pub(crate) helper: PathBuf,
    /// The directory that is `/etc` inside.
    pub(crate) etc: PathBuf,
    /// More directories of the system, read-only at the same path.
    pub(crate) system: Vec<PathBuf>,
    /// Whether the job shares the machine's network.
    pub(crate) network: bool,
    /// Bytes of `/tmp`.
    pub(crate) scratch_bytes: u64,
    /// Bytes of `/dev/shm`.
    pub(crate) shared_memory_bytes: u64,
}

/// A host path and where it is inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
    pub(crate) read_only: bool,
}

impl Bind {
    pub(crate) fn read_only(source: impl Into<PathBuf>, target: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            target: target.into(),
            read_only: true,
        }
    }
}

/// All arguments, the program's name first.
pub(crate) fn arguments(sandbox: &Sandbox, binds: &[Bind]) -> io::Result<Vec<OsString>> {
    let mut arguments = Arguments(vec!["bwrap".into()]);
    arguments.add([
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
    ]);
    // Not on every kernel, and nothing hangs on it: there is no cgroup file system inside.
    arguments.add([
        "--unshare-cgroup-try",
        "--hostname",
        "moorline",
        "--uid",
        "1000",
        "--gid",
        "1000",
    ]);
    if !sandbox.network {
        arguments.add(["--unshare-net"]);
    }
    arguments.add([
        "--die-with-parent",
        "--new-session",
        "--as-pid-1",
        "--clearenv",
        "--cap-drop",
        "ALL",
        // Over the new namespaces only; the helper finishes them with it and drops it before the job.
        "--cap-add",
        "CAP_SYS_ADMIN",
    ]);
    arguments.system(sandbox)?;
    arguments.add(["--proc", "/proc"]);
    for device in DEVICES {
        let path = format!("/dev/{device}");
        arguments.add(["--dev-bind", &path, &path]);
    }
    for (target, link) in DEVICE_LINKS {
        arguments.add(["--symlink", target, link]);
    }
    arguments.tmpfs(SHARED_MEMORY, sandbox.shared_memory_bytes);
    arguments.tmpfs(SCRATCH, sandbox.scratch_bytes);
    arguments.bind(&Bind::read_only(&sandbox.helper, HELPER));
    for bind in binds {
        arguments.bind(bind);
    }
    // The root itself, which holds nothing but mount points.
    arguments.add(["--remount-ro", "/", "--", HELPER, crate::local::INIT]);
    Ok(arguments.0)
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn add<const N: usize>(&mut self, arguments: [&str; N]) {
        self.0.extend(arguments.map(OsString::from));
    }

    fn bind(&mut self, bind: &Bind) {
        let option = if bind.read_only {
            "--ro-bind"
        } else {
            "--bind"
        };
        self.0.extend([
            option.into(),
            bind.source.clone().into(),
            OsString::from(&bind.target),
        ]);
    }

    fn tmpfs(&mut self, target: &str, bytes: u64) {
        self.add([
            "--perms",
            "1777",
            "--size",
            &bytes.to_string(),
            "--tmpfs",
            target,
        ]);
    }

    fn system(&mut self, sandbox: &Sandbox) -> io::Result<()> {
        self.add(["--ro-bind", "/usr", "/usr"]);
        for directory in SYSTEM {
            match fs::symlink_metadata(directory) {
                Ok(meta) if meta.is_symlink() => {
                    let target = fs::read_link(directory)?.into_os_string();
                    self.0
                        .extend(["--symlink".into(), target, directory.into()]);
                }
                Ok(_) => self.add(["--ro-bind", directory, directory]),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        for directory in &sandbox.system {
            let path = directory.clone().into_os_string();
            self.0.extend(["--ro-bind".into(), path.clone(), path]);
        }
        self.bind(&Bind::read_only(&sandbox.etc, "/etc"));
        if sandbox.network {
            // With the machine's network goes its way of resolving names.
            for file in ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"] {
                if Path::new(file).exists() {
                    self.add(["--ro-bind", file, file]);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(network: bool) -> Sandbox {
        Sandbox {
            bwrap: "/usr/bin/bwrap".into(),
            helper: "/opt/helper".into(),
            etc: "/state/etc".into(),
            system: vec!["/opt/python".into()],
            network,
            scratch_bytes: 1000,
            shared_memory_bytes: 64,
        }
    }

    fn words(sandbox: &Sandbox, binds: &[Bind]) -> String {
        let arguments = arguments(sandbox, binds).unwrap();
        arguments
            .iter()
            .map(|word| word.to_str().unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn only_what_is_given_is_mounted() {
        let binds = [
            Bind::read_only("/state/bundle", JOB),
            Bind {
                source: "/state/out".into(),
                target: OUTPUT.into(),
                read_only: false,
            },
        ];
        let words = words(&sandbox(false), &binds);
        let sources = |option: &str| -> Vec<String> {
            let option = format!(" {option} ");
            let parts = words.split(&option).skip(1);
            parts
                .map(|rest| rest.split(' ').take(2).collect::<Vec<_>>().join(" "))
                .collect()
        };
        assert_eq!(sources("--bind"), ["/state/out /out"]);
        let read_only = sources("--ro-bind");
        for mount in [
            "/usr /usr",
            "/state/etc /etc",
            "/opt/python /opt/python",
            "/state/bundle /job",
        ] {
            assert!(
                read_only.iter().any(|bind| bind == mount),
                "{mount} in {read_only:?}"
            );
        }
        assert_eq!(sources("--size"), ["64 --tmpfs", "1000 --tmpfs"]);
        assert!(words.ends_with(" --remount-ro / -- /run/moorline/init __moorline-init"));
    }

    #[test]
    fn the_network_is_there_only_when_asked_for() {
        assert!(words(&sandbox(false), &[]).contains(" --unshare-net "));
        assert!(!words(&sandbox(true), &[]).contains("--unshare-net"));
        assert!(!words(&sandbox(false), &[]).contains("/etc/resolv.conf"));
    }
}
