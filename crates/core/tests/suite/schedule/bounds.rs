//! Periods, bounds, jitter, and documents that name no times.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use moorline_core::schedule::times::Timing;
use moorline_core::schedule::{ScheduleDocument, ScheduleId};
use moorline_core::spec::CadenceKind;
use proptest::prelude::*;

use super::support::{at, cron_document, document, enumerate};

fn periodic(seconds: u64) -> ScheduleDocument {
    ScheduleDocument {
        period_seconds: Some(seconds),
        ..document(CadenceKind::Periodic, "Europe/Berlin")
    }
}

fn id() -> ScheduleId {
    "prod/bank-statement".parse().unwrap()
}

#[test]
fn a_period_counts_elapsed_seconds_from_its_anchor_whatever_the_clock_does() {
    let anchor = at("2026-03-28T13:30:00.25Z");
    let timing = Timing::of(&periodic(43_200), anchor).unwrap();
    let times = enumerate(&timing, anchor, at("2026-03-30T02:00:00Z"));
    let expected = [
        "2026-03-29T01:30:00.25Z",
        "2026-03-29T13:30:00.25Z",
        "2026-03-30T01:30:00.25Z",
    ];
    assert_eq!(times, expected.map(at));
    assert_eq!(timing.next_after(at("2020-01-01T00:00:00Z")), Some(anchor));
}

#[test]
fn a_schedule_begins_with_its_start_and_ends_before_its_end() {
    let bounded = ScheduleDocument {
        starts_at: Some(at("2026-05-02T06:00:00Z")),
        ends_at: Some(at("2026-05-04T06:00:00Z")),
        ..cron_document("0 6 * * *", "UTC")
    };
    let timing = Timing::of(&bounded, Timestamp::UNIX_EPOCH).unwrap();
    let times = enumerate(&timing, at("2026-01-01T00:00:00Z"), Timestamp::MAX);
    assert_eq!(
        times,
        ["2026-05-02T06:00:00Z", "2026-05-03T06:00:00Z"].map(at)
    );
    let bounded = ScheduleDocument {
        starts_at: Some(at("2026-05-02T06:00:01Z")),
        ends_at: Some(at("2026-05-02T08:00:00Z")),
        ..periodic(3600)
    };
    let timing = Timing::of(&bounded, at("2026-05-01T00:00:00Z")).unwrap();
    let times = enumerate(&timing, Timestamp::MIN, Timestamp::MAX);
    assert_eq!(times, [at("2026-05-02T07:00:00Z")]);
}

#[test]
fn the_end_of_time_is_an_end() {
    let timing = Timing::of(&periodic(60), at("2026-05-01T00:00:00Z")).unwrap();
    assert_eq!(timing.next_after(Timestamp::MAX), None);
    let timing = Timing::of(&cron_document("* * * * *", "UTC"), Timestamp::MAX).unwrap();
    assert_eq!(timing.next_after(Timestamp::MAX), None);
}

#[test]
fn a_leap_day_on_a_weekday_is_found_decades_ahead() {
    // Both fields restrict, so either suffices: a leap day, or a Sunday in February.
    let timing = Timing::of(&cron_document("0 0 29 2 0", "UTC"), Timestamp::UNIX_EPOCH).unwrap();
    let next = timing.next_after(at("2026-02-22T00:00:00Z"));
    assert_eq!(next, Some(at("2027-02-07T00:00:00Z")));
    let timing = Timing::of(&cron_document("0 0 29 2 *", "UTC"), Timestamp::UNIX_EPOCH).unwrap();
    let next = timing.next_after(at("2096-02-29T00:00:00Z"));
    assert_eq!(next, Some(at("2104-02-29T00:00:00Z")));
}

