//! Mounts: sets of local files that containers see at their absolute paths.
//!
//! A mount is a directory tree whose files are links into the content store; a container gets it as a
//! layer, so that what it changes is its own. Mounts of Modal's own namespace (its client, its Python builds) are answered with an id
//! and hold no file: what they would bring is on this machine.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use moorline_modal_proto::client::mount_put_file_request::DataOneof;
use moorline_modal_proto::client::{
    DeploymentNamespace, MountBatchedCheckExistenceRequest, MountBatchedCheckExistenceResponse,
    MountFile, MountGetOrCreateRequest, MountGetOrCreateResponse, MountHandleMetadata,
    MountPutFileRequest, MountPutFileResponse, ObjectCreationType,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use tonic::Status;

use super::content::{hash_file, hex, is_sha256};
use super::named::{Kind, Named, Wanted};
use super::{blobs, environments};
use crate::call::Call;
use crate::clock;
use crate::kept::Kept;
use crate::routes::Rpcs;
use crate::world::World;

const KIND: Kind = Kind {
    noun: "Mount",
    prefix: "mo",
};

/// The environment under which Modal's own mounts are kept.
const GLOBAL: &str = "(global)";

pub(crate) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.read("MountBatchedCheckExistence", check_existence);
    rpcs.write("MountPutFile", put_file);
    rpcs.write("MountGetOrCreate", get_or_create);
}

/// Mounts in `DIR/mounts/<id>`.
#[derive(Debug)]
pub(crate) struct Mounts {
    dir: PathBuf,
    state: Kept<Named<Mount>>,
}

/// What is kept of one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Mount {
    /// Of its file list, in hexadecimal.
    checksum: String,
}

impl Mounts {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let state = Kept::open(dir, "mounts")?;
        let dir = dir.join("mounts");
        fs::create_dir_all(&dir)?;
        Ok(Self { dir, state })
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        self.state.flush()
    }
}

/// A mount as a layer of a container: a directory with `root/`, in which its files have their absolute
/// paths. Its files are shared: it may only lie below a writable layer.
pub(crate) fn layer(world: &World, mount_id: &str) -> Result<PathBuf, Status> {
    world.storage.mounts.state.read().get(KIND, mount_id)?;
    Ok(world.storage.mounts.dir.join(mount_id))
}

/// The files of a mount below their own names, for builds to copy from.
pub(super) fn files(world: &World, mount_id: &str) -> Result<PathBuf, Status> {
    let layer = layer(world, mount_id)?;
    let files = layer.join("files");
    Ok(if files.is_dir() {
        files
    } else {
        layer.join("root")
    })
}

/// A hash of what a mount holds, in hexadecimal.
pub(super) fn checksum_of(world: &World, mount_id: &str) -> Result<String, Status> {
    let state = world.storage.mounts.state.read();
    let mount = state.get(KIND, mount_id)?;
    Ok(match &mount.name {
        // Mounts of Modal's own differ by name: none of them has files.
        Some(name) => format!("{name} {}", mount.value.checksum),
        None => mount.value.checksum.clone(),
    })
}

/// Whether a mount is one of Modal's own.
pub(super) fn is_modals(world: &World, mount_id: &str) -> Result<bool, Status> {
    Ok(world
        .storage
        .mounts
        .state
        .read()
        .get(KIND, mount_id)?
        .environment
        == GLOBAL)
}

/// The time of an answer about what exists.
fn checked_at() -> prost_types::Timestamp {
    clock::message(clock::seconds())
}

async fn check_existence(
    world: Arc<World>,
    call: Call<MountBatchedCheckExistenceRequest>,
) -> Result<MountBatchedCheckExistenceResponse, Status> {
    let mut missing = call.message.sha256_hex_hashes;
    missing.retain(|sha256| !world.storage.content.has(sha256));
    Ok(MountBatchedCheckExistenceResponse {
        missing_sha256_hex_hashes: missing,
        checked_at: Some(checked_at()),
    })
}

