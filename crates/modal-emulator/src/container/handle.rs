//! One container.

use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError, Weak};
use std::time::Duration;

use moorline_executor::egress::EgressRules;
use moorline_sandbox_tools::wire::{AgentReply, AgentRequest, KeeperReply, KeeperRequest};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};

use super::birth::{self, Born, RESOLVER};
use super::link::Link;
use super::network::Net;
use super::runtime::Place;
use super::{ContainerEnd, ContainerError, ContainerSpec, Exec, Network, Process};

/// SIGTERM.
const TERM: i32 = 15;
/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Home of the container's root, and where processes start.
const HOME: &str = "/root";

/// A running container. Dropping the last handle ends it as [`stop`](Self::stop) with no grace does.
#[derive(Debug)]
pub(crate) struct Container {
    id: String,
    dir: PathBuf,
    keeper: Mutex<Link>,
    agent: Mutex<Link>,
    /// Dropping it ends the container.
    lifeline: SyncMutex<Option<watch::Sender<()>>>,
    end: watch::Receiver<Option<ContainerEnd>>,
    net: Mutex<Net>,
    processes: SyncMutex<Vec<Weak<Process>>>,
    /// Numbers processes and directories mounted later.
    count: AtomicU64,
}

impl Container {
    pub(super) async fn start(
        place: Place,
        spec: ContainerSpec,
    ) -> Result<Arc<Self>, ContainerError> {
        let rules = Net::check(&spec.network)?;
        let Born {
            keeper,
            agent,
            lifeline,
            end,
        } = birth::bear(&place, &spec).await?;
        let container = Arc::new(Self {
            id: spec.id,
            dir: place.dir,
            keeper: Mutex::new(keeper),
            agent: Mutex::new(agent),
            lifeline: SyncMutex::new(Some(lifeline)),
            end,
            net: Mutex::new(Net::default()),
            processes: SyncMutex::default(),
            count: AtomicU64::new(0),
        });
        container.apply(rules).await?;
        Ok(container)
    }

    /// The id of its specification.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Starts a process. It runs on when the returned handle is dropped.
    pub(crate) async fn exec(&self, mut exec: Exec) -> Result<Arc<Process>, ContainerError> {
        let env = &mut exec.env;
        let mut add = |name: &str, value: &str| {
            env.entry(name.to_owned())
                .or_insert_with(|| value.to_owned());
        };
        add("PATH", PATH);
        add("HOME", HOME);
        add("LANG", "C.UTF-8");
        for (name, value) in self.net.lock().await.variables() {
            add(name, value);
        }
        if let Some(pty) = &exec.pty {
            add("TERM", pty.term.as_deref().unwrap_or("xterm-256color"));
        }
        if exec.cwd.as_deref().is_none_or(str::is_empty) {
            exec.cwd = Some(HOME.to_owned());
        }
        let link = self.ask(&AgentRequest::Run).await?;
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let dir = self.dir.join("logs").join(number.to_string());
        let process = Process::start(link, &dir, exec).await?;
        let mut processes = self.processes();
        processes.retain(|process| process.strong_count() > 0);
        processes.push(Arc::downgrade(&process));
        Ok(process)
    }

    /// Copies the writable layer, as it is at one moment, to `into`, which must not exist. A container
    /// whose layers are `into` and then those of this one begins where this one is now.
    /// Mounts are not part of it.
    pub(crate) async fn snapshot(&self, into: &Path) -> Result<(), ContainerError> {
        let into = into.to_path_buf();
        self.frozen("snapshot", "/", KeeperRequest::CopyLayer { into })
            .await
    }

