//! When a schedule is due: [`Timing`], a cron expression or a period made into a set of instants (D-SCHED-3).
//!
//! A `Timing` stands for one fixed set of *nominal times*. [`Timing::next_after`] gives the first of them that
//! is later than an instant, so whatever instants it is asked with, in whatever order, no time is lost and none
//! comes twice. The set is a function of the document and the anchor alone: no clock, and the time zones are
//! those of the bundled database, so that a schedule means the same on every machine.
//!
//! # Cron
//! The five fields are read on the wall clock of the document's zone; second 0 of each minute that they name.
//! Where the wall clock jumps:
//!
//! | the hour field | a time that the clock skips | a time that the clock shows twice |
//! |---|---|---|
//! | leaves hours out (`15 2 * * *`, `*/5 1-3 * * *`, `0 */2 * * *`) | is due at the shift | is due the first time |
//! | names every hour (`*/5 * * * *`, `30 * * * *`, `0 0-23 * * *`) | is not due | is due both times |
//!
//! An expression of the first kind names times of the day. Each of those comes exactly once: *at the shift*, the
//! first instant with the new offset, when the clock skips it (also when it skips a whole day). As the nominal
//! times are a set, several skipped times are one start, and so are a skipped one and one that is due at the
//! shift anyway.
//!
//! An expression of the second kind names minutes of every hour, so it goes by elapsed time: it is due whenever
//! the clock shows a matching time, each real hour alike. In a zone that shifts by whole hours its starts are as
//! far apart over the shift as on any day. A start made up at the shift would be one too many, and a hour left
//! out because its numbers came before would be one too few. (In the zones that shift by half an hour one
//! distance is half an hour shorter or longer, as the clock on the wall shows it.)
//!
//! # Period
//! `anchor + k * period_seconds` for `k = 0, 1, …`, in elapsed seconds: no zone, no shift.
//!
//! # Bounds and jitter
//! No nominal time is before `starts_at`, and none at or after `ends_at`. [`Timing::jitter`] delays a start by an
//! amount that follows from the schedule and the nominal time; it never reaches the next nominal time or
//! `ends_at`, so starts keep their order.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, civil};

use super::{ScheduleDocument, ScheduleId};
use crate::denial::Denial;
use crate::error_code::ErrorCode;
use crate::spec::CadenceKind;

/// The rule that this module keeps.
const RULE: &str = "D-SCHED-3";
/// The last year in which times are looked for: leap days and weekdays have come together long before it.
const LAST_YEAR: i16 = 9000;

/// The nominal times of a schedule; see the [module](self).
///
/// ```
/// use moorline_core::content_id::ContentId;
/// use moorline_core::schedule::ScheduleDocument;
/// use moorline_core::schedule::times::Timing;
///
/// let document: ScheduleDocument = serde_json::from_value(serde_json::json!({
///     "type": "cron", "expr": "30 2 * * *", "time_zone": "Europe/Berlin", "job_id": "bank-statement",
///     "spec_hash": ContentId::of_bytes(b"the spec"),
/// }))?;
/// let timing = Timing::of(&document, "2026-03-28T12:00:00Z".parse()?)?;
/// // On 2026-03-29 the clock goes from 02:00 to 03:00: it is due at the shift.
/// let first = timing.next_after("2026-03-28T12:00:00Z".parse()?);
/// assert_eq!(first, Some("2026-03-29T01:00:00Z".parse()?));
/// let second = timing.next_after("2026-03-29T01:00:00Z".parse()?);
/// assert_eq!(second, Some("2026-03-30T00:30:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Timing {
    pace: Pace,
    starts_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
    jitter: Duration,
}

/// What the nominal times follow from.
#[derive(Debug, Clone)]
enum Pace {
    /// Times of the day: each one comes exactly once.
    Daily { cron: Box<Cron>, zone: TimeZone },
    /// Minutes of every hour: whenever the clock shows one.
    Hourly { cron: Box<Cron>, zone: TimeZone },
    /// Multiples of `seconds` after `anchor`.
    Periodic { anchor: Timestamp, seconds: i64 },
}

