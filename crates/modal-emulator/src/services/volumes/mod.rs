//! Volumes: shared directories that containers mount.
//!
//! The content of a volume, of version 1 or 2, is one plain directory. Containers see that directory itself,
//! so what one of them writes is there for all at once; `commit` and `reload` change nothing. (On Modal a
//! change is seen by others after a commit, and by a running container after a reload.) The two versions
//! differ, as on Modal, in how files travel: see [`put`] and [`files`].

pub(crate) mod blocks;
mod files;
mod get;
mod put;
mod tree;
mod walk;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moorline_modal_proto::client::{
    VolumeCommitRequest, VolumeCommitResponse, VolumeDeleteRequest, VolumeFsVersion,
    VolumeGetByIdRequest, VolumeGetByIdResponse, VolumeGetOrCreateRequest,
    VolumeGetOrCreateResponse, VolumeHeartbeatRequest, VolumeListItem, VolumeListRequest,
    VolumeListResponse, VolumeMetadata, VolumeReloadRequest, VolumeRenameRequest,
};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tonic::Status;

use self::blocks::{Index, Upload};
pub(crate) use self::get::serve;
use self::tree::{Tree, normal};
use super::environments;
use super::named::{Kind, Named, Object, Wanted, now};
use crate::call::Call;
use crate::ids;
use crate::kept::Kept;
use crate::routes::Rpcs;
use crate::world::World;

const KIND: Kind = Kind {
    noun: "Volume",
    prefix: "vo",
};

/// A staged upload that was not finished in this time is dropped, in seconds.
const UPLOAD_SECS: f64 = 3600.0;

pub(crate) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("VolumeGetOrCreate", get_or_create);
    rpcs.read("VolumeGetById", get_by_id);
    rpcs.read("VolumeList", list);
    rpcs.write("VolumeDelete", delete);
    rpcs.write("VolumeRename", rename);
    rpcs.write("VolumeHeartbeat", heartbeat);
    rpcs.write("VolumeCommit", commit);
    rpcs.write("VolumeReload", reload);
    rpcs.stream("VolumeListFiles", files::list_files);
    rpcs.stream("VolumeListFiles2", files::list_files2);
    rpcs.read("VolumeGetFile2", files::get_file2);
    rpcs.write("VolumePutFiles", put::put_files);
    rpcs.write("VolumePutFiles2", put::put_files2);
    rpcs.write("VolumeRemoveFile", files::remove_file);
    rpcs.write("VolumeRemoveFile2", files::remove_file2);
    rpcs.write("VolumeCopyFiles", files::copy_files);
    rpcs.write("VolumeCopyFiles2", files::copy_files2);
}

/// Volumes in `DIR/volumes/<id>`, files on their way in `DIR/uploads`.
#[derive(Debug)]
pub(crate) struct Volumes {
    dir: PathBuf,
    staging: PathBuf,
    state: Kept<Named<Volume>>,
    index: Mutex<Index>,
    uploads: Mutex<HashMap<String, Arc<Upload>>>,
}

/// What is kept of one.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Volume {
    /// 1 or 2.
    version: i32,
}

impl Volumes {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let state = Kept::open(dir, "volumes")?;
        let (volumes, staging) = (dir.join("volumes"), dir.join("uploads"));
        // What an earlier emulator left half-way is of no use.
        match fs::remove_dir_all(&staging) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(&volumes)?;
        fs::create_dir_all(&staging)?;
        Ok(Self {
            dir: volumes,
            staging,
            state,
            index: Mutex::default(),
            uploads: Mutex::default(),
        })
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        self.state.flush()
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn uploads(&self) -> MutexGuard<'_, HashMap<String, Arc<Upload>>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn upload(&self, id: &str) -> Option<Arc<Upload>> {
        self.uploads().get(id).cloned()
    }

    /// A path for a new file on the volumes' file system.
    fn staging(&self) -> PathBuf {
        self.staging.join(ids::new("new"))
    }

    fn remove_content(&self, id: &str) {
        // Moved away first, so that the id is free of content at once; running containers that have it
        // mounted see it become empty.
        let gone = self.staging();
        if fs::rename(self.dir.join(id), &gone).is_ok()
            && let Err(error) = fs::remove_dir_all(&gone)
        {
            tracing::warn!(%error, volume = id, "the content of a deleted volume was not removed");
        }
        self.index().forget(|place| place.volume == id);
    }
}

/// The live content of a volume, as a directory to be mounted.
pub(crate) fn directory(world: &World, volume_id: &str) -> Result<PathBuf, Status> {
    world.storage.volumes.state.read().get(KIND, volume_id)?;
    Ok(world.storage.volumes.dir.join(volume_id))
}

/// A directory of a volume, to be mounted instead of all of it; made when it is missing. No link that a
/// container put there leads out of the volume.
pub(crate) fn subdirectory(world: &World, volume_id: &str, path: &str) -> Result<PathBuf, Status> {
    let tree = Tree::open(&directory(world, volume_id)?)?;
    let path = normal(path)?;
    tree.make_directories(&path)?;
    Ok(tree.real_path(&path)?)
}

/// [`directory`], if the volume is of the version that the RPC is for.
fn of_version(world: &World, id: &str, wanted: VolumeFsVersion) -> Result<PathBuf, Status> {
    let has = world
        .storage
        .volumes
        .state
        .read()
        .get(KIND, id)?
        .value
        .version;
    if has != i32::from(wanted) {
        let text = format!("Volume '{id}' has version {has}: use the calls for that version");
        return Err(Status::failed_precondition(text));
    }
    Ok(world.storage.volumes.dir.join(id))
}

