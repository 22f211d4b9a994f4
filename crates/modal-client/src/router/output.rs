//! Standard output and error as streams that go on by offset.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use moorline_modal_proto::router::{
    SandboxStdioReadV2Request, SandboxStdioReadV2Response, TaskExecStdioReadRequest,
    TaskExecStdioReadResponse,
};
use tonic::{Code, Status, Streaming};

use super::{CommandRouter, command_router};
use crate::transport::retry::is_transient;
use crate::{Error, ErrorKind, Result};

command_router! {
    EXEC_STDIO_READ = TaskExecStdioRead(TaskExecStdioReadRequest) -> TaskExecStdioReadResponse, Read;
    SANDBOX_STDIO_READ = SandboxStdioReadV2(SandboxStdioReadV2Request) -> SandboxStdioReadV2Response, Read;
}

/// Failures in a row, without a byte between them, before a stream fails.
const MAX_FAILURES: u32 = 10;

/// The longest line that is handed out whole.
const MAX_LINE: usize = 1024 * 1024;

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where it begins, counted in bytes from the begin of the output. It is more than the end of the piece
    /// before only where the server has dropped what lay between.
    pub offset: u64,
    /// The bytes.
    pub data: Bytes,
}

impl Chunk {
    /// The offset behind it, from which another stream can go on.
    pub fn end(&self) -> u64 {
        self.offset + self.data.len() as u64
    }
}

/// The output of a sandbox or a command: a stream of [`Chunk`]s that ends with the process.
///
/// It survives broken connections, stalls and renewed tokens without a gap or a repeat, and is cancel-safe:
/// dropping a pending `next()` loses nothing.
pub struct Output {
    chunks: Pin<Box<dyn Stream<Item = Result<Chunk>> + Send>>,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}

impl Stream for Output {
    type Item = Result<Chunk>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.as_mut().poll_next(context)
    }
}

impl Output {
    pub(crate) fn new(chunks: impl Stream<Item = Result<Chunk>> + Send + 'static) -> Self {
        Self {
            chunks: Box::pin(chunks),
        }
    }

    /// All of it, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceExhausted`] if there is more.
    pub async fn read_to_end(mut self, limit: usize) -> Result<Bytes> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.try_next().await? {
            if all.len() + chunk.data.len() > limit {
                let message = format!("the output has more than {limit} bytes");
                return Err(Error::new(ErrorKind::ResourceExhausted, message));
            }
            all.extend_from_slice(&chunk.data);
        }
        Ok(all.freeze())
    }

    /// Its lines without their ends; bytes that are not UTF-8 are replaced, and a line of more than 1 MiB
    /// comes in pieces.
    pub fn lines(mut self) -> impl Stream<Item = Result<String>> + Send {
        async_stream::try_stream! {
            let mut rest = BytesMut::new();
            while let Some(chunk) = self.try_next().await? {
                let mut searched = rest.len();
                rest.extend_from_slice(&chunk.data);
                while let Some(line) = next_line(&mut rest, &mut searched) {
                    yield line;
                }
            }
            if !rest.is_empty() {
                yield text(&rest);
            }
        }
    }
}

fn next_line(rest: &mut BytesMut, searched: &mut usize) -> Option<String> {
    let unsearched = rest.get(*searched..).unwrap_or_default();
    let Some(end) = unsearched.iter().position(|byte| *byte == b'\n') else {
        *searched = rest.len();
        if rest.len() < MAX_LINE {
            return None;
        }
        *searched = 0;
        return Some(text(&rest.split()));
    };
    let line = rest.split_to(*searched + end);
    rest.advance(1);
    *searched = 0;
    Some(text(&line))
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// Which output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Descriptor {
    Stdout,
    Stderr,
}

impl Descriptor {
    /// The number of both enums of the router.
    fn number(self) -> i32 {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }
}

