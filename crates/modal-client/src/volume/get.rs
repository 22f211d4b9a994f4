//! Reading files: into local files, into memory, or as a stream.

use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use moorline_modal_proto::client::{VolumeGetFile2Request, VolumeGetFile2Response};

use super::list::EntryKind;
use super::put::escapes;
use super::{GET_FILE_2, Volume};
use crate::transfer::blocks::block_lengths;
use crate::transfer::{Fetch, TempFile};
use crate::{Error, ErrorKind, Result};

/// Whole blocks of 8 MiB that a stream reads ahead.
const READ_AHEAD: usize = 4;

/// Files of a directory that are fetched at the same time.
const FILES_AT_ONCE: usize = 4;

/// How often new URLs are asked for when old ones are refused.
const RENEWALS: usize = 3;

/// What a download wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Got {
    /// Files that were written.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// One block of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    index: usize,
    url: String,
    /// From the beginning of the range.
    offset: u64,
    len: u64,
}

impl Volume {
    /// Writes a file of the volume to `target`, which has its old content until the new one is complete.
    /// Missing directories are made.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such file; [`ErrorKind::Io`] if it can not be written;
    /// [`ErrorKind::Protocol`] if what arrives is not what was announced.
    pub async fn get(&self, path: &str, target: &Path) -> Result<Got> {
        let found = self.locate(path).await?;
        let len = found.len;
        let file = TempFile::create(target, len, None).await?;
        let mut missing = blocks(&found)?;
        for renewal in 0.. {
            let mut refused = Vec::new();
            let transfers = self.client.transfers()?;
            let mut fetches = futures::stream::iter(missing)
                .map(|block| {
                    let what = format!("block {} of `{path}`", block.index);
                    let file = Arc::clone(file.file());
                    async move {
                        let fetch = Fetch {
                            what,
                            url: &block.url,
                            len: block.len,
                        };
                        (
                            transfers.fetch_into(&fetch, &file, block.offset).await,
                            block.index,
                        )
                    }
                })
                .buffer_unordered(transfers.options().in_flight.max(1));
            while let Some((fetched, index)) = fetches.next().await {
                match fetched {
                    Ok(()) => {}
                    // A signed URL is good for a while only.
                    Err(error)
                        if error.kind() == ErrorKind::PermissionDenied && renewal < RENEWALS =>
                    {
                        refused.push(index);
                    }
                    Err(error) => return Err(error),
                }
            }
            if refused.is_empty() {
                break;
            }
            let found = self.locate(path).await?;
            if found.len != len {
                let message = format!("`{path}` was changed while it was read");
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            missing = blocks(&found)?;
            missing.retain(|block| refused.contains(&block.index));
        }
        file.persist().await?;
        Ok(Got {
            files: 1,
            bytes: len,
        })
    }

    /// Writes everything below a directory of the volume to the directory `target`, or the one file that
    /// `path` is into it.
    ///
    /// # Errors
    /// As [`get`](Self::get); files that were complete before stay.
    pub async fn get_directory(&self, path: &str, target: &Path) -> Result<Got> {
        let root = path.trim_matches('/');
        let entries = std::pin::pin!(self.list(path, true));
        entries
            .try_filter(|entry| std::future::ready(entry.kind == EntryKind::File))
            .map_ok(|entry| async move {
                let name = below(root, &entry.path)?;
                self.get(&entry.path, &target.join(name)).await
            })
            .try_buffer_unordered(FILES_AT_ONCE)
            .try_fold(Got::default(), async |sum, got| {
                Ok(Got {
                    files: sum.files + got.files,
                    bytes: sum.bytes + got.bytes,
                })
            })
            .await
    }

    /// The content of a file as a stream of blocks in order; at most 4 of them are in memory.
    pub fn read(&self, path: &str) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        self.read_range(path, 0, None)
    }

