//! From 1,000 to 100,000 runs in the store: opening, submitting, listing.

use std::rc::Rc;

use super::super::row::{Figure, Goal, Probe, Row, Unit};
use super::state::Filled;
use super::{Samples, row};
use crate::error::Result;

/// Processes that open the state, each once.
const OPENINGS: usize = 15;
const RUNS: usize = 100;

/// The ids of the three rows of one size, and the number of runs.
struct Size {
    runs: usize,
    ids: [&'static str; 3],
}

const SIZES: [Size; 3] = [
    Size {
        runs: 1_000,
        ids: ["open.1k", "submit.1k", "list.1k"],
    },
    Size {
        runs: 10_000,
        ids: ["open.10k", "submit.10k", "list.10k"],
    },
    Size {
        runs: 100_000,
        ids: ["open.100k", "submit.100k", "list.100k"],
    },
];

pub(super) fn probes(filled: &Rc<Filled>) -> Vec<Probe> {
    let [smallest, ..] = &SIZES;
    let probe = |size: &'static Size| {
        let grown = |which: usize| {
            let id = smallest.ids.get(which).copied();
            id.filter(|_| size.runs != smallest.runs)
        };
        let [open, submit, list] = size.ids;
        let rows = vec![
            Row {
                id: open,
                what: "from nothing to the first answer: the store open, interrupted runs looked after, runs listed",
                against: grown(0).or(Some("floor.open")),
                goal: (size.runs == 10_000).then_some(Goal::of_median(150.0)),
                peers: if size.runs == 10_000 {
                    &[("DBOS (empty)", 152.0), ("restate (empty)", 285.0)]
                } else {
                    &[]
                },
                scope: "a process each, timed inside it",
                bound_by: "opening SQLite and preparing its statements; reading 50 runs",
                ..row(Unit::MILLISECONDS)
            },
            Row {
                id: submit,
                what: "as submit.plain, with so many runs in the store",
                against: grown(1).or(Some("floor.run")),
                bound_by: "as submit.plain",
                ..row(Unit::MILLISECONDS)
            },
            Row {
                id: list,
                what: "the newest 50 runs, once the store is open",
                against: grown(2),
                bound_by: "reading and parsing 50 rows by an index",
                ..row(Unit::MILLISECONDS)
            },
        ];
        let filled = Rc::clone(filled);
        Probe::new(rows, move |bench| {
            let state = filled.with_runs(bench, size.runs)?;
            let opened = (0..OPENINGS)
                .map(|_| Samples::of_engine(bench, "open", &state, 0))
                .collect::<Result<Vec<_>>>()?;
            let ready = opened.iter().map(|samples| samples.must("ready"));
            let mut figures = vec![(open, Figure::of_times(ready.collect::<Result<_>>()?))];
            let runs = Samples::of_engine(bench, "latency-plain", &state, RUNS)?;
            figures.extend(runs.times("plain").map(|figure| (submit, figure)));
            let lists = opened.last().and_then(|samples| samples.times("list"));
            figures.extend(lists.map(|figure| (list, figure)));
            Ok(figures)
        })
    };
    SIZES.iter().map(probe).collect()
}
