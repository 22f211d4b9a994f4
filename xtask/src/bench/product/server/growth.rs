//! From 1,000 to 100,000 runs in the store: being there, and taking a run.

use std::rc::Rc;

use super::super::super::floors::in_milliseconds;
use super::super::super::row::{Figure, Goal, Probe, Row, Unit};
use super::super::state::Filled;
use super::{Options, Server, kickoff, row, token};

/// Starts of the server.
const STARTS: u32 = 15;
const KICKOFFS: u32 = 50;

/// The ids of the two rows of one size, and the number of runs.
struct Size {
    runs: usize,
    ids: [&'static str; 2],
}

const SIZES: [Size; 3] = [
    Size {
        runs: 1_000,
        ids: ["moorlined.ready.1k", "kickoff.1k"],
    },
    Size {
        runs: 10_000,
        ids: ["moorlined.ready.10k", "kickoff.10k"],
    },
    Size {
        runs: 100_000,
        ids: ["moorlined.ready.100k", "kickoff.100k"],
    },
];

pub(super) fn probes(filled: &Rc<Filled>) -> Vec<Probe> {
    let [smallest, ..] = &SIZES;
    let [smallest_ready, smallest_kickoff] = smallest.ids;
    let probe = |size: &'static Size| {
        let grown = size.runs != smallest.runs;
        let [ready, kickoff] = size.ids;
        let rows = vec![
            Row {
                id: ready,
                what: "start of moorlined after it was killed, with so many runs in the store, until GET /readyz says 200",
                against: Some(if grown { smallest_ready } else { "floor.open" }),
                goal: (size.runs == 10_000).then_some(Goal::of_median(150.0)),
                scope: "a server process each",
                bound_by: "exec, opening SQLite and preparing its statements, the first questions to it",
                ..row(Unit::MILLISECONDS)
            },
            Row {
                id: kickoff,
                what: "as kickoff, with so many runs in the store",
                against: Some(if grown {
                    smallest_kickoff
                } else {
                    "floor.commit"
                }),
                scope: "a server process, and the client's",
                bound_by: "as kickoff",
                ..row(Unit::MILLISECONDS)
            },
        ];
        let filled = Rc::clone(filled);
        Probe::new(rows, move |bench| {
            let state = filled.with_runs(bench, size.runs)?;
            let options = Options::of(&state);
            let mut times = Vec::new();
            for _ in 0..STARTS {
                let server = Server::start(bench, options)?;
                times.push(in_milliseconds(server.ready()?));
            }
            let server = Server::start(bench, options)?;
            let token = token(bench, options)?;
            let kickoffs = kickoff::of_server(&server, &token, KICKOFFS)?;
            Ok(vec![(ready, Figure::of_times(times)), (kickoff, kickoffs)])
        })
    };
    SIZES.iter().map(probe).collect()
}
