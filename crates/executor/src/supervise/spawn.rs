//! Starting the job, or the sandbox around it: the one place of a supervisor that starts a process.
#![expect(
    unsafe_code,
    reason = "a parent-death signal can only be set between fork and exec"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::SigSet;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use super::request::SecretText;
use crate::sandbox::cgroup::Groups;

/// What to start.
pub(crate) struct Program<'a> {
    /// The file to execute, already looked up.
    pub(crate) file: PathBuf,
    /// All arguments, the program's own name first.
    pub(crate) argv: Vec<OsString>,
    /// The whole environment.
    pub(crate) env: &'a BTreeMap<String, SecretText>,
    pub(crate) dir: PathBuf,
    /// Its standard input; `/dev/null` when there is none.
    pub(crate) stdin: Option<OwnedFd>,
    /// Cgroups that it joins before it is executed, so that nothing of it is ever outside.
    pub(crate) groups: Option<&'a Groups>,
}

/// What was started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: Pid,
    /// Reading ends, which do not block.
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// Starts a program in a process group of its own, with the supervisor's death as its death.
pub(crate) fn start(program: Program<'_>) -> io::Result<Started> {
    let (stdout, stdout_end) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, stderr_end) = pipe_with(PipeFlags::CLOEXEC)?;
    for pipe in [&stdout, &stderr] {
        fcntl_setfl(pipe, OFlags::NONBLOCK)?;
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the supervisor starts the job here"
    )]
    let mut command = Command::new(&program.file);
    let (name, arguments) = program
        .argv
        .split_first()
        .ok_or(io::ErrorKind::InvalidInput)?;
    command
        .arg0(name)
        .args(arguments)
        .env_clear()
        .envs(
            program
                .env
                .iter()
                .map(|(name, value)| (name, value.expose())),
        )
        .current_dir(&program.dir)
        .stdin(program.stdin.map_or_else(Stdio::null, Stdio::from))
        .stdout(stdout_end)
        .stderr(stderr_end)
        .process_group(0);
    let supervisor = getpid();
    let doors = program
        .groups
        .map(Groups::doors)
        .transpose()?
        .unwrap_or_default();
    let hook = move || {
        for door in &doors {
            rustix::io::write(door, b"0")?;
        }
        // The supervisor's mask is its own affair; the standard library would hand it down.
        SigSet::empty().thread_set_mask()?;
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The supervisor may have died before the line above: then no signal will come.
        if getppid() == Some(supervisor) {
            Ok(())
        } else {
            Err(io::ErrorKind::Interrupted.into())
        }
    };
    // SAFETY: the hook makes system calls and neither allocates nor takes a lock. The supervisor has
    // one thread here, so no lock can be held by another one at the fork.
    unsafe { command.pre_exec(hook) };
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // Dropping `child` neither kills nor reaps; `tree` does both.
    Ok(Started {
        pid: pid.ok_or(io::ErrorKind::InvalidData)?,
        stdout,
        stderr,
    })
}

/// Finds the file that `name` stands for, as `execvp` would: a name with a slash is a path, seen from
/// `dir`; another is looked for in `path`.
pub(crate) fn find_program(name: &Path, path: &str, dir: &Path) -> Result<PathBuf, String> {
    if name.as_os_str().is_empty() {
        return Err("the program's name is empty".to_owned());
    }
    if name.components().count() > 1 || name.as_os_str().as_encoded_bytes().contains(&b'/') {
        // As it is: a script is told this name, and relative ones are looked up after the change of
        // directory.
        return Ok(name.to_owned());
    }
    let found = path
        .split(':')
        .filter(|entry| !entry.is_empty())
        .map(|entry| dir.join(entry).join(name));
    let executable = |file: &PathBuf| {
        file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
    };
    let shown = name.display();
    found
        .into_iter()
        .find(executable)
        .ok_or_else(|| format!("no program `{shown}` in {path}"))
}
