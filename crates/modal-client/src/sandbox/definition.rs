//! The checks of a [`SandboxSpec`] and the requests it becomes. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use moorline_modal_proto::client::{
    GpuConfig, PortSpec, PortSpecs, Probe as ProbeMessage, Resources as ResourcesMessage,
    Sandbox as Definition, SandboxCreateRequest, SandboxCreateV2Request, SandboxTag,
    SchedulerPlacement, TunnelType, VolumeMount, probe, sandbox,
};

use super::egress::{Egress, check_cidr};
use super::secret::{check_names, ids, sources};
use super::spec::{Port, Probe, Resources, SandboxSpec, VolumeAt};
use crate::{Error, ErrorKind, Result, wire};

/// The longest command line, in bytes of all arguments.
pub const MAX_COMMAND: usize = 64 * 1024;

impl SandboxSpec {
    /// Whether it needs the first sandbox API.
    pub fn is_v1(&self) -> bool {
        self.v1 || self.resources.gpu.is_some()
    }

    /// Says what the server would refuse, before anything is sent.
    pub fn validate(&self) -> Result<()> {
        check_command(&self.command)?;
        if let Some(name) = &self.name {
            wire::check_name("sandbox", name)?;
        }
        check_tags(&self.tags)?;
        check_names(&self.secrets, &self.env)?;
        check_workdir(self.workdir.as_deref())?;
        if self.timeout.is_zero() {
            return Err(invalid("timeout is 0; give at least a second"));
        }
        self.egress.validate()?;
        self.inbound_cidrs
            .iter()
            .try_for_each(|cidr| check_cidr(cidr))?;
        if self.egress == Egress::Blocked
            && !(self.ports.is_empty() && self.inbound_cidrs.is_empty())
        {
            let message = "a sandbox with a blocked network has no tunnels; take the ports and inbound \
                           CIDRs away, or use an empty allow list";
            return Err(invalid(message));
        }
        let mut seen = BTreeSet::new();
        for volume in &self.volumes {
            check_mount_path(&volume.path)?;
            if !seen.insert(&volume.path) || !seen.insert(&volume.volume_id) {
                let message = format!(
                    "`{}` at `{}`: a volume has one path and a path one volume",
                    volume.volume_id, volume.path
                );
                return Err(invalid(message));
            }
        }
        self.resources.validate()?;
        match &self.readiness {
            Some(Probe::Exec { command, .. }) if command.is_empty() => {
                Err(invalid("the readiness probe has no command"))
            }
            _ => Ok(()),
        }
    }

    /// The request of the second API.
    pub fn to_create_v2(&self) -> Result<SandboxCreateV2Request> {
        self.validate()?;
        Ok(SandboxCreateV2Request {
            app_id: self.app_id.clone(),
            definition: Some(self.definition(ids(&self.secrets))),
            tags: tags(&self.tags),
            secret_sources: sources(&self.secrets, &self.env),
            ..SandboxCreateV2Request::default()
        })
    }

    /// The request of the first API. It knows no inline secrets: `secret_ids` are those of this spec and the
    /// ones that were made of its inline values.
    pub fn to_create_v1(&self, secret_ids: Vec<String>) -> Result<SandboxCreateRequest> {
        self.validate()?;
        Ok(SandboxCreateRequest {
            app_id: self.app_id.clone(),
            definition: Some(self.definition(secret_ids)),
            tags: tags(&self.tags),
            ..SandboxCreateRequest::default()
        })
    }

    fn definition(&self, secret_ids: Vec<String>) -> Definition {
        Definition {
            entrypoint_args: self.command.clone(),
            mount_ids: self.mounts.clone(),
            image_id: self.image_id.clone(),
            secret_ids,
            resources: Some(self.resources.to_proto()),
            timeout_secs: seconds(self.timeout),
            workdir: self.workdir.clone(),
            volume_mounts: self.volumes.iter().map(volume_mount).collect(),
            scheduler_placement: (!self.regions.is_empty()).then(|| SchedulerPlacement {
                regions: self.regions.clone(),
                ..SchedulerPlacement::default()
            }),
            open_ports_oneof: Some(sandbox::OpenPortsOneof::OpenPorts(PortSpecs {
                ports: self.ports.iter().copied().map(port_spec).collect(),
            })),
            network_access: Some(self.egress.to_proto()),
            enable_snapshot: self.memory_snapshots,
            cloud_provider_str: self.cloud.clone().unwrap_or_default(),
            name: self.name.clone(),
            idle_timeout_secs: self.idle_timeout.map(seconds),
            readiness_probe: self.readiness.as_ref().map(probe_message),
            inbound_cidr_allowlist: self.inbound_cidrs.clone(),
            experimental_options_v2: self.experimental.clone().into_iter().collect(),
            ..Definition::default()
        }
    }
}