/// Work on the file system, away from the threads that serve connections.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|panicked| {
        Err(Status::internal(format!("the emulator failed: {panicked}")))
    })
}

/// Removes ephemeral volumes whose heartbeats stopped, and uploads that nobody finished.
pub(super) fn sweep(world: &World) {
    let volumes = &world.storage.volumes;
    let gone = volumes.state.read().abandoned(now());
    for id in gone {
        if volumes.state.write().remove(KIND, &id).is_ok() {
            volumes.remove_content(&id);
            world.journal.record("volume.expire", &id, None);
        }
    }
    volumes
        .uploads()
        .retain(|_, upload| now() - upload.begun_at < UPLOAD_SECS);
}

/// An environment has another name, or (`None`) is gone with all that is in it.
pub(super) fn environment_changed(world: &World, old: &str, new: Option<&str>) {
    let volumes = &world.storage.volumes;
    let gone = volumes.state.write().environment_changed(old, new);
    for id in gone {
        volumes.remove_content(&id);
        world.journal.record("volume.delete", &id, None);
    }
}

fn metadata(volume: &Object<Volume>) -> VolumeMetadata {
    VolumeMetadata {
        version: volume.value.version,
        name: volume.label(),
        creation_info: Some(volume.creation_info()),
    }
}

async fn get_or_create(
    world: Arc<World>,
    call: Call<VolumeGetOrCreateRequest>,
) -> Result<VolumeGetOrCreateResponse, Status> {
    let request = call.message;
    let environment = environments::resolve(&world, &request.environment_name)?;
    let wanted = Wanted {
        environment: &environment,
        name: &request.deployment_name,
        creation: request.object_creation_type,
    };
    let version = match request.version() {
        VolumeFsVersion::V2 => VolumeFsVersion::V2,
        VolumeFsVersion::V1 | VolumeFsVersion::Unspecified => VolumeFsVersion::V1,
    };
    let volumes = &world.storage.volumes;
    let (id, metadata, new) = {
        let mut state = volumes.state.write();
        let made = || Volume {
            version: version.into(),
        };
        let (id, new) = state.get_or_create(KIND, &wanted, made)?;
        if new && let Err(error) = fs::create_dir(volumes.dir.join(&id)) {
            state.remove(KIND, &id)?;
            return Err(Status::failed_precondition(format!(
                "no directory for it: {error}"
            )));
        }
        let metadata = metadata(state.get(KIND, &id)?);
        (id, metadata, new)
    };
    if new {
        call.meta.effect("volume.create", &id);
    }
    Ok(VolumeGetOrCreateResponse {
        volume_id: id,
        version: metadata.version,
        metadata: Some(metadata),
    })
}

async fn get_by_id(
    world: Arc<World>,
    call: Call<VolumeGetByIdRequest>,
) -> Result<VolumeGetByIdResponse, Status> {
    let state = world.storage.volumes.state.read();
    let volume = state.get(KIND, &call.message.volume_id)?;
    Ok(VolumeGetByIdResponse {
        volume_id: volume.id.clone(),
        metadata: Some(metadata(volume)),
    })
}

async fn list(
    world: Arc<World>,
    call: Call<VolumeListRequest>,
) -> Result<VolumeListResponse, Status> {
    let environment = environments::resolve(&world, &call.message.environment_name)?;
    let state = world.storage.volumes.state.read();
    let items = state
        .list(&environment, call.message.pagination.as_ref())
        .into_iter()
        .map(|volume| VolumeListItem {
            label: volume.label(),
            volume_id: volume.id.clone(),
            created_at: volume.created_at,
            metadata: Some(metadata(volume)),
        })
        .collect();
    Ok(VolumeListResponse {
        items,
        environment_name: environment,
    })
}

async fn delete(world: Arc<World>, call: Call<VolumeDeleteRequest>) -> Result<(), Status> {
    let id = call.message.volume_id;
    world.storage.volumes.state.write().remove(KIND, &id)?;
    call.meta.effect("volume.delete", &id);
    blocking(move || {
        world.storage.volumes.remove_content(&id);
        Ok(())
    })
    .await
}

async fn rename(world: Arc<World>, call: Call<VolumeRenameRequest>) -> Result<(), Status> {
    let VolumeRenameRequest { volume_id, name } = call.message;
    if name.is_empty() {
        return Err(Status::invalid_argument("a Volume needs a name"));
    }
    world
        .storage
        .volumes
        .state
        .write()
        .rename(KIND, &volume_id, &name)?;
    call.meta.effect("volume.rename", volume_id);
    Ok(())
}

async fn heartbeat(world: Arc<World>, call: Call<VolumeHeartbeatRequest>) -> Result<(), Status> {
    world
        .storage
        .volumes
        .state
        .write()
        .heartbeat(KIND, &call.message.volume_id)
}

async fn commit(
    world: Arc<World>,
    call: Call<VolumeCommitRequest>,
) -> Result<VolumeCommitResponse, Status> {
    world
        .storage
        .volumes
        .state
        .read()
        .get(KIND, &call.message.volume_id)?;
    call.meta.effect("volume.commit", call.message.volume_id);
    Ok(VolumeCommitResponse { skip_reload: true })
}

async fn reload(world: Arc<World>, call: Call<VolumeReloadRequest>) -> Result<(), Status> {
    world
        .storage
        .volumes
        .state
        .read()
        .get(KIND, &call.message.volume_id)?;
    Ok(())
}
