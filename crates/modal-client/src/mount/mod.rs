//! Mounts: sets of local files that are laid over an image when a container starts.
//!
//! [`Mounts::create`] hashes the files, asks in batches which contents the server lacks, sends those (from 4 MiB on
//! as blobs) and names the set. The same contents are never sent twice. Volumes of version 1 store their
//! files by the same calls.
//!
//! Deliberately absent: choosing files by pattern or by a Python module's imports, and mounts with names of
//! their own (Modal has them for its own packages only).

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use moorline_modal_proto::client::mount_put_file_request::DataOneof;
use moorline_modal_proto::client::{
    MountBatchedCheckExistenceRequest, MountFile, MountGetOrCreateRequest, MountPutFileRequest,
    ObjectCreationType,
};
use prost_types::Timestamp;

use crate::rpc::control_plane;
use crate::transfer::{Digests, Files, Source, Upload};
use crate::{Client, Error, ErrorKind, Result, blob, wire};

control_plane! {
    CHECK_EXISTENCE = MountBatchedCheckExistence(MountBatchedCheckExistenceRequest)
        -> MountBatchedCheckExistenceResponse, Read;
    GET_OR_CREATE = MountGetOrCreate(MountGetOrCreateRequest) -> MountGetOrCreateResponse, Keyed;
    PUT_FILE = MountPutFile(MountPutFileRequest) -> MountPutFileResponse, Keyed;
}

/// Contents of this size and above go as blobs: 4 MiB.
pub(crate) const BLOB_FROM: u64 = 4 * 1024 * 1024;

/// Hashes per question for existence.
const BATCH: usize = 64;

/// Files that are hashed at the same time.
pub(crate) const HASHES_AT_ONCE: usize = 4;

/// How long the server may take to take a file in after its bytes arrived.
const SETTLES_WITHIN: Duration = Duration::from_mins(10);

/// A file whose content is known by its hash.
#[derive(Clone, Debug)]
pub(crate) struct Hashed {
    pub(crate) file: Upload,
    pub(crate) digests: Digests,
}

impl Hashed {
    pub(crate) fn to_proto(&self) -> MountFile {
        MountFile {
            filename: self.file.remote.clone(),
            sha256_hex: self.digests.sha256_hex(),
            size: Some(self.digests.len),
            mode: Some(self.file.mode),
        }
    }
}

/// Calls about mounts.
#[derive(Clone, Debug)]
pub struct Mounts {
    client: Client,
}

impl Client {
    /// Mounts.
    pub fn mounts(&self) -> Mounts {
        Mounts {
            client: self.clone(),
        }
    }
}