impl Timing {
    /// The times of a document. `anchor` is where periods are counted from; cron does not look at it.
    ///
    /// # Errors
    /// A document that names no times (D-SCHED-3): it has no expression or period, has both, or one that can
    /// not be kept; or its zone is not in the bundled database.
    pub fn of(document: &ScheduleDocument, anchor: Timestamp) -> Result<Self, Denial> {
        let pace = match (document.kind, &document.expr, document.period_seconds) {
            (CadenceKind::Cron, Some(expr), None) => cron(expr, &document.time_zone)?,
            (CadenceKind::Periodic, None, Some(seconds)) => {
                let seconds = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
                let seconds = seconds.ok_or_else(|| {
                    refused("period_seconds must be at least 1 and fit into 63 bits")
                })?;
                Pace::Periodic { anchor, seconds }
            }
            (CadenceKind::Cron, ..) => {
                return Err(refused("a cron schedule has expr and no period_seconds"));
            }
            (CadenceKind::Periodic, ..) => {
                return Err(refused(
                    "a periodic schedule has period_seconds and no expr",
                ));
            }
            (CadenceKind::None, ..) => {
                return Err(refused("a cadence of type none makes no schedule")
                    .hint("start the job with `moorline run`, or give the spec a cadence"));
            }
        };
        Ok(Self {
            pace,
            starts_at: document.starts_at,
            ends_at: document.ends_at,
            jitter: Duration::from_secs(document.jitter_seconds.into()),
        })
    }

    /// The first nominal time later than `after`; none when there is no more.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let next = self.next_unended(after)?;
        self.ends_at.is_none_or(|end| next < end).then_some(next)
    }

    /// How long after its nominal time a start is made: at most the document's `jitter_seconds`, in whole
    /// milliseconds, spread evenly by a hash of the schedule and the time. Less where the next nominal time or
    /// `ends_at` is nearer than that.
    pub fn jitter(&self, id: &ScheduleId, fire_at: Timestamp) -> Duration {
        if self.jitter.is_zero() {
            return Duration::ZERO;
        }
        let bound = match (self.next_unended(fire_at), self.ends_at) {
            (Some(next), Some(end)) => Some(next.min(end)),
            (next, end) => next.or(end),
        };
        let room = bound.map_or(self.jitter, |bound| {
            let room = Duration::try_from(bound.duration_since(fire_at)).unwrap_or_default();
            room.saturating_sub(Duration::from_millis(1))
                .min(self.jitter)
        });
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"moorline schedule jitter v1\0");
        hasher.update(id.to_string().as_bytes());
        hasher.update(&fire_at.as_microsecond().to_le_bytes());
        let mut hash = [0; 8];
        hasher.finalize_xof().fill(&mut hash);
        // The hash as a fraction of 2^64: even to one part in 2^30 for any jitter that a document can ask for.
        let scaled = (u128::from(u64::from_le_bytes(hash)) * (room.as_millis() + 1)) >> 64;
        Duration::from_millis(u64::try_from(scaled).unwrap_or(u64::MAX))
    }

    /// When the start of a nominal time is made: the time and its [`jitter`](Self::jitter).
    pub fn due_at(&self, id: &ScheduleId, fire_at: Timestamp) -> Timestamp {
        let jitter = self.jitter(id, fire_at);
        fire_at.checked_add(jitter).unwrap_or(Timestamp::MAX)
    }

    /// The first time later than `after` that is not before `starts_at`.
    fn next_unended(&self, after: Timestamp) -> Option<Timestamp> {
        // The last instant that can not be due, as the search is for later ones.
        let before_start = self
            .starts_at
            .and_then(|start| start.checked_sub(SignedDuration::from_nanos(1)).ok());
        let after = before_start.map_or(after, |start| after.max(start));
        match &self.pace {
            Pace::Daily { cron, zone } => next_of_day(cron, zone, after),
            Pace::Hourly { cron, zone } => next_of_hour(cron, zone, after),
            Pace::Periodic { anchor, seconds } => next_of_period(*anchor, *seconds, after),
        }
    }
}

