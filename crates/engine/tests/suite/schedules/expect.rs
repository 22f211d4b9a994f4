//! Which runs there have to be, from a schedule's own text and from what happened.
//!
//! This is the meaning of D-SCHED-3 written a second time, as plainly as it can be: no store, no transaction, no
//! state beside what a person with a calendar and a stop-watch would keep.

use std::collections::BTreeSet;

use jiff::tz::TimeZoneDatabase;
use jiff::{SignedDuration, Timestamp};
use moorline_core::schedule::{Misfire, Overlap};
use moorline_testkit::calendar::Watcher;

use crate::schedules::notes::{Note, What};
use crate::schedules::plan::{Cadence, Subject};

/// How late a start may be made without being missed.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// A run that there has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Expected {
    /// What the clock showed when it was to come to be.
    pub(crate) at: Timestamp,
    /// The target that it is for.
    pub(crate) target: Timestamp,
    /// Whether it only says that the target fell away since another run went on.
    pub(crate) skipped: bool,
}

/// The runs of a schedule.
pub(crate) fn expected(subject: &Subject, notes: &[Note], number: usize) -> Vec<Expected> {
    let mut watch = Watch {
        subject,
        cron: targets_of_cron(subject, notes),
        enabled: false,
        anchor: Timestamp::UNIX_EPOCH,
        dealt_with: Timestamp::MIN,
        goes_on: false,
        waits: None,
        runs: Vec::new(),
    };
    for note in notes {
        match note.what {
            What::Enabled(of) if of == number => {
                watch.anchor = subject.starts_at.unwrap_or(note.at);
                watch.go_on(note.at);
            }
            What::Resumed(of) if of == number => watch.go_on(note.at),
            What::Halted(of) if of == number => {
                watch.enabled = false;
                watch.waits = None;
            }
            What::Ended(of) if of == number => watch.goes_on = false,
            What::Tick => watch.tick(note.at),
            _ => {}
        }
    }
    watch.runs
}

/// All times of a cron expression from before the first note to the last.
fn targets_of_cron(subject: &Subject, notes: &[Note]) -> BTreeSet<Timestamp> {
    let Cadence::Cron { expr, zone } = &subject.cadence else {
        return BTreeSet::new();
    };
    let times = || notes.iter().map(|note| note.at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        return BTreeSet::new();
    };
    let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
    let due = Watcher::of(expr).unwrap().due(&zone, first, last);
    due.into_iter().collect()
}

struct Watch<'a> {
    subject: &'a Subject,
    cron: BTreeSet<Timestamp>,
    enabled: bool,
    anchor: Timestamp,
    /// Targets up to here are not to be looked at again, whatever the clock shows.
    dealt_with: Timestamp,
    goes_on: bool,
    waits: Option<Timestamp>,
    runs: Vec<Expected>,
}

impl Watch<'_> {
    fn go_on(&mut self, at: Timestamp) {
        self.enabled = true;
        self.dealt_with = self.dealt_with.max(at);
        self.waits = None;
    }

    fn tick(&mut self, now: Timestamp) {
        if !self.enabled {
            return;
        }
        self.start_waiting(now);
        let due = self.due(now);
        let Some(last) = due.last().copied() else {
            return;
        };
        let in_time: Vec<Timestamp> = due
            .iter()
            .copied()
            .filter(|target| now.duration_since(self.delayed(*target)) <= GRACE)
            .collect();
        let starts = match (in_time.is_empty(), self.subject.misfire) {
            (false, _) => in_time,
            (true, Misfire::RunOnce) => vec![last],
            (true, Misfire::Skip) => Vec::new(),
        };
        for target in starts {
            self.start(target, now);
            self.start_waiting(now);
        }
        self.dealt_with = last;
    }

    fn start(&mut self, target: Timestamp, now: Timestamp) {
        if !self.goes_on {
            self.run(target, now, false);
            return;
        }
        match self.subject.overlap {
            Overlap::Queue if self.waits.is_none() => self.waits = Some(target),
            Overlap::Skip | Overlap::Queue => self.run(target, now, true),
            Overlap::CancelPrevious => {
                self.goes_on = false;
                self.waits = Some(target);
            }
        }
    }

    fn start_waiting(&mut self, now: Timestamp) {
        if !self.goes_on
            && let Some(target) = self.waits.take()
        {
            self.run(target, now, false);
        }
    }

    fn run(&mut self, target: Timestamp, at: Timestamp, skipped: bool) {
        self.goes_on |= !skipped;
        self.runs.push(Expected {
            at,
            target,
            skipped,
        });
    }

    /// Targets that were not dealt with and whose time, with what it is delayed by, has come.
    fn due(&self, now: Timestamp) -> Vec<Timestamp> {
        let after = match self.subject.starts_at {
            Some(start) => self.dealt_with.max(start - SignedDuration::from_nanos(1)),
            None => self.dealt_with,
        };
        let in_bounds = |target: &Timestamp| {
            *target > after
                && self.subject.ends_at.is_none_or(|end| *target < end)
                && self.delayed(*target) <= now
        };
        if after >= now {
            return Vec::new();
        }
        match self.subject.cadence {
            Cadence::Cron { .. } => self
                .cron
                .range(after..=now)
                .copied()
                .filter(in_bounds)
                .collect(),
            Cadence::Period { seconds } => {
                let every = SignedDuration::from_secs(seconds);
                std::iter::successors(Some(self.anchor), |target| Some(*target + every))
                    .take_while(|target| *target <= now)
                    .filter(in_bounds)
                    .collect()
            }
        }
    }

    /// Jitter is any fixed delay within its bound: the bound is checked where the runs are.
    fn delayed(&self, target: Timestamp) -> Timestamp {
        self.subject.due_at(target)
    }
}
