//! The helper inside the sandbox: process 1, or the process that becomes the job.
//!
//! It takes from itself, in this order: the right to be looked into, the width of its process namespace,
//! capabilities, resources, files, system calls. Then it starts the job, gives its output away, and stays
//! to reap whoever loses its parent. When the job's main process has ended it ends the rest, reports, and
//! with its own exit the kernel ends whatever could be left.
//!
//! The job can not reach it: it is process 1 of a namespace (so no signal of the job is delivered), it is
//! not dumpable (so its memory and descriptors are closed to others of the same user), and system calls
//! that could look into it are refused.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process_group,
    set_dumpable_behavior, wait,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

use super::link::{Confine, Ended, Inside, Orders, Report, null};
use super::tasks::Watch;
use super::{PROXY_PORT, landlock, mounts, namespaces, rlimit, seccomp, tasks};
use crate::supervise::clock::timespec;
use crate::supervise::finish::reaped;
use crate::supervise::prepare;
use crate::supervise::signals::Signals;
use crate::supervise::spawn::find_program;

/// First and longest time between two looks at the number of tasks.
const LOOKS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Runs the helper. The exit code is for a person who looks; what counts is the report.
pub(crate) fn main() -> i32 {
    match run() {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn run() -> io::Result<()> {
    let mut inside = Inside::new()?;
    let Some(orders) = inside.orders()? else {
        return Ok(());
    };
    match begin(&mut inside, orders) {
        Ok(Some(mut job)) => {
            let ended = job.watch(&mut inside)?;
            inside.report(&Report::Ended(ended))
        }
        Ok(None) => Ok(()),
        Err(reason) => inside.report(&Report::Failed(reason)),
    }
}

/// Does all of the orders up to the start of the job. The error is a sentence for people.
fn begin(inside: &mut Inside, orders: Orders) -> Result<Option<Job>, String> {
    let told = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    if let Some(spaces) = orders.confine.namespaces {
        namespaces::enter(spaces).map_err(told("making namespaces"))?;
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| format!("closing this process to others: {error}"))?;
    if getpid() == Pid::INIT {
        mounts::harden().map_err(told("finishing the mounts"))?;
    }
    if let Some(limit) = orders.confine.tasks {
        tasks::bound(limit).map_err(told("bounding the number of processes"))?;
    }
    drop_capabilities().map_err(told("dropping capabilities"))?;
    if orders.proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PROXY_PORT))
            .map_err(told("listening for the egress proxy"))?;
        inside
            .hand_over(&Report::Listening, listener.as_fd())
            .map_err(told("handing out the socket of the egress proxy"))?;
    }
    // Opened now: later, files below /proc can not be written any more.
    let badness = OpenOptions::new()
        .write(true)
        .open("/proc/self/oom_score_adj")
        .ok();
    let landlock = confine(&orders.confine)?;
    if orders.argv.is_empty() {
        inside
            .report(&Report::Started { landlock })
            .map_err(told("reporting"))?;
        return Ok(None);
    }
    let mut command = command(&orders)?;
    if let Some(badness) = &badness {
        // When memory runs out, the kernel shall take the job, not whoever watches it.
        write_score(badness, b"1000")?;
    }
    if orders.confine.namespaces.is_some() {
        inside
            .report(&Report::Started { landlock })
            .map_err(told("reporting"))?;
        // Returns only if it fails; then the report that follows is the one that counts.
        let error = command.exec();
        return Err(format!("`{}`: {error}", command.get_program().display()));
    }
    let signals = Signals::block().map_err(told("blocking signals"))?;
    let pid = spawn(&mut command, &signals)?;
    if let Some(badness) = &badness {
        write_score(badness, b"0")?;
    }
    drop(command);
    let release = || {
        let null = null()?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
        io::Result::Ok(())
    };
    release().map_err(told("giving the output to the job"))?;
    inside
        .report(&Report::Started { landlock })
        .map_err(told("reporting"))?;
    let watch = orders.confine.tasks.map(Watch::new);
    Ok(Some(Job {
        pid,
        signals,
        watch,
        scratch: orders.scratch,
    }))
}

/// Lays the limits upon this process. What can not be had is an error.
fn confine(confine: &Confine) -> Result<Option<String>, String> {
    let told = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    rlimit::apply(&confine.rlimits).map_err(told("setting resource limits"))?;
    set_no_new_privs(true).map_err(|error| format!("forbidding new privileges: {error}"))?;
    let enforced = confine
        .landlock
        .as_ref()
        .map(landlock::restrict)
        .transpose()?;
    if confine.seccomp {
        seccomp::restrict()?;
    }
    Ok(enforced)
}

