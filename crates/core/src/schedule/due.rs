//! What to do about a schedule at a point in time: which starts were missed, and which one to make
//! (D-SCHED-3).
//!
//! A start is *in time* until [`GRACE`] after it was due, jitter included; later than that nothing could make
//! it, and it is *missed*. The misfire policy decides about missed starts: `skip` lets them fall away,
//! `run_once` makes one run for all of them. A start that is in time makes up for those before it.
//!
//! Only times behind the schedule's cursor count, so it does not matter how the clock got here: a time is dealt
//! with once, however often the clock passes it.

use jiff::{SignedDuration, Timestamp};

use super::times::Timing;
use super::{Misfire, Schedule};
use crate::denial::Denial;

/// How late a start may be made without being missed.
pub const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// Missed starts that are counted one by one; of more it is known that they are at least as many.
const COUNTED: u32 = 10_000;

/// What is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Due {
    /// Starts that fall away before the one to make: the last nominal time of them, and how many.
    pub missed: Option<(Timestamp, u32)>,
    /// The nominal time of the start to make.
    pub start: Option<Timestamp>,
}

/// What is due of an enabled schedule at `now`: the next step, after which it is asked again. Nothing is due
/// when both members are `None`.
///
/// # Errors
/// [`Denial`] when the schedule's document names no times.
pub fn due(schedule: &Schedule, now: Timestamp) -> Result<Due, Denial> {
    let timing = Timing::of(&schedule.document, schedule.anchor)?;
    let lates = Lates::of(schedule, &timing, now);
    let Some(last) = lates.last else {
        return Ok(Due {
            missed: None,
            start: lates.in_time,
        });
    };
    let all = (last, lates.count);
    Ok(match (schedule.document.misfire, lates.in_time) {
        (_, Some(start)) => Due {
            missed: Some(all),
            start: Some(start),
        },
        (Misfire::Skip, None) => Due {
            missed: Some(all),
            start: None,
        },
        (Misfire::RunOnce, None) => Due {
            missed: lates.before_last.map(|before| (before, lates.count - 1)),
            start: Some(last),
        },
    })
}

/// The missed starts behind the cursor, and the first one that is in time.
#[derive(Debug, Default)]
struct Lates {
    count: u32,
    last: Option<Timestamp>,
    before_last: Option<Timestamp>,
    in_time: Option<Timestamp>,
}

impl Lates {
    fn of(schedule: &Schedule, timing: &Timing, now: Timestamp) -> Self {
        let mut lates = Self::default();
        let mut nominal = timing.next_after(schedule.cursor);
        while let Some(time) = nominal {
            let due_at = timing.due_at(&schedule.id, time);
            if due_at > now {
                break;
            }
            if now.duration_since(due_at) <= GRACE {
                lates.in_time = Some(time);
                break;
            }
            lates.miss(time);
            nominal = if lates.count == COUNTED {
                // A clock that jumped by years: on to the last ones, uncounted.
                recent(timing, time, now)
            } else {
                timing.next_after(time)
            };
        }
        lates
    }

    fn miss(&mut self, time: Timestamp) {
        self.count = self.count.saturating_add(1);
        self.before_last = self.last.replace(time);
    }
}

/// A time after `after` with no more than some hundred others between it and `now`.
fn recent(timing: &Timing, after: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let next = timing.next_after(after)?;
    let mut back = SignedDuration::from_hours(1);
    // Until there is one: a yearly schedule has its last time far back.
    while let Some(from) = now.checked_sub(back).ok().filter(|from| *from > after) {
        match timing.next_after(from) {
            Some(time) if time <= now => return Some(time),
            _ => back = back.checked_mul(2)?,
        }
    }
    Some(next)
}
