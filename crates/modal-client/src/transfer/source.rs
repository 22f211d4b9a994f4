//! What is sent: bytes in memory, or a local file that is read piece by piece.

use std::fs::Metadata;
use std::io::{Read as _, Seek as _};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{Stream as _, StreamExt as _, TryStreamExt as _};
use http_body::{Body, Frame, SizeHint};
use md5::Md5;
use sha2::Digest as _;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::blocks::{BlockDigest, BlockHasher, block_count, block_range};
use super::digest::{Digests, DigestsHasher};
use super::stats::Counters;
use crate::{Error, ErrorKind, Result};

/// How much of a file is in memory at a time, per transfer.
const PIECE: usize = 256 * 1024;

/// Blocks of one file that are hashed at the same time.
const HASHES_AT_ONCE: usize = 4;

/// The content of one upload.
///
/// A file is opened at each use and must stay as it is until the upload ends: its length, inode and times
/// are taken at first sight and compared again at each use.
#[derive(Clone, Debug)]
pub struct Source {
    content: Content,
    len: u64,
}

#[derive(Clone, Debug)]
enum Content {
    Bytes(Bytes),
    File {
        path: Arc<Path>,
        stamp: Stamp,
        mode: u32,
    },
}

/// What changes when a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Source {
    /// Bytes in memory.
    pub fn bytes(content: impl Into<Bytes>) -> Self {
        let content = content.into();
        Self {
            len: content.len() as u64,
            content: Content::Bytes(content),
        }
    }

    /// A regular local file; symbolic links are followed.
    pub async fn file(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let metadata = tokio::fs::metadata(&path)
            .await
            .map_err(|error| unreadable(&path, error))?;
        if !metadata.is_file() {
            let message = format!("`{}` is not a regular file", path.display());
            return Err(Error::new(ErrorKind::Io, message));
        }
        let content = Content::File {
            path: path.into(),
            stamp: Stamp::of(&metadata),
            mode: metadata.permissions().mode() & 0o7777,
        };
        Ok(Self {
            content,
            len: metadata.len(),
        })
    }

    /// In bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no content.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The permission bits of a file.
    pub fn mode(&self) -> Option<u32> {
        match &self.content {
            Content::Bytes(_) => None,
            Content::File { mode, .. } => Some(*mode),
        }
    }

    /// What to call it in errors.
    pub fn name(&self) -> String {
        match &self.content {
            Content::Bytes(_) => format!("{} bytes", self.len),
            Content::File { path, .. } => format!("`{}`", path.display()),
        }
    }

    /// The hashes of the whole content.
    pub async fn digests(&self) -> Result<Digests> {
        let hasher = self
            .fold(0..self.len, DigestsHasher::default(), DigestsHasher::update)
            .await?;
        Ok(hasher.finish())
    }

    /// The digests of the blocks of 8 MiB, a few of them computed at once.
    pub async fn block_digests(&self) -> Result<Vec<BlockDigest>> {
        futures::stream::iter(0..block_count(self.len))
            .map(|index| async move {
                let range = block_range(self.len, index);
                let hasher = self
                    .fold(range, BlockHasher::new(), BlockHasher::update)
                    .await?;
                Ok(hasher.finish())
            })
            .buffered(HASHES_AT_ONCE)
            .try_collect()
            .await
    }

    /// The whole content, for what is small enough to be part of a message.
    pub(crate) async fn read(&self) -> Result<Bytes> {
        match &self.content {
            Content::Bytes(content) => Ok(content.clone()),
            Content::File { .. } => {
                let content = self
                    .fold(0..self.len, Vec::new(), Vec::extend_from_slice)
                    .await?;
                Ok(content.into())
            }
        }
    }

    /// Fails if the file is not what it was when the source was made.
    pub(crate) async fn check_unchanged(&self) -> Result<()> {
        match &self.content {
            Content::Bytes(_) => Ok(()),
            Content::File { path, stamp, .. } => {
                let metadata = tokio::fs::metadata(&**path)
                    .await
                    .map_err(|error| unreadable(path, error))?;
                unchanged(path, *stamp, &metadata)
            }
        }
    }

    /// The bytes of `range` as the body of a request. `hash` receives them as well.
    pub(crate) async fn body(
        &self,
        range: Range<u64>,
        hash: Option<SharedMd5>,
        counters: Arc<Counters>,
    ) -> Result<RangeBody> {
        let remaining = range.end - range.start;
        let pieces = match &self.content {
            Content::Bytes(content) => Pieces::Bytes(slice(content, &range)),
            Content::File { path, stamp, .. } => {
                let failed = |error| unreadable(path, error);
                let mut file = tokio::fs::File::open(&**path).await.map_err(failed)?;
                unchanged(path, *stamp, &file.metadata().await.map_err(failed)?)?;
                file.seek(std::io::SeekFrom::Start(range.start))
                    .await
                    .map_err(failed)?;
                file.set_max_buf_size(PIECE);
                Pieces::File(ReaderStream::with_capacity(file.take(remaining), PIECE))
            }
        };
        Ok(RangeBody {
            pieces,
            remaining,
            hash,
            counters,
        })
    }

    /// Runs `step` over the bytes of `range` on a thread for blocking work.
    async fn fold<S: Send + 'static>(
        &self,
        range: Range<u64>,
        mut state: S,
        step: fn(&mut S, &[u8]),
    ) -> Result<S> {
        let content = self.content.clone();
        let folded = tokio::task::spawn_blocking(move || match &content {
            Content::Bytes(content) => {
                step(&mut state, &slice(content, &range));
                Ok(state)
            }
            Content::File { path, stamp, .. } => {
                let failed = |error| unreadable(path, error);
                let mut file = std::fs::File::open(path).map_err(failed)?;
                unchanged(path, *stamp, &file.metadata().map_err(failed)?)?;
                file.seek(std::io::SeekFrom::Start(range.start))
                    .map_err(failed)?;
                let mut left = range.end - range.start;
                let mut buffer = vec![0; PIECE];
                while left > 0 {
                    let want = usize::try_from(left)
                        .unwrap_or(usize::MAX)
                        .min(buffer.len());
                    let Some(buffer) = buffer.get_mut(..want) else {
                        break;
                    };
                    file.read_exact(buffer).map_err(failed)?;
                    step(&mut state, buffer);
                    left -= want as u64;
                }
                Ok(state)
            }
        });
        folded.await.unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Io, "reading was broken off").with_source(error))
        })
    }
}

