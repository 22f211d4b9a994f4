//! Logs of apps: followed with resume, or fetched for a range of time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use jiff::Timestamp;
use moorline_modal_proto::client as pb;

use super::Apps;
use crate::error::Result;
use crate::rpc::{CallOptions, control_plane};
use crate::stream::{Flow, OnClose, Resume, StreamOptions, resume};
use crate::transport::Client;
use crate::wire::{some, time, wire_timestamp};

control_plane! {
    FETCH = AppFetchLogs(AppFetchLogsRequest) -> AppFetchLogsResponse, Read;
    FOLLOW = AppGetLogs(AppGetLogsRequest) -> TaskLogsBatch, Read;
}

/// How long the server holds one stream open, in seconds.
const HOLD: f32 = 55.0;

/// Which stream a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogSource {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Modal itself.
    System,
}

impl LogSource {
    fn of(number: i32) -> Self {
        match pb::FileDescriptor::try_from(number).unwrap_or_default() {
            pb::FileDescriptor::Stderr => Self::Stderr,
            pb::FileDescriptor::Info => Self::System,
            pb::FileDescriptor::Stdout | pb::FileDescriptor::Unspecified => Self::Stdout,
        }
    }

    fn wire(source: Option<Self>) -> i32 {
        let descriptor = match source {
            None => pb::FileDescriptor::Unspecified,
            Some(Self::Stdout) => pb::FileDescriptor::Stdout,
            Some(Self::Stderr) => pb::FileDescriptor::Stderr,
            Some(Self::System) => pb::FileDescriptor::Info,
        };
        descriptor.into()
    }
}

/// A piece of a log: usually a line, with its line break.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// The text.
    pub text: String,
    /// Where it was written.
    pub source: LogSource,
    /// When.
    pub time: Option<Timestamp>,
    /// The call that wrote it, `fc-…`.
    pub function_call_id: Option<String>,
    /// The input that wrote it, `in-…`.
    pub input_id: Option<String>,
}

impl LogLine {
    pub(crate) fn of(item: pb::TaskLogs) -> Self {
        let exact = i128::from(item.timestamp_ns);
        Self {
            source: LogSource::of(item.file_descriptor),
            time: if exact == 0 {
                time(item.timestamp)
            } else {
                Timestamp::from_nanosecond(exact).ok()
            },
            text: item.data,
            function_call_id: some(item.function_call_id),
            input_id: some(item.input_id),
        }
    }
}

/// Lines of one container, and the position behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogBatch {
    /// The position behind this batch: [`LogFilter::after`] goes on there, also in another process.
    pub position: Arc<str>,
    /// The container, `ta-…`.
    pub task_id: Option<String>,
    /// The function, `fu-…`.
    pub function_id: Option<String>,
    /// The lines.
    pub lines: Vec<LogLine>,
}

impl LogBatch {
    fn of(batch: pb::TaskLogsBatch) -> Self {
        Self {
            position: batch.entry_id.into(),
            task_id: some(batch.task_id),
            function_id: some(batch.function_id),
            // Items without text tell a container's state.
            lines: batch
                .items
                .into_iter()
                .filter(|item| !item.data.is_empty())
                .map(LogLine::of)
                .collect(),
        }
    }
}

/// Which lines are wanted; all when nothing is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    after: Option<String>,
    function_id: Option<String>,
    function_call_id: Option<String>,
    task_id: Option<String>,
    sandbox_id: Option<String>,
    source: Option<LogSource>,
    search: Option<String>,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, value: impl Into<String>) -> Self {
                self.$name = Some(value.into());
                self
            }
        )+
    };
}

impl LogFilter {
    /// Everything, from the oldest line that the server keeps.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// Only what comes behind this [position](LogBatch::position). Only for following.
        after;
        /// Only of this function, `fu-…`.
        function_id;
        /// Only of this call, `fc-…`.
        function_call_id;
        /// Only of this container, `ta-…`.
        task_id;
        /// Only of this sandbox, `sb-…`.
        sandbox_id;
        /// Only lines that contain this text.
        search;
    }

    /// Only of this stream.
    #[must_use]
    pub fn source(mut self, source: LogSource) -> Self {
        self.source = Some(source);
        self
    }

    fn follow_request(&self, app_id: &str) -> pb::AppGetLogsRequest {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        pb::AppGetLogsRequest {
            app_id: app_id.to_owned(),
            timeout: HOLD,
            last_entry_id: text(&self.after),
            function_id: text(&self.function_id),
            function_call_id: text(&self.function_call_id),
            task_id: text(&self.task_id),
            sandbox_id: text(&self.sandbox_id),
            search_text: text(&self.search),
            file_descriptor: LogSource::wire(self.source),
            ..pb::AppGetLogsRequest::default()
        }
    }

    fn fetch_request(&self, app_id: &str, range: &LogRange) -> pb::AppFetchLogsRequest {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        pb::AppFetchLogsRequest {
            app_id: app_id.to_owned(),
            since: range.since.map(wire_timestamp),
            until: range.until.map(wire_timestamp),
            limit: range.limit,
            source: LogSource::wire(self.source),
            function_id: text(&self.function_id),
            function_call_id: text(&self.function_call_id),
            task_id: text(&self.task_id),
            sandbox_id: text(&self.sandbox_id),
            search_text: text(&self.search),
            ..pb::AppFetchLogsRequest::default()
        }
    }
}

