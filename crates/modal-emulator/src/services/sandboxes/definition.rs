//! From the definition of a sandbox to what runs: everything that is wrong with it is told before it exists.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use moorline_modal_proto::client::probe::ProbeOneof;
use moorline_modal_proto::client::sandbox::OpenPortsOneof;
use moorline_modal_proto::client::{
    CloudBucketMount, PtyInfo, Resources, Sandbox, SecretSource, VolumeMount, secret_source,
};
use tonic::Status;

use super::network;
use crate::container::{ContainerSpec, Exec, Limits, Mount, Network, Pty};
use crate::services::images::{self, ImageRoot};
use crate::services::{mounts, secrets, volumes};
use crate::world::World;

/// What Modal gives a sandbox whose client names no time.
const TIMEOUT: Duration = Duration::from_mins(5);
/// The longest that Modal lets one live.
const LONGEST: u32 = 24 * 3600;
/// What runs when neither the sandbox nor its image names a command.
const SLEEP: [&str; 2] = ["sleep", "172800"];

const CLOUDS: [&str; 4] = ["aws", "gcp", "oci", "auto"];
/// Beginnings of the names of regions.
const REGIONS: [&str; 17] = [
    "us",
    "eu",
    "ap",
    "uk",
    "ca",
    "me",
    "sa",
    "af",
    "jp",
    "au",
    "mx",
    "il",
    "asia",
    "europe",
    "northamerica",
    "southamerica",
    "australia",
];

/// A container to be started, with its first command.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) spec: ContainerSpec,
    pub(crate) exec: Exec,
    /// From the start of the container.
    pub(crate) timeout: Duration,
    pub(crate) idle: Option<Duration>,
}

/// The parts of a definition that containers of every kind share.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'r> {
    /// The id of the new container, in the form `ta-…`.
    pub(crate) id: &'r str,
    pub(crate) image_id: &'r str,
    pub(crate) args: &'r [String],
    pub(crate) workdir: Option<&'r str>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) mount_ids: &'r [String],
    pub(crate) volumes: &'r [VolumeMount],
    pub(crate) buckets: &'r [CloudBucketMount],
    pub(crate) network: Network,
    pub(crate) limits: Limits,
    pub(crate) pty: Option<&'r PtyInfo>,
    /// Directories that are there and empty.
    pub(crate) empty: &'r [&'r str],
}

/// What a whole sandbox needs.
pub(crate) fn plan(
    world: &World,
    id: &str,
    definition: &Sandbox,
    env: &BTreeMap<String, String>,
) -> Result<Plan, Status> {
    check(definition)?;
    let network = match &definition.network_access {
        Some(access) => network::network(access)?,
        None if definition.block_network => Network::Blocked,
        None => Network::Open,
    };
    // Ports that are its own: another sandbox, or the machine, may serve the same ones.
    let probe = definition
        .readiness_probe
        .as_ref()
        .and_then(|probe| probe.probe_oneof.as_ref());
    let has_ports = match &definition.open_ports_oneof {
        Some(OpenPortsOneof::OpenPorts(specs)) => !specs.ports.is_empty(),
        None => false,
    } || matches!(probe, Some(ProbeOneof::TcpPort(_)));
    let network = match network {
        Network::Open if has_ports => Network::Separate,
        network => network,
    };
    let mut docker: &[&str] = &[];
    if option(definition, "enable_docker")? {
        docker = &["/var/lib/docker"];
    }
    let wanted = Wanted {
        id,
        image_id: &definition.image_id,
        args: &definition.entrypoint_args,
        workdir: definition.workdir.as_deref(),
        env: env.clone(),
        mount_ids: &definition.mount_ids,
        volumes: &definition.volume_mounts,
        buckets: &definition.cloud_bucket_mounts,
        network,
        limits: limits(definition.resources.as_ref()),
        pty: definition.pty_info.as_ref(),
        empty: docker,
    };
    let (spec, exec) = container(world, wanted)?;
    let seconds = definition.timeout_secs;
    Ok(Plan {
        spec,
        exec,
        timeout: if seconds == 0 {
            TIMEOUT
        } else {
            Duration::from_secs(seconds.into())
        },
        idle: definition
            .idle_timeout_secs
            .map(|secs| Duration::from_secs(secs.into())),
    })
}

