//! How a container comes to be, and what is seen to at its end.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use moorline_executor::cgroup::{LimitedTree, TreeLimits};
use moorline_sandbox_tools::KEEPER;
use moorline_sandbox_tools::wire::{KeeperReply, KeeperRequest, Plan, PlanMount};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{Shutdown, shutdown};
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::link::Link;
use super::log::nonblocking;
use super::process::spawn;
use super::runtime::{HOSTNAME, Place};
use super::{ContainerEnd, ContainerError, ContainerSpec, Limits};

/// How long building may take: longer than any mount of a machine in need does.
const PATIENCE: Duration = Duration::from_mins(1);
/// The file in the container's directory that is its resolv.conf.
pub(super) const RESOLVER: &str = "resolv.conf";
/// What of a keeper's last words is kept.
const WORDS: usize = 2000;

/// A container that serves.
pub(super) struct Born {
    pub(super) keeper: Link,
    pub(super) agent: Link,
    /// Dropping it ends the container.
    pub(super) lifeline: watch::Sender<()>,
    pub(super) end: watch::Receiver<Option<ContainerEnd>>,
}

/// Makes the container's directory, starts its keeper, and sees to its end.
pub(super) async fn bear(place: &Place, spec: &ContainerSpec) -> Result<Born, ContainerError> {
    let dir = &place.dir;
    let io = |source| ContainerError::Io {
        path: dir.clone(),
        source,
    };
    fs::create_dir(dir).map_err(io)?;
    // A file of its own, so that what is written there for this network is in no snapshot.
    let resolver = fs::read("/etc/resolv.conf").unwrap_or_default();
    fs::write(dir.join(RESOLVER), resolver).map_err(io)?;
    let (mut keeper, keeper_end) = Link::pair().map_err(io)?;
    let (agent, agent_end) = Link::pair().map_err(io)?;
    let mut child = start(&place.helper, keeper_end, &dir.join("keeper.log")).map_err(io)?;
    let limited = limit(&child, spec).await;
    let plan = plan(place, spec);
    // When the keeper has ended already, its log tells why.
    drop(
        keeper
            .send(&KeeperRequest::Build(plan), &[agent_end.as_fd()])
            .await,
    );
    drop(agent_end);
    let reason = match tokio::time::timeout(PATIENCE, keeper.receive()).await {
        Ok(Ok(Some(KeeperReply::Done))) => None,
        Ok(Ok(Some(KeeperReply::Failed(reason)))) => Some(reason),
        Ok(Ok(None)) => Some(last_words(dir)),
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("its keeper did not answer in time".to_owned()),
    };
    if let Some(reason) = reason {
        // It may have ended; there is nothing more to be done either way.
        drop(child.kill().await);
        drop(remove(dir));
        return Err(ContainerError::Build { reason });
    }
    let (lifeline, cut) = watch::channel(());
    let (sender, end) = watch::channel(None);
    let sockets = Sockets {
        keeper: keeper.twin().map_err(io)?,
        agent: nonblocking(agent.twin().map_err(io)?).map_err(io)?,
    };
    let dir = dir.clone();
    spawn(async move {
        let ended = see_out(child, &sockets, cut, &dir).await;
        // Removing waits for the kernel. A task of ours does not panic.
        drop(tokio::task::spawn_blocking(move || drop(limited)).await);
        sender.send_replace(Some(ended));
    });
    Ok(Born {
        keeper,
        agent,
        lifeline,
        end,
    })
}

/// Limits the keeper, before it starts anything. What this machine can not limit is not limited: a job that
/// would run in its limits runs as well without them.
async fn limit(keeper: &Child, spec: &ContainerSpec) -> Option<LimitedTree> {
    if spec.limits == Limits::default() {
        return None;
    }
    let limits = TreeLimits {
        memory_bytes: spec.limits.memory_bytes,
        tasks: spec.limits.pids,
        cpu: spec.limits.cpu,
    };
    let (name, pid) = (format!("moorline-{}", spec.id), keeper.id()?);
    let limited = tokio::task::spawn_blocking(move || {
        let tree = LimitedTree::new(&name, limits)?;
        tree.add(pid)?;
        Ok::<_, String>(tree)
    });
    match limited.await {
        Ok(Ok(tree)) => Some(tree),
        Ok(Err(reason)) => {
            tracing::warn!(
                container = spec.id,
                reason,
                "a container runs without limits"
            );
            None
        }
        Err(_) => None,
    }
}

