//! Runs in one process: how long one takes, how many there are, how fast one is ended.

use super::super::row::{Figure, Goal, Probe, Row, Unit};
use super::{Samples, row};

const RUNS: usize = 300;
const MANY_RUNS: usize = 1500;
const CANCELS: usize = 60;

pub(super) fn probes() -> Vec<Probe> {
    vec![latency(), throughput(), throughput_sandboxed(), cancel()]
}

fn latency() -> Probe {
    let rows = vec![
        Row {
            id: "submit.plain",
            what: "a durable run of /bin/true, submit to summary, one after the other, no sandbox",
            against: Some("floor.run"),
            goal: Some(Goal::with_p99(3.0, 8.0)),
            peers: &[
                ("task-spooler (not durable)", 3.9),
                ("restate", 7.8),
                ("prefect", 3237.0),
                ("airflow", 2129.0),
            ],
            bound_by: "three commits (one beside the job), and two programs started: the supervisor and the job",
            ..row(Unit::MILLISECONDS)
        },
        Row {
            id: "submit.sandbox",
            what: "the same in the sandbox, taken in turn with it",
            against: Some("floor.run"),
            bound_by: "as submit.plain, and the namespaces, mounts and filters of the sandbox",
            ..row(Unit::MILLISECONDS)
        },
        Row {
            id: "sandbox.cost",
            what: "what the sandbox costs: the difference of the two medians",
            goal: Some(Goal::of_median(5.0)),
            bound_by: "the kernel making and tearing down namespaces and mounts",
            ..row(Unit::MILLISECONDS)
        },
    ];
    Probe::new(rows, |bench| {
        let samples = Samples::of_engine(bench, "latency", "state-latency", RUNS)?;
        let (plain, sandbox) = (samples.times("plain"), samples.times("sandbox"));
        let cost = plain.zip(sandbox).map(|(plain, sandbox)| Figure {
            median: sandbox.median - plain.median,
            p99: None,
            samples: plain.samples.min(sandbox.samples),
        });
        let figures = [
            ("submit.plain", plain),
            ("submit.sandbox", sandbox),
            ("sandbox.cost", cost),
        ];
        Ok(taken(figures))
    })
}

fn throughput() -> Probe {
    Probe::of(
        Row {
            id: "runs.plain",
            what: "durable runs of /bin/true, 8 at once, no sandbox",
            against: Some("floor.spawn.2"),
            goal: Some(Goal::of_median(800.0)),
            peers: &[
                ("task-spooler (not durable)", 587.0),
                ("restate, the best durable one", 286.0),
                ("rq", 24.0),
                ("airflow", 1.5),
            ],
            bound_by: "both cores: two programs are started for each run",
            ..row(Unit::PER_SECOND)
        },
        |bench| {
            let samples = Samples::of_engine(bench, "throughput", "state-many", MANY_RUNS)?;
            let figure = Figure::of_value(samples.must("rate")?);
            Ok(Figure {
                samples: MANY_RUNS,
                ..figure
            })
        },
    )
}

fn throughput_sandboxed() -> Probe {
    let row = Row {
        id: "runs.sandbox",
        what: "the same in the sandbox",
        against: Some("floor.spawn.2"),
        bound_by: "both cores, most of it the kernel making namespaces",
        ..row(Unit::PER_SECOND)
    };
    Probe::new(vec![row], |bench| {
        let runs = MANY_RUNS / 3;
        let samples = Samples::of_engine(bench, "throughput-sandbox", "state-many", runs)?;
        let rate = samples.value("rate").map(|rate| Figure {
            samples: runs,
            ..rate
        });
        Ok(taken([("runs.sandbox", rate)]))
    })
}

fn cancel() -> Probe {
    let rows = vec![
        Row {
            id: "cancel.plain",
            what: "cancel with no grace until the last of a tree that ignores SIGTERM and left its session is gone",
            against: Some("floor.kill"),
            goal: Some(Goal::with_p99(10.0, 50.0)),
            peers: &[("prefect", 39.0), ("dagster", 103.0), ("airflow", 4484.0)],
            bound_by: "one commit (the wish is durable first), then finding and killing the tree",
            ..row(Unit::MILLISECONDS)
        },
        Row {
            id: "cancel.plain.end",
            what: "the same until the summary is durable",
            against: Some("floor.kill"),
            bound_by: "as cancel.plain, and the commit of the end",
            ..row(Unit::MILLISECONDS)
        },
        Row {
            id: "cancel.sandbox",
            what: "as cancel.plain, in the sandbox",
            against: Some("floor.kill"),
            goal: Some(Goal::with_p99(10.0, 50.0)),
            bound_by: "one commit, then the kernel ending a pid namespace",
            ..row(Unit::MILLISECONDS)
        },
    ];
    Probe::new(rows, |bench| {
        let samples = Samples::of_engine(bench, "cancel", "state-cancel", CANCELS)?;
        Ok(taken([
            ("cancel.plain", samples.times("plain")),
            ("cancel.plain.end", samples.times("plain_end")),
            ("cancel.sandbox", samples.times("sandbox")),
        ]))
    })
}

/// Those that this machine could measure.
fn taken<const N: usize>(
    figures: [(&'static str, Option<Figure>); N],
) -> Vec<(&'static str, Figure)> {
    let taken = figures.into_iter();
    taken
        .filter_map(|(id, figure)| Some((id, figure?)))
        .collect()
}
