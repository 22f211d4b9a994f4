//! The hub: one reader of new events for everyone in this process who follows them.
//!
//! An engine that serves ([`Engine::serve`]) may have hundreds of followers. One task reads what is new, once,
//! in commit order and whole, and hands it to all of them. Each follower filters for itself, in memory.
//!
//! * The task is woken by [`Store::changes`](moorline_store::Store::changes), which is a hint and no more, and
//!   looks once in [`EngineConfig::poll`](crate::EngineConfig) whatever happens. It begins with the first
//!   follower, and ends when there is none: without followers nothing is read.
//! * What it hands on is kept for [`KEPT`] batches. A follower that falls further behind reads the store from
//!   its own cursor and joins again, so a slow one holds up neither the engine nor any other, and costs no
//!   memory.
//! * A store that does not answer interrupts nobody: the task goes on where it was when it answers again.
//!
//! Deliberately absent: cursors and filters, which are the followers' own ([`watch`](crate::watch)).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use moorline_api::ApiError;
use moorline_core::event::Event;
use moorline_store::EventFilter;
use tokio::sync::{Mutex, broadcast, watch};
use tracing::{info, warn};

use crate::engine::{Engine, Inner};

/// Batches that are kept for followers that are not there yet.
const KEPT: usize = 128;
/// Events of one batch, at most; with [`KEPT`] it bounds the memory of the hub.
const BATCH: u32 = 200;

/// New events, oldest first, without a gap between one batch and the next.
pub(crate) type Batch = Arc<[Event]>;

/// Where followers join.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    serving: AtomicBool,
    /// Of the task that reads, while there is one.
    feed: Mutex<Option<broadcast::WeakSender<Batch>>>,
}

impl Hub {
    /// Whether followers share one reader here.
    pub(crate) fn serves(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }
}

impl Engine {
    /// Prepares for many followers of events at the same time: from now on they share one reader of the store.
    /// Without it each looks for itself, which is cheaper for one.
    pub fn serve(&self) {
        self.inner.hub.serving.store(true, Ordering::Relaxed);
    }
}

impl Inner {
    /// Joins those who get what is new. Whatever is not handed to the follower that joins is committed, so
    /// that a look at the store after this misses nothing. `None` when the engine is being drained.
    pub(crate) async fn join_feed(
        self: &Arc<Self>,
    ) -> Result<Option<broadcast::Receiver<Batch>>, ApiError> {
        if self.closing.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut feed = self.hub.feed.lock().await;
        if let Some(sender) = feed.as_ref().and_then(broadcast::WeakSender::upgrade) {
            return Ok(Some(sender.subscribe()));
        }
        let last = self.newest_event().await?;
        let (sender, receiver) = broadcast::channel(KEPT);
        *feed = Some(sender.downgrade());
        self.tasks
            .spawn(Arc::clone(self).read_on(sender, last))
            .await;
        Ok(Some(receiver))
    }

    /// The id of the newest event, 0 for none.
    async fn newest_event(&self) -> Result<u64, ApiError> {
        let newest = EventFilter {
            limit: 1,
            newest: true,
            ..EventFilter::default()
        };
        let events = self.read_events(&newest).await?;
        Ok(events.last().map_or(0, |event| event.id))
    }

    /// Reads what comes behind `last` and hands it on, until nobody wants it.
    async fn read_on(self: Arc<Self>, sender: broadcast::Sender<Batch>, mut last: u64) {
        let mut changes = self.store.changes();
        let mut reachable = true;
        while !self.feed_ends(&sender).await {
            // Before the look, so that a change in between is not missed.
            changes.mark_unchanged();
            let behind = EventFilter {
                after: last,
                limit: BATCH,
                ..EventFilter::default()
            };
            match self.store.events_list(behind).await {
                Ok(events) => {
                    if !reachable {
                        info!("the events can be read again");
                    }
                    reachable = true;
                    if let Some(newest) = events.last() {
                        last = newest.id;
                        // There may be nobody left to take it; the next look finds out.
                        drop(sender.send(events.into()));
                        continue;
                    }
                }
                Err(error) => {
                    if reachable {
                        warn!(%error, "the events can not be read; those who follow them wait");
                    }
                    reachable = false;
                    changes.mark_unchanged();
                }
            }
            self.until_more(&mut changes, last).await;
        }
    }

    /// Waits until there may be events behind `last`, or the engine is being drained.
    async fn until_more(&self, changes: &mut watch::Receiver<u64>, last: u64) {
        let more = async {
            while changes.changed().await.is_ok() {
                // What was read already may be told of afterwards.
                if *changes.borrow_and_update() > last {
                    return;
                }
            }
            // The store is going away; the poll is what is left.
            std::future::pending::<()>().await;
        };
        let closing = async {
            while !self.closing.load(Ordering::Relaxed) {
                self.changed.notified().await;
            }
        };
        tokio::select! {
            () = more => {}
            () = closing => {}
            () = tokio::time::sleep(self.config.poll) => {}
        }
    }

    /// Whether nobody follows any more. Decided under the lock under which they join.
    async fn feed_ends(&self, sender: &broadcast::Sender<Batch>) -> bool {
        let closing = || self.closing.load(Ordering::Relaxed);
        if sender.receiver_count() > 0 && !closing() {
            return false;
        }
        let mut feed = self.hub.feed.lock().await;
        let ends = sender.receiver_count() == 0 || closing();
        if ends {
            *feed = None;
        }
        ends
    }
}
