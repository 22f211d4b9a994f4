//! Bytes between a connection and a file, a piece at a time: never a whole body in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use md5::Md5;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

/// How much is received before it is hashed and written in one go.
const PIECE: usize = 256 << 10;

/// How much is read from a file at a time.
const READ: u64 = 512 << 10;

/// What arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    /// In bytes.
    pub(crate) length: u64,
    pub(crate) sha256: [u8; 32],
    /// When it was asked for.
    pub(crate) md5: Option<[u8; 16]>,
}

/// Why a body could not be stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// The sender went away.
    #[error("the connection broke after {at} bytes")]
    Broken {
        /// Bytes that had arrived.
        at: u64,
    },
    /// It is longer than announced.
    #[error("the body is longer than the {limit} bytes that were announced")]
    TooLong {
        /// The announced length.
        limit: u64,
    },
    /// The disk.
    #[error("the body could not be written")]
    Write(#[source] io::Error),
}

/// Writes a body of at most `limit` bytes into `file` from `offset` on, and hashes it on the way.
pub(crate) async fn receive(
    body: Body,
    file: Arc<File>,
    offset: u64,
    limit: u64,
    with_md5: bool,
) -> Result<Received, ReceiveError> {
    let mut sink = Sink {
        file,
        offset,
        length: 0,
        sha256: Sha256::new(),
        md5: with_md5.then(Md5::new),
    };
    let mut frames = body.into_data_stream();
    let mut piece: Vec<Bytes> = Vec::new();
    let mut gathered = 0;
    while let Some(frame) = frames.next().await {
        let at = sink.length + gathered as u64;
        let frame = frame.map_err(|_| ReceiveError::Broken { at })?;
        gathered += frame.len();
        if sink.length + gathered as u64 > limit {
            return Err(ReceiveError::TooLong { limit });
        }
        piece.push(frame);
        if gathered >= PIECE {
            sink = sink.take(std::mem::take(&mut piece)).await?;
            gathered = 0;
        }
    }
    let sink = sink.take(piece).await?;
    Ok(Received {
        length: sink.length,
        sha256: sink.sha256.finalize().into(),
        md5: sink.md5.map(|md5| md5.finalize().into()),
    })
}

struct Sink {
    file: Arc<File>,
    offset: u64,
    length: u64,
    sha256: Sha256,
    md5: Option<Md5>,
}

impl Sink {
    async fn take(mut self, piece: Vec<Bytes>) -> Result<Self, ReceiveError> {
        if piece.is_empty() {
            return Ok(self);
        }
        let written = spawn_blocking(move || {
            for bytes in piece {
                self.sha256.update(&bytes);
                if let Some(md5) = &mut self.md5 {
                    md5.update(&bytes);
                }
                self.file.write_all_at(&bytes, self.offset + self.length)?;
                self.length += bytes.len() as u64;
            }
            Ok(self)
        });
        let written = written
            .await
            .unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
        written.map_err(ReceiveError::Write)
    }
}

/// A body of `length` bytes of a file from `start` on. A file that has become shorter breaks it off.
pub(crate) fn send(file: Arc<File>, start: u64, length: u64) -> Body {
    let pieces = futures::stream::try_unfold((start, length), move |(at, left)| {
        let file = Arc::clone(&file);
        async move {
            if left == 0 {
                return Ok::<_, io::Error>(None);
            }
            let size = usize::try_from(left.min(READ)).unwrap_or(PIECE);
            let read = spawn_blocking(move || read_piece(&file, at, size));
            let piece = read
                .await
                .unwrap_or_else(|panicked| Err(io::Error::other(panicked)))?;
            let read = piece.len() as u64;
            Ok(Some((piece, (at + read, left - read))))
        }
    });
    Body::from_stream(pieces)
}

/// At least one byte and at most `size` of a file.
fn read_piece(file: &File, at: u64, size: usize) -> io::Result<Bytes> {
    let mut piece = BytesMut::zeroed(size);
    let read = file.read_at(&mut piece, at)?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    piece.truncate(read);
    Ok(piece.freeze())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_received_is_hashed_written_at_its_place_and_sent_again() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let content: Vec<u8> = (0..3 * PIECE + 17)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect();
        let frames: Vec<Result<Bytes, io::Error>> = content
            .chunks(9_999)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        let body = Body::from_stream(futures::stream::iter(frames));
        let length = content.len() as u64;
        let received = receive(body, Arc::clone(&file), 5, length, true)
            .await
            .unwrap();
        let sha256 = Sha256::digest(&content).into();
        let md5 = Some(Md5::digest(&content).into());
        assert_eq!(
            received,
            Received {
                length,
                sha256,
                md5
            }
        );
        let sent = send(file, 5, length).collect().await.unwrap().to_bytes();
        assert_eq!(sent, content);
    }

    #[tokio::test]
    async fn a_body_longer_than_announced_is_refused() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let refused = receive(Body::from("four"), file, 0, 3, false).await;
        assert!(matches!(refused, Err(ReceiveError::TooLong { limit: 3 })));
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_breaks_the_body_off() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        assert!(send(Arc::new(file), 0, 4).collect().await.is_err());
    }
}