/// A container, with its first command.
pub(crate) fn container(
    world: &World,
    wanted: Wanted<'_>,
) -> Result<(ContainerSpec, Exec), Status> {
    let ImageRoot {
        layers: image,
        env: image_env,
        workdir,
        cmd,
        entrypoint,
    } = images::root(world, wanted.image_id)?;
    // The newest first: later mounts lie over earlier ones, and all of them over the image.
    let mounted = wanted
        .mount_ids
        .iter()
        .rev()
        .map(|id| mounts::layer(world, id));
    let mut layers = mounted.collect::<Result<Vec<_>, _>>()?;
    layers.extend(image);
    let mut inside = Vec::new();
    for volume in wanted.volumes {
        inside.push(volume_mount(world, volume)?);
    }
    for bucket in wanted.buckets {
        inside.push(bucket_mount(world, bucket)?);
    }
    for path in wanted.empty {
        inside.push(empty_mount(world, wanted.id, path)?);
    }
    let mut env: BTreeMap<String, String> = image_env.into_iter().collect();
    env.extend(wanted.env);
    let spec = ContainerSpec {
        id: wanted.id.to_owned(),
        layers,
        mounts: inside,
        network: wanted.network,
        limits: wanted.limits,
    };
    let exec = Exec {
        argv: argv(wanted.args, entrypoint, cmd),
        env,
        cwd: wanted
            .workdir
            .map(str::to_owned)
            .filter(|dir| !dir.is_empty())
            .or(workdir),
        pty: wanted.pty.and_then(pty),
        timeout: None,
    };
    Ok((spec, exec))
}

/// As containers do it: what is asked for takes the place of the image's command, not of its entrypoint.
fn argv(args: &[String], entrypoint: Vec<String>, cmd: Vec<String>) -> Vec<String> {
    let mut argv = entrypoint;
    if args.is_empty() {
        argv.extend(cmd);
    } else {
        argv.extend_from_slice(args);
    }
    if argv.is_empty() {
        argv.extend(SLEEP.map(str::to_owned));
    }
    argv
}

fn check(definition: &Sandbox) -> Result<(), Status> {
    let invalid = |text: String| Err(Status::invalid_argument(text));
    let cloud = definition.cloud_provider_str.to_lowercase();
    if !cloud.is_empty() && !CLOUDS.contains(&cloud.as_str()) {
        return invalid(format!(
            "Invalid cloud '{cloud}': use one of {}",
            CLOUDS.join(", ")
        ));
    }
    let regions = definition
        .scheduler_placement
        .iter()
        .flat_map(|placement| &placement.regions);
    for region in regions {
        let area = region.split(['-', '_']).next().unwrap_or_default();
        if !REGIONS.contains(&area) {
            return invalid(format!(
                "Invalid region '{region}': write, e.g., us-east-1 or eu"
            ));
        }
    }
    if definition.timeout_secs > LONGEST {
        let secs = definition.timeout_secs;
        return invalid(format!(
            "Invalid timeout of {secs} s: a sandbox lives {LONGEST} s at most"
        ));
    }
    if let Some(workdir) = definition.workdir.as_deref()
        && !workdir.is_empty()
        && !workdir.starts_with('/')
    {
        return invalid(format!("workdir must be an absolute path, got: {workdir}"));
    }
    if !definition.nfs_mounts.is_empty() {
        return Err(Status::unimplemented(
            "the emulator has no network file systems: use a volume",
        ));
    }
    for cidr in &definition.inbound_cidr_allowlist {
        network::check_cidr(cidr)?;
    }
    Ok(())
}

/// An experimental option that is on or off.
pub(super) fn option(definition: &Sandbox, name: &str) -> Result<bool, Status> {
    if let Some(on) = definition.experimental_options.get(name) {
        return Ok(*on);
    }
    match definition
        .experimental_options_v2
        .get(name)
        .map(String::as_str)
    {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(Status::invalid_argument(format!(
            "experimental option '{name}' must be a bool"
        ))),
    }
}

fn limits(resources: Option<&Resources>) -> Limits {
    let Some(resources) = resources else {
        return Limits::default();
    };
    // Requests are what a scheduler needs to know; limits are what a process feels.
    let memory = Some(resources.memory_mb_max).filter(|mb| *mb > 0);
    let cpu = Some(resources.milli_cpu_max).filter(|milli| *milli > 0);
    Limits {
        memory_bytes: memory.map(|mb| u64::from(mb) << 20),
        cpu: cpu.map(|milli| f64::from(milli) / 1000.0),
        pids: None,
    }
}

/// A terminal, when one is asked for.
pub(crate) fn pty(info: &PtyInfo) -> Option<Pty> {
    let lines = |wanted: u32, usual| match u16::try_from(wanted) {
        Ok(0) | Err(_) => usual,
        Ok(wanted) => wanted,
    };
    info.enabled.then(|| Pty {
        rows: lines(info.winsz_rows, 24),
        cols: lines(info.winsz_cols, 80),
        term: Some(info.env_term.clone()).filter(|term| !term.is_empty()),
    })
}

