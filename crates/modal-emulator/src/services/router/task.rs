//! Changes to a running container, and snapshots of it.
//!
//! RPCs: `SandboxWaitUntilReady`, `TaskReloadVolumes`, `TaskSetNetworkAccess`, `TaskSetOutboundPolicy`,
//! `TaskMountDirectory`, `TaskUnmountDirectory`, `TaskSnapshotFilesystem`, `TaskSnapshotDirectory`,
//! `TaskSnapshotMemory`.

use std::sync::Arc;

use moorline_modal_proto::router::{
    SandboxWaitUntilReadyTcrRequest, SandboxWaitUntilReadyTcrResponse, TaskMountDirectoryRequest,
    TaskReloadVolumesRequest, TaskReloadVolumesResponse, TaskSetExperimentalOutboundPolicyRequest,
    TaskSetExperimentalOutboundPolicyResponse, TaskSetNetworkAccessRequest,
    TaskSetNetworkAccessResponse, TaskSnapshotDirectoryRequest, TaskSnapshotDirectoryResponse,
    TaskSnapshotFilesystemRequest, TaskSnapshotFilesystemResponse, TaskSnapshotMemoryRequest,
    TaskSnapshotMemoryResponse, TaskUnmountDirectoryRequest,
};
use tonic::Status;

use super::{containers, live, target};
use crate::call::Call;
use crate::routes::Rpcs;
use crate::services::sandboxes::command::told;
use crate::services::sandboxes::live::seconds;
use crate::services::sandboxes::{definition, images_of, network, ready, restore};
use crate::world::World;

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.read("SandboxWaitUntilReady", sandbox_wait_until_ready);
    rpcs.read("TaskReloadVolumes", task_reload_volumes);
    rpcs.write("TaskSetNetworkAccess", task_set_network_access);
    rpcs.write("TaskSetOutboundPolicy", task_set_outbound_policy);
    rpcs.write("TaskMountDirectory", task_mount_directory);
    rpcs.write("TaskUnmountDirectory", task_unmount_directory);
    rpcs.write("TaskSnapshotFilesystem", task_snapshot_filesystem);
    rpcs.write("TaskSnapshotDirectory", task_snapshot_directory);
    rpcs.write("TaskSnapshotMemory", task_snapshot_memory);
}

async fn sandbox_wait_until_ready(
    world: Arc<World>,
    call: Call<SandboxWaitUntilReadyTcrRequest>,
) -> Result<SandboxWaitUntilReadyTcrResponse, Status> {
    let SandboxWaitUntilReadyTcrRequest { task_id, timeout } = call.message;
    let live = live(&world, &call.meta, &task_id)?;
    let ready_at = ready::wait(&live, seconds(timeout)).await?;
    Ok(SandboxWaitUntilReadyTcrResponse { ready_at })
}

/// Containers see a volume's files themselves: what was committed elsewhere is there already.
async fn task_reload_volumes(
    world: Arc<World>,
    call: Call<TaskReloadVolumesRequest>,
) -> Result<TaskReloadVolumesResponse, Status> {
    let TaskReloadVolumesRequest {
        task_id,
        container_id,
    } = &call.message;
    target(&world, &call.meta, task_id, container_id).await?;
    Ok(TaskReloadVolumesResponse {})
}

async fn task_set_network_access(
    world: Arc<World>,
    call: Call<TaskSetNetworkAccessRequest>,
) -> Result<TaskSetNetworkAccessResponse, Status> {
    let TaskSetNetworkAccessRequest {
        task_id,
        network_access,
    } = call.message;
    let network = network::network(&network_access.unwrap_or_default())?;
    let target = target(&world, &call.meta, &task_id, "").await?;
    let changed = target.place.container.set_network(network).await;
    changed.map_err(|error| told(&error))?;
    call.meta.effect("sandbox.network", task_id);
    Ok(TaskSetNetworkAccessResponse {})
}

async fn task_set_outbound_policy(
    world: Arc<World>,
    call: Call<TaskSetExperimentalOutboundPolicyRequest>,
) -> Result<TaskSetExperimentalOutboundPolicyResponse, Status> {
    let request = call.message;
    target(&world, &call.meta, &request.task_id, "").await?;
    let policy = request.experimental_outbound_policy.unwrap_or_default();
    if !policy.header_replacements.is_empty() {
        let text = "the emulator does not put headers into outgoing requests";
        return Err(Status::unimplemented(text));
    }
    Ok(TaskSetExperimentalOutboundPolicyResponse {})
}