/// The output of a command, or of the sandbox's own process without an exec id, from `offset` on.
pub(crate) fn output(
    router: CommandRouter,
    exec_id: Option<String>,
    descriptor: Descriptor,
    offset: u64,
) -> Output {
    Output::new(async_stream::stream! {
        let mut position = Position { next: offset, at: offset };
        let mut failures = 0;
        let mut renewed = false;
        loop {
            position.at = position.next;
            let failed = match open(&router, exec_id.as_deref(), descriptor, position.next).await {
                Err(error) => error,
                Ok(mut reader) => {
                    let quiet = router.policy().attempt_timeout;
                    loop {
                        match reader.next(quiet).await {
                            Next::Piece { start, data } => {
                                (failures, renewed) = (0, false);
                                if let Some(chunk) = position.accept(start, data) {
                                    yield Ok(chunk);
                                }
                            }
                            // No news for long: a stream that stalled looks the same, and asking again costs
                            // little.
                            Next::Quiet => {
                                reader = match open(&router, exec_id.as_deref(), descriptor, position.next).await {
                                    Ok(reader) => reader,
                                    Err(error) => break error,
                                };
                                position.at = position.next;
                            }
                            Next::End => return,
                            Next::Failed(status) => break Error::from_status(reader.rpc(), status),
                        }
                    }
                }
            };
            if failed.code() == Some(Code::Unauthenticated) && !renewed {
                renewed = true;
                if let Err(error) = router.renew().await {
                    yield Err(error);
                    return;
                }
                continue;
            }
            failures += 1;
            let transient = failed.code().map_or_else(|| failed.is_transient(), is_transient);
            if !transient || failures > MAX_FAILURES {
                yield Err(failed);
                return;
            }
            tracing::debug!(%failed, offset = position.next, "an output stream is opened again");
            tokio::time::sleep(router.policy().backoff(failures - 1, rand::random())).await;
        }
    })
}

/// Where a stream is, and what was handed out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    /// The first byte that was not handed out.
    next: u64,
    /// The next byte that the open stream will bring.
    at: u64,
}

impl Position {
    /// Takes a piece; what was handed out before is cut off. `start` is where the server says it begins.
    fn accept(&mut self, start: Option<u64>, mut data: Bytes) -> Option<Chunk> {
        let begin = start.unwrap_or(self.at);
        self.at = begin + data.len() as u64;
        if self.at <= self.next {
            return None;
        }
        let repeated = self.next.saturating_sub(begin);
        data.advance(usize::try_from(repeated).unwrap_or(data.len()));
        self.next = self.at;
        Some(Chunk {
            offset: begin + repeated,
            data,
        })
    }
}

/// An open stream of either kind.
enum Reader {
    Exec(Streaming<TaskExecStdioReadResponse>),
    /// The first piece of a stream says where it begins: the server may have dropped older ones.
    Sandbox {
        stream: Streaming<SandboxStdioReadV2Response>,
        first: bool,
    },
}

enum Next {
    Piece { start: Option<u64>, data: Bytes },
    Quiet,
    End,
    Failed(Status),
}

impl Reader {
    fn rpc(&self) -> &'static str {
        match self {
            Self::Exec(_) => "TaskExecStdioRead",
            Self::Sandbox { .. } => "SandboxStdioReadV2",
        }
    }

    async fn next(&mut self, quiet: Duration) -> Next {
        let next = async {
            match self {
                Self::Exec(stream) => {
                    let piece = stream.message().await?;
                    Ok(piece.map(|piece| (None, piece.data)))
                }
                Self::Sandbox { stream, first } => {
                    let piece = stream.message().await?;
                    let first = std::mem::replace(first, false);
                    Ok(piece.map(|piece| (first.then_some(piece.starting_offset), piece.data)))
                }
            }
        };
        match tokio::time::timeout(quiet, next).await {
            Ok(Ok(Some((start, data)))) => Next::Piece { start, data },
            Ok(Ok(None)) => Next::End,
            Ok(Err(status)) => Next::Failed(status),
            Err(_) => Next::Quiet,
        }
    }
}

async fn open(
    router: &CommandRouter,
    exec_id: Option<&str>,
    descriptor: Descriptor,
    offset: u64,
) -> Result<Reader> {
    let task_id = router.task_id().to_owned();
    let file_descriptor = descriptor.number();
    if let Some(exec_id) = exec_id {
        let exec_id = exec_id.to_owned();
        let request = TaskExecStdioReadRequest {
            task_id,
            exec_id,
            offset,
            file_descriptor,
        };
        return router
            .server_stream(EXEC_STDIO_READ, request)
            .await
            .map(Reader::Exec);
    }
    let request = SandboxStdioReadV2Request {
        task_id,
        offset,
        file_descriptor,
    };
    let stream = router.server_stream(SANDBOX_STDIO_READ, request).await?;
    Ok(Reader::Sandbox {
        stream,
        first: true,
    })
}