/// Variables of secrets by id, and of what was sent with the call; a later one wins.
pub(crate) fn variables(
    world: &World,
    ids: &[String],
    sources: Vec<SecretSource>,
) -> Result<BTreeMap<String, String>, Status> {
    let mut env = secrets::env(world, ids)?;
    for source in sources {
        match source.source {
            Some(secret_source::Source::SecretId(id)) => env.extend(secrets::env(world, &[id])?),
            Some(secret_source::Source::Env(map)) => env.extend(map.contents),
            None => {}
        }
    }
    Ok(env)
}

fn volume_mount(world: &World, volume: &VolumeMount) -> Result<Mount, Status> {
    let source = volumes::subdirectory(world, &volume.volume_id, volume.sub_path())?;
    Ok(Mount {
        source,
        target: absolute(&volume.mount_path)?,
        read_only: volume.read_only,
    })
}

/// Buckets are directories of the emulator, one a name, that all sandboxes share.
fn bucket_mount(world: &World, bucket: &CloudBucketMount) -> Result<Mount, Status> {
    let buckets = world.dir.join("buckets");
    let name = bucket.bucket_name.replace(['/', '.'], "_");
    let source = below(
        &buckets.join(name),
        bucket.key_prefix.as_deref().unwrap_or_default(),
    )?;
    make(&source)?;
    Ok(Mount {
        source,
        target: absolute(&bucket.mount_path)?,
        read_only: bucket.read_only,
    })
}

fn empty_mount(world: &World, id: &str, path: &str) -> Result<Mount, Status> {
    let source = world.dir.join("sandboxes").join(format!("{id}.empty"));
    make(&source)?;
    Ok(Mount {
        source,
        target: path.to_owned(),
        read_only: false,
    })
}

fn make(dir: &Path) -> Result<(), Status> {
    let io = |error: std::io::Error| {
        Status::failed_precondition(format!("`{}` could not be made: {error}", dir.display()))
    };
    std::fs::create_dir_all(dir).map_err(io)
}

/// A path below a directory, whatever is written in it.
fn below(root: &Path, path: &str) -> Result<PathBuf, Status> {
    let mut inside = root.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Status::invalid_argument(format!("Invalid path: {path}")));
            }
        }
    }
    Ok(inside)
}

/// A place inside that something can be mounted on.
pub(crate) fn absolute(path: &str) -> Result<String, Status> {
    let plain = Path::new(path)
        .components()
        .all(|part| part != Component::ParentDir);
    if plain && path.starts_with('/') && !path.trim_matches('/').is_empty() {
        Ok(path.to_owned())
    } else {
        let text = format!("Invalid mount path: '{path}' is not an absolute path below the root");
        Err(Status::invalid_argument(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds_regions_and_times_that_do_not_exist_are_refused() {
        let refused = |change: &dyn Fn(&mut Sandbox)| {
            let mut definition = Sandbox::default();
            change(&mut definition);
            check(&definition).unwrap_err().code() == tonic::Code::InvalidArgument
        };
        assert!(refused(
            &|d| d.cloud_provider_str = "invalid-cloud".to_owned()
        ));
        assert!(refused(&|d| {
            let regions = vec!["us-east-1".to_owned(), "invalid-region".to_owned()];
            d.scheduler_placement = Some(moorline_modal_proto::client::SchedulerPlacement {
                regions,
                ..Default::default()
            });
        }));
        assert!(refused(&|d| d.timeout_secs = LONGEST + 1));
        assert!(refused(&|d| d.workdir = Some("relative/path".to_owned())));
        assert!(refused(
            &|d| d.inbound_cidr_allowlist = vec!["1.2.3.4".to_owned()]
        ));
        check(&Sandbox {
            cloud_provider_str: "AWS".to_owned(),
            ..Sandbox::default()
        })
        .unwrap();
    }

    #[test]
    fn what_is_asked_for_takes_the_place_of_the_images_command() {
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            argv(&words("a b"), words("tini --"), words("sh")),
            words("tini -- a b")
        );
        assert_eq!(
            argv(&[], words("tini --"), words("sh")),
            words("tini -- sh")
        );
        assert_eq!(argv(&[], vec![], vec![]), words("sleep 172800"));
    }

    #[test]
    fn paths_stay_below_their_root() {
        assert_eq!(
            below(Path::new("/v"), "/a/./b").unwrap(),
            Path::new("/v/a/b")
        );
        assert!(below(Path::new("/v"), "../b").is_err());
        assert!(absolute("/").is_err() && absolute("a").is_err() && absolute("/a/../b").is_err());
    }
}
