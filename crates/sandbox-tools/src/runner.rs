//! A runner: the parent of one process that was asked for.
//!
//! It is a child subreaper: whoever loses its parent below it becomes its child, also after `setsid` and
//! double forks. So killing its children until none is left ends everything that the process started. When
//! the process ends by itself the runner ends too, and what is left of the tree is the agent's.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::SigSet;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, kill_process_group,
    set_child_subreaper, wait,
};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::channel::Channel;
use crate::wire::{Orders, RunnerReport, RunnerRequest};
use crate::{SESSION, TOOL_PATH};

/// Where programs are looked for when the environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the runner.
pub(crate) fn main() -> i32 {
    i32::from(run().is_err())
}

fn run() -> io::Result<()> {
    // The agent's mask is its own affair.
    SigSet::empty().thread_set_mask()?;
    let mut emulator = Channel::from_stdin()?;
    let Some(RunnerRequest::Start(orders)) = emulator.receive()? else {
        return Ok(());
    };
    set_child_subreaper(Some(getpid()))?;
    let (pid, terminal) = match start(&orders, &mut emulator) {
        Ok(started) => started,
        Err(report) => return emulator.send(&report, &[]),
    };
    drop(orders);
    let descriptors: Vec<_> = terminal.iter().map(|terminal| terminal.as_fd()).collect();
    emulator.send(&RunnerReport::Started, &descriptors)?;
    drop(descriptors);
    drop(terminal);

    let is_killing = Arc::new(AtomicBool::new(false));
    let mut wishes = Channel::new(emulator.as_fd().try_clone_to_owned()?);
    {
        let is_killing = Arc::clone(&is_killing);
        std::thread::Builder::new()
            .stack_size(256 << 10)
            .spawn(move || obey(&mut wishes, pid, &is_killing))?;
    }
    let report = watch(pid, &is_killing)?;
    match emulator.send(&report, &[]) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        sent => sent,
    }
}

/// Waits for the process; when everything is to be killed, for everything.
fn watch(main: Pid, is_killing: &AtomicBool) -> io::Result<RunnerReport> {
    let mut report = None;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == main => report = Some(told(status)),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::CHILD) => break,
            Err(error) => return Err(error.into()),
        }
        if is_killing.load(Ordering::SeqCst) {
            kill_children()?;
        } else if report.is_some() {
            break;
        }
    }
    report.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn told(status: WaitStatus) -> RunnerReport {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => RunnerReport::Exited(code),
        (None, signal) => RunnerReport::Signaled(signal.unwrap_or_default()),
    }
}

/// Sends the signals that are asked for.
fn obey(wishes: &mut Channel, main: Pid, is_killing: &AtomicBool) {
    while let Ok(Some(request)) = wishes.receive::<RunnerRequest>() {
        let RunnerRequest::Signal(number) = request else {
            return;
        };
        if number == Signal::KILL.as_raw() {
            is_killing.store(true, Ordering::SeqCst);
            // The first deaths wake the other thread, which sees to the rest.
            drop(kill_children());
        } else if let Some(signal) = Signal::from_named_raw(number) {
            let _ = kill_process_group(main, signal);
        }
    }
}

/// Kills the children there are. Theirs become this process's own, to be killed next.
fn kill_children() -> io::Result<()> {
    for child in children()? {
        match kill_process(child, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The kernel keeps the list per thread: a child belongs to the thread that started or adopted it.
fn children() -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        let list = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        let pids = list
            .split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok());
        children.extend(pids.filter_map(Pid::from_raw));
    }
    Ok(children)
}

/// Starts the process. The error is what the emulator is told.
fn start(orders: &Orders, emulator: &mut Channel) -> Result<(Pid, Option<OwnedFd>), RunnerReport> {
    let failed = |error: io::Error| RunnerReport::Failed(error.to_string());
    let (name, arguments) = orders
        .argv
        .split_first()
        .ok_or_else(|| RunnerReport::Failed("the command is empty".to_owned()))?;
    let cwd = Path::new(&orders.cwd);
    fs::create_dir_all(cwd).map_err(|error| {
        RunnerReport::Failed(format!("the working directory `{}`: {error}", orders.cwd))
    })?;
    let file = find(name, &orders.env, cwd)?;
    let (mut command, terminal) = match orders.terminal {
        None => (piped(&file, name, emulator).map_err(failed)?, None),
        Some(size) => {
            let (command, master) = on_terminal(&file, name, size).map_err(failed)?;
            (command, Some(master))
        }
    };
    command
        .args(arguments)
        .env_clear()
        .envs(&orders.env)
        .current_dir(cwd);
    let child = command.spawn().map_err(failed)?;
    // Dropping `child` neither kills nor reaps.
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| RunnerReport::Failed("a process without id".to_owned()))?;
    Ok((pid, terminal))
}

fn piped(file: &Path, name: &str, emulator: &mut Channel) -> io::Result<Command> {
    let mut next = || emulator.take_descriptor().map(Stdio::from);
    let streams = (next()?, next()?, next()?);
    #[expect(
        clippy::disallowed_methods,
        reason = "the runner starts what it was asked for"
    )]
    let mut command = Command::new(file);
    command
        .arg0(name)
        .stdin(streams.0)
        .stdout(streams.1)
        .stderr(streams.2)
        .process_group(0);
    Ok(command)
}

/// A command on a terminal of its own, by way of [`session`](crate::session).
fn on_terminal(
    file: &Path,
    name: &str,
    (rows, columns): (u16, u16),
) -> io::Result<(Command, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    unlockpt(&master)?;
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&master, size)?;
    let terminal = ioctl_tiocgptpeer(&master, flags)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the runner starts what it was asked for"
    )]
    let mut command = Command::new(TOOL_PATH);
    command
        .arg(SESSION)
        .arg(file)
        .arg(name)
        .stdin(terminal.try_clone()?)
        .stdout(terminal.try_clone()?)
        .stderr(terminal);
    Ok((command, master))
}

/// Finds the file that `name` stands for, as `execvp` would.
fn find(name: &str, env: &BTreeMap<String, String>, cwd: &Path) -> Result<PathBuf, RunnerReport> {
    if name.is_empty() {
        return Err(RunnerReport::Failed(
            "the program's name is empty".to_owned(),
        ));
    }
    let is_executable = |path: &Path| {
        let meta = fs::metadata(path);
        meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        let path = cwd.join(name);
        return match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(RunnerReport::NotFound),
            Ok(_) if !is_executable(&path) => {
                Err(RunnerReport::Failed("permission denied".to_owned()))
            }
            _ => Ok(path),
        };
    }
    let path = env.get("PATH").map_or(PATH, String::as_str);
    path.split(':')
        .filter(|entry| !entry.is_empty())
        .map(|entry| cwd.join(entry).join(name))
        .find(|file| is_executable(file))
        .ok_or(RunnerReport::NotFound)
}
