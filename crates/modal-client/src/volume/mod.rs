//! Volumes: file trees that sandboxes and functions share, of both storage versions.
//!
//! * Version 1 keeps whole files by their SHA-256; version 2 keeps blocks of 8 MiB. Which calls reach the
//!   files follows from the version that the server names; callers see no difference but speed.
//! * [`Volume::put`] sends only what the server lacks, several blocks at once, and never has a large file in
//!   memory. [`Volume::get`] fetches blocks in parallel into a temporary file and renames it when all of it
//!   is there and checked. [`Volume::read`] does the same as a stream.
//! * An [`Ephemeral`] volume lives as long as its handle.
//!
//! Deliberately absent: `VolumeGetFile`, which the second version of the call replaced for both storage
//! versions, and mounting on this machine.

mod ephemeral;
mod get;
mod list;
mod manage;
mod put;
mod put_v1;
mod put_v2;

use std::fmt;

use moorline_modal_proto::client::{VolumeFsVersion, VolumeMetadata};

use crate::rpc::control_plane;
use crate::{Client, Result};

pub use ephemeral::Ephemeral;
pub use get::Got;
pub use list::{Entry, EntryKind};
pub use manage::{VolumeInfo, Volumes};
pub use put::{Put, PutOptions};

control_plane! {
    COMMIT = VolumeCommit(VolumeCommitRequest) -> VolumeCommitResponse, Keyed;
    COPY_FILES = VolumeCopyFiles(VolumeCopyFilesRequest) -> Empty, Keyed;
    COPY_FILES_2 = VolumeCopyFiles2(VolumeCopyFiles2Request) -> Empty, Keyed;
    DELETE = VolumeDelete(VolumeDeleteRequest) -> Empty, Keyed;
    GET_BY_ID = VolumeGetById(VolumeGetByIdRequest) -> VolumeGetByIdResponse, Read;
    GET_FILE_2 = VolumeGetFile2(VolumeGetFile2Request) -> VolumeGetFile2Response, Read;
    GET_OR_CREATE = VolumeGetOrCreate(VolumeGetOrCreateRequest) -> VolumeGetOrCreateResponse, Keyed;
    HEARTBEAT = VolumeHeartbeat(VolumeHeartbeatRequest) -> Empty, Read;
    LIST = VolumeList(VolumeListRequest) -> VolumeListResponse, Read;
    LIST_FILES = VolumeListFiles(VolumeListFilesRequest) -> VolumeListFilesResponse, Read;
    LIST_FILES_2 = VolumeListFiles2(VolumeListFiles2Request) -> VolumeListFiles2Response, Read;
    PUT_FILES = VolumePutFiles(VolumePutFilesRequest) -> Empty, Keyed;
    PUT_FILES_2 = VolumePutFiles2(VolumePutFiles2Request) -> VolumePutFiles2Response, Keyed;
    RELOAD = VolumeReload(VolumeReloadRequest) -> Empty, Read;
    REMOVE_FILE = VolumeRemoveFile(VolumeRemoveFileRequest) -> Empty, Keyed;
    REMOVE_FILE_2 = VolumeRemoveFile2(VolumeRemoveFile2Request) -> Empty, Keyed;
    RENAME = VolumeRename(VolumeRenameRequest) -> Empty, Read;
}

/// The storage layout of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Whole files by hash.
    V1,
    /// Blocks of 8 MiB.
    V2,
}

impl Version {
    fn of(metadata: Option<&VolumeMetadata>) -> Self {
        // A server that names none means the first.
        match metadata.map(VolumeMetadata::version) {
            Some(VolumeFsVersion::V2) => Self::V2,
            _ => Self::V1,
        }
    }

    fn to_proto(version: Option<Self>) -> VolumeFsVersion {
        match version {
            None => VolumeFsVersion::Unspecified,
            Some(Self::V1) => VolumeFsVersion::V1,
            Some(Self::V2) => VolumeFsVersion::V2,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

/// A handle of one volume; cheap to clone.
#[derive(Clone, Debug)]
pub struct Volume {
    client: Client,
    id: String,
    name: Option<String>,
    version: Version,
}

impl Volume {
    fn new(
        client: &Client,
        id: String,
        metadata: Option<&VolumeMetadata>,
        name: Option<&str>,
    ) -> Self {
        let named = metadata
            .map(|metadata| metadata.name.as_str())
            .filter(|name| !name.is_empty());
        Self {
            client: client.clone(),
            id,
            name: named.or(name).map(str::to_owned),
            version: Version::of(metadata),
        }
    }

    /// `vo-…`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name, unless it is ephemeral.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The storage layout.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What its calls go through.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Writes what a container changed, and reloads it if the server says so. For code that runs where the
    /// volume is mounted; writes of this client need no commit.
    pub async fn commit(&self) -> Result<()> {
        let request = moorline_modal_proto::client::VolumeCommitRequest {
            volume_id: self.id.clone(),
            container_id: None,
        };
        if self.client.unary(COMMIT, request).await?.skip_reload {
            return Ok(());
        }
        self.reload().await
    }

    /// Shows a container what others committed. For code that runs where the volume is mounted; see
    /// [`crate::sandbox::Sandbox::reload_volumes`] for a sandbox.
    pub async fn reload(&self) -> Result<()> {
        let volume_id = self.id.clone();
        self.client
            .unary(
                RELOAD,
                moorline_modal_proto::client::VolumeReloadRequest { volume_id },
            )
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::transfer::{Files, Source};
    use std::path::Path;

    #[test]
    fn what_moves_bytes_can_run_in_a_task_of_its_own() {
        fn sends<T: Send>(_: &T) {}
        let client = Client::new(Config::new("http://127.0.0.1:1", "a", "b").unwrap()).unwrap();
        let volume = Volume::new(&client, "vo-1".into(), None, None);
        let files = Files::new();
        sends(&volume.put(&files, PutOptions::new()));
        sends(&volume.get("a", Path::new("a")));
        sends(&volume.get_directory("a", Path::new("a")));
        sends(&volume.read_to_bytes("a", 5));
        let source = Source::bytes("x");
        sends(&client.blobs().upload(&source));
        sends(&client.blobs().read("bl-1", 5));
        sends(&client.blobs().download("bl-1"));
        sends(&client.mounts().create(None, &files));
    }
}