/// A range of time and the most lines wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// From here on; from the oldest when unset. The server keeps 35 days.
    pub since: Option<Timestamp>,
    /// Up to here; up to now when unset.
    pub until: Option<Timestamp>,
    /// The newest so many lines; at most 20,000.
    pub limit: u32,
}

impl Default for LogRange {
    fn default() -> Self {
        Self {
            since: None,
            until: None,
            limit: 1000,
        }
    }
}

impl Apps {
    /// Follows the logs of an app until it is over: batches without gap and without repeat, also across
    /// lost connections.
    pub fn follow_logs(
        &self,
        app_id: &str,
        filter: &LogFilter,
    ) -> impl Stream<Item = Result<LogBatch>> + Send + use<> {
        let request = filter.follow_request(app_id);
        let source = Follow {
            client: self.client.clone(),
            request,
        };
        let hold = Duration::from_secs_f32(HOLD);
        resume(
            source,
            StreamOptions::new(FOLLOW.name(), OnClose::Reopen, hold),
        )
    }

    /// The newest lines of a range of time, oldest first.
    ///
    /// # Errors
    /// What the server says.
    pub async fn fetch_logs(
        &self,
        app_id: &str,
        filter: &LogFilter,
        range: &LogRange,
    ) -> Result<Vec<LogBatch>> {
        let reply = self
            .client
            .unary(FETCH, filter.fetch_request(app_id, range))
            .await?;
        Ok(reply.batches.into_iter().map(LogBatch::of).collect())
    }
}

struct Follow {
    client: Client,
    /// Its `last_entry_id` is the position reached.
    request: pb::AppGetLogsRequest,
}

impl Resume for Follow {
    type Message = pb::TaskLogsBatch;
    type Item = LogBatch;

    async fn open(&mut self) -> Result<tonic::Streaming<Self::Message>> {
        let options = CallOptions::new().max_retries(0);
        self.client
            .server_stream(FOLLOW, self.request.clone(), &options)
            .await
    }

    fn accept(&mut self, message: Self::Message, items: &mut VecDeque<LogBatch>) -> Result<Flow> {
        // A batch that was sent before the connection broke is sent again by some servers.
        let repeated =
            !message.entry_id.is_empty() && message.entry_id == self.request.last_entry_id;
        if !message.entry_id.is_empty() {
            self.request.last_entry_id.clone_from(&message.entry_id);
        }
        let flow = if message.app_done {
            Flow::Done
        } else {
            Flow::More
        };
        let batch = LogBatch::of(message);
        if !repeated && !batch.lines.is_empty() {
            items.push_back(batch);
        }
        Ok(flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow() -> Follow {
        let config = crate::Config::new("http://127.0.0.1:1", "ak", "as").unwrap();
        let request = LogFilter::new().after("1-0").follow_request("ap-1");
        Follow {
            client: Client::new(config).unwrap(),
            request,
        }
    }

    fn batch(entry: &str, text: &str) -> pb::TaskLogsBatch {
        let item = pb::TaskLogs {
            data: text.into(),
            file_descriptor: 2,
            timestamp_ns: 1_500_000_000,
            ..pb::TaskLogs::default()
        };
        pb::TaskLogsBatch {
            entry_id: entry.into(),
            items: vec![item],
            ..Default::default()
        }
    }

    #[test]
    fn the_position_moves_with_every_batch_and_a_repeat_is_dropped() {
        let mut source = follow();
        let mut items = VecDeque::new();
        assert_eq!(
            source.accept(batch("2-0", "x\n"), &mut items).unwrap(),
            Flow::More
        );
        assert_eq!(source.request.last_entry_id, "2-0");
        source.accept(batch("2-0", "x\n"), &mut items).unwrap();
        assert_eq!(items.len(), 1);
        let line = &items[0].lines[0];
        assert_eq!(
            (line.text.as_str(), line.source),
            ("x\n", LogSource::Stderr)
        );
        assert_eq!(line.time.unwrap().to_string(), "1970-01-01T00:00:01.5Z");
    }

    #[test]
    fn only_the_servers_marker_ends_it() {
        let mut source = follow();
        let done = pb::TaskLogsBatch {
            app_done: true,
            ..Default::default()
        };
        assert_eq!(
            source.accept(done, &mut VecDeque::new()).unwrap(),
            Flow::Done
        );
        let eof = pb::TaskLogsBatch {
            eof: true,
            ..Default::default()
        };
        assert_eq!(
            source.accept(eof, &mut VecDeque::new()).unwrap(),
            Flow::More
        );
    }
}