    /// `len` bytes of a file from `start` on, or the rest of it.
    pub fn read_range(
        &self,
        path: &str,
        start: u64,
        len: Option<u64>,
    ) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        let (volume, path) = (self.clone(), path.to_owned());
        async_stream::try_stream! {
            if len == Some(0) {
                return;
            }
            let found = volume.locate_range(&path, start, len.unwrap_or(0)).await?;
            let transfers = volume.client.transfers()?.clone();
            let ahead = transfers.options().in_flight.clamp(1, READ_AHEAD);
            let mut fetches = futures::stream::iter(blocks(&found)?)
                .map(|block| {
                    let what = format!("block {} of `{path}`", block.index);
                    let transfers = transfers.clone();
                    async move { transfers.fetch(&Fetch { what, url: &block.url, len: block.len }).await }
                })
                .buffered(ahead);
            while let Some(block) = fetches.try_next().await? {
                yield block;
            }
        }
    }

    /// The content of a file of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceExhausted`] if it is longer; as [`get`](Self::get).
    pub async fn read_to_bytes(&self, path: &str, limit: usize) -> Result<Bytes> {
        let mut content = BytesMut::new();
        let mut blocks = std::pin::pin!(self.read(path));
        while let Some(block) = blocks.try_next().await? {
            if content.len() + block.len() > limit {
                let message = format!("`{path}` has more than {limit} bytes");
                return Err(Error::new(ErrorKind::ResourceExhausted, message));
            }
            content.extend_from_slice(&block);
        }
        Ok(content.freeze())
    }

    async fn locate(&self, path: &str) -> Result<VolumeGetFile2Response> {
        self.locate_range(path, 0, 0).await
    }

    async fn locate_range(
        &self,
        path: &str,
        start: u64,
        len: u64,
    ) -> Result<VolumeGetFile2Response> {
        let request = VolumeGetFile2Request {
            volume_id: self.id.clone(),
            path: path.to_owned(),
            start,
            len,
            client_pads_blocks: true,
        };
        self.client.unary(GET_FILE_2, request).await
    }
}

/// The blocks of an answer, which have to make up the range that it names.
fn blocks(found: &VolumeGetFile2Response) -> Result<Vec<Block>> {
    let lengths = block_lengths(found.start, found.len, found.get_urls.len());
    if lengths.iter().sum::<u64>() != found.len || lengths.contains(&0) {
        let message = format!(
            "{} blocks do not make up {} bytes from {}",
            lengths.len(),
            found.len,
            found.start
        );
        return Err(Error::new(ErrorKind::Protocol, message).with_rpc("VolumeGetFile2"));
    }
    let mut offset = 0;
    let urls = found.get_urls.iter().zip(lengths).enumerate();
    Ok(urls
        .map(|(index, (url, len))| {
            let block = Block {
                index,
                url: url.clone(),
                offset,
                len,
            };
            offset += len;
            block
        })
        .collect())
}

/// The path from `root` of what a listing of `root` names; its last part for `root` itself. A server can not
/// make this client write elsewhere.
fn below<'a>(root: &str, path: &'a str) -> Result<&'a str> {
    let path = path.trim_start_matches('/');
    let rest = match path.strip_prefix(root) {
        Some("") => path.rsplit('/').next(),
        Some(rest) if root.is_empty() => Some(rest),
        Some(rest) => rest.strip_prefix('/'),
        None => None,
    };
    rest.filter(|rest| !rest.is_empty() && !rest.starts_with('/') && !escapes(rest))
        .ok_or_else(|| {
            let message = format!("the listing of `{root}` names `{path}`, which is not below it");
            Error::new(ErrorKind::Protocol, message)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::blocks::BLOCK_SIZE;

    fn found(start: u64, len: u64, urls: usize) -> VolumeGetFile2Response {
        let get_urls = (0..urls).map(|index| index.to_string()).collect();
        VolumeGetFile2Response {
            get_urls,
            size: start + len,
            start,
            len,
        }
    }

    #[test]
    fn blocks_lie_one_behind_the_other() {
        let block = |index: usize, offset, len| Block {
            index,
            url: index.to_string(),
            offset,
            len,
        };
        assert_eq!(
            blocks(&found(BLOCK_SIZE - 2, BLOCK_SIZE + 3, 3)).unwrap(),
            [
                block(0, 0, 2),
                block(1, 2, BLOCK_SIZE),
                block(2, BLOCK_SIZE + 2, 1)
            ]
        );
        assert_eq!(blocks(&found(0, 0, 0)).unwrap(), []);
    }

    #[test]
    fn an_answer_with_too_few_or_too_many_blocks_is_refused() {
        for (len, urls) in [(1, 0), (BLOCK_SIZE + 1, 1), (5, 2)] {
            assert_eq!(
                blocks(&found(0, len, urls)).unwrap_err().kind(),
                ErrorKind::Protocol
            );
        }
    }

    #[test]
    fn a_listing_can_not_lead_elsewhere() {
        assert_eq!(below("a/b", "a/b/c/d").unwrap(), "c/d");
        assert_eq!(below("a/b", "/a/b/c").unwrap(), "c");
        assert_eq!(below("a/b.txt", "a/b.txt").unwrap(), "b.txt");
        assert_eq!(below("", "a").unwrap(), "a");
        for (root, path) in [
            ("a", "b/c"),
            ("a", "ab"),
            ("a", "a/../../x"),
            ("", "../x"),
            ("a", "a//etc"),
        ] {
            assert!(below(root, path).is_err(), "{root} {path}");
        }
    }
}
