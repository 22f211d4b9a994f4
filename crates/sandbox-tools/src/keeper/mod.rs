//! The keeper: outside the container, in mounts of its own.
//!
//! It builds the container's root there, starts the agent in new namespaces, and maps the agent's users.
//! The agent's mounts follow the keeper's (they are its *slaves*, in the words of `mount_namespaces(7)`),
//! so a directory that the keeper mounts later appears inside, and nothing inside can mount anything.
//! When the emulator's end of its socket closes, it kills the agent, with which the kernel kills all of the
//! container, and ends; with it go the mounts.

mod devices;
mod paths;
mod root;
mod users;

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};

pub(crate) use self::devices::read_only;
use self::root::Root;
use crate::channel::Channel;
use crate::wire::{KeeperReply, KeeperRequest, Plan};

/// From the keeper to the agent, over the agent's standard output.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Step {
    /// Go on to this root, with this host name.
    Enter {
        /// On the host.
        root: std::path::PathBuf,
        /// Inside.
        hostname: String,
    },
    /// The users are mapped.
    Mapped,
}

/// From the agent to the keeper.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// It has a user namespace, to be mapped.
    Unshared,
    /// It serves.
    Ready,
    /// It does not; a sentence for people.
    Failed(String),
}

/// Runs the keeper.
pub(crate) fn main() -> i32 {
    i32::from(run().is_err())
}

fn run() -> io::Result<()> {
    crate::inherited::close()?;
    // Not of the terminal that the emulator was started from, whose signals are not for containers.
    rustix::process::setsid()?;
    let mut emulator = Channel::from_stdin()?;
    let Some(KeeperRequest::Build(plan)) = emulator.receive()? else {
        return Ok(());
    };
    let agent_end = emulator.take_descriptor()?;
    match build(&plan, agent_end) {
        Ok((root, mut agent)) => {
            emulator.send(&KeeperReply::Done, &[])?;
            let served = serve(&mut emulator, root);
            // Whichever way the emulator went.
            drop(agent.kill());
            agent.wait()?;
            served
        }
        Err(reason) => emulator.send(&KeeperReply::Failed(reason), &[]),
    }
}

fn serve(emulator: &mut Channel, mut root: Root) -> io::Result<()> {
    while let Some(request) = emulator.receive()? {
        let done = match request {
            KeeperRequest::Build(_) => Err(io::ErrorKind::AlreadyExists.into()),
            KeeperRequest::MountDirectory {
                path,
                source,
                layer,
            } => root.mount_directory(&path, &source, &layer),
            KeeperRequest::UnmountDirectory { path } => root.unmount_directory(&path),
            KeeperRequest::CopyDirectory { path, into } => root.copy_directory(&path, &into),
            KeeperRequest::CopyLayer { into } => root.copy_layer(&into),
        };
        let reply = match done {
            Ok(()) => KeeperReply::Done,
            Err(error) => KeeperReply::Failed(error.to_string()),
        };
        emulator.send(&reply, &[])?;
    }
    Ok(())
}

/// The error is a sentence for people.
fn build(plan: &Plan, agent_end: std::os::fd::OwnedFd) -> Result<(Root, Child), String> {
    let told = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    users::enter().map_err(told("making a user namespace"))?;
    let root = Root::build(plan).map_err(|error| format!("building the root: {error}"))?;
    let rest = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    unshare(rest)
        .map_err(io::Error::from)
        .map_err(told("making namespaces"))?;
    let (ours, theirs) = UnixStream::pair().map_err(told("a pair of sockets"))?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the keeper starts the agent of its container"
    )]
    let mut command = Command::new(&plan.helper);
    command
        .arg(crate::AGENT)
        .env_clear()
        .stdin(Stdio::from(agent_end))
        .stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
    let mut agent = command.spawn().map_err(told("starting the agent"))?;
    drop(command);
    match greet(&mut Channel::new(ours), &agent, plan, root.path()) {
        Ok(()) => Ok((root, agent)),
        Err(reason) => {
            drop(agent.kill());
            drop(agent.wait());
            Err(reason)
        }
    }
}

/// Leads the agent through its start.
fn greet(channel: &mut Channel, agent: &Child, plan: &Plan, root: &Path) -> Result<(), String> {
    let told = |error: io::Error| format!("starting the agent: {error}");
    let step = Step::Enter {
        root: root.to_path_buf(),
        hostname: plan.hostname.clone(),
    };
    channel.send(&step, &[]).map_err(told)?;
    loop {
        match channel.receive::<Stage>().map_err(told)? {
            Some(Stage::Unshared) => {
                users::map(agent.id()).map_err(|error| format!("mapping users: {error}"))?;
                channel.send(&Step::Mapped, &[]).map_err(told)?;
            }
            Some(Stage::Ready) => return Ok(()),
            Some(Stage::Failed(reason)) => return Err(reason),
            None => return Err("the agent ended without a word".to_owned()),
        }
    }
}

/// Puts something else where standard output is, and takes it over.
pub(crate) fn channel_from_stdout() -> io::Result<Channel> {
    let socket = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(crate::channel::null()?)?;
    Ok(Channel::new(socket))
}
