//! The store and the redactor by themselves.

use super::super::row::{Bench, Figure, Figures, Goal, Probe, Row, Unit};
use super::{Samples, row};
use crate::error::{Error, Result};

pub(super) fn probes() -> Vec<Probe> {
    vec![sqlite(), postgres(), redactor()]
}

fn sqlite() -> Probe {
    let rows = vec![
        Row {
            id: "store.sqlite",
            what: "no-op transitions through the store on SQLite, 64 in flight",
            against: Some("floor.commits"),
            goal: Some(Goal::of_median(5000.0)),
            peers: &[
                ("restate", 1497.0),
                ("BullMQ", 5721.0),
                ("graphile-worker", 931.0),
            ],
            bound_by: "one writer thread: reading, applying and writing a run; commits are shared",
            ..row(Unit::PER_SECOND)
        },
        Row {
            id: "store.sqlite.1",
            what: "the same, one in flight",
            against: Some("floor.commits"),
            bound_by: "one commit each",
            ..row(Unit::PER_SECOND)
        },
        Row {
            id: "store.sqlite.lives",
            what: "whole lives of a run (submit, claim, finish) on SQLite, 64 in flight",
            against: Some("floor.commits"),
            bound_by: "one writer thread; three writes a life",
            ..row(Unit::PER_SECOND)
        },
    ];
    Probe::new(rows, |bench| {
        store(
            bench,
            "sqlite",
            [
                ("store.sqlite", "sqlite_noop_transitions_in_flight_64"),
                ("store.sqlite.1", "sqlite_noop_transitions_in_flight_1"),
                ("store.sqlite.lives", "sqlite_run_lives_in_flight_64"),
            ],
        )
    })
}

fn postgres() -> Probe {
    let rows = vec![
        Row {
            id: "store.pg",
            what: "no-op transitions through the store on PostgreSQL, fsync on, 64 in flight",
            against: Some("floor.pg.commits"),
            goal: Some(Goal::of_median(5000.0)),
            peers: &[("graphile-worker", 931.0), ("DBOS", 278.0)],
            bound_by: "round trips to the server, one writer task; commits are shared",
            ..row(Unit::PER_SECOND)
        },
        Row {
            id: "store.pg.1",
            what: "the same, one in flight",
            against: Some("floor.pg.commits"),
            bound_by: "round trips to the server, and one commit each",
            ..row(Unit::PER_SECOND)
        },
        Row {
            id: "store.pg.lives",
            what: "whole lives of a run on PostgreSQL, 64 in flight",
            against: Some("floor.pg.commits"),
            bound_by: "round trips to the server, one writer task; three writes a life",
            ..row(Unit::PER_SECOND)
        },
    ];
    Probe::new(rows, |bench| {
        store(
            bench,
            "postgres",
            [
                ("store.pg", "postgres_noop_transitions_in_flight_64"),
                ("store.pg.1", "postgres_noop_transitions_in_flight_1"),
                ("store.pg.lives", "postgres_run_lives_in_flight_64"),
            ],
        )
    })
}

/// Runs the store's example and picks lines of it.
fn store<const N: usize>(
    bench: &Bench,
    engine: &str,
    lines: [(&'static str, &str); N],
) -> Result<Figures> {
    let samples = Samples::parse(&bench.output_of("transitions", [engine])?);
    let figure = |(id, line)| Ok((id, Figure::of_value(samples.must(line)?)));
    lines.into_iter().map(figure).collect()
}

fn redactor() -> Probe {
    let rows = vec![
        Row {
            id: "floor.copy",
            what: "a plain copy of the same log",
            bound_by: "the memory",
            ..row(Unit::MEGABYTES_PER_SECOND)
        },
        Row {
            id: "redactor",
            what: "the redactor with 50 secrets, 64 KiB at a time",
            against: Some("floor.copy"),
            bound_by: "one core: the search for secrets and for what looks like one",
            ..row(Unit::MEGABYTES_PER_SECOND)
        },
        Row {
            id: "redactor.lines",
            what: "the same, a line at a time as a live log comes",
            against: Some("floor.copy"),
            bound_by: "one core: as redactor, and the work for each line",
            ..row(Unit::MEGABYTES_PER_SECOND)
        },
    ];
    Probe::new(rows, |bench| {
        let output = bench.output_of("throughput", [""; 0])?;
        // It prints pairs, all in one line.
        let words: Vec<&str> = output.split_ascii_whitespace().collect();
        let figure = |id: &'static str, name: &str| -> Result<(&'static str, Figure)> {
            let at = words.iter().position(|word| *word == name);
            let value = at.and_then(|at| words.get(at + 1)?.parse().ok());
            let missing = || Error::Refused(format!("the example throughput printed no `{name}`"));
            Ok((id, Figure::of_value(value.ok_or_else(missing)?)))
        };
        Ok(vec![
            figure("floor.copy", "copy_mb_s")?,
            figure("redactor", "redactor_mb_s")?,
            figure("redactor.lines", "lines_mb_s")?,
        ])
    })
}
