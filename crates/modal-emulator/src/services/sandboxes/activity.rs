//! Whether a sandbox is in use, for its idle timeout.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Counts what is going on: commands, connections, writes to standard input.
#[derive(Debug)]
pub(crate) struct Activity {
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    busy: usize,
    last: Instant,
}

/// Something that goes on while this lives.
#[derive(Debug)]
pub(crate) struct Busy {
    state: watch::Sender<State>,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(State {
                busy: 0,
                last: instant(),
            }),
        }
    }
}

impl Activity {
    /// Something begins; it goes on until the guard is dropped.
    pub(crate) fn begin(&self) -> Busy {
        self.state.send_modify(|state| state.busy += 1);
        Busy {
            state: self.state.clone(),
        }
    }

    /// Returns when nothing has gone on for `limit`.
    pub(crate) async fn idle_for(&self, limit: Duration) {
        let mut seen = self.state.subscribe();
        loop {
            let State { busy, last } = *seen.borrow_and_update();
            if busy > 0 {
                // The sender lives in `self`, so this can not fail.
                let _ = seen.changed().await;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep_until(last + limit) => return,
                _ = seen.changed() => {}
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a length of time, measured for its own sake"
)]
fn instant() -> Instant {
    Instant::now()
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.state.send_modify(|state| {
            state.busy -= 1;
            state.last = instant();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_is_counted_from_the_end_of_the_last_activity() {
        let (activity, limit) = (Activity::default(), Duration::from_millis(20));
        let begun = instant();
        let busy = activity.begin();
        let work = async {
            tokio::time::sleep(3 * limit).await; // L77: something goes on for longer than the limit
            drop(busy);
        };
        tokio::join!(activity.idle_for(limit), work);
        assert!(begun.elapsed() >= 4 * limit);
    }
}
