//! Snapshots through the control plane, and sandboxes that begin where another one was.
//!
//! A memory snapshot is one of the files and of the definition: the restored sandbox starts its command
//! anew. Values of secrets that were sent with a call are kept in memory only: after a restart of the
//! emulator a restored sandbox has those of stored secrets alone.
//!
//! RPCs: `SandboxSnapshot`, `SandboxSnapshotWait`, `SandboxSnapshotGet`, `SandboxRestore`,
//! `SandboxRestoreV2`, `SandboxSnapshotFs`, `SandboxSnapshotFsAsync`, `SandboxSnapshotFsAsyncGet`.

use std::collections::BTreeMap;
use std::sync::Arc;

use moorline_modal_proto::client::generic_result::GenericStatus;
use moorline_modal_proto::client::sandbox_restore_request::SandboxNameOverrideType;
use moorline_modal_proto::client::{
    GenericResult, Sandbox, SandboxRestoreRequest, SandboxRestoreResponse, SandboxRestoreV2Request,
    SandboxRestoreV2Response, SandboxSnapshotFsAsyncGetRequest, SandboxSnapshotFsAsyncRequest,
    SandboxSnapshotFsAsyncResponse, SandboxSnapshotFsRequest, SandboxSnapshotFsResponse,
    SandboxSnapshotGetRequest, SandboxSnapshotGetResponse, SandboxSnapshotHandleMetadata,
    SandboxSnapshotRequest, SandboxSnapshotResponse, SandboxSnapshotWaitRequest,
    SandboxSnapshotWaitResponse, VolumeMount,
};
use serde::{Deserialize, Serialize};
use tonic::Status;

use super::create::{New, Version, create, is_v2};
use super::live::{Live, ended};
use super::record::{Record, from_base64, to_base64};
use super::{access, definition, images_of};
use crate::call::{Call, Meta};
use crate::ids;
use crate::routes::Rpcs;
use crate::world::World;

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("SandboxSnapshot", sandbox_snapshot);
    rpcs.read("SandboxSnapshotWait", sandbox_snapshot_wait);
    rpcs.read("SandboxSnapshotGet", sandbox_snapshot_get);
    rpcs.write("SandboxRestore", sandbox_restore);
    rpcs.write("SandboxRestoreV2", sandbox_restore_v2);
    rpcs.write("SandboxSnapshotFs", sandbox_snapshot_fs);
    rpcs.write("SandboxSnapshotFsAsync", sandbox_snapshot_fs_async);
    rpcs.read("SandboxSnapshotFsAsyncGet", sandbox_snapshot_fs_async_get);
}

/// What a sandbox was when it was snapshotted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    app_id: String,
    v2: bool,
    /// With the image that was made, in place of the one it began with.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    definition: Sandbox,
    tags: BTreeMap<String, String>,
    /// Values of secrets are not written to disk.
    #[serde(skip)]
    env: BTreeMap<String, String>,
}

/// Takes a memory snapshot of a running sandbox.
pub(crate) async fn take(world: &World, meta: &Meta, live: &Live) -> Result<String, Status> {
    let main = live.main().await?;
    let mut definition = live.definition.clone();
    let image = images_of::of_container(
        world,
        &main.place.container,
        &definition.image_id,
        &definition.mount_ids,
    );
    definition.image_id = image.await?;
    definition.mount_ids.clear();
    let id = ids::new("sn");
    let tags = world
        .sandboxes
        .record(&live.id, |record| record.tags.clone())?;
    let snapshot = Snapshot {
        app_id: live.app_id.clone(),
        v2: is_v2(&live.id),
        definition,
        tags,
        env: live.env.clone(),
    };
    world
        .sandboxes
        .kept
        .write()
        .snapshots
        .insert(id.clone(), snapshot);
    meta.effect("sandbox.snapshot", &id);
    Ok(id)
}

fn running(world: &World, sandbox_id: &str) -> Result<Arc<Live>, Status> {
    world.sandboxes.record(sandbox_id, |_| ())?;
    world
        .sandboxes
        .live(sandbox_id)
        .ok_or_else(|| ended(sandbox_id))
}

async fn sandbox_snapshot(
    world: Arc<World>,
    call: Call<SandboxSnapshotRequest>,
) -> Result<SandboxSnapshotResponse, Status> {
    let live = running(&world, &call.message.sandbox_id)?;
    if !live.definition.enable_snapshot {
        let text = "Sandbox was not created with snapshotting enabled";
        return Err(Status::failed_precondition(text));
    }
    let snapshot_id = take(&world, &call.meta, &live).await?;
    Ok(SandboxSnapshotResponse { snapshot_id })
}

fn known(world: &World, snapshot_id: &str) -> Result<Snapshot, Status> {
    let snapshot = world
        .sandboxes
        .kept
        .read()
        .snapshots
        .get(snapshot_id)
        .cloned();
    snapshot.ok_or_else(|| Status::not_found(format!("Snapshot '{snapshot_id}' not found")))
}

/// A snapshot is there when its id is.
async fn sandbox_snapshot_wait(
    world: Arc<World>,
    call: Call<SandboxSnapshotWaitRequest>,
) -> Result<SandboxSnapshotWaitResponse, Status> {
    known(&world, &call.message.snapshot_id)?;
    Ok(SandboxSnapshotWaitResponse {
        result: Some(success()),
    })
}