/// Gives up every capability, for good: the user is not root in here and nothing can be gained by exec.
fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    set_capabilities(None, sets)?;
    Ok(())
}

/// The job, not yet started.
fn command(orders: &Orders) -> Result<Command, String> {
    let argv: Vec<_> = orders.argv.iter().map(prepare::os_string).collect();
    let (name, arguments) = argv.split_first().ok_or("the command is empty")?;
    let path = orders
        .env
        .get("PATH")
        .map_or(prepare::PATH, |path| path.expose());
    let working_dir = Path::new(&orders.working_dir);
    let file = find_program(Path::new(name), path, working_dir)?;
    #[expect(clippy::disallowed_methods, reason = "the helper starts the job here")]
    let mut command = Command::new(file);
    command
        .arg0(name)
        .args(arguments)
        .env_clear()
        .envs(
            orders
                .env
                .iter()
                .map(|(name, value)| (name, value.expose())),
        )
        .current_dir(working_dir)
        .stdin(Stdio::null())
        .process_group(0);
    Ok(command)
}

fn spawn(command: &mut Command, signals: &Signals) -> Result<Pid, String> {
    // The mask is handed down, so it is lifted meanwhile. What comes in between is seen by reaping.
    let spawned = signals
        .lifted(|| command.spawn())
        .map_err(|error| format!("signals: {error}"))?;
    let child =
        spawned.map_err(|error| format!("`{}`: {error}", command.get_program().display()))?;
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| "no process id".to_owned())
}

fn write_score(mut file: &File, score: &[u8]) -> Result<(), String> {
    file.write_all(score)
        .map_err(|error| format!("oom_score_adj: {error}"))
}

/// The running job.
struct Job {
    pid: Pid,
    signals: Signals,
    watch: Option<Watch>,
    scratch: Vec<String>,
}

impl Job {
    /// Waits for the end of the main process, and ends the rest.
    fn watch(&mut self, inside: &mut Inside) -> io::Result<Ended> {
        let mut pause = LOOKS.0;
        let status = loop {
            if let Some(status) = self.reap()? {
                break status;
            }
            let timeout = self.watch.is_some().then(|| timespec(pause));
            let mut fds = [
                PollFd::new(&self.signals, PollFlags::IN),
                PollFd::new(inside, PollFlags::IN),
            ];
            let ready = match poll(&mut fds, timeout.as_ref()) {
                Ok(ready) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let wished = !fds[1].revents().is_empty();
            if ready == 0
                && let Some(watch) = &mut self.watch
            {
                watch.look();
                pause = LOOKS.1.min(pause * 2);
            }
            if wished {
                let (end, orphaned) = inside.wishes()?;
                if orphaned {
                    // The supervisor is dead: this process goes, and all others with it.
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                if end {
                    match kill_process_group(self.pid, Signal::TERM) {
                        Ok(()) | Err(Errno::SRCH) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            self.signals.take()?;
        };
        // Nothing stood in the way of what ended well, and the look can be spared.
        if let (Some(watch), false) = (&mut self.watch, status.exit_status() == Some(0)) {
            watch.look();
        }
        end_others()?;
        self.ended(status)
    }

    /// Reaps whoever has ended. The status of the main process, when it is among them.
    fn reap(&self) -> io::Result<Option<WaitStatus>> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.pid => return Ok(Some(status)),
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn ended(&self, status: WaitStatus) -> io::Result<Ended> {
        let (cpu_micros, peak_bytes) = reaped()?;
        let full = |path: &&String| {
            rustix::fs::statvfs(path.as_str()).is_ok_and(|stat| stat.f_bavail == 0)
        };
        Ok(Ended {
            code: status.exit_status(),
            signal: status.terminating_signal(),
            cpu_micros,
            peak_bytes,
            tasks: self.watch.as_ref().map_or(0, |watch| watch.most),
            full: self.scratch.iter().filter(full).cloned().collect(),
        })
    }
}

/// Kills all that is left in this process namespace, so that what it used is counted.
fn end_others() -> io::Result<()> {
    // Elsewhere, "all" would be all processes of the user.
    if getpid() != Pid::INIT {
        return Ok(());
    }
    loop {
        match wait(WaitOptions::NOHANG) {
            Err(Errno::CHILD) => return Ok(()),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(None) => {
                let all = nix::unistd::Pid::from_raw(-1);
                match nix::sys::signal::kill(all, nix::sys::signal::Signal::SIGKILL) {
                    Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
                    Err(error) => return Err(error.into()),
                }
                match wait(WaitOptions::empty()) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(Errno::CHILD) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}
