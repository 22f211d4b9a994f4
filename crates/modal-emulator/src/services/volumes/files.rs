//! Reading, listing, removing and copying files of a volume. Both versions do the same.

use std::sync::Arc;

use futures::StreamExt as _;
use moorline_modal_proto::client::{
    FileEntry, VolumeCopyFiles2Request, VolumeCopyFilesRequest, VolumeFsVersion,
    VolumeGetFile2Request, VolumeGetFile2Response, VolumeListFiles2Request,
    VolumeListFiles2Response, VolumeListFilesRequest, VolumeListFilesResponse,
    VolumeRemoveFile2Request, VolumeRemoveFileRequest,
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tonic::Status;

use super::blocks::BLOCK;
use super::tree::{Stamp, Tree, TreeError, normal, normal_name};
use super::{blocking, directory, of_version};
use crate::call::{Call, Meta};
use crate::routes::Answers;
use crate::world::World;

/// Entries of a listing in one message of the stream.
const ENTRIES: usize = 1000;

/// What a path segment of a URL can not hold as it is.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'\\');

/// The state of a file as URLs carry it.
pub(super) fn version(stamp: &Stamp) -> String {
    let Stamp {
        inode,
        size,
        modified,
        changed,
    } = stamp;
    format!(
        "{inode:x}.{size:x}.{:x}.{:x}.{:x}.{:x}",
        modified.0, modified.1, changed.0, changed.1
    )
}

/// `VolumeGetFile2`, for both versions.
pub(super) async fn get_file2(
    world: Arc<World>,
    call: Call<VolumeGetFile2Request>,
) -> Result<VolumeGetFile2Response, Status> {
    let request = call.message;
    let dir = directory(&world, &request.volume_id)?;
    blocking(move || {
        let path = normal_name(&request.path)?;
        let (_, stamp) = Tree::open(&dir)?.file(&path)?;
        let (start, size) = (request.start, stamp.size);
        if start > size {
            let text = format!(
                "'{}' has {size} bytes: there is no byte {start}",
                request.path
            );
            return Err(Status::out_of_range(text));
        }
        let len = match request.len {
            0 => size - start,
            len => len.min(size - start),
        };
        let shown = path.to_string_lossy();
        let encoded = utf8_percent_encode(&shown, SEGMENT).to_string();
        let pads = if request.client_pads_blocks {
            "padded"
        } else {
            "plain"
        };
        let volume = &request.volume_id;
        let version = version(&stamp);
        let get_urls = ranges(start, len)
            .map(|(from, length)| {
                let range = format!("{from}+{length}");
                world.url(&format!(
                    "/volumes/files/{volume}/{version}/{pads}/{range}/{encoded}"
                ))
            })
            .collect();
        Ok(VolumeGetFile2Response {
            get_urls,
            size,
            start,
            len,
        })
    })
    .await
}

/// A byte range, cut where the file's blocks meet: starts and lengths.
fn ranges(start: u64, len: u64) -> impl Iterator<Item = (u64, u64)> {
    let end = start + len;
    let first = start / BLOCK;
    (first..end.div_ceil(BLOCK).max(first)).filter_map(move |block| {
        let from = start.max(block * BLOCK);
        let to = end.min((block + 1) * BLOCK);
        (from < to).then(|| (from, to - from))
    })
}

async fn listed(
    world: &World,
    volume: &str,
    version: VolumeFsVersion,
    path: String,
    recursive: bool,
    max: Option<u32>,
) -> Result<Vec<Vec<FileEntry>>, Status> {
    let dir = of_version(world, volume, version)?;
    blocking(move || {
        let mut entries = Tree::open(&dir)?.list(&normal(&path)?, recursive)?;
        if let Some(max) = max {
            entries.truncate(max.try_into().unwrap_or(usize::MAX));
        }
        Ok(entries.chunks(ENTRIES).map(<[FileEntry]>::to_vec).collect())
    })
    .await
}

/// `VolumeListFiles`.
pub(super) async fn list_files(
    world: Arc<World>,
    call: Call<VolumeListFilesRequest>,
) -> Result<Answers<VolumeListFilesResponse>, Status> {
    let asked = call.message;
    let version = VolumeFsVersion::V1;
    let (path, max) = (asked.path, asked.max_entries);
    let all = listed(
        &world,
        &asked.volume_id,
        version,
        path,
        asked.recursive,
        max,
    )
    .await?;
    let answers = all
        .into_iter()
        .map(|entries| Ok(VolumeListFilesResponse { entries }));
    Ok(futures::stream::iter(answers).boxed())
}

/// `VolumeListFiles2`.
pub(super) async fn list_files2(
    world: Arc<World>,
    call: Call<VolumeListFiles2Request>,
) -> Result<Answers<VolumeListFiles2Response>, Status> {
    let asked = call.message;
    let version = VolumeFsVersion::V2;
    let (path, max) = (asked.path, asked.max_entries);
    let all = listed(
        &world,
        &asked.volume_id,
        version,
        path,
        asked.recursive,
        max,
    )
    .await?;
    let answers = all
        .into_iter()
        .map(|entries| Ok(VolumeListFiles2Response { entries }));
    Ok(futures::stream::iter(answers).boxed())
}

async fn remove(
    world: Arc<World>,
    meta: Meta,
    version: VolumeFsVersion,
    asked: (String, String, bool),
) -> Result<(), Status> {
    let (volume, path, recursive) = asked;
    let dir = of_version(&world, &volume, version)?;
    blocking(move || {
        let path = normal_name(&path)?;
        Tree::open(&dir)?.remove(&path, recursive)?;
        let gone =
            |place: &super::blocks::Place| place.volume == volume && place.path.starts_with(&path);
        world.storage.volumes.index().forget(gone);
        meta.effect("volume.remove", format!("{volume}/{}", path.display()));
        Ok(())
    })
    .await
}

/// `VolumeRemoveFile`.
pub(super) async fn remove_file(
    world: Arc<World>,
    call: Call<VolumeRemoveFileRequest>,
) -> Result<(), Status> {
    let asked = call.message;
    let asked = (asked.volume_id, asked.path, asked.recursive);
    remove(world, call.meta, VolumeFsVersion::V1, asked).await
}

/// `VolumeRemoveFile2`.
pub(super) async fn remove_file2(
    world: Arc<World>,
    call: Call<VolumeRemoveFile2Request>,
) -> Result<(), Status> {
    let asked = call.message;
    let asked = (asked.volume_id, asked.path, asked.recursive);
    remove(world, call.meta, VolumeFsVersion::V2, asked).await
}

async fn copy(
    world: Arc<World>,
    meta: Meta,
    version: VolumeFsVersion,
    asked: VolumeCopyFiles2Request,
) -> Result<(), Status> {
    let dir = of_version(&world, &asked.volume_id, version)?;
    blocking(move || {
        let tree = Tree::open(&dir)?;
        let to = normal(&asked.dst_path)?;
        let sources = asked.src_paths.iter().map(|path| normal_name(path));
        let sources = sources.collect::<Result<Vec<_>, TreeError>>()?;
        if sources.is_empty() {
            return Err(Status::invalid_argument(
                "there is nothing to copy: give a source path",
            ));
        }
        let into = sources.len() > 1 || asked.dst_path.ends_with('/');
        if into && !to.as_os_str().is_empty() && !tree.leads_to_directory(&to) {
            return Err(TreeError::NotADirectory {
                path: to.display().to_string(),
            }
            .into());
        }
        for from in &sources {
            tree.copy(from, &to, asked.recursive, &|| {
                world.storage.volumes.staging()
            })?;
            let (volume, from, to) = (&asked.volume_id, from.display(), to.display());
            meta.effect("volume.copy", format!("{volume}/{from} {volume}/{to}"));
        }
        Ok(())
    })
    .await
}

/// `VolumeCopyFiles`.
pub(super) async fn copy_files(
    world: Arc<World>,
    call: Call<VolumeCopyFilesRequest>,
) -> Result<(), Status> {
    let VolumeCopyFilesRequest {
        volume_id,
        src_paths,
        dst_path,
        recursive,
    } = call.message;
    let asked = VolumeCopyFiles2Request {
        volume_id,
        src_paths,
        dst_path,
        recursive,
    };
    copy(world, call.meta, VolumeFsVersion::V1, asked).await
}

/// `VolumeCopyFiles2`.
pub(super) async fn copy_files2(
    world: Arc<World>,
    call: Call<VolumeCopyFiles2Request>,
) -> Result<(), Status> {
    copy(world, call.meta, VolumeFsVersion::V2, call.message).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_meet_where_blocks_do() {
        let all: Vec<_> = ranges(0, 2 * BLOCK + 5).collect();
        assert_eq!(all, [(0, BLOCK), (BLOCK, BLOCK), (2 * BLOCK, 5)]);
        assert_eq!(
            ranges(BLOCK - 1, 2).collect::<Vec<_>>(),
            [(BLOCK - 1, 1), (BLOCK, 1)]
        );
        assert_eq!(
            ranges(0, 0).count() + ranges(BLOCK, 0).count() + ranges(7, 0).count(),
            0
        );
    }

    proptest! {
        #[test]
        fn ranges_cover_what_is_asked_for_in_order(start in 0..5 * BLOCK, len in 0..5 * BLOCK) {
            let mut at = start;
            for (from, length) in ranges(start, len) {
                prop_assert_eq!(from, at);
                prop_assert_eq!(from / BLOCK, (from + length - 1) / BLOCK);
                at += length;
            }
            prop_assert_eq!(at, start + len);
        }
    }
}
