//! Stopping all processes of a container for a moment, by SIGSTOP.
//!
//! Deliberately not by the freezer cgroup: not every machine lets an emulator have one.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How often the processes are looked through: those that are started meanwhile are few and fewer.
const ROUNDS: usize = 50;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Stops every process but this one; those that were running. What is not stopped after a while (it waits in
/// the kernel) changes nothing meanwhile.
pub(crate) fn freeze() -> io::Result<Vec<Pid>> {
    let mut stopped = Vec::new();
    for _ in 0..ROUNDS {
        let running = running()?;
        if running.is_empty() {
            break;
        }
        for pid in running {
            if !stopped.contains(&pid) && kill_process(pid, Signal::STOP).is_ok() {
                stopped.push(pid);
            }
        }
        std::thread::sleep(PAUSE);
    }
    Ok(stopped)
}

/// Lets them run on.
pub(crate) fn thaw(stopped: impl Iterator<Item = Pid>) {
    for pid in stopped {
        // It may have been killed since.
        let _ = kill_process(pid, Signal::CONT);
    }
}

/// Every other process that is neither stopped nor over.
fn running() -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw).filter(|pid| !pid.is_init()) else {
            continue;
        };
        let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
        let stat = fs::read_to_string(path).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes());
        if state.is_some_and(|rest| !matches!(rest.first(), Some(b'T' | b't' | b'Z' | b'X'))) {
            found.push(pid);
        }
    }
    Ok(found)
}