/// Collects an output that may be longer than anybody wants to keep: the first `limit` bytes.
pub(crate) async fn head(output: Output, limit: usize) -> Result<Bytes> {
    let mut kept = BytesMut::new();
    let mut output = output;
    while let Some(chunk) = output.next().await {
        let data = chunk?.data;
        let room = limit.saturating_sub(kept.len()).min(data.len());
        kept.extend_from_slice(data.get(..room).unwrap_or_default());
    }
    Ok(kept.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn output_of(pieces: &[&'static [u8]]) -> Output {
        let mut position = Position { next: 0, at: 0 };
        let pieces = pieces.to_vec();
        let chunks: Vec<_> = pieces
            .into_iter()
            .filter_map(|piece| position.accept(None, Bytes::from_static(piece)))
            .collect();
        Output::new(futures::stream::iter(chunks.into_iter().map(Ok)))
    }

    #[tokio::test]
    async fn lines_are_found_across_pieces() {
        let output = output_of(&[b"on", b"e\ntwo\n\nth", b"", b"ree\r\n\xff"]);
        let lines: Vec<String> = output.lines().try_collect().await.unwrap();
        assert_eq!(lines, ["one", "two", "", "three\r", "\u{fffd}"]);
    }

    #[tokio::test]
    async fn an_endless_line_comes_in_pieces() {
        let long = vec![b'x'; MAX_LINE + 5].leak();
        let lines: Vec<String> = output_of(&[long, b"y\nz"])
            .lines()
            .try_collect()
            .await
            .unwrap();
        let lengths: Vec<_> = lines.iter().map(String::len).collect();
        assert_eq!(lengths, [MAX_LINE + 5, 1, 1]);
    }

    #[tokio::test]
    async fn more_than_the_limit_is_an_error_or_left_out() {
        let error = output_of(&[b"abc", b"de"])
            .read_to_end(4)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        assert_eq!(
            output_of(&[b"abc", b"de"]).read_to_end(5).await.unwrap(),
            "abcde"
        );
        assert_eq!(head(output_of(&[b"abc", b"de"]), 4).await.unwrap(), "abcd");
    }

    #[test]
    fn a_dropped_beginning_shows_in_the_offset() {
        let mut position = Position { next: 5, at: 5 };
        let chunk = position.accept(Some(9), Bytes::from_static(b"xy")).unwrap();
        assert_eq!(
            chunk,
            Chunk {
                offset: 9,
                data: Bytes::from_static(b"xy")
            }
        );
        assert_eq!(chunk.end(), 11);
    }

    proptest! {
        /// However streams break, and however far back the server begins: nothing is lost or repeated.
        #[test]
        fn streams_that_break_make_up_the_log(
            log in prop::collection::vec(any::<u8>(), 0..300),
            streams in prop::collection::vec((0_usize..40, prop::collection::vec(1_usize..30, 0..6)), 1..12),
        ) {
            let mut position = Position { next: 0, at: 0 };
            let mut got = Vec::new();
            let whole = (0, vec![log.len().max(1)]);
            for (back, sizes) in streams.iter().chain([&whole]) {
                position.at = position.next;
                let next = usize::try_from(position.next).unwrap();
                let begin = next.saturating_sub(*back);
                let mut at = begin;
                for (number, size) in sizes.iter().enumerate() {
                    let end = (at + size).min(log.len());
                    let start = (number == 0).then_some(begin as u64);
                    let piece = Bytes::copy_from_slice(&log[at..end]);
                    if let Some(chunk) = position.accept(start, piece) {
                        prop_assert_eq!(chunk.offset, got.len() as u64);
                        got.extend_from_slice(&chunk.data);
                    }
                    at = end;
                }
            }
            prop_assert_eq!(got, log);
        }
    }
}
