//! Every zone of the database, around every jump of its clock in sampled years.

use std::collections::BTreeSet;

use jiff::tz::TimeZoneDatabase;
use jiff::{SignedDuration, Timestamp};
use moorline_testkit::calendar::{Shift, Watcher, shifts};
use proptest::prelude::*;

use super::support::{at, cron, enumerate};

/// Years with unusual jumps, and some to come.
const YEARS: [i16; 6] = [1995, 2007, 2010, 2011, 2026, 2037];

/// Of both kinds, and such as are due in the hours at which clocks jump.
const EXPRESSIONS: [&str; 8] = [
    "*/5 * * * *",
    "30 * * * *",
    "15 0 * * *",
    "*/20 1-3 * * *",
    "0 */2 * * *",
    "45 23 * * *",
    "0 9 1,15 * 1",
    "59 0-22 * * *",
];

fn year(year: i16) -> (Timestamp, Timestamp) {
    let start = |year: i16| at(&format!("{year:04}-01-01T00:00:00Z"));
    (start(year), start(year + 1))
}

/// A zone for each distinct series of jumps in a year.
fn distinct(from: Timestamp, until: Timestamp) -> Vec<(String, Vec<Shift>)> {
    let mut seen = BTreeSet::new();
    let zones = TimeZoneDatabase::bundled();
    let mut zones_of_year: Vec<(String, Vec<Shift>)> = shifts(from, until).into_iter().collect();
    zones_of_year.retain(|(name, jumps)| {
        let offset = zones.get(name).unwrap().to_offset(from);
        seen.insert((offset, jumps.clone()))
    });
    zones_of_year
}

fn compare(expr: &str, zone: &str, from: Timestamp, until: Timestamp) {
    let watcher = Watcher::of(expr).unwrap();
    let expected = watcher.due(&TimeZoneDatabase::bundled().get(zone).unwrap(), from, until);
    let found = enumerate(&cron(expr, zone), from, until);
    assert_eq!(found, expected, "`{expr}` in {zone} from {from}");
}

/// L53: all zones of the time zone database that have a transition.
#[test]
fn around_every_jump_of_every_zone_the_times_are_those_of_the_clock_on_the_wall() {
    let around = SignedDuration::from_hours(14);
    let (mut zones, mut jumps) = (BTreeSet::new(), 0);
    for (from, until) in YEARS.map(year) {
        for (zone, shifts) in distinct(from, until) {
            for shift in &shifts {
                for expr in EXPRESSIONS {
                    compare(expr, &zone, shift.at - around, shift.at + around);
                }
                jumps += 1;
            }
            zones.insert(zone);
        }
    }
    assert!(
        zones.len() > 50 && jumps > 300,
        "{} zones, {jumps} jumps",
        zones.len()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever instants it is asked with, in whatever order, the answer is the first time after.
    #[test]
    fn no_time_is_lost_or_doubled_whatever_is_asked(
        expr in expression(),
        zone in zone(),
        hour in 0_i64..8760,
        asked in prop::collection::vec(0_i64..7 * 86_400_000, 1..20),
    ) {
        let from = at("2026-01-01T00:00:00Z") + SignedDuration::from_hours(hour);
        let until = from + SignedDuration::from_hours(7 * 24);
        let watcher = Watcher::of(&expr).unwrap();
        let all = watcher.due(&TimeZoneDatabase::bundled().get(&zone).unwrap(), from, until);
        let timing = cron(&expr, &zone);
        prop_assert_eq!(&enumerate(&timing, from, until), &all, "`{}` in {}", expr, zone);
        for millis in asked {
            let after = from + SignedDuration::from_millis(millis);
            let next = timing.next_after(after).filter(|next| *next <= until);
            let expected = all.iter().find(|time| **time > after).copied();
            prop_assert_eq!(next, expected, "`{}` in {} after {}", expr, zone, after);
        }
    }
}

fn zone() -> impl Strategy<Value = String> {
    let (from, until) = year(2026);
    let names: Vec<String> = shifts(from, until).into_keys().collect();
    prop::sample::select(names)
}

fn expression() -> impl Strategy<Value = String> {
    let minute = prop_oneof![
        (0..60).prop_map(|minute: i32| minute.to_string()),
        (1..30).prop_map(|step: i32| format!("*/{step}")),
        Just("*".to_owned()),
    ];
    let hour = prop_oneof![
        3 => (0..24).prop_map(|hour: i32| hour.to_string()),
        2 => (0..20, 1..4).prop_map(|(first, more): (i32, i32)| format!("{first}-{}", first + more)),
        1 => (2..8).prop_map(|step: i32| format!("*/{step}")),
        2 => Just("*".to_owned()),
    ];
    let day = prop_oneof![
        6 => Just("* * *".to_owned()),
        1 => (0..8).prop_map(|day: i32| format!("* * {day}")),
        1 => (1..28).prop_map(|day: i32| format!("{day},{} * *", day + 3)),
        1 => (1..28, 0..7).prop_map(|(day, weekday): (i32, i32)| format!("{day} * {weekday}")),
    ];
    (minute, hour, day).prop_map(|(minute, hour, day)| format!("{minute} {hour} {day}"))
}
