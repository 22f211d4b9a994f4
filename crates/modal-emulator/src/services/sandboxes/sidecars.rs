//! Further containers beside the first one of a sandbox. They end with it.
//!
//! Each has a network of its own: they do not reach each other's loopback.
//!
//! RPCs: `SandboxContainerCreateV2`; the command router has the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use moorline_modal_proto::client::generic_result::GenericStatus;
use moorline_modal_proto::client::{
    Sandbox, SandboxContainerCreateV2Request, SandboxContainerCreateV2Response,
};
use moorline_modal_proto::router::TaskContainerInfo;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::command::{Command, told};
use super::definition::{self, Wanted};
use super::live::{Live, Main, Place, ended};
use super::network;
use super::record::Outcome;
use crate::call::Call;
use crate::container::{Exit, Network};
use crate::ids;
use crate::routes::Rpcs;
use crate::world::World;

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("SandboxContainerCreateV2", sandbox_container_create_v2);
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Sidecar {
    pub(crate) id: String,
    name: String,
    pub(crate) image_id: String,
    pub(crate) main: Main,
    outcome: watch::Sender<Option<Outcome>>,
    terminated: CancellationToken,
}

impl Sidecar {
    /// As lists show it.
    pub(crate) fn info(&self) -> TaskContainerInfo {
        let result = self.outcome.borrow().as_ref().map(Outcome::result);
        let status = if result.is_some() {
            "terminated"
        } else {
            "running"
        };
        TaskContainerInfo {
            container_id: self.id.clone(),
            container_name: self.name.clone(),
            status: status.to_owned(),
            result,
        }
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&self) -> bool {
        self.outcome.borrow().is_none()
    }

    /// Waits for its end, but not for ever.
    pub(crate) async fn wait(&self, limit: Duration) {
        let mut outcome = self.outcome.subscribe();
        drop(tokio::time::timeout(limit, outcome.wait_for(Option::is_some)).await);
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.terminated.cancel();
    }

    /// Sees it through to its end.
    async fn run(self: Arc<Self>) {
        let terminated = || {
            Outcome::new(
                GenericStatus::Terminated,
                137,
                "the container was terminated",
            )
        };
        let outcome = tokio::select! {
            biased;
            () = self.terminated.cancelled() => terminated(),
            exit = self.main.command.wait() => match exit {
                Exit::Code(0) => Outcome::new(GenericStatus::Success, 0, ""),
                Exit::Code(code) => Outcome::new(GenericStatus::Failure, code, ""),
                Exit::Signal(signal) => Outcome::new(GenericStatus::Failure, 128 + signal, ""),
                Exit::TimedOut | Exit::ContainerGone => terminated(),
            },
        };
        self.main.place.container.stop(Duration::ZERO).await;
        self.outcome.send_replace(Some(outcome));
        self.main.place.remove_files(Duration::from_secs(10)).await;
    }
}

/// The definition of a new one.
#[derive(Debug)]
pub(crate) struct NewSidecar {
    pub(crate) name: String,
    pub(crate) definition: Sandbox,
    /// Variables of secrets, and those sent with the call.
    pub(crate) env: BTreeMap<String, String>,
}

/// Starts one beside a sandbox.
///
/// # Errors
/// `NOT_FOUND` when the sandbox has ended, `ALREADY_EXISTS` when one of this name runs, and what a definition
/// can be wrong in.
pub(crate) async fn create(
    world: &World,
    live: &Arc<Live>,
    new: NewSidecar,
) -> Result<Arc<Sidecar>, Status> {
    let NewSidecar {
        name,
        definition,
        env,
    } = new;
    if name.is_empty() {
        return Err(Status::invalid_argument(
            "the name of a container can not be empty",
        ));
    }
    live.main().await?;
    let network = match &definition.network_access {
        Some(access) => network::network(access)?,
        None => Network::Open,
    };
    let mut inside = live.env.clone();
    inside.extend(env);
    let id = ids::new("ct");
    let (spec, exec) = definition::container(
        world,
        Wanted {
            id: &id,
            image_id: &definition.image_id,
            args: &definition.entrypoint_args,
            workdir: definition.workdir.as_deref(),
            env: inside,
            volumes: &definition.volume_mounts,
            buckets: &definition.cloud_bucket_mounts,
            network,
            pty: definition.pty_info.as_ref(),
            ..Wanted::default()
        },
    )?;
    let exists = || Status::already_exists(format!("Container with name '{name}' already exists"));
    let taken = || {
        live.sidecars()
            .get(&name)
            .is_some_and(|sidecar| sidecar.runs())
    };
    if taken() {
        return Err(exists());
    }
    let container = world
        .runtime
        .start(spec)
        .await
        .map_err(|error| told(&error))?;
    let (env, cwd) = (exec.env.clone(), exec.cwd.clone());
    let command = Command::start(&container, exec, &world.tasks).await;
    let command = command.map_err(|error| told(&error))?;
    let place = Arc::new(Place::new(container, env, cwd));
    let sidecar = Arc::new(Sidecar {
        id,
        name: name.clone(),
        image_id: definition.image_id,
        main: Main {
            place,
            command: Arc::new(command),
        },
        outcome: watch::Sender::new(None),
        terminated: CancellationToken::new(),
    });
    let late = {
        let mut sidecars = live.sidecars();
        let late = sidecars.get(&name).is_some_and(|other| other.runs());
        if !late {
            sidecars.insert(name.clone(), Arc::clone(&sidecar));
        }
        late
    };
    world.tasks.spawn(Arc::clone(&sidecar).run());
    if late {
        sidecar.terminate();
        return Err(exists());
    }
    if live.closed.is_cancelled() {
        // The sandbox ended meanwhile, and did not see this one.
        sidecar.terminate();
        return Err(ended(&live.id));
    }
    Ok(sidecar)
}

/// Ends all of a sandbox's.
pub(super) async fn end_all(live: &Live) {
    let all: Vec<Arc<Sidecar>> = live.sidecars().values().map(Arc::clone).collect();
    for sidecar in &all {
        sidecar.terminate();
    }
    for sidecar in all {
        sidecar.wait(Duration::from_secs(30)).await;
    }
}

async fn sandbox_container_create_v2(
    world: Arc<World>,
    call: Call<SandboxContainerCreateV2Request>,
) -> Result<SandboxContainerCreateV2Response, Status> {
    let request = call.message;
    world.sandboxes.record(&request.sandbox_id, |_| ())?;
    let live = world.sandboxes.live(&request.sandbox_id);
    let live = live.ok_or_else(|| ended(&request.sandbox_id))?;
    let definition = request.definition.unwrap_or_default();
    let mut env: BTreeMap<String, String> = request
        .ephemeral_secrets
        .unwrap_or_default()
        .contents
        .into_iter()
        .collect();
    env.extend(definition::variables(
        &world,
        &definition.secret_ids,
        request.secret_sources,
    )?);
    let new = NewSidecar {
        name: request.container_name,
        definition,
        env,
    };
    let sidecar = create(&world, &live, new).await?;
    call.meta.effect("sandbox.container.create", &sidecar.id);
    Ok(SandboxContainerCreateV2Response {
        container_id: sidecar.id.clone(),
        container_name: sidecar.name.clone(),
    })
}
