//! Blobs: bytes too large for a message. The RPCs hand out URLs of `http::blobs`, where the bytes travel.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use moorline_modal_proto::client::blob_create_response::{UploadTypeOneof, UploadTypesOneof};
use moorline_modal_proto::client::{
    BlobCreateRequest, BlobCreateResponse, BlobGetRequest, BlobGetResponse, MultiPartUpload,
    MultiPartUploadList, UploadUrlList,
};
use tonic::Status;

use crate::call::Call;
use crate::ids;
use crate::routes::Rpcs;
use crate::world::World;

/// The longest part of an upload in parts, in bytes.
const PART_LENGTH: u64 = 64 << 20;

pub(crate) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("BlobCreate", create);
    rpcs.read("BlobGet", get);
}

/// Blobs in `DIR/blobs/<id>`, complete ones only; what is being uploaded is beside them.
#[derive(Debug)]
pub(crate) struct Blobs {
    dir: PathBuf,
    uploads: Mutex<HashMap<String, Upload>>,
}

/// An upload that was announced and has not ended.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    /// In bytes, as announced.
    pub(crate) length: u64,
    /// As announced, if it was.
    pub(crate) sha256: Option<[u8; 32]>,
    /// Length of each part but the last; absent for an upload in one piece.
    pub(crate) part_length: Option<u64>,
    /// MD5s of the parts that arrived, by number from 1.
    pub(crate) parts: BTreeMap<u64, [u8; 16]>,
}

impl Upload {
    /// How many parts there are to be.
    pub(crate) fn part_count(&self) -> u64 {
        self.part_length
            .map_or(1, |length| self.length.div_ceil(length).max(1))
    }

    /// Where part `number` (from 1) starts and how long it is.
    pub(crate) fn part(&self, number: u64) -> Option<(u64, u64)> {
        let length = self.part_length?;
        let start = number.checked_sub(1)?.checked_mul(length)?;
        (number <= self.part_count()).then(|| (start, length.min(self.length - start)))
    }
}

impl Blobs {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let dir = dir.join("blobs");
        fs::create_dir_all(&dir)?;
        Ok(Self {
            dir,
            uploads: Mutex::default(),
        })
    }

    fn uploads(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The upload of a blob, while it goes on.
    pub(crate) fn upload(&self, id: &str) -> Option<Upload> {
        self.uploads().get(id).cloned()
    }

    /// A file of the blob directory for an upload that has to be [`finish`](Self::finish)ed: a new one, or the
    /// one that all parts share.
    pub(crate) fn part_file(&self, id: &str, shared: bool) -> io::Result<(PathBuf, File)> {
        let name = if shared {
            format!("{id}.parts")
        } else {
            format!("{}.part", ids::new(id))
        };
        let path = self.dir.join(name);
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        Ok((path, file))
    }

    /// Notes that a part has arrived.
    pub(crate) fn part_arrived(&self, id: &str, number: u64, md5: [u8; 16]) {
        if let Some(upload) = self.uploads().get_mut(id) {
            upload.parts.insert(number, md5);
        }
    }

    /// Makes the file at `part` the blob.
    pub(crate) fn finish(&self, id: &str, part: &Path) -> io::Result<()> {
        fs::rename(part, self.dir.join(id))?;
        self.uploads().remove(id);
        Ok(())
    }

    /// The file of a complete blob.
    pub(crate) fn file(&self, id: &str) -> Option<PathBuf> {
        let plain = id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let path = self.dir.join(id);
        (plain && path.is_file()).then_some(path)
    }
}

/// The bytes of a blob, for what the emulator itself has to look into.
pub(crate) async fn read(world: &World, id: &str) -> Result<Vec<u8>, Status> {
    let path = world.storage.blobs.file(id).ok_or_else(|| not_found(id))?;
    tokio::fs::read(path)
        .await
        .map_err(|error| unreadable(id, &error))
}

pub(super) fn not_found(id: &str) -> Status {
    Status::not_found(format!("Blob '{id}' not found"))
}

fn unreadable(id: &str, error: &io::Error) -> Status {
    Status::data_loss(format!(
        "the emulator's file of blob '{id}' can not be used: {error}"
    ))
}

async fn create(
    world: Arc<World>,
    call: Call<BlobCreateRequest>,
) -> Result<BlobCreateResponse, Status> {
    let request = call.message;
    let length = u64::try_from(request.content_length)
        .map_err(|_| Status::invalid_argument("content_length is negative"))?;
    let sha256 = match request.content_sha256_base64.as_str() {
        "" => None,
        text => Some(
            BASE64
                .decode(text)
                .ok()
                .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
                .ok_or_else(|| {
                    Status::invalid_argument("content_sha256_base64 is not the base64 of a SHA-256")
                })?,
        ),
    };
    let threshold = world.options.multipart_threshold;
    let part_length = (length > threshold).then(|| PART_LENGTH.min(threshold).max(1));
    let upload = Upload {
        length,
        sha256,
        part_length,
        parts: BTreeMap::new(),
    };
    let id = ids::new("bl");
    let url = world.url(&format!("/blobs/{id}"));
    let (legacy, all) = match part_length {
        None => {
            let urls = UploadUrlList {
                items: vec![url.clone()],
            };
            (
                UploadTypeOneof::UploadUrl(url),
                UploadTypesOneof::UploadUrls(urls),
            )
        }
        Some(part_length) => {
            let parts = MultiPartUpload {
                part_length: i64::try_from(part_length).unwrap_or(i64::MAX),
                upload_urls: (1..=upload.part_count())
                    .map(|n| format!("{url}/parts/{n}"))
                    .collect(),
                completion_url: format!("{url}/complete"),
            };
            let list = MultiPartUploadList {
                items: vec![parts.clone()],
            };
            (
                UploadTypeOneof::Multipart(parts),
                UploadTypesOneof::Multiparts(list),
            )
        }
    };
    world.storage.blobs.uploads().insert(id.clone(), upload);
    call.meta.effect("blob.create", &id);
    Ok(BlobCreateResponse {
        blob_id: id.clone(),
        blob_ids: vec![id],
        upload_type_oneof: Some(legacy),
        upload_types_oneof: Some(all),
    })
}

async fn get(world: Arc<World>, call: Call<BlobGetRequest>) -> Result<BlobGetResponse, Status> {
    let id = &call.message.blob_id;
    if world.storage.blobs.file(id).is_none() {
        return Err(not_found(id));
    }
    Ok(BlobGetResponse {
        download_url: world.url(&format!("/blobs/{id}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_blob_and_only_it() {
        let upload = Upload {
            length: 25,
            sha256: None,
            part_length: Some(10),
            parts: BTreeMap::new(),
        };
        let parts: Vec<_> = (0..=4).map(|number| upload.part(number)).collect();
        assert_eq!(
            parts,
            [None, Some((0, 10)), Some((10, 10)), Some((20, 5)), None]
        );
    }

    #[test]
    fn only_names_of_blobs_are_looked_up() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        fs::write(dir.path().join("secret"), "x").unwrap();
        fs::write(dir.path().join("blobs/bl-1"), "x").unwrap();
        assert!(blobs.file("bl-1").is_some());
        assert_eq!((blobs.file("../secret"), blobs.file("")), (None, None));
    }
}
