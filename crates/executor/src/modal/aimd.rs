//! How many sandboxes may be starting at once: additive increase, multiplicative decrease.
//!
//! As TCP does with packets (Chiu and Jain 1989; RFC 5681, 3.1): each start that goes well raises the cap a
//! little, one that the platform refuses for want of capacity halves it, at most once for all that were
//! under way together. So many callers share what the platform gives without knowing how much that is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The bounds of the cap.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StartLimits {
    /// Starts at once in the beginning: 8.
    pub initial: u32,
    /// Never fewer: 1.
    pub least: u32,
    /// Never more: 64.
    pub most: u32,
}

impl Default for StartLimits {
    fn default() -> Self {
        Self {
            initial: 8,
            least: 1,
            most: 64,
        }
    }
}

/// The cap, shared by all launches of one executor.
#[derive(Debug)]
pub(super) struct Starts {
    limits: StartLimits,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    cap: f64,
    starting: u32,
    /// Counts the decreases: a refusal of a start that began before the last one says nothing new.
    epoch: u64,
}

/// What became of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Started {
    /// The platform took it.
    Well,
    /// It was refused because there is no room.
    Refused,
    /// It says nothing about room.
    Otherwise,
}

/// The right to start one sandbox. Dropped without a word it counts as [`Started::Otherwise`].
#[derive(Debug)]
pub(super) struct Permit {
    starts: Arc<Starts>,
    epoch: u64,
    told: bool,
}

impl Starts {
    pub(super) fn new(limits: StartLimits) -> Arc<Self> {
        let cap = f64::from(
            limits
                .initial
                .clamp(limits.least.max(1), limits.most.max(1)),
        );
        let state = Mutex::new(State {
            cap,
            starting: 0,
            epoch: 0,
        });
        Arc::new(Self {
            limits,
            state,
            changed: Notify::new(),
        })
    }

    /// Waits for room below the cap.
    pub(super) async fn acquire(self: &Arc<Self>) -> Permit {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that no change between the two is missed.
            changed.as_mut().enable();
            if let Some(permit) = self.try_acquire() {
                return permit;
            }
            changed.await;
        }
    }

    fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.state();
        if f64::from(state.starting) + 1.0 > state.cap {
            return None;
        }
        state.starting += 1;
        Some(Permit {
            starts: Arc::clone(self),
            epoch: state.epoch,
            told: false,
        })
    }

    fn finish(&self, epoch: u64, how: Started) {
        let mut state = self.state();
        state.starting = state.starting.saturating_sub(1);
        let (least, most) = (
            f64::from(self.limits.least.max(1)),
            f64::from(self.limits.most.max(1)),
        );
        match how {
            Started::Well => state.cap = (state.cap + 1.0 / state.cap).min(most),
            Started::Refused if epoch == state.epoch => {
                state.cap = (state.cap / 2.0).max(least);
                state.epoch += 1;
            }
            Started::Refused | Started::Otherwise => {}
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Gives the right back and says what became of the start.
    pub(super) fn finish(mut self, how: Started) {
        self.told = true;
        self.starts.finish(self.epoch, how);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.told {
            self.starts.finish(self.epoch, Started::Otherwise);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_cap_grows_by_one_for_a_whole_round_and_halves_once() {
        let starts = Starts::new(StartLimits {
            initial: 4,
            least: 1,
            most: 8,
        });
        let round: Vec<_> = (0..4).map(|_| starts.try_acquire().unwrap()).collect();
        assert!(starts.try_acquire().is_none());
        for permit in round {
            permit.finish(Started::Well);
        }
        let round: Vec<_> = std::iter::from_fn(|| starts.try_acquire()).collect();
        assert_eq!(round.len(), 4, "four successes add a little less than one");
        for permit in round {
            permit.finish(Started::Refused);
        }
        let round: Vec<_> = std::iter::from_fn(|| starts.try_acquire()).collect();
        assert_eq!(round.len(), 2, "refusals of one round halve it once");
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_another_start_is_done() {
        let starts = Starts::new(StartLimits {
            initial: 1,
            least: 1,
            most: 1,
        });
        let first = starts.acquire().await;
        let waiting = async { drop(starts.acquire().await) };
        // Polled first, so it waits when the other is done.
        tokio::join!(biased; waiting, async { drop(first) });
    }

    proptest! {
        #[test]
        fn the_cap_stays_within_its_bounds(ends in prop::collection::vec(0..3_u8, 0..200)) {
            let limits = StartLimits { initial: 3, least: 2, most: 6 };
            let starts = Starts::new(limits);
            for end in ends {
                let permit = starts.try_acquire().expect("nothing is starting");
                permit.finish(match end {
                    0 => Started::Well,
                    1 => Started::Refused,
                    _ => Started::Otherwise,
                });
                let held: Vec<_> = std::iter::from_fn(|| starts.try_acquire()).collect();
                prop_assert!((limits.least..=limits.most).contains(&u32::try_from(held.len()).unwrap()));
            }
        }
    }
}
