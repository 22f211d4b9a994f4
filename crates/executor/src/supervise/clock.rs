//! The two clocks of a supervisor: one for records, one for deadlines.
//!
//! A supervisor is a process of its own whose whole work is to watch real time, so nothing is injected
//! here; the library that starts it reads no clock.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Time since some fixed point, that only goes forwards and does not follow clock changes.
pub(crate) fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// A wait of this length for `poll`, rounded up so that it never wakes early.
pub(crate) fn timespec(wait: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(wait.subsec_nanos()),
    }
}