async fn put_file(
    world: Arc<World>,
    call: Call<MountPutFileRequest>,
) -> Result<MountPutFileResponse, Status> {
    let sha256 = call.message.sha256_hex;
    if !is_sha256(&sha256) {
        return Err(Status::invalid_argument(
            "sha256_hex is not 64 hexadecimal digits",
        ));
    }
    let Some(data) = call.message.data_oneof else {
        let exists = world.storage.content.has(&sha256);
        return Ok(MountPutFileResponse {
            exists,
            checked_at: Some(checked_at()),
        });
    };
    let storing = (Arc::clone(&world), sha256.clone());
    let stored = spawn_blocking(move || store(&storing.0, &storing.1, data)).await;
    stored.unwrap_or_else(|panicked| Err(Status::internal(panicked.to_string())))?;
    call.meta.effect("mount.put", &sha256);
    Ok(MountPutFileResponse {
        exists: true,
        checked_at: Some(checked_at()),
    })
}

fn store(world: &World, sha256: &str, data: DataOneof) -> Result<(), Status> {
    let content = &world.storage.content;
    let wrong = || Status::invalid_argument(format!("the content does not have the hash {sha256}"));
    let failed = |error| Status::data_loss(format!("the content can not be stored: {error}"));
    match data {
        DataOneof::Data(bytes) => {
            if hex(&Sha256::digest(&bytes)) != sha256 {
                return Err(wrong());
            }
            content.put(&bytes).map_err(failed)?;
        }
        DataOneof::DataBlobId(id) => {
            let file = world.storage.blobs.file(&id);
            let file = file.ok_or_else(|| blobs::not_found(&id))?;
            if hex(&hash_file(&file).map_err(failed)?) != sha256 {
                return Err(wrong());
            }
            content.keep(&file, sha256).map_err(failed)?;
        }
    }
    Ok(())
}

async fn get_or_create(
    world: Arc<World>,
    call: Call<MountGetOrCreateRequest>,
) -> Result<MountGetOrCreateResponse, Status> {
    let request = call.message;
    let global = request.namespace() == DeploymentNamespace::Global;
    let environment = if global {
        GLOBAL.to_owned()
    } else {
        environments::resolve(&world, &request.environment_name)?
    };
    // Modal's own mounts exist under any name: the client asks for that of its own version.
    let creation = match request.object_creation_type() {
        ObjectCreationType::Unspecified if global => ObjectCreationType::CreateIfMissing,
        other => other,
    };
    let wanted = Wanted {
        environment: &environment,
        name: &request.deployment_name,
        creation: creation.into(),
    };
    let checksum = checksum(&request.files);
    let mounts = &world.storage.mounts;
    let made = checksum.clone();
    let (id, new) = mounts
        .state
        .write()
        .get_or_create(KIND, &wanted, || Mount { checksum: made })?;
    if new {
        let (making, tree) = (Arc::clone(&world), mounts.dir.join(&id));
        let files = request.files;
        let made = spawn_blocking(move || make_tree(&making, &tree, &files)).await;
        let made = made.unwrap_or_else(|panicked| Err(Status::internal(panicked.to_string())));
        if let Err(refusal) = made {
            mounts.state.write().remove(KIND, &id)?;
            return Err(refusal);
        }
        call.meta.effect("mount.create", &id);
    }
    let content_checksum_sha256_hex = mounts.state.read().get(KIND, &id)?.value.checksum.clone();
    Ok(MountGetOrCreateResponse {
        mount_id: id,
        handle_metadata: Some(MountHandleMetadata {
            content_checksum_sha256_hex,
        }),
    })
}

/// A hash of what the mount holds, whatever the order of its files.
fn checksum(files: &[MountFile]) -> String {
    let mut lines: Vec<String> = files
        .iter()
        .map(|file| format!("{}\0{}\0{:o}\n", file.filename, file.sha256_hex, mode(file)))
        .collect();
    lines.sort_unstable();
    hex(&Sha256::digest(lines.concat()))
}

