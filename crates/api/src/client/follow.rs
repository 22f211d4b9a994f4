//! Streams: those that go on where they broke off, and those that can not.
//!
//! Events and lines of a log are numbered, so a stream that is opened anew names the last one that it gave:
//! nothing is missed and nothing comes twice (D-AUDIT-1). One loop does that for whatever is [`Followed`]. An
//! emergency and an export of the trail end where they break.

use std::future::Future;
use std::sync::Arc;

use async_stream::stream;
use futures::stream::{BoxStream, StreamExt as _};
use moorline_core::error_code::{ErrorCode, RunStatus};
use moorline_core::event::Event;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Client;
use super::endpoint::{self, Endpoint};
use super::patience::Patience;
use super::wire::{Broken, Wire};
use crate::error::ApiError;
use crate::types::{EventsRequest, LogLine, LogsRequest, RunRequest};

/// What is asked with a cursor, and answered with what is behind it.
pub(super) trait Followed: Serialize + Send + Sync + 'static {
    /// What comes.
    type Item: DeserializeOwned + Send + 'static;

    /// Where it is asked for.
    fn endpoint() -> Endpoint<Self, Self::Item>;

    /// The cursor behind an item.
    fn cursor(item: &Self::Item) -> u64;

    /// The cursor that is asked with.
    fn after(&self) -> u64;

    /// Asks for what is behind this cursor from now on.
    fn go_on(&mut self, after: u64);

    /// Whether nothing more comes, once the server ended the stream. One that goes away ends its streams in order
    /// as well.
    fn is_over(&self, wire: &Wire) -> impl Future<Output = bool> + Send;
}

impl Followed for EventsRequest {
    type Item = Event;

    fn endpoint() -> Endpoint<Self, Event> {
        endpoint::event_watch()
    }

    fn cursor(item: &Event) -> u64 {
        item.id
    }

    fn after(&self) -> u64 {
        self.after
    }

    fn go_on(&mut self, after: u64) {
        self.after = after;
        // What it asked to begin with is told.
        self.newest = false;
    }

    /// A watch has no end of its own: the server went away, or a proxy lost patience.
    async fn is_over(&self, _: &Wire) -> bool {
        false
    }
}

impl Followed for LogsRequest {
    type Item = LogLine;

    fn endpoint() -> Endpoint<Self, LogLine> {
        endpoint::run_logs()
    }

    fn cursor(item: &LogLine) -> u64 {
        item.line
    }

    fn after(&self) -> u64 {
        self.after
    }

    fn go_on(&mut self, after: u64) {
        self.after = after;
    }

    async fn is_over(&self, wire: &Wire) -> bool {
        if !self.follow {
            return true;
        }
        let request = RunRequest {
            run: self.run.clone(),
        };
        let view = wire.call(endpoint::run_get(), &request).await;
        view.is_ok_and(|view| {
            let status = view.summary.status;
            !matches!(status, RunStatus::Queued | RunStatus::Running)
        })
    }
}

impl Client {
    /// What is behind a cursor, and what comes, whatever happens to the connection: a server that was reached
    /// before is asked again for as long as patience lasts.
    pub(super) fn follow<R: Followed>(
        &self,
        mut request: R,
    ) -> BoxStream<'static, Result<R::Item, ApiError>> {
        let wire = Arc::clone(&self.wire);
        Box::pin(stream! {
            let mut patience = Patience::of(&wire);
            loop {
                let broken = match wire.open(R::endpoint(), &request).await {
                    Err(error) => error,
                    Ok(mut items) => loop {
                        patience.answered();
                        match items.next().await {
                            // A server may begin a little before the cursor.
                            Some(Ok(item)) if R::cursor(&item) <= request.after() => {}
                            Some(Ok(item)) => {
                                request.go_on(R::cursor(&item));
                                patience.renew();
                                yield Ok(item);
                            }
                            Some(Err(Broken::Told(error) | Broken::Cut(error))) => break error,
                            None if request.is_over(&wire).await => return,
                            None => {
                                let message = "the server ended the stream";
                                break ApiError::new(ErrorCode::Unreachable, message);
                            }
                        }
                    },
                };
                if let Err(error) = patience.after(broken).await {
                    yield Err(error);
                    return;
                }
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
