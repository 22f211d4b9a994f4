//! When a supervisor acts: the timeout, cancellation and the grace between asking and killing.
//!
//! Pure: what time it is comes in as an argument.

use std::time::Duration;

/// Why an attempt is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// It ran past its timeout.
    TimedOut,
    /// Someone asked for it.
    Cancelled,
    /// It wrote more than it may.
    DiskFull,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing, until the time that [`Timing::next`] tells.
    Wait,
    /// Ask the job to end.
    Ask,
    /// Kill the whole tree.
    Kill,
}

/// The course of one attempt in time.
#[derive(Debug)]
pub(super) struct Timing {
    /// When the timeout strikes; `None` when that is beyond all time.
    timeout: Option<Duration>,
    grace: Duration,
    ending: Option<Ending>,
}

#[derive(Debug, Clone, Copy)]
struct Ending {
    cause: Cause,
    kill_at: Option<Duration>,
    asked: bool,
}

impl Timing {
    pub(super) fn new(now: Duration, timeout: Duration, grace: Duration) -> Self {
        Self {
            timeout: now.checked_add(timeout),
            grace,
            ending: None,
        }
    }

    /// Why it is being ended, if it is. The first cause stays.
    pub(super) fn cause(&self) -> Option<Cause> {
        self.ending.map(|ending| ending.cause)
    }

    /// Someone asks for the end. A later wish can shorten the grace of an earlier one, never lengthen it.
    pub(super) fn cancel(&mut self, now: Duration, grace: Duration) {
        self.end(now, grace, Cause::Cancelled);
    }

    /// It wrote too much: it goes at once, before it can write more.
    pub(super) fn disk_full(&mut self, now: Duration) {
        self.end(now, Duration::ZERO, Cause::DiskFull);
    }

    fn end(&mut self, now: Duration, grace: Duration, cause: Cause) {
        let kill_at = now.checked_add(grace);
        match &mut self.ending {
            None => {
                self.ending = Some(Ending {
                    cause,
                    kill_at,
                    asked: false,
                });
            }
            Some(ending) => {
                ending.kill_at = match (ending.kill_at, kill_at) {
                    (Some(old), Some(new)) => Some(old.min(new)),
                    (old, new) => old.or(new),
                }
            }
        }
    }

    /// What to do at this time. `Ask` is answered once.
    pub(super) fn action(&mut self, now: Duration) -> Action {
        if self.ending.is_none() && self.timeout.is_some_and(|at| at <= now) {
            self.end(now, self.grace, Cause::TimedOut);
        }
        let Some(ending) = &mut self.ending else {
            return Action::Wait;
        };
        if ending.kill_at.is_some_and(|at| at <= now) {
            return Action::Kill;
        }
        if ending.asked {
            return Action::Wait;
        }
        ending.asked = true;
        Action::Ask
    }

    /// The time until which there is nothing to do; `None` for ever.
    pub(super) fn next(&self) -> Option<Duration> {
        match &self.ending {
            Some(Ending { asked: false, .. }) => Some(Duration::ZERO),
            Some(ending) => ending.kill_at,
            None => self.timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_timeout_asks_once_and_kills_after_the_grace() {
        let mut timing = Timing::new(secs(100), secs(10), secs(3));
        assert_eq!(
            (timing.action(secs(109)), timing.next()),
            (Action::Wait, Some(secs(110)))
        );
        assert_eq!(timing.action(secs(110)), Action::Ask);
        assert_eq!(
            (timing.action(secs(111)), timing.next()),
            (Action::Wait, Some(secs(113)))
        );
        assert_eq!(
            (timing.action(secs(113)), timing.cause()),
            (Action::Kill, Some(Cause::TimedOut))
        );
    }

    #[test]
    fn a_cancel_without_grace_kills_at_once() {
        let mut timing = Timing::new(secs(0), secs(10), secs(3));
        timing.cancel(secs(1), Duration::ZERO);
        assert_eq!(
            (timing.action(secs(1)), timing.cause()),
            (Action::Kill, Some(Cause::Cancelled))
        );
    }

    #[test]
    fn a_second_cancel_shortens_the_grace_and_never_lengthens_it() {
        let mut timing = Timing::new(secs(0), secs(100), secs(3));
        timing.cancel(secs(1), secs(30));
        assert_eq!(timing.action(secs(1)), Action::Ask);
        timing.cancel(secs(2), secs(5));
        assert_eq!(timing.next(), Some(secs(7)));
        timing.cancel(secs(3), secs(60));
        assert_eq!(
            (timing.action(secs(6)), timing.next()),
            (Action::Wait, Some(secs(7)))
        );
        assert_eq!(timing.action(secs(7)), Action::Kill);
    }

    #[test]
    fn the_first_cause_stays() {
        let mut timing = Timing::new(secs(0), secs(10), secs(3));
        timing.cancel(secs(9), secs(30));
        assert_eq!(timing.action(secs(11)), Action::Ask);
        timing.disk_full(secs(12));
        assert_eq!(
            (timing.action(secs(12)), timing.cause()),
            (Action::Kill, Some(Cause::Cancelled))
        );
    }

    #[test]
    fn times_beyond_all_time_never_strike() {
        let mut timing = Timing::new(secs(1), Duration::MAX, secs(3));
        assert_eq!(
            (timing.action(secs(u64::MAX)), timing.next()),
            (Action::Wait, None)
        );
        timing.cancel(secs(1), Duration::MAX);
        assert_eq!((timing.action(secs(1)), timing.next()), (Action::Ask, None));
    }
}
