//! The log of a run: the logs of its attempts, in order.
//!
//! Lines are numbered over the whole log, so that a reader who knows the last number goes on behind it, at any
//! replica (L75). What an attempt wrote does not change, and the order of attempts neither.

use futures::StreamExt as _;
use futures::stream::BoxStream;
use moorline_api::{ApiError, LogLine, LogsRequest};
use moorline_core::ids::RunId;
use moorline_core::run::Run;
use moorline_executor::{LogCursor, LogStream};
use moorline_store::AttemptRecord;

use crate::attempt::executor_error;
use crate::engine::Engine;
use crate::error::store_error;
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
                let mut lines = executor.logs(&handle, LogCursor::default(), request.follow);
                while let Some(chunk) = lines.next().await {
                    let chunk = chunk.map_err(|error| executor_error(&error))?;
                    number += 1;
                    if number <= request.after { continue; }
                    yield LogLine {
                        line: number,
                        at: chunk.at,
                        step: record.step.clone(),
                        attempt: record.number,
                        stream: name(chunk.stream).to_owned(),
                        text: chunk.text,
                    };
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

fn live_handle(run: &Run, record: &AttemptRecord) -> Option<moorline_core::attempt::Handle> {
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
