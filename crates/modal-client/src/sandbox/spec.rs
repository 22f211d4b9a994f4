//! What a sandbox shall be.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;

use super::definition::invalid;
use super::egress::Egress;
use super::secret::SecretRef;
use crate::secrets::SecretValues;
use crate::{Error, Result};

/// What a sandbox may use.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Resources {
    /// Cores that are reserved; the server's default when `None`.
    pub cpu: Option<f64>,
    /// Cores that it may use at most.
    pub cpu_limit: Option<f64>,
    /// MiB that are reserved.
    pub memory_mib: Option<u32>,
    /// MiB that it may use at most.
    pub memory_limit_mib: Option<u32>,
    /// GPUs; they need the first sandbox API, which is chosen by itself.
    pub gpu: Option<Gpu>,
}

/// GPUs of one type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gpu {
    /// The type in upper case: `T4`, `A100-80GB`, `H100`.
    pub kind: String,
    /// How many.
    pub count: u32,
}

impl std::str::FromStr for Gpu {
    type Err = Error;

    /// Reads `TYPE` or `TYPE:COUNT`.
    fn from_str(text: &str) -> Result<Self> {
        let (kind, count) = text
            .split_once(':')
            .map_or((text, Some(1)), |(kind, count)| {
                (kind, count.parse().ok().filter(|count| *count > 0))
            });
        match count {
            Some(count) if !kind.is_empty() => Ok(Self {
                kind: kind.to_ascii_uppercase(),
                count,
            }),
            _ => Err(invalid(format!(
                "`{text}` is not a GPU; write `TYPE` or `TYPE:COUNT`, as in `A100:2`"
            ))),
        }
    }
}

/// A volume in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VolumeAt {
    /// `vo-…`.
    pub volume_id: String,
    /// Canonical and absolute; not `/`, `/root` or `/tmp`.
    pub path: String,
    /// Writes fail.
    pub read_only: bool,
    /// Only this directory of the volume is seen.
    pub sub_path: Option<String>,
}

impl VolumeAt {
    /// The whole volume, writable.
    pub fn new(volume_id: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            volume_id: volume_id.into(),
            path: path.into(),
            read_only: false,
            sub_path: None,
        }
    }

    /// Refuses writes.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Shows one directory only.
    #[must_use]
    pub fn sub_path(mut self, path: impl Into<String>) -> Self {
        self.sub_path = Some(path.into());
        self
    }
}

/// A port of the sandbox that a tunnel leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// TLS ends at Modal.
    Tls(u16),
    /// TLS ends at Modal and HTTP/2 is offered.
    Http2(u16),
    /// TCP as it comes.
    Tcp(u16),
}

/// How it is seen that a sandbox is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The port takes connections.
    Tcp {
        /// In the sandbox.
        port: u16,
        /// Time between two tries.
        interval: Duration,
    },
    /// The command exits with 0.
    Exec {
        /// Command and arguments.
        command: Vec<String>,
        /// Time between two tries.
        interval: Duration,
    },
}

/// Everything that a new sandbox is made from.
///
/// ```
/// use moorline_modal_client::sandbox::{Egress, SandboxSpec, VolumeAt};
/// use std::time::Duration;
///
/// let spec = SandboxSpec::new("ap-123", "im-456")
///     .command(["python", "-c", "print('hello')"])
///     .timeout(Duration::from_mins(1))
///     .volume(VolumeAt::new("vo-789", "/data").read_only())
///     .egress(Egress::Blocked)
///     .tag("owner", "me");
/// spec.validate().unwrap();
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SandboxSpec {
    /// The app that it belongs to (`ap-…`).
    pub app_id: String,
    /// What it runs in (`im-…`).
    pub image_id: String,
    /// Command and arguments; the image's `CMD` when empty. At most 64 KiB.
    pub command: Vec<String>,
    /// Unique among the running sandboxes of the app.
    pub name: Option<String>,
    /// Names and values of letters, digits, `.`, `_` and `-`.
    pub tags: BTreeMap<String, String>,
    /// Secrets, in order: later ones win.
    pub secrets: Vec<SecretRef>,
    /// Environment variables, after the secrets.
    pub env: SecretValues,
    /// CPU, memory, GPU.
    pub resources: Resources,
    /// After this long it is ended, in whole seconds; 5 minutes by default.
    pub timeout: Duration,
    /// After this long without a command, traffic or input it is ended.
    pub idle_timeout: Option<Duration>,
    /// Absolute.
    pub workdir: Option<String>,
    /// Volumes, each at one path.
    pub volumes: Vec<VolumeAt>,
    /// Ids of mounts (`mo-…`).
    pub mounts: Vec<String>,
    /// What it may connect to.
    pub egress: Egress,
    /// Who may connect to its tunnels, in CIDR form; everybody when empty.
    pub inbound_cidrs: Vec<String>,
    /// Ports with tunnels.
    pub ports: Vec<Port>,
    /// How readiness is seen.
    pub readiness: Option<Probe>,
    /// Where it may run; anywhere when empty.
    pub regions: Vec<String>,
    /// The cloud provider, by name.
    pub cloud: Option<String>,
    /// Allows memory snapshots.
    pub memory_snapshots: bool,
    /// Asks for what is not official yet, by the server's own names.
    pub experimental: BTreeMap<String, String>,
    /// Uses the first sandbox API even where the second would do.
    pub v1: bool,
}

impl SandboxSpec {
    /// A sandbox with defaults for all but app and image.
    pub fn new(app_id: impl Into<String>, image_id: impl Into<String>) -> Self {
        Self {
            app_id: app_id.into(),
            image_id: image_id.into(),
            command: Vec::new(),
            name: None,
            tags: BTreeMap::new(),
            secrets: Vec::new(),
            env: SecretValues::new(),
            resources: Resources::default(),
            timeout: Duration::from_mins(5),
            idle_timeout: None,
            workdir: None,
            volumes: Vec::new(),
            mounts: Vec::new(),
            egress: Egress::Open,
            inbound_cidrs: Vec::new(),
            ports: Vec::new(),
            readiness: None,
            regions: Vec::new(),
            cloud: None,
            memory_snapshots: false,
            experimental: BTreeMap::new(),
            v1: false,
        }
    }

    /// Sets command and arguments.
    #[must_use]
    pub fn command(mut self, command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.command = command.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Adds an environment variable; its value is treated as a secret.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<SecretString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Adds a secret.
    #[must_use]
    pub fn secret(mut self, secret: SecretRef) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Sets CPU, memory and GPU.
    #[must_use]
    pub fn resources(mut self, resources: Resources) -> Self {
        self.resources = resources;
        self
    }

    /// Sets the longest life.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the longest idleness.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn workdir(mut self, path: impl Into<String>) -> Self {
        self.workdir = Some(path.into());
        self
    }

    /// Adds a volume.
    #[must_use]
    pub fn volume(mut self, volume: VolumeAt) -> Self {
        self.volumes.push(volume);
        self
    }

    /// Adds a mount.
    #[must_use]
    pub fn mount(mut self, mount_id: impl Into<String>) -> Self {
        self.mounts.push(mount_id.into());
        self
    }

    /// Sets what it may connect to.
    #[must_use]
    pub fn egress(mut self, egress: Egress) -> Self {
        self.egress = egress;
        self
    }

    /// Adds a port with a tunnel.
    #[must_use]
    pub fn port(mut self, port: Port) -> Self {
        self.ports.push(port);
        self
    }

    /// Sets how readiness is seen.
    #[must_use]
    pub fn readiness(mut self, probe: Probe) -> Self {
        self.readiness = Some(probe);
        self
    }
}