    /// Moves the writable layer of a container that has ended to `into`, on the same file system: as
    /// `snapshot`, without a copy.
    #[expect(
        clippy::wrong_self_convention,
        reason = "the handle is shared; it is the files that become a layer"
    )]
    pub(crate) fn into_layer(&self, into: &Path) -> Result<(), ContainerError> {
        if self.end.borrow().is_none() {
            return Err(ContainerError::Path {
                operation: "taking the layer",
                path: "/".to_owned(),
                reason: "the container has not ended".to_owned(),
            });
        }
        let layer = self.dir.join("layer");
        std::fs::rename(&layer, into).map_err(|source| ContainerError::Io {
            path: layer,
            source,
        })
    }

    /// Copies a directory inside, as it is seen, to `into`, which must not exist: plain files, no layer.
    pub(crate) async fn snapshot_directory(
        &self,
        path: &str,
        into: &Path,
    ) -> Result<(), ContainerError> {
        let request = KeeperRequest::CopyDirectory {
            path: path.to_owned(),
            into: into.to_path_buf(),
        };
        self.frozen("snapshot", path, request).await
    }

    /// Shows a directory of the host at `path`, below a private writable layer: the host's does not change.
    pub(crate) async fn mount_directory(
        &self,
        path: &str,
        source: &Path,
    ) -> Result<(), ContainerError> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let request = KeeperRequest::MountDirectory {
            path: path.to_owned(),
            source: source.to_path_buf(),
            layer: self.dir.join("mounts").join(number.to_string()),
        };
        self.keep("mounting", path, &request).await
    }

    /// Takes back what [`mount_directory`](Self::mount_directory) showed at `path`.
    pub(crate) async fn unmount_directory(&self, path: &str) -> Result<(), ContainerError> {
        let request = KeeperRequest::UnmountDirectory {
            path: path.to_owned(),
        };
        self.keep("unmounting", path, &request).await
    }

    /// Connects to a port of the container's own loopback.
    pub(crate) async fn connect(&self, port: u16) -> Result<TcpStream, ContainerError> {
        let refused = ContainerError::Refused { port };
        let mut link = self.ask(&AgentRequest::Connect { port }).await?;
        match link.receive().await {
            Ok(Some(AgentReply::Done { .. })) => {}
            Ok(Some(AgentReply::Failed(_))) => return Err(refused),
            Ok(None) | Err(_) => return Err(ContainerError::Gone),
        }
        let connected = async {
            let stream = std::net::TcpStream::from(link.take_descriptor()?);
            let stream = TcpStream::from_std(stream)?;
            stream.writable().await?;
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        connected.await.map_err(|_: io::Error| refused)
    }

    /// Changes what of the network is reached, from now on.
    ///
    /// A container that began with [`Network::Open`] is in the machine's network. With the first change
    /// whatever is started from then on is in one of its own; what runs already stays where it is, since
    /// nothing can move a process to another network.
    pub(crate) async fn set_network(&self, network: Network) -> Result<(), ContainerError> {
        let rules = Net::check(&network)?;
        self.apply(rules).await
    }

    /// Ends everything in it: SIGTERM to what was started by `exec`, and SIGKILL to everything after
    /// `grace`, or as soon as nothing of that runs. Returns when no process and no mount is left.
    pub(crate) async fn stop(&self, grace: Duration) -> ContainerEnd {
        let running: Vec<_> = self.processes().iter().filter_map(Weak::upgrade).collect();
        let running: Vec<_> = running
            .into_iter()
            .filter(|process| process.exit().is_none())
            .collect();
        if !grace.is_zero() && !running.is_empty() {
            for process in &running {
                process.kill(TERM);
            }
            let all = async {
                for process in &running {
                    process.wait().await;
                }
            };
            // Time is over for whoever is left.
            drop(tokio::time::timeout(grace, all).await);
        }
        drop(
            self.lifeline
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        self.wait().await
    }

    /// Waits for its end. Cancel-safe.
    pub(crate) async fn wait(&self) -> ContainerEnd {
        let mut end = self.end.clone();
        let ended = end.wait_for(Option::is_some).await;
        let ended = ended.ok().and_then(|end| end.clone());
        ended.unwrap_or(ContainerEnd::Stopped)
    }

    /// How it ended, if it has.
    #[cfg(test)]
    pub(crate) fn end(&self) -> Option<ContainerEnd> {
        self.end.borrow().clone()
    }

    /// Deletes what a container that has ended leaves in the state directory: its writable layer and logs.
    pub(crate) fn remove_files(&self) -> Result<(), ContainerError> {
        birth::remove(&self.dir).map_err(|source| ContainerError::Io {
            path: self.dir.clone(),
            source,
        })
    }

    fn processes(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Process>>> {
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` is the machine's network, or as near to it as one of the container's own comes.
    async fn apply(&self, rules: Option<EgressRules>) -> Result<(), ContainerError> {
        let mut net = self.net.lock().await;
        if !net.is_isolated() {
            if rules.is_none() {
                return Ok(());
            }
            let mut link = self.ask(&AgentRequest::Isolate).await?;
            net.isolated(done(&mut link).await?, &self.dir.join(RESOLVER))?;
        }
        let rules = rules.unwrap_or_else(EgressRules::everything);
        let blocks = net.routes(&rules);
        net.serve(rules).await?;
        let mut link = self.ask(&AgentRequest::Route { blocks }).await?;
        done(&mut link).await.map(drop)
    }

    /// Sends a request to the agent; the answer comes over the returned link.
    async fn ask(&self, request: &AgentRequest) -> Result<Link, ContainerError> {
        if self.end.borrow().is_some() {
            return Err(ContainerError::Gone);
        }
        let (link, theirs) = Link::pair().map_err(|source| ContainerError::Io {
            path: self.dir.clone(),
            source,
        })?;
        let agent = self.agent.lock().await;
        let sent = agent.send(request, &[theirs.as_fd()]).await;
        sent.map_err(|_| ContainerError::Gone)?;
        Ok(link)
    }

    async fn keep(
        &self,
        operation: &'static str,
        path: &str,
        request: &KeeperRequest,
    ) -> Result<(), ContainerError> {
        let mut keeper = self.keeper.lock().await;
        let sent = keeper.send(request, &[]).await;
        sent.map_err(|_| ContainerError::Gone)?;
        match keeper.receive().await {
            Ok(Some(KeeperReply::Done)) => Ok(()),
            Ok(Some(KeeperReply::Failed(reason))) => Err(ContainerError::Path {
                operation,
                path: path.to_owned(),
                reason,
            }),
            Ok(None) | Err(_) => Err(ContainerError::Gone),
        }
    }

    /// As `keep`, while no process runs.
    async fn frozen(
        &self,
        operation: &'static str,
        path: &str,
        request: KeeperRequest,
    ) -> Result<(), ContainerError> {
        done(&mut self.ask(&AgentRequest::Freeze).await?).await?;
        let kept = self.keep(operation, path, &request).await;
        done(&mut self.ask(&AgentRequest::Thaw).await?).await?;
        kept
    }
}

/// The agent's answer, with its descriptors.
async fn done(link: &mut Link) -> Result<Vec<std::os::fd::OwnedFd>, ContainerError> {
    match link.receive().await {
        Ok(Some(AgentReply::Done { descriptors })) => (0..descriptors)
            .map(|_| link.take_descriptor())
            .collect::<io::Result<_>>()
            .map_err(|_| ContainerError::Gone),
        Ok(Some(AgentReply::Failed(reason))) => Err(ContainerError::Build { reason }),
        Ok(None) | Err(_) => Err(ContainerError::Gone),
    }
}