#[test]
fn jitter_follows_from_schedule_and_time_and_spreads() {
    let spread = ScheduleDocument {
        jitter_seconds: 600,
        ..cron_document("0 6 * * *", "UTC")
    };
    let timing = Timing::of(&spread, Timestamp::UNIX_EPOCH).unwrap();
    let again = Timing::of(&spread, Timestamp::UNIX_EPOCH).unwrap();
    let times = enumerate(
        &timing,
        at("2026-01-01T00:00:00Z"),
        at("2026-04-11T00:00:00Z"),
    );
    assert_eq!(times.len(), 100);
    let jitters: Vec<Duration> = times
        .iter()
        .map(|time| timing.jitter(&id(), *time))
        .collect();
    for (time, jitter) in times.iter().zip(&jitters) {
        assert_eq!(again.jitter(&id(), *time), *jitter);
        assert!(*jitter <= Duration::from_mins(10));
        assert_eq!(timing.due_at(&id(), *time), *time + *jitter);
    }
    let early = jitters
        .iter()
        .filter(|jitter| **jitter < Duration::from_mins(5))
        .count();
    assert!(
        (30..70).contains(&early),
        "{early} of 100 in the first half"
    );
    let other: ScheduleId = "staging/bank-statement".parse().unwrap();
    let same = times
        .iter()
        .zip(&jitters)
        .filter(|(time, jitter)| timing.jitter(&other, **time) == **jitter);
    assert!(same.count() < 3, "schedules are spread apart");
    // Part of what is stored with schedules: it must not change from version to version.
    assert_eq!(jitters[0], Duration::from_millis(JITTER));
}

/// Of `prod/bank-statement` at 2026-01-01T06:00:00Z.
const JITTER: u64 = 65_409;

#[test]
fn a_document_that_names_no_times_is_refused() {
    let refused = |document: &ScheduleDocument| {
        let denial = Timing::of(document, Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(denial.rule, "D-SCHED-3");
        denial.message
    };
    let both = ScheduleDocument {
        period_seconds: Some(60),
        ..cron_document("* * * * *", "UTC")
    };
    assert_eq!(
        refused(&both),
        "a cron schedule has expr and no period_seconds"
    );
    assert_eq!(
        refused(&document(CadenceKind::Periodic, "UTC")),
        "a periodic schedule has period_seconds and no expr"
    );
    assert_eq!(
        refused(&document(CadenceKind::None, "UTC")),
        "a cadence of type none makes no schedule"
    );
    assert_eq!(
        refused(&cron_document("* * * * *", "Mars/Base")),
        "time_zone `Mars/Base` is not an IANA time zone"
    );
    assert!(refused(&cron_document("0 0 30 2 *", "UTC")).ends_with("no time satisfies it"));
    assert!(refused(&cron_document("0 0 1 1 * *", "UTC")).ends_with("it has 6 fields, not five"));
    assert_eq!(
        refused(&periodic(0)),
        "period_seconds must be at least 1 and fit into 63 bits"
    );
}

proptest! {
    #[test]
    fn a_period_has_one_time_in_each_span_of_its_length(
        seconds in 1_u64..1_000_000, back in 0_i64..10_000_000, ahead in 0_i64..10_000_000,
    ) {
        let anchor = at("2026-05-01T00:00:00Z");
        let timing = Timing::of(&periodic(seconds), anchor).unwrap();
        let before = timing.next_after(anchor - SignedDuration::from_secs(back + 1));
        prop_assert_eq!(before, Some(anchor));
        let after = anchor + SignedDuration::from_secs(ahead);
        let next = timing.next_after(after).unwrap();
        let passed = next.duration_since(anchor).as_secs();
        prop_assert_eq!(passed % i64::try_from(seconds).unwrap(), 0);
        prop_assert!(next > after && next.duration_since(after).as_secs() <= i64::try_from(seconds).unwrap());
    }

    #[test]
    fn jitter_keeps_the_order_of_starts_and_the_end(jitter in 0_u32..100_000, minutes in 1_u64..300) {
        let end = at("2026-05-02T00:00:00Z");
        let spread = ScheduleDocument { jitter_seconds: jitter, ends_at: Some(end), ..periodic(minutes * 60) };
        let timing = Timing::of(&spread, at("2026-05-01T00:00:00Z")).unwrap();
        let times = enumerate(&timing, at("2026-05-01T00:00:00Z"), Timestamp::MAX);
        let due: Vec<Timestamp> = times.iter().map(|time| timing.due_at(&id(), *time)).collect();
        prop_assert!(due.is_sorted_by(|a, b| a < b));
        prop_assert!(due.last().is_none_or(|last| *last < end));
        prop_assert!(times.iter().zip(&due).all(|(time, due)| time <= due));
    }
}