fn mode(file: &MountFile) -> u32 {
    file.mode.filter(|mode| *mode != 0).unwrap_or(0o644) & 0o7777
}

fn make_tree(world: &World, tree: &Path, files: &[MountFile]) -> Result<(), Status> {
    let failed =
        |error| Status::data_loss(format!("the mount's files can not be laid out: {error}"));
    let root = tree.join("root");
    fs::create_dir_all(&root).map_err(failed)?;
    let (mut names, mut has_links) = (Vec::new(), false);
    for file in files {
        if !world.storage.content.has(&file.sha256_hex) {
            let (name, sha256) = (&file.filename, &file.sha256_hex);
            let text = format!("the content of '{name}' ({sha256}) was not uploaded");
            return Err(Status::failed_precondition(text));
        }
        let source = world
            .storage
            .content
            .shared(&file.sha256_hex, mode(file))
            .map_err(failed)?;
        let name = inside(&file.filename)?;
        let seen = beyond_links(name.clone());
        if seen != name {
            has_links = true;
        }
        link(&source, &root.join(seen)).map_err(failed)?;
        names.push((source, name));
    }
    if has_links {
        let files = tree.join("files");
        names
            .iter()
            .try_for_each(|(source, name)| link(source, &files.join(name)))
            .map_err(failed)?;
    }
    for shared in ["tmp", "var/tmp"] {
        let dir = root.join(shared);
        if dir.is_dir() {
            // A layer's directory gives its mode to the merged one.
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o1777)).map_err(failed)?;
        }
    }
    Ok(())
}

/// Another name of a file. The last one of a name wins.
fn link(source: &Path, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::hard_link(source, target) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(target)?;
            fs::hard_link(source, target)
        }
        linked => linked,
    }
}

/// Where a path of a mount is on a machine whose `/bin`, `/lib` … are links: a layer with a directory of
/// that name would hide the link.
fn beyond_links(path: PathBuf) -> PathBuf {
    let mut components = path.components();
    let Some(first) = components.next() else {
        return path;
    };
    match fs::read_link(Path::new("/").join(first)) {
        Ok(target) => {
            let target = target
                .strip_prefix("/")
                .map(Path::to_owned)
                .unwrap_or(target);
            target.join(components.as_path())
        }
        Err(_) => path,
    }
}

/// A file name of a mount, relative to its root.
pub(super) fn inside(filename: &str) -> Result<PathBuf, Status> {
    let mut path = PathBuf::new();
    for component in Path::new(filename).components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => path.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                let text = format!("'{filename}' leads out of the mount: write it without `..`");
                return Err(Status::invalid_argument(text));
            }
        }
    }
    if path.as_os_str().is_empty() {
        return Err(Status::invalid_argument("a file of a mount needs a name"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_stay_inside_the_mount() {
        assert_eq!(inside("/root/./a.py").unwrap(), Path::new("root/a.py"));
        for bad in ["", "/", "../a", "/root/../../a"] {
            assert_eq!(
                inside(bad).unwrap_err().code(),
                tonic::Code::InvalidArgument,
                "{bad}"
            );
        }
    }

    #[test]
    fn the_checksum_knows_names_contents_and_modes_but_no_order() {
        let file = |name: &str, sha: &str, mode| MountFile {
            filename: name.into(),
            sha256_hex: sha.into(),
            size: None,
            mode,
        };
        let (a, b) = (file("/a", "1", None), file("/b", "2", Some(0o755)));
        assert_eq!(
            checksum(&[a.clone(), b.clone()]),
            checksum(&[b.clone(), a.clone()])
        );
        assert_ne!(
            checksum(std::slice::from_ref(&a)),
            checksum(&[file("/a", "1", Some(0o600))])
        );
        assert_ne!(checksum(&[a]), checksum(&[b]));
    }
}
