//! Standard input, written by offset.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http_body_util::BodyExt as _;
use moorline_modal_proto::router::task_exec_stdin_write_stream_request::Payload;
use moorline_modal_proto::router::{
    SandboxStdinWriteV2Request, TaskExecStdinStatusRequest, TaskExecStdinWriteRequest,
    TaskExecStdinWriteStreamEnd, TaskExecStdinWriteStreamRequest, TaskExecStdinWriteStreamStart,
};

use super::{ATTEMPT, CommandRouter, command_router};
use crate::transfer::Source;
use crate::transport::retry::is_transient;
use crate::{CallOptions, Error, ErrorKind, Result};

command_router! {
    EXEC_STDIN_STATUS = TaskExecStdinStatus(TaskExecStdinStatusRequest)
        -> TaskExecStdinStatusResponse, Read;
    EXEC_STDIN_WRITE = TaskExecStdinWrite(TaskExecStdinWriteRequest) -> TaskExecStdinWriteResponse, Read;
    EXEC_STDIN_STREAM = TaskExecStdinWriteStream(TaskExecStdinWriteStreamRequest)
        -> TaskExecStdinWriteStreamResponse, Once;
    SANDBOX_STDIN_WRITE = SandboxStdinWriteV2(SandboxStdinWriteV2Request)
        -> SandboxStdinWriteV2Response, Read;
}

/// The largest piece of input per message.
const PIECE: usize = 256 * 1024;

/// How often a broken stream of input is resumed without progress.
const MAX_RESUMES: u32 = 9;

/// The slowest reader that a stream of input waits for, in bytes a second.
const SLOWEST: u64 = 16 * 1024;

/// Input that is written piece by piece. Every piece is sent at its offset, and the server ignores what it
/// has: so attempts can be repeated, and a write that was cancelled is made up for by the next.
#[derive(Debug)]
pub(crate) struct Feed {
    router: CommandRouter,
    exec_id: Option<String>,
    offset: u64,
    pending: VecDeque<Bytes>,
    closed: bool,
}

impl Feed {
    pub(crate) fn new(router: CommandRouter, exec_id: Option<String>, offset: u64) -> Self {
        Self {
            router,
            exec_id,
            offset,
            pending: VecDeque::new(),
            closed: false,
        }
    }

    /// How many bytes the server has taken.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) async fn write(&mut self, data: Bytes) -> Result<()> {
        if self.closed {
            return Err(Error::new(
                ErrorKind::Conflict,
                "standard input is closed already",
            ));
        }
        self.pending.extend(pieces(data));
        self.flush().await
    }

    pub(crate) async fn close(&mut self) -> Result<()> {
        self.flush().await?;
        if !self.closed {
            self.send(Bytes::new(), true).await?;
            self.closed = true;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        // A piece leaves the queue when it is known to have arrived, also if this future is dropped.
        while let Some(piece) = self.pending.front().cloned() {
            let length = piece.len() as u64;
            self.send(piece, false).await?;
            self.offset += length;
            self.pending.pop_front();
        }
        Ok(())
    }

    async fn send(&self, data: Bytes, eof: bool) -> Result<()> {
        let (task_id, offset) = (self.router.task_id().to_owned(), self.offset);
        if let Some(exec_id) = self.exec_id.clone() {
            let request = TaskExecStdinWriteRequest {
                task_id,
                exec_id,
                offset,
                data,
                eof,
            };
            return self
                .router
                .unary(EXEC_STDIN_WRITE, request)
                .await
                .map(|_| ());
        }
        let request = SandboxStdinWriteV2Request {
            task_id,
            offset,
            data,
            eof,
        };
        self.router
            .unary(SANDBOX_STDIN_WRITE, request)
            .await
            .map(|_| ())
    }
}

fn pieces(mut data: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || (!data.is_empty()).then(|| data.split_to(data.len().min(PIECE))))
}

