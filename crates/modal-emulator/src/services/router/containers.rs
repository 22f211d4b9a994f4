//! Further containers of a sandbox.
//!
//! RPCs: `TaskContainerCreate`, `TaskContainerGet`, `TaskContainerList`, `TaskContainerWait`,
//! `TaskContainerTerminate`.

use std::sync::Arc;

use moorline_modal_proto::client::Sandbox;
use moorline_modal_proto::router::{
    TaskContainerCreateRequest, TaskContainerCreateResponse, TaskContainerGetRequest,
    TaskContainerGetResponse, TaskContainerListRequest, TaskContainerListResponse,
    TaskContainerTerminateRequest, TaskContainerTerminateResponse, TaskContainerWaitRequest,
    TaskContainerWaitResponse,
};
use tonic::Status;

use super::live;
use crate::call::Call;
use crate::routes::Rpcs;
use crate::services::sandboxes::definition;
use crate::services::sandboxes::live::{Live, Place, seconds};
use crate::services::sandboxes::sidecars::{self, NewSidecar, Sidecar};
use crate::world::World;

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("TaskContainerCreate", task_container_create);
    rpcs.read("TaskContainerGet", task_container_get);
    rpcs.read("TaskContainerList", task_container_list);
    rpcs.read("TaskContainerWait", task_container_wait);
    rpcs.write("TaskContainerTerminate", task_container_terminate);
}

/// A container by the id that the emulator gave it.
///
/// # Errors
/// `NOT_FOUND`.
pub(super) fn by_id(live: &Live, id: &str) -> Result<Arc<Sidecar>, Status> {
    let found = live
        .sidecars()
        .values()
        .find(|sidecar| sidecar.id == id)
        .map(Arc::clone);
    found.ok_or_else(|| Status::not_found(format!("Container '{id}' not found")))
}

/// Where commands run beside the first container.
pub(super) fn places(live: &Live) -> Vec<Arc<Place>> {
    live.sidecars()
        .values()
        .map(|sidecar| Arc::clone(&sidecar.main.place))
        .collect()
}

async fn task_container_create(
    world: Arc<World>,
    call: Call<TaskContainerCreateRequest>,
) -> Result<TaskContainerCreateResponse, Status> {
    let request = call.message;
    let live = live(&world, &call.meta, &request.task_id)?;
    let mut env: std::collections::BTreeMap<_, _> = request.env.into_iter().collect();
    env.extend(definition::variables(
        &world,
        &request.secret_ids,
        request.secret_sources,
    )?);
    let definition = Sandbox {
        image_id: request.image_id,
        entrypoint_args: request.args,
        workdir: Some(request.workdir),
        volume_mounts: request.volume_mounts,
        network_access: request.network_access,
        pty_info: request.pty_info,
        ..Sandbox::default()
    };
    let new = NewSidecar {
        name: request.container_name.clone(),
        definition,
        env,
    };
    let sidecar = sidecars::create(&world, &live, new).await?;
    call.meta.effect("sandbox.container.create", &sidecar.id);
    Ok(TaskContainerCreateResponse {
        container_id: sidecar.id.clone(),
        container_name: request.container_name,
    })
}

async fn task_container_get(
    world: Arc<World>,
    call: Call<TaskContainerGetRequest>,
) -> Result<TaskContainerGetResponse, Status> {
    let TaskContainerGetRequest {
        task_id,
        container_name,
        include_terminated,
    } = call.message;
    let live = live(&world, &call.meta, &task_id)?;
    let sidecars = live.sidecars();
    let found = sidecars.get(&container_name);
    let found = found.filter(|sidecar| include_terminated || sidecar.runs());
    let text = || format!("Container with name '{container_name}' not found");
    let found = found.ok_or_else(|| Status::not_found(text()))?;
    Ok(TaskContainerGetResponse {
        container: Some(found.info()),
    })
}

async fn task_container_list(
    world: Arc<World>,
    call: Call<TaskContainerListRequest>,
) -> Result<TaskContainerListResponse, Status> {
    let TaskContainerListRequest {
        task_id,
        include_terminated,
    } = call.message;
    let live = live(&world, &call.meta, &task_id)?;
    let sidecars = live.sidecars();
    let shown = sidecars
        .values()
        .filter(|sidecar| include_terminated || sidecar.runs());
    Ok(TaskContainerListResponse {
        containers: shown.map(|sidecar| sidecar.info()).collect(),
    })
}

async fn task_container_wait(
    world: Arc<World>,
    call: Call<TaskContainerWaitRequest>,
) -> Result<TaskContainerWaitResponse, Status> {
    let TaskContainerWaitRequest {
        task_id,
        container_id,
        timeout,
    } = call.message;
    let live = live(&world, &call.meta, &task_id)?;
    let sidecar = by_id(&live, &container_id)?;
    sidecar.wait(seconds(timeout)).await;
    Ok(TaskContainerWaitResponse {
        result: sidecar.info().result,
    })
}

async fn task_container_terminate(
    world: Arc<World>,
    call: Call<TaskContainerTerminateRequest>,
) -> Result<TaskContainerTerminateResponse, Status> {
    let TaskContainerTerminateRequest {
        task_id,
        container_id,
    } = call.message;
    let live = live(&world, &call.meta, &task_id)?;
    by_id(&live, &container_id)?.terminate();
    call.meta
        .effect("sandbox.container.terminate", container_id);
    Ok(TaskContainerTerminateResponse {})
}