impl Resources {
    fn validate(&self) -> Result<()> {
        for cores in [self.cpu, self.cpu_limit].into_iter().flatten() {
            if !cores.is_finite() || cores <= 0.0 || cores > 4096.0 {
                return Err(invalid(format!("{cores} is not a number of CPU cores")));
            }
        }
        if self
            .cpu_limit
            .is_some_and(|limit| limit < self.cpu.unwrap_or_default())
        {
            return Err(invalid("the CPU limit is below what is reserved"));
        }
        if self
            .memory_limit_mib
            .is_some_and(|limit| limit < self.memory_mib.unwrap_or_default())
        {
            return Err(invalid("the memory limit is below what is reserved"));
        }
        Ok(())
    }

    fn to_proto(&self) -> ResourcesMessage {
        let gpu = self.gpu.as_ref();
        ResourcesMessage {
            memory_mb: self.memory_mib.unwrap_or_default(),
            memory_mb_max: self.memory_limit_mib.unwrap_or_default(),
            milli_cpu: milli(self.cpu),
            milli_cpu_max: milli(self.cpu_limit),
            gpu_config: Some(gpu.map_or_else(GpuConfig::default, |gpu| GpuConfig {
                gpu_type: gpu.kind.clone(),
                count: gpu.count,
                ..GpuConfig::default()
            })),
            ..ResourcesMessage::default()
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "validated to be at most 4096 cores"
)]
fn milli(cores: Option<f64>) -> u32 {
    cores.map_or(0, |cores| ((cores * 1000.0).round() as u32).max(1))
}

/// Whole seconds, rounded up.
pub(super) fn seconds(duration: Duration) -> u32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

pub(super) fn tags(tags: &BTreeMap<String, String>) -> Vec<SandboxTag> {
    let tag = |(name, value): (&String, &String)| SandboxTag {
        tag_name: name.clone(),
        tag_value: value.clone(),
    };
    tags.iter().map(tag).collect()
}

fn volume_mount(volume: &VolumeAt) -> VolumeMount {
    VolumeMount {
        volume_id: volume.volume_id.clone(),
        mount_path: volume.path.clone(),
        allow_background_commits: true,
        read_only: volume.read_only,
        sub_path: volume.sub_path.clone(),
    }
}

fn port_spec(port: Port) -> PortSpec {
    let (port, unencrypted, tunnel) = match port {
        Port::Tls(port) => (port, false, None),
        Port::Http2(port) => (port, false, Some(TunnelType::H2.into())),
        Port::Tcp(port) => (port, true, None),
    };
    PortSpec {
        port: port.into(),
        unencrypted,
        tunnel_type: tunnel,
    }
}

fn probe_message(readiness: &Probe) -> ProbeMessage {
    let (kind, interval) = match readiness {
        Probe::Tcp { port, interval } => (probe::ProbeOneof::TcpPort((*port).into()), interval),
        Probe::Exec { command, interval } => (
            probe::ProbeOneof::ExecCommand(probe::ExecCommand {
                argv: command.clone(),
            }),
            interval,
        ),
    };
    let interval = u32::try_from(interval.as_millis())
        .unwrap_or(u32::MAX)
        .max(1);
    ProbeMessage {
        interval_ms: Some(interval),
        probe_oneof: Some(kind),
    }
}

pub(super) fn check_command(command: &[String]) -> Result<()> {
    let length: usize = command.iter().map(String::len).sum();
    if length > MAX_COMMAND {
        let message = format!(
            "the command line has {length} bytes of at most {MAX_COMMAND}; write the input to a file or to \
             standard input"
        );
        return Err(invalid(message));
    }
    match command.iter().find(|argument| argument.contains('\0')) {
        Some(_) => Err(invalid(
            "an argument holds a NUL byte, which no command line can carry",
        )),
        None => Ok(()),
    }
}

pub(super) fn check_workdir(workdir: Option<&str>) -> Result<()> {
    match workdir {
        Some(path) if !path.starts_with('/') => Err(invalid(format!(
            "working directory `{path}` is not absolute"
        ))),
        _ => Ok(()),
    }
}

pub(super) fn check_tags(tags: &BTreeMap<String, String>) -> Result<()> {
    tags.iter()
        .try_for_each(|(name, value)| check_tag(name).and_then(|()| check_tag(value)))
}

fn check_tag(text: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=63).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(invalid(format!(
        "`{text}` is not a tag; use 1 to 63 letters, digits, `-`, `_` and `.`"
    )))
}

fn check_mount_path(path: &str) -> Result<()> {
    let mut parts = path.split('/');
    let canonical = parts.next() == Some("")
        && parts.all(|part| !matches!(part, "" | "." | ".."))
        && path.len() > 1;
    if canonical && !matches!(path, "/root" | "/tmp") {
        return Ok(());
    }
    let message = format!(
        "`{path}` can not hold a volume; give a canonical absolute path other than /, /root and /tmp"
    );
    Err(invalid(message))
}

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;
