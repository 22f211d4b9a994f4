//! The log of a run: the logs of its attempts, in order.
//!
//! Lines are numbered over the whole log, so that a reader who knows the last number goes on behind it, at any
//! replica (L75). What an attempt wrote does not change, and the order of attempts neither.

use futures::StreamExt as _;
use futures::stream::BoxStream;
use jiff::Timestamp;
use moorline_api::{ApiError, LogLine, LogsRequest};
use moorline_core::attempt::Handle;
use moorline_core::ids::RunId;
use moorline_core::run::Run;
use moorline_executor::{Executor, ExecutorError, LogChunk, LogCursor, LogStream};
use moorline_store::AttemptRecord;

use crate::attempt::executor_error;
use crate::engine::{Engine, Inner};
use crate::error::store_error;
use crate::shared::KeptLog;
use crate::watch::Pace;

/// The lines of a run's log; with `follow`, until the run is over.
pub(crate) fn stream(
    engine: Engine,
    request: LogsRequest,
) -> BoxStream<'static, Result<LogLine, ApiError>> {
    async_stream::try_stream! {
        let inner = &engine.inner;
        let id: RunId = inner.find(&request.run).await?;
        let mut told = 0_usize;
        let mut number = 0_u64;
        let mut said = None;
        let mut pace = Pace::default();
        loop {
            // The run before its attempts: when it is over, the list that follows is complete.
            let changed = inner.changed.notified();
            let run = inner.must_get(id).await?;
            let attempts = inner.store.attempts_list(id).await.map_err(store_error)?;
            for record in attempts.get(told..).unwrap_or_default() {
                let Some(handle) = record.handle.clone().or_else(|| live_handle(&run, record)) else {
                    // Without a handle there is no log yet, unless it ended before it was launched.
                    if record.ended_at.is_some() { told += 1; continue; }
                    break;
                };
                told += 1;
                pace = Pace::default();
                if request.step.as_ref().is_some_and(|step| *step != record.step) {
                    continue;
                }
                let spec = inner.spec_of(&run).await?;
                let Some(step) = spec.steps().iter().find(|step| step.name == record.step) else { continue };
                let executor = inner.executor_of(&run, step)?;
                if inner.is_elsewhere(executor.as_ref(), &handle).await {
                    let over = record.ended_at.is_some() || run.status.is_terminal();
                    let kept = inner.kept_log(record.id).await?;
                    if kept.is_none() && said != Some(record.id) {
                        said = Some(record.id);
                        yield elsewhere(record, number, over, inner.now());
                    }
                    if !over && request.follow {
                        // Its machine keeps a copy when it is over.
                        told -= 1;
                        break;
                    }
                    let KeptLog { skipped, chunks } = kept.unwrap_or_default();
                    number += skipped;
                    for chunk in chunks {
                        number += 1;
                        if number <= request.after { continue; }
                        yield line(record, number, chunk);
                    }
                    continue;
                }
                let mut lines = executor.logs(&handle, LogCursor::default(), request.follow);
                while let Some(chunk) = lines.next().await {
                    let chunk = chunk.map_err(|error| executor_error(&error))?;
                    number += 1;
                    if number <= request.after { continue; }
                    yield line(record, number, chunk);
                }
            }
            if !request.follow || run.status.is_terminal() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(pace.next()) => {}
                () = changed => {}
            }
        }
    }
    .boxed()
}

impl Inner {
    /// Whether only another machine has the log of an attempt.
    async fn is_elsewhere(&self, executor: &dyn Executor, handle: &Handle) -> bool {
        if !self.is_shared() || !executor.only_here() {
            return false;
        }
        matches!(
            executor.observe(handle).await,
            Err(ExecutorError::NotFound { .. })
        )
    }
}

fn line(record: &AttemptRecord, number: u64, chunk: LogChunk) -> LogLine {
    LogLine {
        line: number,
        at: chunk.at,
        step: record.step.clone(),
        attempt: record.number,
        stream: name(chunk.stream).to_owned(),
        text: chunk.text,
    }
}

/// Says why there are no lines of an attempt. No line of the log: it has the number of the one before it.
fn elsewhere(record: &AttemptRecord, number: u64, over: bool, now: Timestamp) -> LogLine {
    let text = if over {
        "this attempt ran on another machine, which kept no copy of its log"
    } else {
        "this attempt runs on another machine; its log can be read there, and here when it is over"
    };
    LogLine {
        line: number,
        at: now,
        step: record.step.clone(),
        attempt: record.number,
        stream: name(LogStream::System).to_owned(),
        text: text.to_owned(),
    }
}

fn live_handle(run: &Run, record: &AttemptRecord) -> Option<Handle> {
    run.attempt
        .as_ref()
        .filter(|live| live.id == record.id)
        .and_then(|live| live.handle.clone())
}

const fn name(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
        LogStream::System => "system",
    }
}
