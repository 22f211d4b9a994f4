//! A bound on how many connections there are at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The places for connections of one proxy.
#[derive(Debug)]
pub(super) struct Slots {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// One place; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Slot(Arc<AtomicUsize>);

impl Slots {
    pub(super) fn new(most: usize) -> Self {
        Self {
            taken: Arc::default(),
            most,
        }
    }

    /// A place, or `None` when all are taken.
    pub(super) fn take(&self) -> Option<Slot> {
        let more = |taken| (taken < self.most).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()?;
        Some(Slot(Arc::clone(&self.taken)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_can_be_taken_again_once_it_is_given_back() {
        let slots = Slots::new(1);
        let slot = slots.take().unwrap();
        assert!(slots.take().is_none());
        drop(slot);
        assert!(slots.take().is_some());
    }
}
