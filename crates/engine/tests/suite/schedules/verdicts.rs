//! That the checker finds what is wrong: histories of which something was taken away, doubled or moved.

use jiff::{SignedDuration, Timestamp};
use moorline_core::ids::RunId;
use moorline_core::schedule::{Misfire, Overlap};
use uuid::Uuid;

use crate::schedules::check::{Fault, Seen, Verdict, judge};
use crate::schedules::expect::expected;
use crate::schedules::notes::{Note, What};
use crate::schedules::plan::{Cadence, Subject};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn daily(overlap: Overlap, misfire: Misfire) -> Subject {
    Subject {
        name: "job-0".to_owned(),
        cadence: Cadence::Cron {
            expr: "30 2 * * *".to_owned(),
            zone: "Europe/Berlin".to_owned(),
        },
        jitter_seconds: 0,
        misfire,
        overlap,
        starts_at: None,
        ends_at: None,
        takes: 0,
    }
}

/// Over the shift of 2026-03-29, with two targets that come while a run goes on and one that nobody was there
/// for.
fn history() -> Vec<Note> {
    let note = |time: &str, what| Note { at: at(time), what };
    vec![
        note("2026-03-27T12:00:00Z", What::Enabled(0)),
        note("2026-03-28T01:30:05Z", What::Tick),
        note("2026-03-28T02:00:00Z", What::Ended(0)),
        note("2026-03-29T01:00:20Z", What::Tick),
        note("2026-03-30T00:30:00Z", What::Tick),
        note("2026-03-30T00:40:00Z", What::Ended(0)),
        note("2026-03-30T00:40:00Z", What::Tick),
        note("2026-03-30T01:00:00Z", What::Ended(0)),
        note("2026-03-31T09:00:00Z", What::Tick),
    ]
}

/// The runs that a right history has.
fn runs(subject: &Subject) -> Vec<Seen> {
    let expected = expected(subject, &history(), 0);
    let seen = expected.iter().enumerate().map(|(number, run)| Seen {
        id: RunId::new(Uuid::from_u128(number as u128)),
        at: run.at,
        target: run.target,
        skipped: run.skipped,
    });
    seen.collect()
}

fn faults(subject: &Subject, seen: &[Seen]) -> Vec<Fault> {
    let mut verdict = Verdict::default();
    judge(
        subject,
        expected(subject, &history(), 0),
        seen,
        &mut verdict,
    );
    verdict.faults
}

#[test]
fn each_policy_asks_for_its_own_runs() {
    let of = |overlap, misfire| -> Vec<(String, bool)> {
        let runs = runs(&daily(overlap, misfire));
        runs.iter()
            .map(|run| (run.at.to_string(), run.skipped))
            .collect()
    };
    let run = |time: &str| (time.to_owned(), false);
    let first = [run("2026-03-28T01:30:05Z"), run("2026-03-29T01:00:20Z")];
    let skips = [
        first.as_slice(),
        &[("2026-03-30T00:30:00Z".to_owned(), true)],
    ]
    .concat();
    assert_eq!(of(Overlap::Skip, Misfire::Skip), skips);
    let queues = [first.as_slice(), &[run("2026-03-30T00:40:00Z")]].concat();
    assert_eq!(of(Overlap::Queue, Misfire::Skip), queues);
    let cancels = [first.as_slice(), &[run("2026-03-30T00:30:00Z")]].concat();
    assert_eq!(of(Overlap::CancelPrevious, Misfire::Skip), cancels);
    let makes_up = [queues.as_slice(), &[run("2026-03-31T09:00:00Z")]].concat();
    assert_eq!(of(Overlap::Queue, Misfire::RunOnce), makes_up);
}

#[test]
fn a_right_history_has_no_fault() {
    for overlap in [Overlap::Skip, Overlap::Queue, Overlap::CancelPrevious] {
        for misfire in [Misfire::Skip, Misfire::RunOnce] {
            let subject = daily(overlap, misfire);
            assert_eq!(faults(&subject, &runs(&subject)), []);
        }
    }
}

#[test]
fn a_dropped_a_doubled_and_a_late_run_are_found() {
    let subject = daily(Overlap::Queue, Misfire::RunOnce);
    let right = runs(&subject);
    for place in 0..right.len() {
        let mut dropped = right.clone();
        dropped.remove(place);
        let found = faults(&subject, &dropped);
        assert!(
            matches!(found.as_slice(), [Fault::Missing { .. }]),
            "{found:?}"
        );

        let mut doubled = right.clone();
        doubled.push(right[place]);
        let found = faults(&subject, &doubled);
        assert!(
            matches!(found.as_slice(), [Fault::Extra { .. }]),
            "{found:?}"
        );

        let mut late = right.clone();
        late[place].at += SignedDuration::from_mins(61);
        let found = faults(&subject, &late);
        assert!(
            matches!(
                found.as_slice(),
                [Fault::Missing { .. }, Fault::Extra { .. }]
            ),
            "{found:?}"
        );

        let mut for_another = right.clone();
        for_another[place].target -= SignedDuration::from_hours(24);
        assert_eq!(faults(&subject, &for_another).len(), 2);

        let mut not_skipped = right.clone();
        not_skipped[place].skipped = !right[place].skipped;
        assert_eq!(faults(&subject, &not_skipped).len(), 2);
    }
}

#[test]
fn a_run_while_it_was_halted_is_found() {
    let subject = daily(Overlap::Skip, Misfire::Skip);
    let mut notes = history();
    let halted = Note {
        at: at("2026-03-28T12:00:00Z"),
        what: What::Halted(0),
    };
    notes.insert(3, halted);
    let mut verdict = Verdict::default();
    judge(
        &subject,
        expected(&subject, &notes, 0),
        &runs(&subject),
        &mut verdict,
    );
    assert_eq!(verdict.faults.len(), runs(&subject).len() - 1);
}
