//! When a cron expression is due, found by looking at the clock every minute: slow, and too simple to be wrong
//! in the way that an efficient search can be.
//!
//! [`Watcher`] asks a time zone only one thing: which offset is in force at an instant. It never turns local time
//! into an instant, so it does not know of gaps and repetitions; it sees the clock jump. It reads the five fields
//! itself, in the plain form that crontab(5) describes: numbers, `*`, lists, ranges and steps.
//!
//! [`shifts`] says which zones of the database change their offset in a span of time, and when.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

/// Minutes that are looked at before a span, to know what the clock has shown already: more than any clock was
/// ever put back.
const WARM_UP: i64 = 26 * 60;

/// Looks at the clock every minute. See [the module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    minutes: Vec<bool>,
    hours: Vec<bool>,
    days: Vec<bool>,
    months: Vec<bool>,
    /// Sunday is 0.
    weekdays: Vec<bool>,
    /// Whether day of month and day of week both restrict: then either suffices (crontab(5)).
    either_day: bool,
}

/// The expression is not of the plain form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a cron field of numbers, `*`, lists, ranges and steps")]
pub struct NotPlain {
    text: String,
}

impl Watcher {
    /// Reads five fields.
    ///
    /// # Errors
    /// [`NotPlain`].
    pub fn of(expr: &str) -> Result<Self, NotPlain> {
        let fields: Vec<&str> = expr.split_ascii_whitespace().collect();
        let &[minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(NotPlain {
                text: expr.to_owned(),
            });
        };
        let mut weekdays = field(weekday, 0, 7)?;
        let sunday = weekdays.pop() == Some(true);
        if let Some(first) = weekdays.first_mut() {
            *first |= sunday;
        }
        Ok(Self {
            minutes: field(minute, 0, 59)?,
            hours: field(hour, 0, 23)?,
            days: field(day, 1, 31)?,
            months: field(month, 1, 12)?,
            weekdays,
            either_day: day != "*" && weekday != "*",
        })
    }

    /// Whether a clock that shows `local` shows a time of the expression.
    pub fn matches(&self, local: DateTime) -> bool {
        Offset::UTC
            .to_timestamp(local)
            .is_ok_and(|shown| self.names(shown.as_second().div_euclid(60)))
    }

    /// As [`matches`](Self::matches), of a clock that has shown so many minutes since it showed the beginning of
    /// 1970.
    fn names(&self, shown: i64) -> bool {
        let has = |set: &[bool], value: i64| {
            usize::try_from(value).is_ok_and(|value| set.get(value) == Some(&true))
        };
        let hour = shown.div_euclid(60).rem_euclid(24);
        if !has(&self.minutes, shown.rem_euclid(60)) || !has(&self.hours, hour) {
            return false;
        }
        let Ok(date) = Timestamp::from_second(shown * 60).map(|at| Offset::UTC.to_datetime(at))
        else {
            return false;
        };
        let day = has(&self.days, date.day().into());
        let weekday = date.weekday().to_sunday_zero_offset();
        let weekday = has(&self.weekdays, weekday.into());
        let today = if self.either_day {
            day || weekday
        } else {
            day && weekday
        };
        today && has(&self.months, date.month().into())
    }

    /// Whether every hour of the day is named.
    pub fn is_hourly(&self) -> bool {
        self.hours.iter().all(|hour| *hour)
    }

    /// The instants later than `from` and not later than `until` at which the expression is due in a zone, by
    /// rule D-SCHED-3: with every hour named, whenever the clock shows a matching time; else when it shows one for
    /// the first time, and when it jumps over one.
    pub fn due(&self, zone: &TimeZone, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        let minute = |at: Timestamp| at.as_second().div_euclid(60);
        let (first, last) = (minute(from), minute(until));
        let mut due = Vec::new();
        let mut highest: Option<i64> = None;
        for (at, shown) in clock(zone, first - WARM_UP, last) {
            let fires = if self.is_hourly() {
                self.names(shown)
            } else {
                // Usually one minute; more where the clock jumps ahead, none where it shows times again.
                let before = highest.unwrap_or(shown);
                highest = Some(before.max(shown));
                (before + 1..=shown).any(|shown| self.names(shown))
            };
            let at = instant(at);
            if fires && at > from && at <= until {
                due.push(at);
            }
        }
        due
    }
}

fn instant(minute: i64) -> Timestamp {
    Timestamp::from_second(minute * 60).unwrap_or(Timestamp::MAX)
}

/// Every minute of a span, since 1970, and what the clock of the zone shows then, as if it were one of UTC.
fn clock(zone: &TimeZone, first: i64, last: i64) -> impl Iterator<Item = (i64, i64)> + use<'_> {
    let offset = |minute: i64| i64::from(zone.to_offset(instant(minute)).seconds()).div_euclid(60);
    // One that is in force at both ends of a quarter of an hour is in force all through it: no clock was shifted
    // back and forth as fast. Else it is looked up for each minute: some shift at 00:01.
    let mut known: Option<(i64, Option<i64>)> = None;
    (first..=last).map(move |minute| {
        let quarter = minute.div_euclid(15);
        let steady = match known {
            Some((of, steady)) if of == quarter => steady,
            _ => {
                let start = offset(quarter * 15);
                (offset(quarter * 15 + 15) == start).then_some(start)
            }
        };
        known = Some((quarter, steady));
        (minute, minute + steady.unwrap_or_else(|| offset(minute)))
    })
}

