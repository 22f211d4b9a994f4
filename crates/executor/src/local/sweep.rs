//! Ending what a dead supervisor left behind.
//!
//! A sandbox dies with its supervisor, and so does the main process of a job without one. What such a job
//! had started beside itself can outlive both, and so can a sandbox that was not complete: it waits for
//! ever for its maker. Both are found by the variable that every process of an attempt inherits; a process
//! that cleared its environment is found only where the attempt had a cgroup.

use std::fs;
use std::io;
use std::path::PathBuf;

use moorline_core::ids::AttemptId;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::ATTEMPT_VARIABLE;
use crate::proc;
use crate::sandbox::cgroup;

/// Kills all processes of an attempt whose supervisor is dead.
pub(crate) fn sweep(id: AttemptId, cgroups: &[PathBuf]) -> io::Result<()> {
    cgroup::abandon(cgroups.iter().map(PathBuf::as_path));
    let mark = format!("{ATTEMPT_VARIABLE}={id}").into_bytes();
    // What is killed may have started something meanwhile, so until nothing is found.
    while kill_marked(&mark)? {}
    Ok(())
}

/// Whether there was a process to kill.
fn kill_marked(mark: &[u8]) -> io::Result<bool> {
    let mut found = false;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.parse().ok())
            .and_then(Pid::from_raw);
        let Some(pid) = pid else { continue };
        // Opened before it is looked at: then what is looked at is what is killed.
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(Errno::SRCH | Errno::INVAL) => continue,
            Err(error) => return Err(error.into()),
        };
        if is_marked(pid, mark)? {
            match pidfd_send_signal(fd, Signal::KILL) {
                Ok(()) => found = true,
                Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(found)
}

fn is_marked(pid: Pid, mark: &[u8]) -> io::Result<bool> {
    let pid = pid.as_raw_nonzero();
    match fs::read(format!("/proc/{pid}/environ")) {
        // A zombie has no environment any more.
        Ok(environment) => Ok(environment
            .split(|&byte| byte == 0)
            .any(|entry| entry == mark)),
        // Gone, or another user's.
        Err(error) if proc::is_gone(&error) || error.kind() == io::ErrorKind::PermissionDenied => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
