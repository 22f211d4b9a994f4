//! Following the event log: changes of this process wake at once, those of others are looked for.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use moorline_api::{ApiError, EventsRequest};
use moorline_core::event::Event;

use crate::engine::Engine;
use crate::error::store_error;

/// How long to wait before looking again: short after something happened, up to a second when idle, so
/// that a watcher who waits for hours costs nothing to speak of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    next: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            next: Duration::from_millis(20),
        }
    }
}

impl Pace {
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(Duration::from_secs(1));
        wait
    }
}

/// Events behind the cursor and those that come. Ids have no gaps in commit order, so reading on behind
/// the last one neither misses nor repeats any.
pub(crate) fn stream(
    engine: Engine,
    request: EventsRequest,
) -> BoxStream<'static, Result<Event, ApiError>> {
    async_stream::try_stream! {
        let inner = &engine.inner;
        let mut filter = inner.event_filter(request).await?;
        let mut pace = Pace::default();
        loop {
            let changed = inner.changed.notified();
            let events = inner.store.events_list(filter.clone()).await.map_err(store_error)?;
            // Only the first look may ask for the newest ones; from there on it is the cursor.
            filter.newest = false;
            let idle = events.is_empty();
            for event in events {
                filter.after = event.id;
                yield event;
            }
            if !idle {
                pace = Pace::default();
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(pace.next()) => {}
                () = changed => {}
            }
        }
    }
    .boxed()
}