/// Sends a whole source as the input of a command, from its begin to its end, and closes it. A broken stream
/// goes on where the server says that it stopped.
pub(crate) async fn write_all(
    router: &CommandRouter,
    exec_id: &str,
    source: &Source,
) -> Result<()> {
    let mut offset = 0;
    let mut resumes = 0;
    loop {
        let unreadable: Arc<Mutex<Option<Error>>> = Arc::default();
        let requests = requests(
            router,
            exec_id,
            source.clone(),
            offset,
            Arc::clone(&unreadable),
        );
        let patience = ATTEMPT + Duration::from_secs((source.len() - offset) / SLOWEST);
        let options = CallOptions::new().attempt_timeout(patience);
        let Err(error) = router
            .client_stream(EXEC_STDIN_STREAM, requests, &options)
            .await
        else {
            return source.check_unchanged().await;
        };
        if let Some(error) = unreadable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            return Err(error);
        }
        let auth = error.kind() == ErrorKind::Unauthenticated;
        if auth {
            router.renew().await?;
        }
        let transient = auth
            || error
                .code()
                .map_or_else(|| error.is_transient(), is_transient);
        resumes += 1;
        if !transient || resumes > MAX_RESUMES {
            return Err(error);
        }
        let request = TaskExecStdinStatusRequest {
            task_id: router.task_id().to_owned(),
            exec_id: exec_id.to_owned(),
        };
        let status = router.unary(EXEC_STDIN_STATUS, request).await?;
        if status.closed {
            // Either everything arrived and only the answer was lost, or the command reads no more.
            return if status.num_bytes_written == source.len() {
                Ok(())
            } else {
                Err(error)
            };
        }
        if status.num_bytes_written > offset {
            resumes = 0;
        }
        tracing::debug!(%error, offset = status.num_bytes_written, "a stream of input goes on");
        offset = status.num_bytes_written.min(source.len());
        tokio::time::sleep(router.policy().backoff(resumes, rand::random())).await;
    }
}

/// The messages of one attempt. A source that can not be read ends them without the end mark, so that the
/// command does not take half of it for all.
fn requests(
    router: &CommandRouter,
    exec_id: &str,
    source: Source,
    offset: u64,
    unreadable: Arc<Mutex<Option<Error>>>,
) -> impl Stream<Item = TaskExecStdinWriteStreamRequest> + Send + use<> {
    let start = TaskExecStdinWriteStreamStart {
        task_id: router.task_id().to_owned(),
        exec_id: exec_id.to_owned(),
        offset,
    };
    let message = |payload| TaskExecStdinWriteStreamRequest {
        payload: Some(payload),
    };
    async_stream::stream! {
        yield message(Payload::Start(start));
        let failed = |error| {
            *unreadable.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        };
        let mut data = match source.body(offset..source.len(), None, Arc::default()).await {
            Ok(body) => body.into_data_stream(),
            Err(error) => return failed(error),
        };
        while let Some(piece) = data.next().await {
            match piece {
                Ok(piece) => {
                    for piece in pieces(piece) {
                        yield message(Payload::Data(piece));
                    }
                }
                Err(error) => {
                    let message = format!("{} can not be read", source.name());
                    return failed(Error::new(ErrorKind::Io, message).with_source(error));
                }
            }
        }
        yield message(Payload::End(TaskExecStdinWriteStreamEnd {}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::Owner;
    use crate::{Client, Config};

    fn router() -> CommandRouter {
        let client = Client::new(Config::new("http://127.0.0.1:1", "a", "b").unwrap()).unwrap();
        let owner = Owner::Task {
            task_id: "ta-1".into(),
        };
        CommandRouter::new(&client, "ta-1".into(), owner, None).unwrap()
    }

    async fn sent(source: Source, offset: u64) -> (Vec<Payload>, Option<Error>) {
        let slot: Arc<Mutex<Option<Error>>> = Arc::default();
        let messages: Vec<_> = requests(&router(), "exec", source, offset, Arc::clone(&slot))
            .collect()
            .await;
        let error = slot.lock().unwrap().take();
        (
            messages
                .into_iter()
                .map(|message| message.payload.unwrap())
                .collect(),
            error,
        )
    }

    #[tokio::test]
    async fn input_begins_at_the_offset_and_says_its_end() {
        let (messages, error) = sent(Source::bytes("abcdef"), 2).await;
        let start = TaskExecStdinWriteStreamStart {
            task_id: "ta-1".into(),
            exec_id: "exec".into(),
            offset: 2,
        };
        let expected = [
            Payload::Start(start),
            Payload::Data(Bytes::from_static(b"cdef")),
            Payload::End(TaskExecStdinWriteStreamEnd {}),
        ];
        assert_eq!(messages, expected);
        assert!(error.is_none());
    }

    #[tokio::test]
    async fn a_source_that_can_not_be_read_has_no_end_mark() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("content");
        std::fs::write(&path, "abc").unwrap();
        let source = Source::file(&path).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let (messages, error) = sent(source, 0).await;
        assert!(matches!(messages[..], [Payload::Start(_)]), "{messages:?}");
        assert_eq!(error.unwrap().kind(), ErrorKind::Io);
    }

    #[test]
    fn large_input_goes_in_pieces() {
        let lengths: Vec<_> = pieces(vec![0; 2 * PIECE + 1].into())
            .map(|piece| piece.len())
            .collect();
        assert_eq!(lengths, [PIECE, PIECE, 1]);
        assert_eq!(pieces(Bytes::new()).count(), 0);
    }
}