impl Mounts {
    /// Makes a mount of these files, whose remote names are absolute, and returns its id (`mo-…`). It
    /// belongs to the app, or to nobody for long.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a name that is not absolute; [`ErrorKind::Io`] for files that can
    /// not be read or that change meanwhile.
    pub async fn create(&self, app_id: Option<&str>, files: &Files) -> Result<String> {
        let files = files.resolve().await?;
        if let Some(file) = files.iter().find(|file| !file.remote.starts_with('/')) {
            let message = format!("`{}` is not an absolute path in the container", file.remote);
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let hashed = hash(files).await?;
        let checked_at = send_missing(&self.client, &hashed).await?;
        let request = create_request(&self.client, app_id, &hashed, checked_at);
        wire::required(
            self.client.unary(GET_OR_CREATE, request).await?.mount_id,
            "mount id",
        )
    }
}

fn create_request(
    client: &Client,
    app_id: Option<&str>,
    hashed: &[Hashed],
    checked_at: Option<Timestamp>,
) -> MountGetOrCreateRequest {
    let kind = match app_id {
        Some(_) => ObjectCreationType::AnonymousOwnedByApp,
        None => ObjectCreationType::Ephemeral,
    };
    MountGetOrCreateRequest {
        environment_name: client.environment_or_default(None),
        object_creation_type: kind.into(),
        files: hashed.iter().map(Hashed::to_proto).collect(),
        app_id: app_id.unwrap_or_default().to_owned(),
        earliest_checked_at: checked_at,
        ..MountGetOrCreateRequest::default()
    }
}

/// Hashes the contents, a few at once, keeping the order.
pub(crate) async fn hash(files: Vec<Upload>) -> Result<Vec<Hashed>> {
    futures::stream::iter(files)
        .map(|file| async move {
            let digests = file.source.digests().await?;
            Ok(Hashed { file, digests })
        })
        .buffered(HASHES_AT_ONCE)
        .try_collect()
        .await
}

/// Sends each content that the server lacks, once. Returns the time of the oldest answer relied on.
async fn send_missing(client: &Client, hashed: &[Hashed]) -> Result<Option<Timestamp>> {
    let distinct: BTreeMap<[u8; 32], Hashed> = hashed
        .iter()
        .map(|file| (file.digests.sha256, file.clone()))
        .collect();
    let distinct: Vec<Hashed> = distinct.into_values().collect();
    let batches: Vec<Vec<Hashed>> = distinct.chunks(BATCH).map(<[_]>::to_vec).collect();
    let in_flight = client.transfers()?.options().in_flight.max(1);
    let answers: Vec<(Vec<Hashed>, Option<Timestamp>)> = futures::stream::iter(batches)
        .map(|batch| {
            let client = client.clone();
            async move { missing_of(&client, batch).await }
        })
        .buffered(in_flight)
        .try_collect()
        .await?;
    let checked_at = earliest(answers.iter().map(|(_, checked_at)| *checked_at));
    let missing: Vec<Hashed> = answers
        .into_iter()
        .flat_map(|(missing, _)| missing)
        .collect();
    futures::stream::iter(missing)
        .map(|file| {
            let client = client.clone();
            async move { send_content(&client, &file.file.source, &file.digests).await }
        })
        .buffer_unordered(in_flight)
        .try_collect::<()>()
        .await?;
    Ok(checked_at)
}

/// The files of a batch whose contents the server lacks, and when it looked.
async fn missing_of(
    client: &Client,
    mut batch: Vec<Hashed>,
) -> Result<(Vec<Hashed>, Option<Timestamp>)> {
    let hashes = batch.iter().map(|file| file.digests.sha256_hex()).collect();
    let request = MountBatchedCheckExistenceRequest {
        sha256_hex_hashes: hashes,
    };
    let answer = client.unary(CHECK_EXISTENCE, request).await?;
    batch.retain(|file| {
        answer
            .missing_sha256_hex_hashes
            .contains(&file.digests.sha256_hex())
    });
    Ok((batch, answer.checked_at))
}

/// The oldest of the times that are known.
pub(crate) fn earliest(times: impl Iterator<Item = Option<Timestamp>>) -> Option<Timestamp> {
    times
        .flatten()
        .min_by_key(|time| (time.seconds, time.nanos))
}

/// Whether the server has the content, and when it looked.
pub(crate) async fn probe(client: &Client, digests: &Digests) -> Result<(bool, Option<Timestamp>)> {
    let request = MountPutFileRequest {
        sha256_hex: digests.sha256_hex(),
        data_oneof: None,
    };
    let answer = client.unary(PUT_FILE, request).await?;
    Ok((answer.exists, answer.checked_at))
}

/// Sends a content and waits until the server has it.
pub(crate) async fn send_content(
    client: &Client,
    source: &Source,
    digests: &Digests,
) -> Result<()> {
    let data = if digests.len >= BLOB_FROM {
        DataOneof::DataBlobId(blob::upload_known(client, source, digests).await?)
    } else {
        let content = source.read().await?;
        source.check_unchanged().await?;
        DataOneof::Data(content)
    };
    let request = MountPutFileRequest {
        sha256_hex: digests.sha256_hex(),
        data_oneof: Some(data),
    };
    let stored = async {
        let mut wait = Duration::from_millis(50);
        while !client.unary(PUT_FILE, request.clone()).await?.exists {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(2));
        }
        Ok(())
    };
    tokio::time::timeout(SETTLES_WITHIN, stored)
        .await
        .unwrap_or_else(|_| {
            let message = format!(
                "the server did not take {} in within 10 minutes",
                source.name()
            );
            Err(Error::new(ErrorKind::Timeout, message).with_rpc("MountPutFile"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[tokio::test]
    async fn the_request_names_every_file_by_hash() {
        let config = Config::new("http://127.0.0.1:1", "ak-1", "as-1")
            .unwrap()
            .environment("dev");
        let client = Client::new(config).unwrap();
        let files = Files::new()
            .bytes("abc", "/a")
            .bytes("", "/b")
            .resolve()
            .await
            .unwrap();
        let hashed = hash(files).await.unwrap();
        let file = |name: &str, sha256: &str, size| MountFile {
            filename: name.into(),
            sha256_hex: sha256.into(),
            size: Some(size),
            mode: Some(0o644),
        };
        let files = vec![
            file(
                "/a",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                3,
            ),
            file(
                "/b",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                0,
            ),
        ];
        let expected = MountGetOrCreateRequest {
            environment_name: "dev".into(),
            object_creation_type: 4,
            files,
            app_id: "ap-1".into(),
            ..MountGetOrCreateRequest::default()
        };
        assert_eq!(
            create_request(&client, Some("ap-1"), &hashed, None),
            expected
        );
        assert_eq!(
            create_request(&client, None, &hashed, None).object_creation_type,
            5
        );
    }

    #[tokio::test]
    async fn a_relative_name_is_refused_before_anything_is_sent() {
        let client = Client::new(Config::new("http://127.0.0.1:1", "a", "b").unwrap()).unwrap();
        let error = client
            .mounts()
            .create(None, &Files::new().bytes("x", "x"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn the_oldest_answer_counts() {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        assert_eq!(earliest([at(5), None, at(3), at(4)].into_iter()), at(3));
        assert_eq!(earliest([None].into_iter()), None);
    }
}
