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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::content_id::ContentId;
    use crate::ids::ArtifactId;
    use crate::principal::Principal;
    use crate::schedule::machine::{Definition, define};
    use crate::schedule::{Overlap, ScheduleDocument};
    use crate::spec::CadenceKind;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// A schedule of every minute of `minutes`, whose cursor is at noon.
    fn schedule(expr: &str, misfire: Misfire) -> Schedule {
        let document = ScheduleDocument {
            kind: CadenceKind::Cron,
            expr: Some(expr.to_owned()),
            period_seconds: None,
            time_zone: "UTC".to_owned(),
            jitter_seconds: 0,
            misfire,
            overlap: Overlap::Skip,
            starts_at: None,
            ends_at: None,
            job_id: "tide".to_owned(),
            spec_hash: ContentId::of_bytes(b"spec"),
        };
        let definition = Definition {
            source_id: None,
            artifact: ArtifactId::new(uuid::Uuid::from_u128(1)),
            content: ContentId::of_bytes(b"content"),
            document,
        };
        let id = "prod/tide".parse().unwrap();
        let noon = at("2026-05-01T12:00:00Z");
        define(id, None, definition, &Principal::default(), "live", noon).schedule
    }

    #[test]
    fn a_start_is_in_time_for_its_grace_and_missed_after_it() {
        use Misfire::{RunOnce, Skip};
        let (one, two) = (at("2026-05-01T13:00:00Z"), at("2026-05-01T14:00:00Z"));
        let what = |missed, start| Due { missed, start };
        for (misfire, now, wanted) in [
            (Skip, "2026-05-01T12:59:59Z", what(None, None)),
            (Skip, "2026-05-01T13:00:00Z", what(None, Some(one))),
            (Skip, "2026-05-01T13:01:00Z", what(None, Some(one))),
            (
                Skip,
                "2026-05-01T13:01:00.000001Z",
                what(Some((one, 1)), None),
            ),
            (
                Skip,
                "2026-05-01T14:00:30Z",
                what(Some((one, 1)), Some(two)),
            ),
            (Skip, "2026-05-01T14:30:00Z", what(Some((two, 2)), None)),
            (RunOnce, "2026-05-01T13:30:00Z", what(None, Some(one))),
            (
                RunOnce,
                "2026-05-01T14:00:30Z",
                what(Some((one, 1)), Some(two)),
            ),
            (
                RunOnce,
                "2026-05-01T14:30:00Z",
                what(Some((one, 1)), Some(two)),
            ),
        ] {
            let found = due(&schedule("0 * * * *", misfire), at(now)).unwrap();
            assert_eq!(found, wanted, "{misfire:?} at {now}");
        }
    }

    #[test]
    fn a_clock_that_jumps_by_a_century_is_dealt_with_at_once() {
        let every_minute = schedule("* * * * *", Misfire::RunOnce);
        let now = at("2126-05-01T12:00:30Z");
        let found = due(&every_minute, now).unwrap();
        assert_eq!(found.start, Some(at("2126-05-01T12:00:00Z")));
        let (through, count) = found.missed.unwrap();
        assert_eq!(through, at("2126-05-01T11:59:00Z"));
        assert!(count >= COUNTED, "{count}");
        let yearly = schedule("0 0 1 1 *", Misfire::Skip);
        let found = due(&yearly, now).unwrap();
        let last = at("2126-01-01T00:00:00Z");
        assert_eq!((found.missed, found.start), (Some((last, 100)), None));
    }

    proptest! {
        /// Whatever the clock shows, step by step: every time is started or missed, once and in order.
        #[test]
        fn every_time_is_dealt_with_once(
            jumps in proptest::collection::vec(-7_200..14_400_i64, 1..40),
            run_once in any::<bool>(),
        ) {
            let misfire = if run_once { Misfire::RunOnce } else { Misfire::Skip };
            let mut schedule = schedule("*/20 * * * *", misfire);
            let (mut now, mut newest) = (schedule.cursor, schedule.cursor);
            let (mut started, mut missed) = (Vec::new(), 0);
            for jump in jumps {
                now += SignedDuration::from_secs(jump);
                newest = newest.max(now);
                loop {
                    let step = due(&schedule, now).unwrap();
                    if step == Due::default() {
                        break;
                    }
                    let last = step.start.or_else(|| step.missed.map(|(through, _)| through)).unwrap();
                    prop_assert!(last > schedule.cursor && last <= now);
                    missed += step.missed.map_or(0, |(_, count)| count);
                    started.extend(step.start);
                    schedule.cursor = last;
                }
            }
            prop_assert!(started.is_sorted_by(|a, b| a < b));
            let passed = newest.duration_since(at("2026-05-01T12:00:00Z")).as_mins() / 20;
            let dealt_with = i64::try_from(started.len()).unwrap() + i64::from(missed);
            prop_assert_eq!(dealt_with, passed);
        }
    }
}