/// A refusal of a document by D-SCHED-3.
fn refused(message: impl Into<String>) -> Denial {
    Denial::new(ErrorCode::Spec, RULE, message)
}

fn cron(expr: &str, zone: &str) -> Result<Pace, Denial> {
    let zone = TimeZoneDatabase::bundled().get(zone).map_err(|_| {
        refused(format!("time_zone `{zone}` is not an IANA time zone"))
            .hint("as in `America/New_York` or `UTC`")
    })?;
    let bad = |reason: &str| {
        refused(format!(
            "expr `{expr}` is not a cron expression that can be kept: {reason}"
        ))
        .hint("minute, hour, day of month, month, day of week, as in `15 6 * * *`")
    };
    let fields = expr.split_ascii_whitespace().count();
    if fields != 5 {
        return Err(bad(&format!("it has {fields} fields, not five")));
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let cron = parser
        .parse(expr)
        .map_err(|error| bad(&error.to_string()))?;
    // On a civil clock, which never jumps: what jumps do is decided here.
    cron.find_next_occurrence(&civil::date(2024, 1, 1).at(0, 0, 0, 0), true)
        .map_err(|_| bad("no time satisfies it"))?;
    let every_hour = (0..24).all(|hour| matches!(cron.pattern.hour_match(hour), Ok(true)));
    let cron = Box::new(cron);
    Ok(if every_hour {
        Pace::Hourly { cron, zone }
    } else {
        Pace::Daily { cron, zone }
    })
}

/// The first civil time later than `after`, or not before it, that the fields name.
fn next_civil(cron: &Cron, after: civil::DateTime, inclusive: bool) -> Option<civil::DateTime> {
    let next = cron.find_next_occurrence(&after, inclusive).ok()?;
    (next.year() <= LAST_YEAR).then_some(next)
}

/// Times of the day: each civil time has one instant, and later times have no earlier ones.
fn next_of_day(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let mut civil = zone.to_datetime(after);
    loop {
        civil = next_civil(cron, civil, false)?;
        let instant = once(zone, civil)?;
        // Not so when `after` is at the shift that the time was moved to, or in a repeated hour.
        if instant > after {
            return Some(instant);
        }
    }
}

/// The one instant of a time of the day: the first at which the clock shows it, or the shift that skips it.
fn once(zone: &TimeZone, civil: civil::DateTime) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(civil);
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
        AmbiguousOffset::Gap { before, .. } => {
            // By the clock before the shift, the time is at the shift or later.
            let unshifted = before.to_timestamp(civil).ok()?;
            let from = unshifted.checked_add(SignedDuration::from_nanos(1)).ok()?;
            zone.preceding(from).next().map(|shift| shift.timestamp())
        }
    }
}

/// Minutes of every hour: the civil clock of one offset after the other.
fn next_of_hour(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let mut offset = zone.to_offset(after);
    let mut shifts = zone.following(after);
    let mut next = next_civil(cron, offset.to_datetime(after), false)?;
    loop {
        let instant = offset.to_timestamp(next).ok()?;
        let shift = match shifts.next() {
            Some(shift) if shift.timestamp() <= instant => shift,
            _ => return Some(instant),
        };
        offset = shift.offset();
        next = next_civil(cron, offset.to_datetime(shift.timestamp()), true)?;
    }
}

fn next_of_period(anchor: Timestamp, seconds: i64, after: Timestamp) -> Option<Timestamp> {
    if after < anchor {
        return Some(anchor);
    }
    let passed = after.duration_since(anchor).as_secs();
    let ahead = (passed / seconds).checked_add(1)?.checked_mul(seconds)?;
    anchor.checked_add(SignedDuration::from_secs(ahead)).ok()
}