fn field(text: &str, least: usize, most: usize) -> Result<Vec<bool>, NotPlain> {
    let bad = || NotPlain {
        text: text.to_owned(),
    };
    let number = |text: &str| -> Result<usize, NotPlain> {
        let value = text.parse().map_err(|_| bad())?;
        if (least..=most).contains(&value) {
            Ok(value)
        } else {
            Err(bad())
        }
    };
    let mut set = vec![false; most + 1];
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().map_err(|_| bad())?),
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(range)?, number(range)?),
        };
        if step == 0 || first > last {
            return Err(bad());
        }
        for value in (first..=last).step_by(step) {
            if let Some(member) = set.get_mut(value) {
                *member = true;
            }
        }
    }
    Ok(set)
}

/// One change of a zone's offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shift {
    /// The first instant with the new offset.
    pub at: Timestamp,
    /// How far the clock jumps ahead, in seconds; negative where it is put back.
    pub by: i32,
}

/// The zones of the bundled database whose clock jumps in a span (its start excluded), with their jumps; names
/// of the same zone each.
pub fn shifts(from: Timestamp, until: Timestamp) -> BTreeMap<String, Vec<Shift>> {
    let zones = TimeZoneDatabase::bundled();
    let mut found = BTreeMap::new();
    for name in zones.available() {
        let Ok(zone) = zones.get(name.as_str()) else {
            continue;
        };
        let jumps: Vec<Shift> = zone
            .following(from)
            .take_while(|next| next.timestamp() <= until)
            .filter_map(|next| {
                let at = next.timestamp();
                let just_before = at.checked_sub(SignedDuration::from_nanos(1)).ok()?;
                let by = next.offset().seconds() - zone.to_offset(just_before).seconds();
                (by != 0).then_some(Shift { at, by })
            })
            .collect();
        if !jumps.is_empty() {
            found.insert(name.to_string(), jumps);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(expr: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
        let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
        let watcher = Watcher::of(expr).unwrap();
        let due = watcher.due(&zone, from.parse().unwrap(), until.parse().unwrap());
        due.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_watcher_sees_what_the_clock_shows() {
        let berlin = "Europe/Berlin";
        assert_eq!(
            due(
                "30 2 * * *",
                berlin,
                "2026-03-28T00:00:00Z",
                "2026-03-30T12:00:00Z"
            ),
            [
                "2026-03-28T01:30:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-30T00:30:00Z"
            ]
        );
        assert_eq!(
            due(
                "30 2 * * *",
                berlin,
                "2026-10-24T12:00:00Z",
                "2026-10-26T12:00:00Z"
            ),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        assert_eq!(
            due(
                "30 * * * *",
                berlin,
                "2026-10-25T00:00:00Z",
                "2026-10-25T02:30:00Z"
            ),
            [
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-25T02:30:00Z"
            ]
        );
    }

    #[test]
    fn fields_are_those_of_crontab() {
        let monday = jiff::civil::date(2026, 6, 1).at(9, 30, 0, 0);
        for (expr, matches) in [
            ("30 9 * * *", true),
            ("*/15 8-10 1,15 6 1", true),
            ("30 9 2 * 1", true),
            ("30 9 1 * 0", true),
            ("30 9 * * 0,7", false),
            ("31 9 * * *", false),
        ] {
            assert_eq!(
                Watcher::of(expr).unwrap().matches(monday),
                matches,
                "{expr}"
            );
        }
        let sunday = jiff::civil::date(2026, 6, 7).at(9, 30, 0, 0);
        assert!(Watcher::of("30 9 * * 7").unwrap().matches(sunday));
        for expr in [
            "* * * *",
            "60 * * * *",
            "*/0 * * * *",
            "5-1 * * * *",
            "L 1 1 1 1",
        ] {
            Watcher::of(expr).unwrap_err();
        }
    }

    #[test]
    fn the_jumps_of_a_year_are_found() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let shifts = shifts(at("2026-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z"));
        let berlin = [
            Shift {
                at: at("2026-03-29T01:00:00Z"),
                by: 3600,
            },
            Shift {
                at: at("2026-10-25T01:00:00Z"),
                by: -3600,
            },
        ];
        assert_eq!(shifts["Europe/Berlin"], berlin);
        assert_eq!(shifts["Antarctica/Troll"][0].by, 7200);
        assert_eq!(shifts["Australia/Lord_Howe"][0].by, -1800);
        assert!(!shifts.contains_key("Asia/Tokyo"));
        assert!(shifts.len() > 100);
    }
}
