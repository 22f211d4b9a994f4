//! What an attempt becomes at Modal: pure functions from an attempt to a sandbox.

use std::time::Duration;

use moorline_core::app_name::AppTarget;
use moorline_core::attempt::{Attempt, Isolation, IsolationNeed, MissingProtection, Protection};
use moorline_core::content_id::ContentId;
use moorline_core::lane::Lane;
use moorline_core::processor_ref::ProcessorRef;
use moorline_core::spec::GpuChoice;
use moorline_modal_client::sandbox::{Egress, Gpu, Resources, SandboxSpec, SecretRef, VolumeAt};
use moorline_modal_client::secrets::SecretValues;
use moorline_secrets::SecretEnv;

use super::config::ModalConfig;
use super::{NAME, bundle, egress, handle};
use crate::executor::ExecutorError;
use crate::supervise::guest::{GUEST, GuestRequest, KEEP, PROGRAM};

/// Beyond the attempt's own timeout and grace: for starting, and for copying the outputs.
const SLACK: Duration = Duration::from_mins(5);
/// Modal ends every sandbox after a day.
const LONGEST: Duration = Duration::from_hours(24);
/// After the tree is dead nobody is there who could keep a pipe open for long.
const DRAIN_MS: u64 = 2000;

/// What Modal's sandbox gives every attempt.
const PROTECTIONS: [Protection; 7] = [
    Protection::Filesystem,
    Protection::Processes,
    Protection::Network,
    Protection::Ipc,
    Protection::Syscalls,
    Protection::Memory,
    Protection::Cpu,
];

/// The protections of a sandbox.
pub(super) fn isolation() -> Isolation {
    Isolation {
        backend: "modal-sandbox".to_owned(),
        protections: PROTECTIONS.to_vec(),
        missing: Vec::new(),
    }
}

/// The protections of this attempt's sandbox.
///
/// # Errors
/// When the attempt requires one that Modal does not have.
pub(super) fn isolation_of(attempt: &Attempt) -> Result<Isolation, ExecutorError> {
    let mut isolation = isolation();
    if attempt.limits.pids.is_some() {
        isolation.missing.push(MissingProtection {
            protection: Protection::Pids,
            why: "Modal bounds a sandbox's memory and processor time, not its processes: leave \
                  `resources.pids` out"
                .to_owned(),
        });
    }
    match isolation.missing.first() {
        Some(missing) if attempt.isolation == IsolationNeed::Required => {
            Err(ExecutorError::Isolation {
                missing: missing.why.clone(),
            })
        }
        _ => Ok(isolation),
    }
}

/// Environment and app of an attempt's lane. A job that is no processor is taken for one, in the namespace
/// `jobs`.
pub(super) fn target(config: &ModalConfig, attempt: &Attempt) -> Result<AppTarget, ExecutorError> {
    let lane: Lane = attempt
        .lane
        .parse()
        .map_err(|error| ExecutorError::unsupported(NAME, format!("{error}")))?;
    let name = format!("jobs/{}@1", attempt.job_id);
    let processor: ProcessorRef = if let Ok(processor) = name.parse() {
        processor
    } else {
        let hash = ContentId::of_bytes(attempt.job_id.as_bytes()).to_hex();
        let short: String = hash.chars().take(16).collect();
        format!("jobs/j{short}@1")
            .parse()
            .map_err(|error| ExecutorError::unsupported(NAME, format!("{error}")))?
    };
    Ok(config.policy.derive(&processor, &lane))
}

/// What the supervisor inside is asked. Keys of secrets only.
pub(super) fn request(
    attempt: &Attempt,
    secrets: &[String],
    notes: Vec<String>,
    hold_ms: u64,
) -> GuestRequest {
    GuestRequest {
        attempt: bundle::inside(attempt),
        secrets: secrets.to_vec(),
        keep: KEEP.into(),
        isolation: isolation_of(attempt).unwrap_or_else(|_| isolation()),
        notes,
        hold_ms,
        drain_ms: DRAIN_MS,
    }
}

/// The objects that a sandbox is made from.
#[derive(Debug, Clone, Default)]
pub(super) struct Objects {
    pub(super) app_id: String,
    pub(super) image_id: String,
    /// The supervisor's mount, then the attempt's.
    pub(super) mounts: Vec<String>,
    /// The attempt's own volume.
    pub(super) keep: String,
    /// Ids of the secret objects that the attempt names.
    pub(super) secrets: Vec<String>,
    /// The step's volumes: id, path, whether writes are refused.
    pub(super) volumes: Vec<(String, String, bool)>,
}

