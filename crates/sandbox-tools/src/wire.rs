//! What the emulator and its containers' processes tell one another.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The port of the filtering proxy on a container's loopback, once its network is its own.
pub const PROXY_PORT: u16 = 3128;

/// To the keeper. The first is [`Build`](Self::Build); the end of the stream ends the container.
#[derive(Debug, Serialize, Deserialize)]
pub enum KeeperRequest {
    /// Build the container and start its agent, whose end of a socket comes with this frame.
    Build(Plan),
    /// Show a directory of the host at a path inside, below a writable layer of its own.
    MountDirectory {
        /// Absolute, inside.
        path: String,
        /// On the host.
        source: PathBuf,
        /// A directory of the host, which is made, for the writable layer.
        layer: PathBuf,
    },
    /// Take the topmost mount at a path away.
    UnmountDirectory {
        /// Absolute, inside.
        path: String,
    },
    /// Copy a directory inside as it is seen.
    CopyDirectory {
        /// Absolute, inside.
        path: String,
        /// On the host; must not exist.
        into: PathBuf,
    },
    /// Copy the writable layer as it is stored.
    CopyLayer {
        /// On the host; must not exist.
        into: PathBuf,
    },
}

/// The keeper's answer to each request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeeperReply {
    /// Done.
    Done,
    /// Not done; a sentence for people.
    Failed(String),
}

/// A container's file system and name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Host name inside.
    pub hostname: String,
    /// The container's directory. `layer` in it becomes the writable layer; `work` and `root` are the
    /// keeper's.
    pub dir: PathBuf,
    /// Read-only layers, newest first; the [base](crate::base) is the last.
    pub layers: Vec<PathBuf>,
    /// Directories of the machine that are seen inside, each below a writable layer.
    pub system: Vec<PathBuf>,
    /// In this order.
    pub mounts: Vec<PlanMount>,
    /// The helper's binary on the host.
    pub helper: PathBuf,
}

/// One mount of a [`Plan`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanMount {
    /// A directory, file or socket of the host.
    pub source: PathBuf,
    /// Absolute, inside.
    pub target: String,
    /// Whether writing is refused.
    pub read_only: bool,
}

/// To the agent. With each comes one end of a socket for the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentRequest {
    /// Start a runner on that socket: [`RunnerRequest`] goes down, [`RunnerReport`] comes up.
    Run,
    /// Connect to a port of the loopback; the connection comes with [`AgentReply::Done`].
    Connect {
        /// The port.
        port: u16,
    },
    /// Stop every process, until [`Thaw`](Self::Thaw).
    Freeze,
    /// Let those run on that were stopped.
    Thaw,
    /// Go into a network of one's own, for everything that is started from now on. With the answer come
    /// three sockets on the loopback: two listeners, of the proxy and of redirected connections, and one
    /// for datagrams to name servers; the latter two only where the kernel can redirect.
    Isolate,
    /// Lead connections to these blocks, and no others, to the redirected listener.
    Route {
        /// Address and length of prefix.
        blocks: Vec<(IpAddr, u8)>,
    },
}

/// The agent's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentReply {
    /// Done, with as many descriptors.
    Done {
        /// How many come with the frame.
        descriptors: usize,
    },
    /// Not done; a sentence for people.
    Failed(String),
}

/// To a runner. The first is [`Start`](Self::Start).
#[derive(Debug, Serialize, Deserialize)]
pub enum RunnerRequest {
    /// What to start. Without a terminal, descriptors for the three standard streams come with it.
    Start(Orders),
    /// A signal for the process group; 9 goes to everything that the process started, wherever it is.
    Signal(i32),
}

/// What a runner starts.
#[derive(Serialize, Deserialize)]
pub struct Orders {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Made when it is missing.
    pub cwd: String,
    /// Rows and columns of a terminal.
    pub terminal: Option<(u16, u16)>,
}

impl std::fmt::Debug for Orders {
    /// Without the values of the environment, which are secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Orders")
            .field("argv", &self.argv)
            .field("env", &self.env.keys())
            .field("cwd", &self.cwd)
            .field("terminal", &self.terminal)
            .finish()
    }
}

/// What a runner tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunnerReport {
    /// It runs. The terminal's master side comes with this, if there is one.
    Started,
    /// There is no such program in `PATH`.
    NotFound,
    /// It could not be started; the kernel's answer.
    Failed(String),
    /// It ended by itself.
    Exited(i32),
    /// A signal ended it.
    Signaled(i32),
}
