//! Writing files of version 1: each content is stored by its hash, then all files are named at once.

use futures::{StreamExt as _, TryStreamExt as _};
use moorline_modal_proto::client::{MountFile, VolumePutFilesRequest};
use prost_types::Timestamp;

use super::PUT_FILES;
use super::put::PutOptions;
use crate::mount::{self, Hashed};
use crate::transfer::Upload;
use crate::{Client, Error, Result};

/// Returns how many bytes were sent.
pub(super) async fn put(
    client: &Client,
    volume_id: &str,
    uploads: Vec<Upload>,
    options: PutOptions,
) -> Result<u64> {
    let hashed = mount::hash(uploads).await?;
    let in_flight = client.transfers()?.options().in_flight.max(1);
    let stored: Vec<(u64, Option<Timestamp>)> = futures::stream::iter(hashed.clone())
        .map(|file| {
            let client = client.clone();
            async move { store(&client, &file).await }
        })
        .buffer_unordered(in_flight)
        .try_collect()
        .await?;
    let checked_at = mount::earliest(stored.iter().map(|(_, checked_at)| *checked_at));
    client
        .unary(PUT_FILES, request(volume_id, &hashed, options, checked_at))
        .await?;
    Ok(stored.into_iter().map(|(sent, _)| sent).sum())
}

async fn store(client: &Client, file: &Hashed) -> Result<(u64, Option<Timestamp>)> {
    let (exists, checked_at) = mount::probe(client, &file.digests).await?;
    if exists {
        return Ok((0, checked_at));
    }
    mount::send_content(client, &file.file.source, &file.digests).await?;
    Ok::<_, Error>((file.digests.len, checked_at))
}

fn request(
    volume_id: &str,
    files: &[Hashed],
    options: PutOptions,
    checked_at: Option<Timestamp>,
) -> VolumePutFilesRequest {
    VolumePutFilesRequest {
        volume_id: volume_id.to_owned(),
        files: files
            .iter()
            .map(|file| MountFile {
                size: None,
                ..file.to_proto()
            })
            .collect(),
        disallow_overwrite_existing_files: !options.overwrite,
        earliest_checked_at: checked_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::Files;

    #[tokio::test]
    async fn the_request_names_contents_by_hash() {
        let files = Files::new().bytes("abc", "/a").resolve().await.unwrap();
        let hashed = mount::hash(files).await.unwrap();
        let file = MountFile {
            filename: "/a".into(),
            sha256_hex: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into(),
            size: None,
            mode: Some(0o644),
        };
        let expected = VolumePutFilesRequest {
            volume_id: "vo-1".into(),
            files: vec![file],
            disallow_overwrite_existing_files: true,
            earliest_checked_at: None,
        };
        assert_eq!(request("vo-1", &hashed, PutOptions::new(), None), expected);
        let overwrite = request("vo-1", &hashed, PutOptions::new().overwrite(), None);
        assert!(!overwrite.disallow_overwrite_existing_files);
    }
}
