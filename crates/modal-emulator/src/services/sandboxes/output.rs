//! What a process wrote, as streams that start at any byte.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::container::Log;

/// Bytes of one piece of a stream.
const PIECE: usize = 256 << 10;

/// Where one output of a process is found.
#[derive(Debug)]
pub(crate) enum Output {
    /// In the log of a container that still has its files; they stay while the token lives.
    Log(Log, TaskTrackerToken),
    /// In a file that outlives the container; a missing file is an empty output.
    File(PathBuf),
    /// Written by the emulator in place of a process that could not be started.
    Text(Bytes),
    /// Thrown away.
    Nothing,
}

/// Pieces, each with the offset of its first byte.
pub(crate) type Pieces = BoxStream<'static, io::Result<(u64, Bytes)>>;

impl Output {
    /// What there is from `offset` on, and what will come; ends when the process has.
    pub(crate) fn read(self, offset: u64) -> Pieces {
        match self {
            Self::Log(log, token) => {
                let state = (log.reader(offset), token);
                Box::pin(stream::try_unfold(state, async |(mut reader, token)| {
                    let at = reader.offset();
                    Ok(reader
                        .next()
                        .await?
                        .map(|data| ((at, data), (reader, token))))
                }))
            }
            Self::File(path) => Box::pin(
                stream::once(async move { open(path, offset).await })
                    .filter_map(async |opened| opened.transpose())
                    .flat_map(move |opened| match opened {
                        Ok(file) => pieces(file, offset),
                        Err(error) => Box::pin(stream::once(async { Err(error) })),
                    }),
            ),
            Self::Text(text) => {
                let from = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(text.len());
                let rest = text.slice(from..);
                let piece = (!rest.is_empty()).then_some(Ok((offset, rest)));
                Box::pin(stream::iter(piece))
            }
            Self::Nothing => Box::pin(stream::empty()),
        }
    }
}

async fn open(path: PathBuf, offset: u64) -> io::Result<Option<tokio::fs::File>> {
    match tokio::fs::File::open(path).await {
        Ok(mut file) => {
            file.seek(io::SeekFrom::Start(offset)).await?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn pieces(file: tokio::fs::File, offset: u64) -> Pieces {
    Box::pin(stream::try_unfold(
        (file, offset),
        async |(mut file, at)| {
            let mut buffer = Vec::with_capacity(PIECE);
            let read = (&mut file)
                .take(PIECE as u64)
                .read_to_end(&mut buffer)
                .await?;
            let piece = (at, Bytes::from(buffer));
            Ok((read > 0).then_some((piece, (file, at + read as u64))))
        },
    ))
}

/// Copies a log that has ended to a file, if there is anything in it.
pub(crate) async fn keep(log: &Log, file: PathBuf) -> io::Result<()> {
    if log.len() == 0 {
        return Ok(());
    }
    let mut reader = log.reader(0);
    let mut kept = tokio::fs::File::create(file).await?;
    while let Some(data) = reader.next().await? {
        tokio::io::AsyncWriteExt::write_all(&mut kept, &data).await?;
    }
    tokio::io::AsyncWriteExt::flush(&mut kept).await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(output: Output, offset: u64) -> Vec<(u64, Bytes)> {
        output.read(offset).map(Result::unwrap).collect().await
    }

    #[tokio::test]
    async fn a_file_is_read_from_any_offset_and_a_missing_one_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1");
        assert_eq!(read(Output::File(path.clone()), 0).await, []);
        let content: Vec<u8> = (0..=250u8).cycle().take(PIECE + 10).collect();
        std::fs::write(&path, &content).unwrap();
        let pieces = read(Output::File(path), 5).await;
        let offsets: Vec<u64> = pieces.iter().map(|(at, _)| *at).collect();
        assert_eq!(offsets, [5, 5 + PIECE as u64]);
        let all: Vec<u8> = pieces.iter().flat_map(|(_, data)| data.to_vec()).collect();
        assert_eq!(all, content[5..]);
    }

    #[tokio::test]
    async fn a_text_is_read_from_any_offset() {
        let text = Bytes::from_static(b"no such program");
        let piece = (3, Bytes::from_static(b"such program"));
        assert_eq!(read(Output::Text(text.clone()), 3).await, [piece]);
        assert_eq!(read(Output::Text(text), 99).await, []);
        assert_eq!(read(Output::Nothing, 0).await, []);
    }
}
