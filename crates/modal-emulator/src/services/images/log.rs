//! The log of one build: written while it goes on, read by any number of callers from any entry on.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moorline_modal_proto::client::{FileDescriptor, GenericResult, TaskLogs};
use tokio::sync::Notify;

use crate::clock;

/// Entries in one message of the stream.
const ENTRIES: usize = 500;

/// What a build said so far, and how it ended.
#[derive(Debug, Default)]
pub(super) struct BuildLog {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<TaskLogs>,
    result: Option<GenericResult>,
}

/// What a reader is told at once.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct News {
    pub(super) entries: Vec<TaskLogs>,
    /// To go on from: the number of entries that were told, and those before.
    pub(super) seen: usize,
    /// When there is nothing more to come.
    pub(super) result: Option<GenericResult>,
}

impl BuildLog {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what a process or the builder wrote.
    pub(super) fn write(&self, text: &str, descriptor: FileDescriptor) {
        let entry = TaskLogs {
            data: text.to_owned(),
            timestamp: clock::seconds(),
            timestamp_ns: clock::nanos(),
            file_descriptor: descriptor.into(),
            ..TaskLogs::default()
        };
        self.state().entries.push(entry);
        self.changed.notify_waiters();
    }

    /// Nothing will be added.
    pub(super) fn end(&self, result: GenericResult) {
        self.state().result = Some(result);
        self.changed.notify_waiters();
    }

    /// What came after the first `seen` entries, waiting for it; `None` when nothing did in that time.
    pub(super) async fn after(&self, seen: usize, hold: Duration) -> Option<News> {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                // Listening begins before looking, so that no entry falls in between.
                changed.as_mut().enable();
                if let Some(news) = self.news(seen) {
                    return news;
                }
                changed.await;
            }
        };
        tokio::time::timeout(hold, waiting).await.ok()
    }

    fn news(&self, seen: usize) -> Option<News> {
        let state = self.state();
        let new = state.entries.get(seen..).unwrap_or_default();
        let told = new.len().min(ENTRIES);
        let is_all = told == new.len();
        let result = state.result.clone().filter(|_| is_all);
        (told > 0 || result.is_some()).then(|| News {
            entries: new.iter().take(told).cloned().collect(),
            seen: seen.min(state.entries.len()) + told,
            result,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_reader_goes_on_where_it_was_and_is_told_the_end_last() {
        let log = Arc::new(BuildLog::default());
        assert_eq!(log.after(0, Duration::ZERO).await, None);
        let writing = async { log.write("one\n", FileDescriptor::Stdout) };
        let (news, ()) = tokio::join!(log.after(0, Duration::from_secs(20)), writing);
        let news = news.unwrap();
        assert_eq!((news.entries.len(), news.seen, news.result), (1, 1, None));
        for _ in 0..ENTRIES {
            log.write("more\n", FileDescriptor::Stderr);
        }
        log.write("last\n", FileDescriptor::Stdout);
        log.end(GenericResult::default());
        let news = log.after(1, Duration::from_secs(20)).await.unwrap();
        assert_eq!((news.seen, news.result), (1 + ENTRIES, None));
        let news = log.after(news.seen, Duration::from_secs(20)).await.unwrap();
        assert_eq!(news.entries[0].data, "last\n");
        assert_eq!(news.result, Some(GenericResult::default()));
        assert_eq!(
            log.after(news.seen, Duration::ZERO).await.unwrap().entries,
            []
        );
    }
}