fn success() -> GenericResult {
    GenericResult {
        status: GenericStatus::Success.into(),
        ..GenericResult::default()
    }
}

async fn sandbox_snapshot_get(
    world: Arc<World>,
    call: Call<SandboxSnapshotGetRequest>,
) -> Result<SandboxSnapshotGetResponse, Status> {
    let snapshot_id = call.message.snapshot_id;
    let is_v2 = known(&world, &snapshot_id)?.v2;
    let handle_metadata = Some(SandboxSnapshotHandleMetadata { is_v2 });
    Ok(SandboxSnapshotGetResponse {
        snapshot_id,
        handle_metadata,
    })
}

/// What a restored sandbox may have other than its snapshot.
struct Changes {
    name: Name,
    volumes: Option<Vec<VolumeMount>>,
}

/// The name of a restored sandbox.
enum Name {
    OfSnapshot,
    /// Absent: none.
    Given(Option<String>),
}

fn name_of(kind: SandboxNameOverrideType, name: String) -> Name {
    match kind {
        SandboxNameOverrideType::Unspecified => Name::OfSnapshot,
        SandboxNameOverrideType::None => Name::Given(None),
        SandboxNameOverrideType::String => Name::Given(Some(name)),
    }
}

async fn restore(
    world: &Arc<World>,
    meta: &Meta,
    snapshot_id: &str,
    changes: Changes,
) -> Result<Record, Status> {
    let Snapshot {
        app_id,
        v2,
        mut definition,
        tags,
        env,
    } = known(world, snapshot_id)?;
    if let Name::Given(name) = changes.name {
        definition.name = name;
    }
    if let Some(volumes) = changes.volumes {
        definition.volume_mounts = volumes;
    }
    let mut all = definition::variables(world, &definition.secret_ids, Vec::new())?;
    all.extend(
        env.into_iter()
            .filter(|(name, _)| !OWN.contains(&name.as_str())),
    );
    let version = if v2 { Version::V2 } else { Version::V1 };
    create(
        world,
        meta,
        New {
            version,
            app_id,
            definition,
            env: all,
            tags,
        },
    )
    .await
}

/// Variables that each sandbox has as its own.
const OWN: [&str; 3] = ["MODAL_SANDBOX_ID", "MODAL_TASK_ID", "MODAL_IMAGE_ID"];

async fn sandbox_restore(
    world: Arc<World>,
    call: Call<SandboxRestoreRequest>,
) -> Result<SandboxRestoreResponse, Status> {
    let request = call.message;
    let kind = request.sandbox_name_override_type();
    let changes = Changes {
        name: name_of(kind, request.sandbox_name_override),
        volumes: request
            .replace_volume_mounts
            .then_some(request.volume_mounts),
    };
    let record = restore(&world, &call.meta, &request.snapshot_id, changes).await?;
    Ok(SandboxRestoreResponse {
        sandbox_id: record.id,
    })
}

async fn sandbox_restore_v2(
    world: Arc<World>,
    call: Call<SandboxRestoreV2Request>,
) -> Result<SandboxRestoreV2Response, Status> {
    let request = call.message;
    let kind = request.sandbox_name_override_type();
    let changes = Changes {
        name: name_of(kind, request.sandbox_name_override),
        volumes: None,
    };
    let record = restore(&world, &call.meta, &request.snapshot_id, changes).await?;
    Ok(SandboxRestoreV2Response {
        command_router_access: Some(access::grant(&world, &call.meta, &record.task_id)),
        metadata: Some(record.metadata()),
        tunnels: record.tunnels,
        task_id: record.task_id,
        sandbox_id: record.id,
    })
}

async fn image_of(world: &World, meta: &Meta, sandbox_id: &str) -> Result<String, Status> {
    let live = running(world, sandbox_id)?;
    let main = live.main().await?;
    let Sandbox {
        image_id,
        mount_ids,
        ..
    } = &live.definition;
    let image = images_of::of_container(world, &main.place.container, image_id, mount_ids).await?;
    meta.effect("image.snapshot", &image);
    Ok(image)
}

async fn sandbox_snapshot_fs(
    world: Arc<World>,
    call: Call<SandboxSnapshotFsRequest>,
) -> Result<SandboxSnapshotFsResponse, Status> {
    let image_id = image_of(&world, &call.meta, &call.message.sandbox_id).await?;
    Ok(SandboxSnapshotFsResponse {
        image_id,
        result: Some(success()),
        image_metadata: None,
    })
}

async fn sandbox_snapshot_fs_async(
    world: Arc<World>,
    call: Call<SandboxSnapshotFsAsyncRequest>,
) -> Result<SandboxSnapshotFsAsyncResponse, Status> {
    let image_id = image_of(&world, &call.meta, &call.message.sandbox_id).await?;
    Ok(SandboxSnapshotFsAsyncResponse { image_id })
}

/// The image was made before its id was told.
async fn sandbox_snapshot_fs_async_get(
    world: Arc<World>,
    call: Call<SandboxSnapshotFsAsyncGetRequest>,
) -> Result<SandboxSnapshotFsResponse, Status> {
    let image_id = call.message.image_id;
    crate::services::images::root(&world, &image_id)?;
    Ok(SandboxSnapshotFsResponse {
        image_id,
        result: Some(success()),
        image_metadata: None,
    })
}
