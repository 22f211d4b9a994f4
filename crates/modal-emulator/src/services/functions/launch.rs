//! Starting a container of a function: its files, its environment, its own socket, and the process.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moorline_modal_proto::client::network_access::NetworkAccessType;
use moorline_modal_proto::client::object::HandleMetadataOneof;
use moorline_modal_proto::client::{AppLayout, ContainerArguments, Function, Object, Resources};
use prost::Message as _;
use tokio::net::UnixListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

use super::catalog::Effective;
use crate::call::TaskId;
use crate::container::{
    Container, ContainerError, ContainerSpec, Exec, Limits, Mount, Network, Process,
};
use crate::services::sandboxes::live::Place;
use crate::services::{apps, images, mounts, secrets, volumes};
use crate::world::World;

/// Where the container finds its arguments.
const ARGUMENTS: &str = "/__modal/container_arguments.bin";
/// Where it finds its socket.
const SOCKET: &str = "/__modal/server.sock";
/// Where functions run, unless the image says otherwise. The user's source is there.
const HOME: &str = "/root";
/// Outputs of a container that can not reach the emulator over HTTP travel in messages up to this size.
const CUT_OFF_BYTES: u64 = 64 << 20;

/// A container with its process.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) container: Arc<Container>,
    pub(super) process: Arc<Process>,
    /// Closes the container's socket.
    _door: DropGuard,
    dir: PathBuf,
}

