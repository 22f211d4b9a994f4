//! The agent: process 1 of a container.
//!
//! It goes into the root that the keeper built, gives up the machine's users and mounts for those of a user
//! namespace, and serves: it starts runners, reaps whoever loses its parent, connects to ports, stops and
//! continues all processes, and moves to a network of its own. Programs inside can not reach it: it is not
//! dumpable, has capabilities that they have not, and as process 1 gets no signal of theirs.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, unmount};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{DumpableBehavior, Pid, WaitOptions, set_dumpable_behavior, wait};

use crate::channel::{Channel, null};
use crate::keeper::{Stage, Step, channel_from_stdout, read_only};
use crate::wire::{AgentReply, AgentRequest};
use crate::{RUNNER, TOOL_PATH, caps, freeze, net};

/// Parts of `/proc` through which a root of the container, who is the machine's by number, could change the
/// machine.
const READ_ONLY: [&str; 6] = ["sys", "sysrq-trigger", "irq", "bus", "fs", "acpi"];
/// Parts of `/proc` that tell of the machine what is not for everyone.
const HIDDEN: [&str; 5] = ["kcore", "keys", "kmsg", "timer_list", "sched_debug"];

/// Runs the agent. Its end is the container's.
pub(crate) fn main() -> i32 {
    i32::from(run().is_err())
}

fn run() -> io::Result<()> {
    crate::inherited::close()?;
    let mut emulator = Channel::from_stdin()?;
    let mut keeper = channel_from_stdout()?;
    let children = children()?;
    match enter(&mut keeper) {
        Ok(true) => keeper.send(&Stage::Ready, &[])?,
        Ok(false) => return Ok(()),
        Err(reason) => return keeper.send(&Stage::Failed(reason), &[]),
    }
    drop(keeper);
    serve(&mut emulator, &children)
}

/// Goes into the container. False when the keeper is gone; the error is a sentence for people.
fn enter(keeper: &mut Channel) -> Result<bool, String> {
    let told = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let Some(Step::Enter { root, hostname }) =
        keeper.receive().map_err(told("hearing the keeper"))?
    else {
        return Ok(false);
    };
    rustix::system::sethostname(hostname.as_bytes())
        .map_err(|error| format!("setting the host name: {error}"))?;
    proc(&root.join("proc")).map_err(told("mounting /proc"))?;
    // From here on the machine's users are this namespace's, and its mounts follow the keeper's.
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
        .map_err(|error| format!("making a user namespace: {error}"))?;
    keeper
        .send(&Stage::Unshared, &[])
        .map_err(told("telling the keeper"))?;
    let Some(Step::Mapped) = keeper.receive().map_err(told("hearing the keeper"))? else {
        return Ok(false);
    };
    pivot(&root).map_err(told("changing the root"))?;
    caps::bound().map_err(told("bounding capabilities"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| format!("closing this process to others: {error}"))?;
    Ok(true)
}

/// Mounts `/proc` of this process namespace.
fn proc(target: &Path) -> io::Result<()> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", target, "proc", quiet, None)?;
    for name in READ_ONLY {
        let path = target.join(name);
        if path.exists() {
            mount_bind(&path, &path)?;
            read_only(&path)?;
        }
    }
    for name in HIDDEN {
        let path = target.join(name);
        if path.exists() {
            mount_bind("/dev/null", &path)?;
            read_only(&path)?;
        }
    }
    Ok(())
}

/// Makes `root` the root, and the old one unreachable.
fn pivot(root: &Path) -> io::Result<()> {
    // A mount of this namespace's own: those that came from the keeper can not be moved.
    mount_bind_recursive(root, root)?;
    std::env::set_current_dir(root)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")
}

/// Tells of ended children.
fn children() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    set.thread_block()?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    Ok(SignalFd::with_flags(&set, flags)?)
}

fn serve(emulator: &mut Channel, children: &SignalFd) -> io::Result<()> {
    let mut state = State::default();
    loop {
        let mut fds = [
            PollFd::new(&*emulator, PollFlags::IN),
            PollFd::new(children, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let [has_request, has_child] = fds.map(|fd| !fd.revents().is_empty());
        if has_child {
            while children.read_signal()?.is_some() {}
            reap()?;
        }
        if has_request {
            let Some(request) = emulator.receive::<AgentRequest>()? else {
                return Ok(());
            };
            let socket = emulator.take_descriptor()?;
            if matches!(request, AgentRequest::Run) {
                // Whoever holds the other end sees it closed when this failed.
                drop(start_runner(socket));
            } else {
                answer(&request, &mut state, socket)?;
            }
        }
    }
}

fn reap() -> io::Result<()> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn start_runner(socket: OwnedFd) -> io::Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the agent starts the container's processes"
    )]
    let mut command = Command::new(TOOL_PATH);
    command
        .arg(RUNNER)
        .env_clear()
        .stdin(Stdio::from(socket))
        .stdout(Stdio::from(null()?))
        .stderr(Stdio::from(null()?));
    // Reaped with all the others.
    command.spawn().map(drop)
}

/// What requests changed, for later ones.
#[derive(Default)]
struct State {
    /// Processes that were stopped.
    frozen: Vec<Pid>,
    routes: net::Routes,
}

fn answer(request: &AgentRequest, state: &mut State, socket: OwnedFd) -> io::Result<()> {
    let done = match request {
        AgentRequest::Run => return Ok(()),
        AgentRequest::Connect { port } => loopback(*port).map(|stream| vec![stream]),
        AgentRequest::Freeze => freeze::freeze().map(|stopped| {
            state.frozen.extend(stopped);
            Vec::new()
        }),
        AgentRequest::Thaw => {
            freeze::thaw(state.frozen.drain(..));
            Ok(Vec::new())
        }
        AgentRequest::Isolate => net::isolate(),
        AgentRequest::Route { blocks } => state.routes.set(blocks).map(|()| Vec::new()),
    };
    let mut channel = Channel::new(socket);
    let sent = match done {
        Ok(descriptors) => {
            let reply = AgentReply::Done {
                descriptors: descriptors.len(),
            };
            let borrowed: Vec<BorrowedFd<'_>> = descriptors
                .iter()
                .map(|descriptor| descriptor.as_fd())
                .collect();
            channel.send(&reply, &borrowed)
        }
        Err(error) => channel.send(&AgentReply::Failed(error.to_string()), &[]),
    };
    match sent {
        // Nobody waits for it any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        sent => sent,
    }
}

/// A connection, perhaps not yet complete: the other side waits for that.
fn loopback(port: u16) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match connect(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}
