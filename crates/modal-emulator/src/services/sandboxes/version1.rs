//! Output and input of version 1, through the control plane.
//!
//! RPCs: `SandboxGetLogs`, `SandboxStdinWrite`.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use moorline_modal_proto::client::{
    FileDescriptor, SandboxGetLogsRequest, SandboxStdinWriteRequest, SandboxStdinWriteResponse,
    TaskLogs, TaskLogsBatch,
};
use tonic::Status;

use super::command::Stream;
use super::live::{Phase, seconds};
use super::output::{Output, Pieces};
use super::run;
use crate::call::Call;
use crate::routes::{Answers, Rpcs};
use crate::services::named::now;
use crate::world::World;

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.stream("SandboxGetLogs", sandbox_get_logs);
    rpcs.read("SandboxStdinWrite", sandbox_stdin_write);
}

/// One output of a sandbox's first command, whether it runs, is over, or has not begun.
///
/// # Errors
/// `NOT_FOUND`.
pub(crate) async fn output(world: &World, id: &str, stream: Stream) -> Result<Output, Status> {
    let id = world.sandboxes.record(id, |record| record.id.clone())?;
    if let Some(live) = world.sandboxes.live(&id) {
        let mut phase = live.phase.subscribe();
        let begun = phase
            .wait_for(|phase| !matches!(phase, Phase::Pending))
            .await;
        if let Ok(phase) = begun
            && let Phase::Running(main) = &*phase
        {
            return Ok(main.command.output(stream, &main.place.readers));
        }
    }
    Ok(Output::File(run::file(world, &id, stream)))
}

/// A batch's entry id is where it ends: `<bytes>-0`.
async fn sandbox_get_logs(
    world: Arc<World>,
    call: Call<SandboxGetLogsRequest>,
) -> Result<Answers<TaskLogsBatch>, Status> {
    let request = call.message;
    let fd = request.file_descriptor();
    let stream = match fd {
        FileDescriptor::Unspecified | FileDescriptor::Stdout => Stream::Stdout,
        FileDescriptor::Stderr => Stream::Stderr,
        FileDescriptor::Info => {
            return Err(Status::invalid_argument("a sandbox has no such output"));
        }
    };
    let offset = request
        .last_entry_id
        .split('-')
        .next()
        .and_then(|at| at.parse().ok());
    let pieces = output(&world, &request.sandbox_id, stream)
        .await?
        .read(offset.unwrap_or(0));
    let reader = Reader {
        pieces,
        fd,
        held: Vec::new(),
        at: offset.unwrap_or(0),
        over: false,
    };
    let limit = if request.timeout > 0.0 {
        seconds(request.timeout)
    } else {
        seconds(f32::MAX)
    };
    let batches = futures::stream::unfold(reader, Reader::next);
    Ok(Box::pin(batches.take_until(tokio::time::sleep(limit))))
}

/// Turns bytes into text, cut between characters.
struct Reader {
    pieces: Pieces,
    fd: FileDescriptor,
    /// The beginning of a character whose end was not read yet.
    held: Vec<u8>,
    at: u64,
    over: bool,
}

impl Reader {
    async fn next(mut self) -> Option<(Result<TaskLogsBatch, Status>, Self)> {
        if self.over {
            return None;
        }
        loop {
            match self.pieces.next().await {
                Some(Ok((_, data))) => {
                    let text = self.text(&data);
                    if !text.is_empty() {
                        return Some((Ok(self.batch(text, false)), self));
                    }
                }
                Some(Err(error)) => {
                    self.over = true;
                    return Some((Err(Status::unavailable(error.to_string())), self));
                }
                None => {
                    self.over = true;
                    let rest = std::mem::take(&mut self.held);
                    self.at += rest.len() as u64;
                    let text = String::from_utf8_lossy(&rest).into_owned();
                    return Some((Ok(self.batch(text, true)), self));
                }
            }
        }
    }

    fn text(&mut self, data: &Bytes) -> String {
        self.held.extend_from_slice(data);
        let whole = match std::str::from_utf8(&self.held) {
            Ok(_) => self.held.len(),
            // Only the last character can be incomplete; what is wrong elsewhere is shown as such.
            Err(_) => incomplete_from(&self.held),
        };
        let rest = self.held.split_off(whole);
        let done = std::mem::replace(&mut self.held, rest);
        self.at += done.len() as u64;
        String::from_utf8_lossy(&done).into_owned()
    }

    fn batch(&self, text: String, eof: bool) -> TaskLogsBatch {
        let item = TaskLogs {
            data: text,
            file_descriptor: self.fd.into(),
            timestamp: now(),
            ..TaskLogs::default()
        };
        let items = if item.data.is_empty() {
            Vec::new()
        } else {
            vec![item]
        };
        TaskLogsBatch {
            items,
            entry_id: format!("{}-0", self.at),
            eof,
            ..TaskLogsBatch::default()
        }
    }
}

/// Where an unfinished character at the end begins; the length when there is none.
fn incomplete_from(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    let tail = bytes.iter().enumerate().skip(from);
    let starts = tail
        .filter(|(_, byte)| **byte >= 0xC0)
        .map(|(at, byte)| (at, *byte))
        .next_back();
    match starts {
        Some((at, byte)) => {
            let length = if byte >= 0xF0 {
                4
            } else if byte >= 0xE0 {
                3
            } else {
                2
            };
            if at + length > bytes.len() {
                at
            } else {
                bytes.len()
            }
        }
        None => bytes.len(),
    }
}

/// Writes come with a number from 1 on instead of an offset.
async fn sandbox_stdin_write(
    world: Arc<World>,
    call: Call<SandboxStdinWriteRequest>,
) -> Result<SandboxStdinWriteResponse, Status> {
    let SandboxStdinWriteRequest {
        sandbox_id,
        input,
        index,
        eof,
    } = call.message;
    world.sandboxes.record(&sandbox_id, |_| ())?;
    let over =
        || Status::failed_precondition(format!("Sandbox '{sandbox_id}' has already finished"));
    let live = world.sandboxes.live(&sandbox_id).ok_or_else(over)?;
    let main = live.main().await.map_err(|_| over())?;
    let _busy = live.activity.begin();
    main.command.stdin.write_nth(index, input, eof).await?;
    Ok(SandboxStdinWriteResponse {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn text_is_cut_between_characters_and_every_byte_is_counted() {
        let text = "aé€😀b".as_bytes();
        for cut in 0..=text.len() {
            let (left, right) = text.split_at(cut);
            let piece = |at: usize, part: &[u8]| Ok((at as u64, Bytes::copy_from_slice(part)));
            let pieces = futures::stream::iter([piece(0, left), piece(cut, right)]).boxed();
            let reader = Reader {
                pieces,
                fd: FileDescriptor::Stdout,
                held: Vec::new(),
                at: 0,
                over: false,
            };
            let batches: Vec<_> = futures::stream::unfold(reader, Reader::next)
                .collect()
                .await;
            let batches: Vec<_> = batches.into_iter().map(Result::unwrap).collect();
            let read: String = batches
                .iter()
                .flat_map(|batch| &batch.items)
                .map(|item| &*item.data)
                .collect();
            assert_eq!(read, "aé€😀b");
            let last = batches.last().unwrap();
            assert_eq!((last.entry_id.as_str(), last.eof), ("11-0", true));
        }
    }
}