/// A hash that a body in flight and its sender share.
pub(crate) type SharedMd5 = Arc<Mutex<Md5>>;

/// The hash of what a body has sent.
pub(crate) fn md5_of(hash: &SharedMd5) -> [u8; 16] {
    hash.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
        .finalize()
        .into()
}

/// Why a body can not be read to its end. It is found again among the causes of a failed request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the file became shorter while it was sent")]
    Shorter,
    #[error("the file can not be read")]
    Read(#[from] std::io::Error),
}

/// A request's body of known length, read while it is sent.
#[derive(Debug)]
pub(crate) struct RangeBody {
    pieces: Pieces,
    remaining: u64,
    hash: Option<SharedMd5>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
enum Pieces {
    Bytes(Bytes),
    File(ReaderStream<tokio::io::Take<tokio::fs::File>>),
}

impl Body for RangeBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if this.remaining == 0 {
            return Poll::Ready(None);
        }
        let piece = match &mut this.pieces {
            Pieces::Bytes(content) => std::mem::take(content),
            Pieces::File(stream) => match std::task::ready!(Pin::new(stream).poll_next(context)) {
                Some(piece) => piece?,
                None => return Poll::Ready(Some(Err(BodyError::Shorter))),
            },
        };
        this.remaining = this.remaining.saturating_sub(piece.len() as u64);
        if let Some(hash) = &this.hash {
            hash.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .update(&piece);
        }
        this.counters
            .bytes_sent
            .fetch_add(piece.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

fn slice(content: &Bytes, range: &Range<u64>) -> Bytes {
    let position = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
    content.slice(position(range.start)..position(range.end))
}

fn unchanged(path: &Path, stamp: Stamp, metadata: &Metadata) -> Result<()> {
    if Stamp::of(metadata) == stamp {
        return Ok(());
    }
    let message = format!(
        "`{}` was changed while it was being sent; send it again",
        path.display()
    );
    Err(Error::new(ErrorKind::Io, message))
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("`{}` can not be read", path.display()),
    )
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::blocks::BLOCK_SIZE;
    use http_body_util::BodyExt as _;

    async fn sent(source: &Source, range: Range<u64>) -> Result<Bytes> {
        let body = source.body(range.clone(), None, Arc::default()).await?;
        assert_eq!(body.size_hint().exact(), Some(range.end - range.start));
        Ok(body.collect().await.expect("the body is read").to_bytes())
    }

    #[tokio::test]
    async fn a_file_is_sent_and_hashed_as_bytes_are() {
        let content: Vec<u8> = (0..BLOCK_SIZE + 300_000)
            .map(|at| (at % 251) as u8)
            .collect();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("content");
        std::fs::write(&path, &content).unwrap();
        let file = Source::file(&path).await.unwrap();
        let bytes = Source::bytes(content.clone());
        assert_eq!(file.digests().await.unwrap(), Digests::of(&content));
        assert_eq!(
            file.block_digests().await.unwrap(),
            bytes.block_digests().await.unwrap()
        );
        let range = 1000..BLOCK_SIZE + 7;
        let part = &content[1000..usize::try_from(range.end).unwrap()];
        assert_eq!(sent(&file, range.clone()).await.unwrap(), part);
        assert_eq!(sent(&bytes, range).await.unwrap(), part);
        assert_eq!(file.read().await.unwrap(), content);
    }

    #[tokio::test]
    async fn a_file_that_changes_in_between_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("content");
        std::fs::write(&path, "before").unwrap();
        let source = Source::file(&path).await.unwrap();
        std::fs::write(&path, "and after").unwrap();
        let error = source.digests().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("was changed while"), "{error}");
        assert!(source.check_unchanged().await.is_err());
        assert!(sent(&source, 0..3).await.is_err());
    }

    #[tokio::test]
    async fn a_directory_is_no_source() {
        let directory = tempfile::tempdir().unwrap();
        let error = Source::file(directory.path()).await.unwrap_err();
        assert!(
            error.to_string().contains("is not a regular file"),
            "{error}"
        );
    }
}
