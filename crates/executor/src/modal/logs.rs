//! The log of an attempt: frames, wherever their bytes come from.

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt as _};

use crate::executor::{ExecutorError, LogChunk, LogCursor};
use crate::local::log_format::decode;

/// Bytes of a log from some offset on.
pub(super) type LogBytes = BoxStream<'static, Result<Bytes, ExecutorError>>;

/// Reads frames from bytes that begin at `from`, which must be a cursor. A last line without its newline is
/// still being written; it is left out.
pub(super) fn frames(
    bytes: LogBytes,
    from: LogCursor,
) -> BoxStream<'static, Result<LogChunk, ExecutorError>> {
    let reader = Reader {
        bytes,
        pending: BytesMut::new(),
        offset: from.0,
    };
    stream::try_unfold(reader, |mut reader| async move {
        let next = reader.next().await?;
        Ok(next.map(|chunks| (stream::iter(chunks.into_iter().map(Ok)), reader)))
    })
    .flat_map(|chunks: Result<_, ExecutorError>| match chunks {
        Ok(chunks) => chunks.left_stream(),
        Err(error) => stream::once(async { Err(error) }).right_stream(),
    })
    .boxed()
}

struct Reader {
    bytes: LogBytes,
    pending: BytesMut,
    offset: u64,
}

impl Reader {
    /// The next complete lines; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<LogChunk>>, ExecutorError> {
        loop {
            let Some(bytes) = self.bytes.next().await.transpose()? else {
                return Ok(None);
            };
            self.pending.extend_from_slice(&bytes);
            let complete = memchr::memrchr(b'\n', &self.pending).map_or(0, |end| end + 1);
            if complete == 0 {
                continue;
            }
            let lines = self.pending.split_to(complete);
            let mut chunks = Vec::new();
            for line in lines.split_inclusive(|&byte| byte == b'\n') {
                self.offset += line.len() as u64;
                let frame = decode(line.strip_suffix(b"\n").unwrap_or(line)).ok_or_else(|| {
                    let what = "the log holds a line that is not of this log".to_owned();
                    ExecutorError::io(what, std::io::ErrorKind::InvalidData.into())
                })?;
                chunks.push(LogChunk {
                    at: frame.at,
                    stream: frame.stream,
                    text: String::from_utf8_lossy(frame.text).into_owned(),
                    ends_line: frame.ends_line,
                    next: LogCursor(self.offset),
                });
            }
            return Ok(Some(chunks));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::LogStream;
    use crate::local::log_format::{encode, stamp};
    use proptest::prelude::*;

    fn log() -> (Vec<u8>, Vec<&'static str>) {
        let texts = ["one", "", "z\u{fc}rich", "the last"];
        let mut log = Vec::new();
        for text in texts {
            let at = stamp(jiff::Timestamp::UNIX_EPOCH);
            encode(&mut log, &at, LogStream::Stdout, true, text.as_bytes());
        }
        (log, texts.to_vec())
    }

    fn read(pieces: Vec<Vec<u8>>, from: u64) -> Vec<LogChunk> {
        let bytes = stream::iter(pieces)
            .map(|piece| Ok(Bytes::from(piece)))
            .boxed();
        let chunks = frames(bytes, LogCursor(from)).map(Result::unwrap);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(chunks.collect())
    }

    proptest! {
        #[test]
        fn frames_are_the_same_wherever_the_bytes_are_cut(cuts in prop::collection::vec(0..160_usize, 0..6)) {
            let (log, texts) = log();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < log.len()).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut rest = &log[..];
            for cut in cuts.iter().rev() {
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                pieces.insert(0, tail.to_vec());
                rest = head;
            }
            pieces.insert(0, rest.to_vec());
            let chunks = read(pieces, 0);
            prop_assert_eq!(chunks.iter().map(|chunk| chunk.text.as_str()).collect::<Vec<_>>(), texts);
            prop_assert_eq!(chunks.last().unwrap().next, LogCursor(log.len() as u64));
        }
    }

    #[test]
    fn any_cursor_resumes_behind_its_frame() {
        let (log, _) = log();
        let whole = read(vec![log.clone()], 0);
        for (index, chunk) in whole.iter().enumerate() {
            let from = usize::try_from(chunk.next.0).unwrap();
            assert_eq!(
                read(vec![log[from..].to_vec()], chunk.next.0),
                whole[index + 1..]
            );
        }
    }

    #[test]
    fn a_line_without_its_end_is_not_yet_there() {
        let (log, texts) = log();
        assert_eq!(
            read(vec![log[..log.len() - 1].to_vec()], 0).len(),
            texts.len() - 1
        );
    }
}
