//! The rule of D-SCHED-3 by example.

use super::support::due;

/// L53: both transitions in three zones, each start once: at the shift when the time is skipped, the first time
/// when it is repeated.
#[test]
fn a_daily_start_comes_once_at_every_transition() {
    for (zone, expr, from, expected) in [
        (
            "America/New_York",
            "30 2 * * *",
            "2026-03-07T12:00:00Z",
            ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"],
        ),
        (
            "America/New_York",
            "30 1 * * *",
            "2026-10-31T12:00:00Z",
            ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
        ),
        (
            "Europe/Berlin",
            "15 2 * * *",
            "2026-03-28T12:00:00Z",
            ["2026-03-29T01:00:00Z", "2026-03-30T00:15:00Z"],
        ),
        (
            "Europe/Berlin",
            "15 2 * * *",
            "2026-10-24T12:00:00Z",
            ["2026-10-25T00:15:00Z", "2026-10-26T01:15:00Z"],
        ),
        (
            "Australia/Sydney",
            "59 2 * * *",
            "2026-10-02T18:00:00Z",
            ["2026-10-03T16:00:00Z", "2026-10-04T15:59:00Z"],
        ),
        (
            "Australia/Sydney",
            "0 2 * * *",
            "2026-04-03T18:00:00Z",
            ["2026-04-04T15:00:00Z", "2026-04-05T16:00:00Z"],
        ),
    ] {
        let until = expected[1];
        assert_eq!(due(expr, zone, from, until), expected, "{zone} {expr}");
    }
}

/// The shift itself is a time that the expression may name as well: still one start.
#[test]
fn several_skipped_times_and_one_at_the_shift_are_one_start() {
    let (from, until) = ("2026-03-28T22:00:00Z", "2026-03-29T01:30:00Z");
    let times = due("*/20 2-3 * * *", "Europe/Berlin", from, until);
    assert_eq!(times, ["2026-03-29T01:00:00Z", "2026-03-29T01:20:00Z"]);
}

#[test]
fn an_expression_for_every_hour_goes_by_elapsed_time_through_both_transitions() {
    for (from, until) in [
        ("2026-03-28T20:00:00Z", "2026-03-29T06:00:00Z"),
        ("2026-10-24T20:00:00Z", "2026-10-25T06:00:00Z"),
    ] {
        for (expr, count) in [
            ("0 * * * *", 10),
            ("30 0-23 * * *", 10),
            ("*/5 * * * *", 120),
        ] {
            let times = due(expr, "Europe/Berlin", from, until);
            assert_eq!(times.len(), count, "{expr} from {from}");
        }
    }
}

#[test]
fn every_second_hour_is_times_of_the_day() {
    let (from, until) = ("2026-03-28T22:30:00Z", "2026-03-29T02:00:00Z");
    let times = due("0 */2 * * *", "Europe/Berlin", from, until);
    let expected = [
        "2026-03-28T23:00:00Z",
        // 02:00 is skipped.
        "2026-03-29T01:00:00Z",
        "2026-03-29T02:00:00Z",
    ];
    assert_eq!(times, expected);
}

#[test]
fn lord_howe_shifts_by_half_an_hour() {
    let zone = "Australia/Lord_Howe";
    // 2026-04-05: from 02:00 (+11) back to 01:30 (+10:30).
    let back = ("2026-04-04T14:00:00Z", "2026-04-04T16:30:00Z");
    let times = due("45 1 * * *", zone, back.0, back.1);
    assert_eq!(times, ["2026-04-04T14:45:00Z"]);
    let times = due("45 * * * *", zone, back.0, back.1);
    assert_eq!(
        times,
        [
            "2026-04-04T14:45:00Z",
            "2026-04-04T15:15:00Z",
            "2026-04-04T16:15:00Z"
        ]
    );
    // 2026-10-04: from 02:00 (+10:30) to 02:30 (+11).
    let ahead = ("2026-10-03T15:00:00Z", "2026-10-03T17:00:00Z");
    let times = due("15 2 * * *", zone, ahead.0, ahead.1);
    assert_eq!(times, ["2026-10-03T15:30:00Z"]);
    let times = due("15 * * * *", zone, ahead.0, ahead.1);
    assert_eq!(times, ["2026-10-03T16:15:00Z"]);
}

/// 2011-12-30 did not take place in Apia: the clock went from the end of the 29th to the beginning of the 31st.
#[test]
fn the_starts_of_a_day_that_is_skipped_are_one_at_its_end() {
    let (from, until) = ("2011-12-29T12:00:00Z", "2012-01-01T12:00:00Z");
    let times = due("0 9 * * *", "Pacific/Apia", from, until);
    let expected = [
        "2011-12-29T19:00:00Z",
        "2011-12-30T10:00:00Z",
        "2011-12-30T19:00:00Z",
        "2011-12-31T19:00:00Z",
    ];
    assert_eq!(times, expected);
    // The one Friday of that week was skipped.
    let times = due("0 9,17 * * 5", "Pacific/Apia", from, until);
    assert_eq!(times, ["2011-12-30T10:00:00Z"]);
    let times = due("0 * * * *", "Pacific/Apia", from, until);
    assert_eq!(times.len(), 72);
}

/// Casablanca is an hour behind during Ramadan; Troll goes two hours ahead in summer.
#[test]
fn unusual_shifts_are_shifts() {
    let times = due(
        "30 2 * * *",
        "Africa/Casablanca",
        "2026-02-14T12:00:00Z",
        "2026-02-16T12:00:00Z",
    );
    assert_eq!(times, ["2026-02-15T01:30:00Z", "2026-02-16T02:30:00Z"]);
    let times = due(
        "30 2 * * *",
        "Africa/Casablanca",
        "2026-03-21T12:00:00Z",
        "2026-03-23T12:00:00Z",
    );
    assert_eq!(times, ["2026-03-22T02:00:00Z", "2026-03-23T01:30:00Z"]);
    let times = due(
        "15 1,2 * * *",
        "Antarctica/Troll",
        "2026-03-28T12:00:00Z",
        "2026-03-29T12:00:00Z",
    );
    assert_eq!(times, ["2026-03-29T01:00:00Z"]);
    let times = due(
        "15 1,2 * * *",
        "Antarctica/Troll",
        "2026-10-24T12:00:00Z",
        "2026-10-25T12:00:00Z",
    );
    assert_eq!(times, ["2026-10-24T23:15:00Z", "2026-10-25T00:15:00Z"]);
}