fn plan(place: &Place, spec: &ContainerSpec) -> Plan {
    let resolver = PlanMount {
        source: place.dir.join(RESOLVER),
        target: "/etc/resolv.conf".to_owned(),
        read_only: false,
    };
    let mounts = spec.mounts.iter().map(|mount| PlanMount {
        source: mount.source.clone(),
        target: mount.target.clone(),
        read_only: mount.read_only,
    });
    let mounts = std::iter::once(resolver).chain(mounts);
    Plan {
        hostname: HOSTNAME.to_owned(),
        dir: place.dir.clone(),
        layers: [spec.layers.as_slice(), std::slice::from_ref(&place.base)].concat(),
        system: place.system.clone(),
        mounts: mounts.collect(),
        helper: place.helper.clone(),
    }
}

fn start(helper: &Path, stdin: OwnedFd, log: &Path) -> io::Result<Child> {
    let words = fs::File::create_new(log)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the runtime starts the keepers of its containers"
    )]
    let mut command = Command::new(helper);
    command
        .arg(KEEPER)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::null())
        .stderr(Stdio::from(words))
        .spawn()
}

/// What the end is seen by and brought about with.
struct Sockets {
    keeper: OwnedFd,
    agent: AsyncFd<OwnedFd>,
}

/// Waits for the end, whoever brings it, and until nothing is left.
async fn see_out(
    mut child: Child,
    sockets: &Sockets,
    mut cut: watch::Receiver<()>,
    dir: &Path,
) -> ContainerEnd {
    let is_wished = tokio::select! {
        // Nothing is ever sent, so this is the other end's being dropped.
        _ = cut.changed() => true,
        () = closed(&sockets.agent) => false,
        _ = child.wait() => false,
    };
    // The agent ends by it, and with the agent all of the container; then the keeper, and its mounts.
    let _ = shutdown(&sockets.agent, Shutdown::Both);
    let _ = shutdown(&sockets.keeper, Shutdown::Both);
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        drop(child.kill().await);
    }
    if is_wished {
        ContainerEnd::Stopped
    } else {
        ContainerEnd::Lost(last_words(dir))
    }
}

/// Waits for the other side to close. It sends nothing.
async fn closed(socket: &AsyncFd<OwnedFd>) {
    while let Ok(mut ready) = socket.readable().await {
        let mut fds = [PollFd::new(socket.get_ref(), PollFlags::RDHUP)];
        let now = rustix::time::Timespec::default();
        if poll(&mut fds, Some(&now)).is_ok_and(|count| count > 0) {
            return;
        }
        ready.clear_ready();
    }
}

fn last_words(dir: &Path) -> String {
    let words = fs::read(dir.join("keeper.log")).unwrap_or_default();
    let start = words.len().saturating_sub(WORDS);
    let words = String::from_utf8_lossy(words.get(start..).unwrap_or_default())
        .trim()
        .to_owned();
    if words.is_empty() {
        "its keeper ended without a word".to_owned()
    } else {
        words
    }
}

/// Removes a container's directory. The kernel leaves directories in `work` that even their owner may not
/// read, unless he is root.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    for (parent, work) in [("work", "work"), ("mounts", "work/work")] {
        let entries = fs::read_dir(dir.join(parent)).into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let mut inner = entry.path().join(work);
            for below in ["incompat", "volatile", ""] {
                // Not all are there.
                let open = fs::Permissions::from_mode(0o700);
                drop(fs::set_permissions(&inner, open));
                inner.push(below);
            }
        }
    }
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
