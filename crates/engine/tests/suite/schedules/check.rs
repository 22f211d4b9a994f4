//! The checker: the runs that there are, matched with those that there have to be.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use moorline_core::error_code::RunStatus;
use moorline_core::ids::RunId;
use moorline_core::run::Run;

use crate::schedules::expect::{Expected, expected};
use crate::schedules::notes::Note;
use crate::schedules::plan::Subject;

/// A run of the store, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: RunId,
    /// When it came to be.
    pub(crate) at: Timestamp,
    /// The target that it says it is for.
    pub(crate) target: Timestamp,
    pub(crate) skipped: bool,
}

/// What is wrong with a schedule's runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There has to be a run, and there is none.
    Missing { schedule: String, run: Expected },
    /// A run that nothing asked for: doubled, for a target that fell away, or at another time.
    Extra { schedule: String, run: Seen },
}

/// What the checker found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) schedules: usize,
    pub(crate) runs: usize,
    pub(crate) skipped: usize,
    pub(crate) faults: Vec<Fault>,
}

impl Verdict {
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} schedules, {} runs matched, {} of them skipped by overlap, {} faults",
            self.schedules,
            self.runs,
            self.skipped,
            self.faults.len()
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.summary())?;
        for fault in self.faults.iter().take(20) {
            writeln!(f, "  {fault:?}")?;
        }
        Ok(())
    }
}

/// Runs by the place of their schedule in the plan; those that no schedule started are left out.
pub(crate) fn by_schedule(subjects: &[Subject], runs: &[Run]) -> BTreeMap<usize, Vec<Seen>> {
    let mut seen: BTreeMap<usize, Vec<Seen>> = BTreeMap::new();
    for run in runs {
        let Some(start) = &run.schedule else {
            continue;
        };
        let number = subjects
            .iter()
            .position(|subject| subject.id() == start.schedule)
            .expect("a run of a schedule that nobody made");
        seen.entry(number).or_default().push(Seen {
            id: run.id,
            at: run.created_at,
            target: start.fire_at,
            skipped: run.status == RunStatus::Skipped,
        });
    }
    seen
}

/// Checks the runs of a store.
pub(crate) fn check(subjects: &[Subject], notes: &[Note], runs: &[Run]) -> Verdict {
    let seen = by_schedule(subjects, runs);
    let mut verdict = Verdict::default();
    for (number, subject) in subjects.iter().enumerate() {
        let expected = expected(subject, notes, number);
        let seen = seen.get(&number).map(Vec::as_slice).unwrap_or_default();
        judge(subject, expected, seen, &mut verdict);
    }
    verdict
}

/// Matches the runs of one schedule: each that has to be with one that is, and none is left over.
pub(crate) fn judge(
    subject: &Subject,
    expected: Vec<Expected>,
    seen: &[Seen],
    verdict: &mut Verdict,
) {
    let schedule = subject.to_string();
    let mut left: Vec<Seen> = seen.to_vec();
    verdict.schedules += 1;
    for run in expected {
        let matching =
            |seen: &Seen| (seen.at, seen.target, seen.skipped) == (run.at, run.target, run.skipped);
        match left.iter().position(matching) {
            Some(place) => {
                left.swap_remove(place);
                verdict.runs += 1;
                verdict.skipped += usize::from(run.skipped);
            }
            None => verdict.faults.push(Fault::Missing {
                schedule: schedule.clone(),
                run,
            }),
        }
    }
    verdict
        .faults
        .extend(left.into_iter().map(|run| Fault::Extra {
            schedule: schedule.clone(),
            run,
        }));
}
