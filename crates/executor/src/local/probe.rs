//! What this machine can give, asked once per boot.
//!
//! The trials take some 30 ms, so their result is kept beside the attempts, for as long as the boot, the
//! user, bubblewrap and the helper stay the same.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use moorline_core::attempt::{Isolation, MissingProtection, Protection};
use serde::{Deserialize, Serialize};

use super::isolation;
use super::layout::{self, IfThere};
use super::plan::Machine;
use super::{LocalConfig, TRY, handle};
use crate::executor::{Capabilities, ExecutorError};
use crate::sandbox::cgroup::{self, Hierarchy};
use crate::sandbox::etc;
use crate::sandbox::trial::{Findings, Question};

/// The kept result, and what it holds for.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    key: String,
    findings: Findings,
}

/// The findings for this configuration, and the `/etc` for sandboxes.
fn probe(config: &LocalConfig, boot_id: &str) -> io::Result<(Findings, PathBuf)> {
    let etc = etc::directory(&config.root, Path::new("/etc"))?;
    let bwrap = config.find_bwrap();
    let key = key(config, bwrap.as_deref(), boot_id);
    let path = config.root.join(".probe.json");
    // What can not be read is found again.
    if let Ok(Some(kept)) = layout::read::<Kept>(&path)
        && kept.key == key
    {
        return Ok((kept.findings, etc));
    }
    let question = Question {
        bwrap,
        helper: config.helper.clone(),
        etc: etc.clone(),
    };
    let findings = ask(&question)?;
    let kept = Kept { key, findings };
    layout::publish(&path, &kept, IfThere::Replace)?;
    Ok((kept.findings, etc))
}

fn ask(question: &Question) -> io::Result<Findings> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the executor starts its helper here"
    )]
    let mut command = Command::new(&question.helper);
    let mut child = command
        .arg(TRY)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&serde_json::to_vec(question)?)?;
    }
    let output = child.wait_with_output()?;
    serde_json::from_slice(&output.stdout).map_err(io::Error::from)
}

/// What the findings hang on.
fn key(config: &LocalConfig, bwrap: Option<&Path>, boot_id: &str) -> String {
    let stamp = |path: &Path| {
        let meta = fs::metadata(path).map(|meta| (meta.mtime(), meta.mtime_nsec(), meta.ino()));
        format!("{} {:?}", path.display(), meta.ok())
    };
    let uid = rustix::process::geteuid().as_raw();
    let bwrap = bwrap.map(stamp);
    format!("1 {boot_id} {uid} {bwrap:?} {}", stamp(&config.helper))
}

/// All that a plan needs to know of this machine.
pub(crate) fn machine(config: &LocalConfig, boot_id: &str) -> Result<Machine, ExecutorError> {
    let (findings, etc) = probe(config, boot_id)
        .map_err(|error| ExecutorError::io("finding out what this machine gives", error))?;
    let memory_bytes = rustix::system::sysinfo().totalram;
    Ok(Machine {
        findings,
        etc,
        hierarchies: hierarchies()?,
        memory_bytes,
    })
}

/// Where cgroups can be made. Asked by each process, since it hangs on which groups that is in.
pub(crate) fn hierarchies() -> Result<Vec<Hierarchy>, ExecutorError> {
    cgroup::find().map_err(|error| ExecutorError::io("looking for cgroups", error))
}

/// What an attempt with every limit could have here.
pub(crate) fn capabilities(machine: Result<&Machine, &ExecutorError>) -> Capabilities {
    let all = [
        Protection::Filesystem,
        Protection::Processes,
        Protection::Network,
        Protection::Ipc,
        Protection::Syscalls,
        Protection::NoNewPrivileges,
        Protection::Memory,
        Protection::Pids,
        Protection::Cpu,
        Protection::Disk,
    ];
    let isolation = machine.map_or_else(
        |error| Isolation {
            missing: all
                .map(|protection| MissingProtection {
                    protection,
                    why: error.to_string(),
                })
                .into(),
            ..Isolation::default()
        },
        |machine| isolation::most(&machine.findings, &machine.hierarchies),
    );
    let allow_list = isolation.backend == isolation::SANDBOX;
    Capabilities {
        name: handle::NAME.to_owned(),
        protections: isolation.protections,
        missing: isolation.missing,
        egress_allow_list: allow_list,
        gpu: false,
        secret_objects: false,
        platform: machine.map(platform).unwrap_or_default(),
    }
}

/// What the trials found, for people.
fn platform(machine: &Machine) -> Vec<(String, String)> {
    let findings = &machine.findings;
    let text = |found: &Result<String, String>| match found {
        Ok(what) => what.clone(),
        Err(why) => format!("no: {why}"),
    };
    let yes = |found: &Result<(), String>| text(&found.clone().map(|()| "yes".to_owned()));
    let groups: Vec<String> = machine
        .hierarchies
        .iter()
        .map(|group| {
            format!(
                "{:?} {:?} below {}",
                group.version,
                group.controllers,
                group.parent.display()
            )
        })
        .collect();
    let cgroups = if groups.is_empty() {
        "none can be made".to_owned()
    } else {
        groups.join("; ")
    };
    let user = if findings.root { "root" } else { "not root" };
    [
        ("kernel", findings.kernel.clone()),
        ("user", user.to_owned()),
        ("bubblewrap", text(&findings.sandbox)),
        ("user namespaces", yes(&findings.namespaces)),
        ("landlock", text(&findings.landlock)),
        ("seccomp", yes(&findings.seccomp)),
        ("bound on tasks", yes(&findings.tasks)),
        ("cgroups", cgroups),
    ]
    .map(|(name, found)| (name.to_owned(), found))
    .into()
}
