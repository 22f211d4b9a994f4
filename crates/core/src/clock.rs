//! Time and new ids, as things that are given: [`Clock`] and [`Ids`].
//!
//! Whoever needs to know the time takes a `Clock`, whoever makes an id takes an `Ids`; a test gives them
//! [`ManualClock`] and [`SeededIds`] and knows every timestamp and id that will come out. Deliberately
//! absent: waiting. A clock says what time it is; timers belong to the async runtime.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use uuid::{Builder, Uuid};

/// A source of wall-clock time.
///
/// Times are whole microseconds: that is what the stores keep, so a time is equal to itself read back.
/// Successive readings may go backwards, as wall clocks do when they are set.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where the time is read"
        )]
        let now = SystemTime::now();
        // A clock set to a year that no timestamp can hold (beyond 9999) reads as the last one.
        Timestamp::try_from(now).map_or(Timestamp::MAX, |now| micros(now.as_microsecond()))
    }
}

/// The timestamp of a count of microseconds, or the nearest one that exists.
fn micros(count: i64) -> Timestamp {
    let bound = if count < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_microsecond(count).unwrap_or(bound)
}

/// A clock that stands still until it is told to move: for tests and simulations.
///
/// Share it by reference or `Arc`.
///
/// ```
/// use std::time::Duration;
///
/// use moorline_core::clock::{Clock, ManualClock};
///
/// let clock = ManualClock::new("2026-01-31T12:00:00Z".parse()?);
/// clock.advance(Duration::from_secs(90));
/// assert_eq!(clock.now().to_string(), "2026-01-31T12:01:30Z");
/// # Ok::<(), jiff::Error>(())
/// ```
#[derive(Debug)]
pub struct ManualClock {
    micros: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `start`, cut to whole microseconds.
    pub fn new(start: Timestamp) -> Self {
        Self {
            micros: AtomicI64::new(start.as_microsecond()),
        }
    }

    /// Moves the clock forwards; it stops at the last timestamp there is.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        let forwards = |now: i64| Some(now.saturating_add(by));
        // `forwards` never declines, so there is no failure to see.
        _ = self
            .micros
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, forwards);
    }

    /// Sets the clock, also backwards.
    pub fn set(&self, now: Timestamp) {
        self.micros.store(now.as_microsecond(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        micros(self.micros.load(Ordering::SeqCst))
    }
}

/// A source of new ids: UUID version 7 (RFC 9562), each greater than the one before it.
///
/// The order holds for one source in one process; ids of two processes are only ordered by the clock.
pub trait Ids: fmt::Debug + Send + Sync {
    /// A UUID that was never given before.
    fn uuid(&self) -> Uuid;
}

/// Ids from the system clock and the system's random numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SystemIds;

impl Ids for SystemIds {
    fn uuid(&self) -> Uuid {
        // Ordered also within a millisecond and when the clock steps back: the crate counts on.
        Uuid::now_v7()
    }
}

/// Ids that follow from a seed: the same seed gives the same ids in the same order.
///
/// For tests and simulations. The timestamp part counts milliseconds from 2026-01-01T00:00:00Z, one for
/// each id.
#[derive(Debug)]
pub struct SeededIds {
    seed: u64,
    given: AtomicU64,
}

impl SeededIds {
    /// 2026-01-01T00:00:00Z, in Unix milliseconds.
    const FIRST_MILLISECOND: u64 = 1_767_225_600_000;

    /// A source whose ids follow from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            given: AtomicU64::new(0),
        }
    }
}

impl Ids for SeededIds {
    fn uuid(&self) -> Uuid {
        let count = self.given.fetch_add(1, Ordering::SeqCst);
        let noise = blake3::keyed_hash(&key(self.seed), &count.to_le_bytes());
        let mut random = [0; 10];
        random.copy_from_slice(noise.as_bytes().split_at(10).0);
        Builder::from_unix_timestamp_millis(Self::FIRST_MILLISECOND + count, &random).into_uuid()
    }
}

/// A seed as the key of a hash.
fn key(seed: u64) -> [u8; 32] {
    *blake3::hash(&seed.to_le_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn the_system_clock_gives_whole_microseconds_near_the_systems_time() {
        let system = |time: SystemTime| Timestamp::try_from(time).unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "compared with the clock under test"
        )]
        let before = system(SystemTime::now());
        let now = SystemClock.now();
        #[expect(
            clippy::disallowed_methods,
            reason = "compared with the clock under test"
        )]
        let after = system(SystemTime::now());
        assert_eq!(
            Timestamp::from_microsecond(now.as_microsecond()).unwrap(),
            now
        );
        assert!(before.as_microsecond() <= now.as_microsecond() && now <= after);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new("2026-01-31T12:00:00.123456789Z".parse().unwrap());
        let shared: Arc<dyn Clock> = Arc::new(ManualClock::new(clock.now()));
        assert_eq!(clock.now().to_string(), "2026-01-31T12:00:00.123456Z");
        clock.advance(Duration::from_micros(2));
        assert_eq!(clock.now().to_string(), "2026-01-31T12:00:00.123458Z");
        assert_eq!(shared.now().to_string(), "2026-01-31T12:00:00.123456Z");
        clock.set("1969-12-31T23:59:59Z".parse().unwrap());
        assert_eq!(clock.now().to_string(), "1969-12-31T23:59:59Z");
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }

    #[test]
    fn system_ids_are_version_7_unique_and_ordered() {
        let ids: Vec<Uuid> = (0..10_000).map(|_| SystemIds.uuid()).collect();
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        assert!(ids.is_sorted_by(|a, b| a < b));
        let threads: Vec<_> = (0..4)
            .map(|_| thread::spawn(|| (0..1_000).map(|_| SystemIds.uuid()).collect::<Vec<_>>()))
            .collect();
        let mut all: Vec<_> = threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4_000);
    }

    #[test]
    fn seeded_ids_follow_from_the_seed() {
        let take = |seed| {
            let ids = SeededIds::new(seed);
            (0..100).map(|_| ids.uuid()).collect::<Vec<_>>()
        };
        assert_eq!(take(7), take(7));
        assert!(take(7).iter().zip(take(8)).all(|(a, b)| *a != b));
        assert!(take(7).is_sorted_by(|a, b| a < b));
        assert!(take(7).iter().all(|id| id.get_version_num() == 7));
        assert_eq!(
            take(7).first().unwrap().to_string(),
            "019b76da-a800-78ad-b26c-54aaa0a6efb2"
        );
    }
}
