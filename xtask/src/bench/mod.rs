//! `cargo xtask bench`: figures, beside the floors of the very machine they were taken on.
//!
//! It runs from a release build and goes through every [`Probe`] in several rounds. A round takes all
//! of them in order, so that what is compared was measured in the same minutes; the figure of a
//! [`Row`](row::Row) is the median over the rounds. Beside it stand the ratio to its floor, its goal,
//! and how idle the machine was before and while it was measured: a figure from a busy machine is an
//! upper bound of time, not a result.
//!
//! [`floors`] says what the machine can do, [`product`] what Moorline does. A new row is one more
//! probe in one of their lists.

mod facts;
mod floors;
mod product;
mod row;
mod stats;
mod table;

use std::fs;

use self::facts::{Idle, Machine};
use self::row::{Bench, Measure, Measured, Probe};
use crate::cli::BenchArguments;
use crate::error::{Error, Result};
use crate::output::{say, step};
use crate::workspace::Workspace;

/// Every list of probes.
fn all_probes() -> Vec<Probe> {
    let mut probes = floors::probes();
    probes.extend(product::probes());
    probes
}

pub(crate) fn run(workspace: &Workspace, arguments: &BenchArguments) -> Result {
    let probes = row::choose(all_probes(), arguments.only.as_deref());
    if probes.is_empty() {
        return Err(Error::Refused("no row has an id with that text".to_owned()));
    }
    let bench = Bench::new(workspace)?;
    let machine = Machine::look(bench.scratch());
    step("bench");
    say!("{machine}");
    if cfg!(debug_assertions) {
        say!("this is a debug build: its figures are no result");
    }

    let mut measured: Vec<(Measure, Vec<Measured>)> = probes
        .into_iter()
        .map(|probe| {
            let rows = probe.rows.into_iter().map(Measured::new).collect();
            (probe.measure, rows)
        })
        .collect();
    for round in 1..=arguments.rounds {
        for (measure, rows) in &mut measured {
            let ids: Vec<&str> = rows.iter().map(|row| row.row.id).collect();
            say!("round {round} of {}: {}", arguments.rounds, ids.join(", "));
            let before = Idle::over_a_moment()?;
            let during = Idle::begin()?;
            let figures = measure(&bench)?;
            let during = during.end()?;
            for row in rows {
                if let Some((_, figure)) = figures.iter().find(|(id, _)| *id == row.row.id) {
                    row.add(*figure, before, during);
                }
            }
        }
    }
    let measured: Vec<Measured> = measured.into_iter().flat_map(|(_, rows)| rows).collect();

    say!("");
    let report = table::Report::new(&machine, arguments.rounds, &measured);
    say!("{report}");
    match &arguments.json {
        None => Ok(()),
        Some(file) => {
            let text = format!("{:#}\n", report.json());
            fs::write(file, text).map_err(Error::io(format!("write {}", file.display())))
        }
    }
}
