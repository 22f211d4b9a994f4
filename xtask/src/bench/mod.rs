//! `cargo xtask bench`: figures, beside the floors of the very machine they were taken on.
//!
//! It runs from a release build and measures every [`Row`] in several rounds. A round goes through all rows in order, so that what is compared was measured in
//! the same minutes; a row's figure is the median over the rounds. Beside it stand the ratio to
//! its floor, its goal, and how idle the machine was before and while it was measured: a figure
//! from a busy machine is an upper bound of time, not a result.
//!
//! A new row is one [`Row`] in a list: [`floors::rows`] is the model, and [`all_rows`] names the
//! lists.

mod facts;
mod floors;
mod row;
mod stats;
mod table;

use std::fs;

use self::facts::{Idle, Machine};
use self::row::{Bench, Measured, Row};
use crate::cli::BenchArguments;
use crate::error::{Error, Result};
use crate::output::{say, step};
use crate::workspace::Workspace;

/// Every list of rows.
fn all_rows() -> Vec<Row> {
    floors::rows()
}

pub(crate) fn run(workspace: &Workspace, arguments: &BenchArguments) -> Result {
    let rows = row::choose(all_rows(), arguments.only.as_deref());
    if rows.is_empty() {
        return Err(Error::Refused("no row has an id with that text".to_owned()));
    }
    let bench = Bench::new(workspace)?;
    let machine = Machine::look(bench.scratch());
    step("bench");
    say!("{machine}");
    if cfg!(debug_assertions) {
        say!("this is a debug build: its figures are no result");
    }

    let mut measured: Vec<Measured> = rows.into_iter().map(Measured::new).collect();
    for round in 1..=arguments.rounds {
        for row in &mut measured {
            say!("round {round} of {}: {}", arguments.rounds, row.row.what);
            let before = Idle::over_a_moment()?;
            let during = Idle::begin()?;
            let figure = (row.row.measure)(&bench)?;
            row.add(figure, before, during.end()?);
        }
    }

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
