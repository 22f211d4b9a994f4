//! Output of sandboxes of the first API: a log in pieces with ids of their own.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use moorline_modal_proto::client::{FileDescriptor, SandboxGetLogsRequest, TaskLogsBatch};
use tonic::Streaming;

use super::{Sandbox, rpc};
use crate::router::{Chunk, Descriptor, Output};
use crate::stream::{Flow, OnClose, Resume, StreamOptions, resume};
use crate::{CallOptions, Result};

/// How long the server holds a stream open.
const HOLD: Duration = Duration::from_secs(55);

/// The output from `offset` on; what lies before it is read and dropped, for the log knows no offsets.
pub(super) fn output(sandbox: Sandbox, descriptor: Descriptor, offset: u64) -> Output {
    let descriptor = match descriptor {
        Descriptor::Stdout => FileDescriptor::Stdout,
        Descriptor::Stderr => FileDescriptor::Stderr,
    };
    let log = Log {
        sandbox,
        descriptor,
        last_entry_id: String::new(),
        at: 0,
    };
    let options = StreamOptions::new(rpc::GET_LOGS.name(), OnClose::Reopen, HOLD);
    Output::new(resume(log, options).filter_map(move |chunk| {
        std::future::ready(match chunk {
            Ok(chunk) => behind(chunk, offset).map(Ok),
            Err(error) => Some(Err(error)),
        })
    }))
}

/// The part of a piece that is not before `offset`.
fn behind(mut chunk: Chunk, offset: u64) -> Option<Chunk> {
    let skip = offset.saturating_sub(chunk.offset);
    if skip >= chunk.data.len() as u64 {
        return None;
    }
    chunk.data = chunk
        .data
        .slice(usize::try_from(skip).unwrap_or(chunk.data.len())..);
    chunk.offset += skip;
    Some(chunk)
}

struct Log {
    sandbox: Sandbox,
    descriptor: FileDescriptor,
    last_entry_id: String,
    at: u64,
}

impl Resume for Log {
    type Message = TaskLogsBatch;
    type Item = Chunk;

    async fn open(&mut self) -> Result<Streaming<TaskLogsBatch>> {
        let request = SandboxGetLogsRequest {
            sandbox_id: self.sandbox.id().to_owned(),
            file_descriptor: self.descriptor.into(),
            timeout: HOLD.as_secs_f32(),
            last_entry_id: self.last_entry_id.clone(),
        };
        let options = CallOptions::new().max_retries(0);
        self.sandbox
            .client()
            .server_stream(rpc::GET_LOGS, request, &options)
            .await
    }

    fn accept(&mut self, batch: TaskLogsBatch, items: &mut VecDeque<Chunk>) -> Result<Flow> {
        if !batch.entry_id.is_empty() {
            self.last_entry_id = batch.entry_id;
        }
        for entry in batch.items {
            let other =
                entry.file_descriptor != i32::from(self.descriptor) && entry.file_descriptor != 0;
            if other || entry.data.is_empty() {
                continue;
            }
            let chunk = Chunk {
                offset: self.at,
                data: Bytes::from(entry.data),
            };
            self.at = chunk.end();
            items.push_back(chunk);
        }
        Ok(if batch.eof { Flow::Done } else { Flow::More })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Api;
    use super::super::handle::Parts;
    use super::*;
    use crate::{Client, Config};
    use moorline_modal_proto::client::TaskLogs;

    #[test]
    fn a_log_is_counted_in_bytes_until_its_end() {
        let client = Client::new(Config::new("http://127.0.0.1:1", "a", "b").unwrap()).unwrap();
        let parts = Parts {
            id: "sb-1".into(),
            ..Parts::default()
        };
        let sandbox = Sandbox::new(&client, Api::V1, parts);
        let descriptor = FileDescriptor::Stdout;
        let mut log = Log {
            sandbox,
            descriptor,
            last_entry_id: String::new(),
            at: 0,
        };
        let entry = |data: &str, file_descriptor| TaskLogs {
            data: data.into(),
            file_descriptor,
            ..TaskLogs::default()
        };
        let batch = |entry_id: &str, items, eof| TaskLogsBatch {
            entry_id: entry_id.into(),
            items,
            eof,
            ..TaskLogsBatch::default()
        };
        let mut items = VecDeque::new();
        let first = batch("1-0", vec![entry("ab", 1), entry("xx", 2)], false);
        assert_eq!(log.accept(first, &mut items).unwrap(), Flow::More);
        let last = batch("2-0", vec![entry("cd", 1)], true);
        assert_eq!(log.accept(last, &mut items).unwrap(), Flow::Done);
        let chunk = |offset, data: &'static str| Chunk {
            offset,
            data: data.into(),
        };
        assert_eq!(items, [chunk(0, "ab"), chunk(2, "cd")]);
        assert_eq!(log.last_entry_id, "2-0");
        assert_eq!(behind(chunk(2, "cd"), 3), Some(chunk(3, "d")));
        assert_eq!(behind(chunk(2, "cd"), 4), None);
        assert_eq!(behind(chunk(2, "cd"), 0), Some(chunk(2, "cd")));
    }
}
