//! What a container and a process in it are to be: plain data.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// One container.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContainerSpec {
    /// Names its directory below the state directory and its host name; letters, digits, `-` and `_`.
    pub(crate) id: String,
    /// Directories made by [`snapshot`](super::Container::snapshot) or
    /// [`into_layer`](super::Container::into_layer), or by hand with all files in `root/`; newest first. None
    /// is the bare base.
    pub(crate) layers: Vec<PathBuf>,
    /// Files and directories of the host that are seen inside, in this order.
    pub(crate) mounts: Vec<Mount>,
    /// What of the network processes reach.
    pub(crate) network: Network,
    /// Upper limits for all processes together. What this machine can not enforce is logged and left out.
    pub(crate) limits: Limits,
}

/// A path of the host that is seen inside: a directory, a file, or a listening unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Absolute, on the host.
    pub(crate) source: PathBuf,
    /// Absolute, inside. What leads there is made when it is missing.
    pub(crate) target: String,
    /// Whether writing is refused.
    pub(crate) read_only: bool,
}

/// What of the network the processes of a container reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Network {
    /// The machine's.
    #[default]
    Open,
    /// Everything that the machine reaches, from a network of the container's own: its ports are nobody
    /// else's, it has an `eth0`, and of the machine's loopback nothing is seen. TCP over IPv4 and names; the
    /// rest by the proxy.
    Separate,
    /// Nothing but the container's own loopback.
    Blocked,
    /// The listed destinations; the container's own loopback is always there.
    Allow {
        /// Names, or `*.example.com` for every name below one. Ports 80 and 443, or `name:port`.
        domains: Vec<String>,
        /// Blocks such as `203.0.113.0/24`, on every port.
        cidrs: Vec<String>,
    },
}

/// Upper limits for all processes of a container together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Limits {
    pub(crate) memory_bytes: Option<u64>,
    /// Cores.
    pub(crate) cpu: Option<f64>,
    /// Processes and threads.
    pub(crate) pids: Option<u64>,
}

/// A process to be started in a container.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exec {
    /// The program, looked up in `PATH`, and its arguments.
    pub(crate) argv: Vec<String>,
    /// Its environment. `PATH`, `HOME`, `LANG` and the proxy's variables are added where missing.
    pub(crate) env: BTreeMap<String, String>,
    /// Where it starts; `/root` when absent. Made when it is missing.
    pub(crate) cwd: Option<String>,
    /// A terminal instead of pipes: then standard error is empty, and everything is on standard output.
    pub(crate) pty: Option<Pty>,
    /// After this the process and everything that it started are killed.
    pub(crate) timeout: Option<Duration>,
}

/// A terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pty {
    pub(crate) rows: u16,
    pub(crate) cols: u16,
    /// For `TERM`.
    pub(crate) term: Option<String>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// Killed because its time was over.
    TimedOut,
    /// With its container.
    ContainerGone,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContainerEnd {
    /// [`stop`](super::Container::stop) was called, or the container was dropped.
    Stopped,
    /// It ended by itself, with the last words of its keeper, if any.
    Lost(String),
}