impl Launched {
    /// Deletes what is left on disk. The container must have ended.
    pub(super) fn remove_files(&self) {
        if let Err(error) = self.container.remove_files() {
            tracing::warn!(%error, container = self.container.id(), "files of a container stay");
        }
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// Whether a container of this function does not reach the emulator's HTTP port.
pub(super) fn is_cut_off(function: &Function) -> bool {
    network(function) != Network::Open
}

fn network(function: &Function) -> Network {
    if function.block_network {
        return Network::Blocked;
    }
    let Some(access) = &function.network_access else {
        return Network::Open;
    };
    match access.network_access_type() {
        NetworkAccessType::Blocked => Network::Blocked,
        NetworkAccessType::Allowlist => Network::Allow {
            domains: access.allowed_domains.clone(),
            cidrs: access.allowed_cidrs.clone(),
        },
        NetworkAccessType::Unspecified | NetworkAccessType::Open => Network::Open,
    }
}

/// Only upper limits are limits: requests reserve, and there is nothing to reserve here.
fn limits(resources: Option<&Resources>) -> Limits {
    let Some(resources) = resources else {
        return Limits::default();
    };
    Limits {
        memory_bytes: (resources.memory_mb_max > 0)
            .then_some(u64::from(resources.memory_mb_max) << 20),
        cpu: (resources.milli_cpu_max > 0).then_some(f64::from(resources.milli_cpu_max) / 1000.0),
        pids: None,
    }
}

fn internal(what: &str, path: &Path, error: &io::Error) -> Status {
    Status::internal(format!("{what} `{}`: {error}", path.display()))
}

/// With its causes: this text is all that callers and the log get.
fn refused(error: &ContainerError) -> Status {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    Status::internal(text)
}

/// Starts a container, and the official entry point in it.
pub(super) async fn launch(
    world: &Arc<World>,
    effective: &Effective,
    task: &str,
) -> Result<Launched, Status> {
    let function = &effective.function;
    let app = apps::get(world, &effective.app_id)?;
    let image = match function.image_id.as_str() {
        "" => images::ImageRoot::default(),
        id => images::root(world, id)?,
    };
    let mut layers = Vec::new();
    for id in function.mount_ids.iter().rev() {
        layers.push(mounts::layer(world, id)?);
    }
    layers.extend(image.layers);

    let dir = world.dir().join("run").join(task);
    fs::create_dir_all(&dir).map_err(|error| internal("could not make", &dir, &error))?;
    let arguments = dir.join("arguments");
    let message = arguments_of(world, effective, task, &app.environment)?;
    fs::write(&arguments, message.encode_to_vec())
        .map_err(|error| internal("could not write", &arguments, &error))?;
    let (socket, door) = open_door(world, &dir, task)?;

    let mut bound = vec![
        Mount {
            source: arguments,
            target: ARGUMENTS.to_owned(),
            read_only: true,
        },
        Mount {
            source: socket,
            target: SOCKET.to_owned(),
            read_only: false,
        },
    ];
    for volume in &function.volume_mounts {
        let source = volumes::subdirectory(world, &volume.volume_id, volume.sub_path())?;
        bound.push(Mount {
            source,
            target: volume.mount_path.clone(),
            read_only: volume.read_only,
        });
    }

    let mut env = image.env;
    env.extend(secrets::env(world, &function.secret_ids)?);
    let path = match env.get("PYTHONPATH") {
        Some(path) if !path.is_empty() => format!("{HOME}:{path}"),
        _ => HOME.to_owned(),
    };
    env.extend(own_env(task, &function.image_id, &app.environment, path));

    let spec = ContainerSpec {
        id: task.to_owned(),
        layers,
        mounts: bound,
        network: network(function),
        limits: limits(function.resources.as_ref()),
    };
    let container = world
        .runtime
        .start(spec)
        .await
        .map_err(|error| refused(&error))?;
    let exec = Exec {
        argv: vec![
            world.options.python.display().to_string(),
            "-m".to_owned(),
            "modal._container_entrypoint".to_owned(),
        ],
        env,
        cwd: Some(image.workdir.unwrap_or_else(|| HOME.to_owned())),
        ..Exec::default()
    };
    let place = Place::new(Arc::clone(&container), exec.env.clone(), exec.cwd.clone());
    let process = container
        .exec(exec)
        .await
        .map_err(|error| refused(&error))?;
    // Commands may be run beside it: `modal container exec`, `modal shell`.
    world.sandboxes.admit(task, Arc::new(place));
    Ok(Launched {
        container,
        process,
        _door: door.drop_guard(),
        dir,
    })
}

/// The variables by which the official runtime knows where it is.
fn own_env(task: &str, image: &str, environment: &str, path: String) -> BTreeMap<String, String> {
    let pairs = [
        ("MODAL_CONTAINER_ARGUMENTS_PATH", ARGUMENTS.to_owned()),
        ("MODAL_IS_REMOTE", "1".to_owned()),
        ("MODAL_SERVER_URL", format!("unix://{SOCKET}")),
        ("MODAL_TASK_ID", task.to_owned()),
        ("MODAL_IMAGE_ID", image.to_owned()),
        ("MODAL_ENVIRONMENT", environment.to_owned()),
        (
            "MODAL_CLOUD_PROVIDER",
            "CLOUD_PROVIDER_UNSPECIFIED".to_owned(),
        ),
        ("MODAL_REGION", "local".to_owned()),
        ("PYTHONPATH", path),
        // What the code prints is to be seen when it is printed.
        ("PYTHONUNBUFFERED", "1".to_owned()),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The container's own socket; calls over it carry its task id.
fn open_door(
    world: &Arc<World>,
    dir: &Path,
    task: &str,
) -> Result<(PathBuf, CancellationToken), Status> {
    let socket = dir.join("sock");
    // The address of a socket is short; this one is known by a descriptor of its directory.
    let listener =
        bind(&socket).map_err(|error| internal("could not listen on", &socket, &error))?;
    // Users inside are others than the one that runs the emulator.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666))
        .map_err(|error| internal("could not open", &socket, &error))?;
    let server = world
        .server()
        .ok_or_else(|| Status::unavailable("the emulator stops"))?;
    let stop = world.stop.child_token();
    let task = TaskId(task.to_owned());
    world
        .tasks
        .spawn(server.accept_container(listener, task, stop.clone()));
    Ok((socket, stop))
}

/// Listens on a path of any length: addresses hold 107 bytes, so a long one goes by way of a descriptor.
fn bind(socket: &Path) -> io::Result<UnixListener> {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::ffi::OsStrExt as _;
    /// `sun_path` without its closing zero.
    const MOST: usize = 107;
    let (Some(parent), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    if socket.as_os_str().as_bytes().len() <= MOST {
        return UnixListener::bind(socket);
    }
    let parent = fs::File::open(parent)?;
    UnixListener::bind(
        Path::new("/proc/self/fd")
            .join(parent.as_raw_fd().to_string())
            .join(name),
    )
}

fn arguments_of(
    world: &World,
    effective: &Effective,
    task: &str,
    environment: &str,
) -> Result<ContainerArguments, Status> {
    let mut layout = apps::layout(world, &effective.app_id)?;
    complete(world, effective, &mut layout);
    Ok(ContainerArguments {
        task_id: task.to_owned(),
        function_id: effective.function_id.clone(),
        app_id: effective.app_id.clone(),
        function_def: Some(effective.function.clone()),
        serialized_params: effective.params.clone(),
        environment_name: environment.to_owned(),
        app_layout: Some(layout),
        ..ContainerArguments::default()
    })
}

/// The runtime fails on a function or a dependency that is not in its layout: all of them are put there.
fn complete(world: &World, effective: &Effective, layout: &mut AppLayout) {
    let function = &effective.function;
    let base = &effective.base_id;
    layout
        .function_ids
        .entry(function.function_name.clone())
        .or_insert_with(|| base.clone());
    let has = |layout: &AppLayout, id: &str| layout.objects.iter().any(|o| o.object_id == id);
    if !has(layout, base) {
        layout.objects.extend(super::object(world, base));
    }
    for dependency in &function.object_dependencies {
        if !has(layout, &dependency.object_id) {
            let object = Object {
                object_id: dependency.object_id.clone(),
                ..Object::default()
            };
            layout.objects.push(object);
        }
    }
    if is_cut_off(function) {
        for object in layout
            .objects
            .iter_mut()
            .filter(|object| object.object_id == *base)
        {
            if let Some(HandleMetadataOneof::FunctionHandleMetadata(handle)) =
                &mut object.handle_metadata_oneof
            {
                handle.max_object_size_bytes = Some(CUT_OFF_BYTES);
                handle.max_async_object_size_bytes = Some(CUT_OFF_BYTES);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_may_lie_deep() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(90)).join("e".repeat(90));
        fs::create_dir_all(&deep).unwrap();
        let socket = deep.join("sock");
        let _listener = bind(&socket).unwrap();
        assert!(socket.exists());
    }

    #[test]
    fn requests_are_no_limits() {
        let resources = Resources {
            memory_mb: 128,
            milli_cpu: 250,
            milli_cpu_max: 500,
            ..Resources::default()
        };
        let expected = Limits {
            memory_bytes: None,
            cpu: Some(0.5),
            pids: None,
        };
        assert_eq!(limits(Some(&resources)), expected);
    }
}
