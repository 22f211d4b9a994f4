//! What `moorlined` takes when nobody calls it and nothing is due.

use std::rc::Rc;

use super::super::super::row::{Goal, Probe, Row, Unit};
use super::super::idle::look;
use super::super::state::Filled;
use super::{Options, Server, row};

pub(super) fn probe(filled: &Rc<Filled>) -> Probe {
    let memory = |id, what| Row {
        id,
        what,
        against: Some("moorlined.idle.memory.1k"),
        bound_by: "the pages of the binary that were touched, the cache of SQLite, the stacks",
        ..row(Unit::MEBIBYTES)
    };
    let rows = vec![
        Row {
            against: None,
            ..memory(
                "moorlined.idle.memory.1k",
                "resident memory of a moorlined that drives runs and has none, 1,000 runs in the store",
            )
        },
        Row {
            goal: Some(Goal::of_median(30.0)),
            ..memory(
                "moorlined.idle.memory",
                "the same, 10,000 runs in the store",
            )
        },
        memory(
            "moorlined.idle.memory.100k",
            "the same, 100,000 runs in the store",
        ),
        Row {
            id: "moorlined.idle.cpu",
            what: "processor time of the one with 10,000 runs, in percent of one core",
            bound_by: "looks for changes that other processes made, and for what is due",
            ..row(Unit::PERCENT)
        },
    ];
    let filled = Rc::clone(filled);
    Probe::new(rows, move |bench| {
        let start = |runs| {
            let state = filled.with_runs(bench, runs)?;
            Server::start(bench, Options::of(&state))
        };
        let [few, many, most] = [start(1_000)?, start(10_000)?, start(100_000)?];
        let [few, many, most] = look([&few.process, &many.process, &most.process])?;
        Ok(vec![
            ("moorlined.idle.memory.1k", few.memory),
            ("moorlined.idle.memory", many.memory),
            ("moorlined.idle.memory.100k", most.memory),
            ("moorlined.idle.cpu", many.processor),
        ])
    })
}
