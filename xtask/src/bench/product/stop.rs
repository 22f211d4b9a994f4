//! Stopping everything while 200 process trees run.

use super::super::row::{Goal, Probe, Row, Unit};
use super::{Samples, row};

/// Stops, each of 200 trees that were started for it.
const STOPS: usize = 10;

pub(super) fn probes() -> Vec<Probe> {
    let rows = vec![
        Row {
            id: "stop.bare",
            what: "200 trees of four processes each killed by hand: SIGKILL to every process, all ids known, until the last is gone",
            bound_by: "the kernel: 800 signals and 800 exits on the cores there are",
            ..row(Unit::MILLISECONDS)
        },
        Row {
            id: "stop.ack",
            what: "stop all with 200 running: until the gate is durable, after which nothing starts",
            against: Some("stop.bare"),
            goal: Some(Goal::of_median(10.0)),
            bound_by: "one commit",
            ..row(Unit::MILLISECONDS)
        },
        Row {
            id: "stop.last_process",
            what: "the same with no grace, until the last process of all trees is gone",
            against: Some("stop.bare"),
            // The goal is one of the 99th percentile alone.
            goal: Some(Goal::with_p99(100.0, 100.0)),
            bound_by: "stop.ack, then 200 supervisors that each wake, kill their tree and look whether it is empty",
            ..row(Unit::MILLISECONDS)
        },
        Row {
            id: "stop.end",
            what: "the same until every end is durable",
            against: Some("stop.bare"),
            bound_by: "as stop.last_process, and 200 records of an end in the store",
            ..row(Unit::MILLISECONDS)
        },
    ];
    let probe = Probe::new(rows, |bench| {
        let samples = Samples::of_engine(bench, "stop", "state-stop", STOPS)?;
        let figures = [
            ("stop.bare", samples.times("bare")),
            ("stop.ack", samples.times("ack")),
            ("stop.last_process", samples.times("gone")),
            ("stop.end", samples.times("end")),
        ];
        let measured = figures.into_iter();
        Ok(measured
            .filter_map(|(id, figure)| Some((id, figure?)))
            .collect())
    });
    vec![probe]
}
