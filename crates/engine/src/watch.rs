//! Following the event log, without gap or repeat.
//!
//! Ids have no gaps in commit order, so reading on behind the last one neither misses nor repeats any. There
//! are two ways to learn of new ones: an embedded engine looks for itself, woken by what this process changes
//! and now and then for what others change; an engine that serves has a [`hub`](crate::hub) that all share.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use moorline_api::{ApiError, EventsRequest};
use moorline_core::event::Event;
use moorline_store::{EventFilter, StoreError};

use crate::engine::{Engine, Inner};
use crate::error::store_error;

/// Events that are read at once by whoever catches up.
const PAGE: u32 = 500;

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

/// Events behind the cursor and those that come.
pub(crate) fn stream(
    engine: Engine,
    request: EventsRequest,
) -> BoxStream<'static, Result<Event, ApiError>> {
    if engine.inner.hub.serves() {
        shared(engine, request)
    } else {
        alone(engine, request)
    }
}

/// The way of a process with one follower.
fn alone(engine: Engine, request: EventsRequest) -> BoxStream<'static, Result<Event, ApiError>> {
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

/// The way of a process with many followers: first from the store, then from the hub. Ends when the engine is
/// drained.
fn shared(engine: Engine, request: EventsRequest) -> BoxStream<'static, Result<Event, ApiError>> {
    async_stream::try_stream! {
        let inner = &engine.inner;
        let mut filter = inner.event_filter(request).await?;
        if filter.newest {
            let events = inner.read_events(&filter).await?;
            for event in events {
                filter.after = event.id;
                yield event;
            }
        }
        filter.newest = false;
        filter.limit = PAGE;
        // Joined first, read afterwards: what the hub handed out before is in the store by then.
        while let Some(mut feed) = inner.join_feed().await? {
            loop {
                let events = inner.read_events(&filter).await?;
                let whole = events.len() < PAGE as usize;
                for event in events {
                    filter.after = event.id;
                    yield event;
                }
                if whole { break; }
            }
            // An error says that batches were lost to this follower, or that the hub has ended.
            while let Ok(batch) = feed.recv().await {
                for event in batch.iter() {
                    if event.id <= filter.after { continue; }
                    filter.after = event.id;
                    if wanted(&filter, event) {
                        yield event.clone();
                    }
                }
            }
        }
    }
    .boxed()
}

impl Inner {
    /// What a filter finds. A store that does not answer is asked again, until the engine is being drained: whoever
    /// follows waits with it, and misses nothing.
    pub(crate) async fn read_events(&self, filter: &EventFilter) -> Result<Vec<Event>, ApiError> {
        let mut pace = Pace::default();
        loop {
            match self.store.events_list(filter.clone()).await {
                Err(StoreError::Unavailable { .. }) if !self.closing.load(Ordering::Relaxed) => {
                    tokio::time::sleep(pace.next()).await;
                }
                found => return found.map_err(store_error),
            }
        }
    }
}

/// Whether an event is one of those that a filter names, its cursor and limit aside.
fn wanted(filter: &EventFilter, event: &Event) -> bool {
    let kind = filter.kinds.is_empty() || event.kind.is_one_of(&filter.kinds);
    let level = filter.level.is_none_or(|least| event.level >= least);
    let run = filter.run_id.is_none_or(|run| event.run_id == Some(run));
    let job = filter
        .job_id
        .as_ref()
        .is_none_or(|job| event.job_id.as_ref() == Some(job));
    kind && level && run && job
}
