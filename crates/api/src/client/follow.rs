//! Streams: those that go on where they broke off, and those that can not.
//!
//! Events and lines of a log are numbered, so a stream that is opened anew names the last one that it gave:
//! nothing is missed and nothing comes twice (D-AUDIT-1). An emergency and an export of the trail end where they
//! break.

use std::fmt;
use std::sync::Arc;

use async_stream::stream;
use futures::stream::{BoxStream, StreamExt as _};
use moorline_core::error_code::{ErrorCode, RunStatus};
use moorline_core::event::Event;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::endpoint::Endpoint;
use super::wire::{Broken, Lines, Wire};
use super::{Client, endpoint};
use crate::error::ApiError;
use crate::types::{EventsRequest, LogLine, LogsRequest, RunRequest};

/// The longest pause is so many times the first one.
const SLOWEST: u32 = 25;

impl Client {
    /// Events behind a cursor, and those that come, whatever happens to the connection.
    pub(super) fn follow_events(
        &self,
        mut request: EventsRequest,
    ) -> BoxStream<'static, Result<Event, ApiError>> {
        let wire = Arc::clone(&self.wire);
        Box::pin(stream! {
            let mut reopening = Reopening::of(&wire);
            loop {
                let opened = wire.open(endpoint::event_watch(), &request).await;
                let mut events = match reopening.opened(opened) {
                    Ok(Some(events)) => events,
                    Ok(None) => {
                        reopening.wait().await;
                        continue;
                    }
                    Err(error) => {
                        yield Err(error);
                        return;
                    }
                };
                while let Some(event) = events.next().await {
                    match event {
                        // A server may begin a little before the cursor.
                        Ok(event) if event.id <= request.after => {}
                        Ok(event) => {
                            request.after = event.id;
                            // What it asked to begin with is told.
                            request.newest = false;
                            reopening.went_on();
                            yield Ok(event);
                        }
                        Err(Broken::Cut(_)) => break,
                        Err(Broken::Told(error)) => {
                            yield Err(error);
                            return;
                        }
                    }
                }
                // A watch has no end of its own: the server went away, or a proxy lost patience.
                reopening.wait().await;
            }
        })
    }

    /// The log of a run, to its end when it is followed.
    pub(super) fn follow_logs(
        &self,
        mut request: LogsRequest,
    ) -> BoxStream<'static, Result<LogLine, ApiError>> {
        let wire = Arc::clone(&self.wire);
        Box::pin(stream! {
            let mut reopening = Reopening::of(&wire);
            'open: loop {
                let opened = wire.open(endpoint::run_logs(), &request).await;
                let mut lines = match reopening.opened(opened) {
                    Ok(Some(lines)) => lines,
                    Ok(None) => {
                        reopening.wait().await;
                        continue;
                    }
                    Err(error) => {
                        yield Err(error);
                        return;
                    }
                };
                while let Some(line) = lines.next().await {
                    match line {
                        // A server may begin a little before the cursor.
                        Ok(line) if line.line <= request.after => {}
                        Ok(line) => {
                            request.after = line.line;
                            reopening.went_on();
                            yield Ok(line);
                        }
                        Err(Broken::Cut(error)) => {
                            if let Err(error) = reopening.cut(error) {
                                yield Err(error);
                                return;
                            }
                            reopening.wait().await;
                            continue 'open;
                        }
                        Err(Broken::Told(error)) => {
                            yield Err(error);
                            return;
                        }
                    }
                }
                // A server that goes away ends its streams in order; the run goes on.
                let over = !request.follow || is_over(&wire, &request.run).await;
                if over || reopening.ended().is_err() {
                    return;
                }
                reopening.wait().await;
            }
        })
    }

    /// A stream that is opened once.
    pub(super) fn once<R, A>(
        &self,
        endpoint: Endpoint<R, A>,
        request: R,
    ) -> BoxStream<'static, Result<A, ApiError>>
    where
        R: Serialize + Send + Sync + 'static,
        A: DeserializeOwned + Send + 'static,
    {
        let wire = Arc::clone(&self.wire);
        Box::pin(stream! {
            let mut lines = match wire.open(endpoint, &request).await {
                Ok(lines) => lines,
                Err(error) => {
                    yield Err(error);
                    return;
                }
            };
            while let Some(line) = lines.next().await {
                yield line.map_err(|broken| match broken {
                    Broken::Told(error) | Broken::Cut(error) => error,
                });
            }
        })
    }
}

/// Whether nothing runs any more of a run that can be asked for.
async fn is_over(wire: &Wire, run: &str) -> bool {
    let request = RunRequest {
        run: run.to_owned(),
    };
    let view = wire.call(endpoint::run_get(), &request).await;
    view.is_ok_and(|view| {
        let status = view.summary.status;
        !matches!(status, RunStatus::Queued | RunStatus::Running)
    })
}

/// How a stream is opened anew: with longer and longer pauses, and so often in a row.
struct Reopening<'w> {
    wire: &'w Wire,
    /// Times that it was not opened, or broke without anything new.
    failed: u32,
    /// Whether it was open before: then a server that does not answer is waited for.
    was_open: bool,
}

impl fmt::Debug for Reopening<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reopening")
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl<'w> Reopening<'w> {
    const fn of(wire: &'w Wire) -> Self {
        Self {
            wire,
            failed: 0,
            was_open: false,
        }
    }

    /// The lines, when it is open; none when it is to be tried again.
    fn opened<A>(
        &mut self,
        opened: Result<Lines<A>, ApiError>,
    ) -> Result<Option<Lines<A>>, ApiError> {
        match opened {
            Ok(lines) => {
                self.was_open = true;
                Ok(Some(lines))
            }
            Err(error) if self.was_open => self.cut(error).map(|()| None),
            Err(error) => Err(error),
        }
    }

    /// Counts a failure.
    ///
    /// # Errors
    /// The failure itself, when it was one too many, or is none that passes.
    fn cut(&mut self, error: ApiError) -> Result<(), ApiError> {
        self.failed += 1;
        let passes = error.code.info().retryable || error.code == ErrorCode::Unreachable;
        if passes && self.failed < self.wire.reconnects {
            Ok(())
        } else {
            Err(error)
        }
    }

    /// Counts an end that was none.
    ///
    /// # Errors
    /// When it was one too many.
    fn ended(&mut self) -> Result<(), ApiError> {
        let error = ApiError::new(ErrorCode::Unreachable, "the server ended the stream");
        self.cut(error)
    }

    /// Something new came.
    const fn went_on(&mut self) {
        self.failed = 0;
    }

    async fn wait(&self) {
        let doubled = 2_u32.saturating_pow(self.failed.min(8)).min(SLOWEST);
        tokio::time::sleep(self.wire.pause.saturating_mul(doubled)).await;
    }
}