/// A path inside, as it was sent.
fn path(bytes: &[u8]) -> Result<String, Status> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| Status::invalid_argument("the path is not UTF-8"))?;
    definition::absolute(text)
}

async fn task_mount_directory(
    world: Arc<World>,
    call: Call<TaskMountDirectoryRequest>,
) -> Result<(), Status> {
    let request = call.message;
    let path = path(&request.path)?;
    let target = target(&world, &call.meta, &request.task_id, &request.container_id).await?;
    let source = images_of::shown(&world, &target.place, &request.image_id).await?;
    let mounted = target.place.container.mount_directory(&path, &source).await;
    mounted.map_err(|error| told(&error))?;
    call.meta.effect("sandbox.mount", request.task_id);
    Ok(())
}

async fn task_unmount_directory(
    world: Arc<World>,
    call: Call<TaskUnmountDirectoryRequest>,
) -> Result<(), Status> {
    let request = call.message;
    let path = path(&request.path)?;
    let target = target(&world, &call.meta, &request.task_id, &request.container_id).await?;
    let unmounted = target.place.container.unmount_directory(&path).await;
    unmounted.map_err(|error| told(&error))?;
    call.meta.effect("sandbox.unmount", request.task_id);
    Ok(())
}

async fn task_snapshot_filesystem(
    world: Arc<World>,
    call: Call<TaskSnapshotFilesystemRequest>,
) -> Result<TaskSnapshotFilesystemResponse, Status> {
    let request = call.message;
    let live = live(&world, &call.meta, &request.task_id)?;
    let (place, image, mounts) = if request.container_id.is_empty() {
        let definition = &live.definition;
        let place = Arc::clone(&live.main().await?.place);
        (
            place,
            definition.image_id.clone(),
            definition.mount_ids.clone(),
        )
    } else {
        let sidecar = containers::by_id(&live, &request.container_id)?;
        (
            Arc::clone(&sidecar.main.place),
            sidecar.image_id.clone(),
            Vec::new(),
        )
    };
    let cell = live.snapshot(&request.snapshot_id);
    let taken = cell.get_or_try_init(async || {
        let made = images_of::of_container(&world, &place.container, &image, &mounts).await?;
        call.meta.effect("image.snapshot", &made);
        Ok::<_, Status>(made)
    });
    Ok(TaskSnapshotFilesystemResponse {
        image_id: taken.await?.clone(),
    })
}

async fn task_snapshot_directory(
    world: Arc<World>,
    call: Call<TaskSnapshotDirectoryRequest>,
) -> Result<TaskSnapshotDirectoryResponse, Status> {
    let request = call.message;
    let path = path(&request.path)?;
    let live = live(&world, &call.meta, &request.task_id)?;
    let target = target(&world, &call.meta, &request.task_id, &request.container_id).await?;
    let cell = live.snapshot(&request.snapshot_id);
    let taken = cell.get_or_try_init(async || {
        let made = images_of::of_directory(&world, &target.place.container, &path).await?;
        call.meta.effect("image.snapshot", &made);
        Ok::<_, Status>(made)
    });
    Ok(TaskSnapshotDirectoryResponse {
        image_id: taken.await?.clone(),
    })
}

async fn task_snapshot_memory(
    world: Arc<World>,
    call: Call<TaskSnapshotMemoryRequest>,
) -> Result<TaskSnapshotMemoryResponse, Status> {
    let TaskSnapshotMemoryRequest {
        task_id,
        idempotency_key,
    } = call.message;
    let live = live(&world, &call.meta, &task_id)?;
    if !live.definition.enable_snapshot {
        let text = "Sandbox was not created with snapshotting enabled";
        return Err(Status::failed_precondition(text));
    }
    let cell = live.snapshot(&idempotency_key);
    let taken = cell.get_or_try_init(|| restore::take(&world, &call.meta, &live));
    Ok(TaskSnapshotMemoryResponse {
        snapshot_id: taken.await?.clone(),
    })
}
