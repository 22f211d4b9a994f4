//! Who waits for commits, and how they are told.
//!
//! What is told is the id of the newest event. It only grows: what is learnt late, or twice, wakes nobody.

use std::sync::Arc;

use tokio::sync::watch;

/// Wakes whoever waits for a commit, in this process.
#[derive(Debug, Clone)]
pub(crate) struct Bell(Arc<watch::Sender<u64>>);

impl Bell {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Tells of the newest event there is.
    pub(crate) fn ring(&self, newest: u64) {
        self.0.send_if_modified(|known| {
            let news = *known < newest;
            *known = newest.max(*known);
            news
        });
    }

    /// Rings after a batch, if it appended an event.
    pub(crate) fn committed<E>(&self, batch: &Result<Option<u64>, E>) {
        if let Ok(Some(newest)) = batch {
            self.ring(*newest);
        }
    }

    pub(crate) fn listen(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_before_wakes_nobody() {
        let bell = Bell::new();
        let mut listener = bell.listen();
        bell.ring(2);
        assert_eq!(*listener.borrow_and_update(), 2);
        bell.ring(2);
        bell.ring(1);
        bell.committed::<()>(&Ok(None));
        assert!(!listener.has_changed().unwrap());
        bell.committed::<()>(&Ok(Some(3)));
        assert_eq!(*listener.borrow_and_update(), 3);
    }
}