/// The sandbox of an attempt.
pub(super) fn spec(
    attempt: &Attempt,
    objects: &Objects,
    egress: Egress,
    secrets: &SecretEnv,
    gpu: Option<&GpuChoice>,
    hold: Duration,
) -> SandboxSpec {
    let limits = &attempt.limits;
    let mut resources = Resources::default();
    let mebibytes = limits.memory_bytes.map(|bytes| bytes.div_ceil(1 << 20));
    let mebibytes = mebibytes.map(|mebibytes| u32::try_from(mebibytes).unwrap_or(u32::MAX));
    (resources.memory_mib, resources.memory_limit_mib) = (mebibytes, mebibytes);
    (resources.cpu, resources.cpu_limit) = (limits.cpu, limits.cpu);
    resources.gpu = gpu.map(|gpu| Gpu {
        kind: gpu.kind.clone(),
        count: gpu.count,
    });
    let inline: SecretValues = secrets
        .iter()
        .map(|(key, value)| (key.as_str().to_owned(), value.expose().to_owned().into()))
        .collect();
    let mut spec = SandboxSpec::new(&objects.app_id, &objects.image_id)
        .command([PROGRAM, GUEST])
        .name(attempt.id.to_string())
        .resources(resources)
        .timeout(lifetime(attempt, hold))
        .egress(egress)
        .volume(VolumeAt::new(&objects.keep, KEEP));
    spec.mounts.clone_from(&objects.mounts);
    spec.tags = handle::tags(attempt);
    // Later ones win, and what was given beside the attempt does.
    for id in &objects.secrets {
        spec = spec.secret(SecretRef::Id(id.clone()));
    }
    if !inline.is_empty() {
        spec = spec.secret(SecretRef::Inline(inline));
    }
    for (id, path, read_only) in &objects.volumes {
        let volume = VolumeAt::new(id, path);
        spec = spec.volume(if *read_only {
            volume.read_only()
        } else {
            volume
        });
    }
    spec
}

/// How long the sandbox may live at most: the time to live of everything that runs.
fn lifetime(attempt: &Attempt, hold: Duration) -> Duration {
    let limits = &attempt.limits;
    let wanted = limits
        .timeout
        .checked_add(limits.grace)
        .and_then(|time| time.checked_add(SLACK + hold));
    wanted.unwrap_or(LONGEST).min(LONGEST)
}

/// The egress rule at Modal.
pub(super) fn egress_of(attempt: &Attempt) -> Result<Egress, ExecutorError> {
    egress::translate(&attempt.egress, attempt.isolation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modal::tests::{attempt, config};

    #[test]
    fn the_lane_is_a_suffix_of_the_app_name() {
        let mut attempt = attempt();
        let app = |attempt: &Attempt| target(&config(), attempt).unwrap().app.to_string();
        assert_eq!(app(&attempt), "jobs-bank-statement-v1-dev");
        attempt.lane = "prod".to_owned();
        assert_eq!(app(&attempt), "jobs-bank-statement-v1-prod");
        attempt.job_id = "2b1f Ünïcode".to_owned();
        assert!(
            app(&attempt).ends_with("-v1-prod"),
            "any job id gives a name"
        );
    }

    #[test]
    fn a_sandbox_outlives_its_attempt_by_a_bounded_time() {
        let mut attempt = attempt();
        attempt.limits.timeout = Duration::from_mins(1);
        attempt.limits.grace = Duration::from_secs(10);
        assert_eq!(lifetime(&attempt, Duration::ZERO), Duration::from_secs(370));
        attempt.limits.timeout = Duration::MAX;
        assert_eq!(lifetime(&attempt, Duration::ZERO), LONGEST);
    }

    #[test]
    fn a_sandbox_carries_limits_secrets_and_its_attempts_name() {
        let mut attempt = attempt();
        attempt.limits.memory_bytes = Some((256 << 20) + 1);
        attempt.limits.cpu = Some(0.5);
        let objects = Objects {
            app_id: "ap-1".to_owned(),
            image_id: "im-1".to_owned(),
            mounts: vec!["mo-1".to_owned(), "mo-2".to_owned()],
            keep: "vo-1".to_owned(),
            secrets: vec!["st-1".to_owned()],
            volumes: vec![("vo-2".to_owned(), "/data".to_owned(), true)],
        };
        let mut secrets = SecretEnv::new();
        secrets.insert(
            "API_KEY".parse().unwrap(),
            moorline_secrets::SecretValue::from("correct horse"),
            moorline_secrets::Origin::new("test"),
        );
        let gpu = GpuChoice {
            kind: "A10G".to_owned(),
            count: 2,
            queue_timeout_seconds: None,
        };
        let spec = spec(
            &attempt,
            &objects,
            Egress::Blocked,
            &secrets,
            Some(&gpu),
            Duration::ZERO,
        );
        spec.validate().unwrap();
        assert_eq!(spec.name, Some(attempt.id.to_string()));
        assert_eq!(spec.resources.memory_limit_mib, Some(257));
        assert_eq!(spec.resources.cpu_limit, Some(0.5));
        assert_eq!(
            spec.resources.gpu,
            Some(Gpu {
                kind: "A10G".to_owned(),
                count: 2
            })
        );
        assert_eq!(spec.volumes.len(), 2);
        assert!(matches!(
            spec.secrets.as_slice(),
            [SecretRef::Id(_), SecretRef::Inline(_)]
        ));
        assert!(!format!("{spec:?}").contains("correct horse"));
        assert!(!spec.command.concat().contains("correct horse"));
    }

    #[test]
    fn a_bound_on_processes_is_missing_and_refused_where_it_is_required() {
        let mut attempt = attempt();
        attempt.limits.pids = Some(10);
        attempt.isolation = IsolationNeed::BestEffort;
        assert_eq!(isolation_of(&attempt).unwrap().missing.len(), 1);
        attempt.isolation = IsolationNeed::Required;
        assert!(matches!(
            isolation_of(&attempt),
            Err(ExecutorError::Isolation { .. })
        ));
    }
}
