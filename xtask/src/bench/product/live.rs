//! Live updates, and what follows a decision.

use super::super::row::{Goal, Probe, Row, Unit};
use super::{Samples, row};

/// Events that are handed to every client.
const EVENTS: usize = 300;
const DECISIONS: usize = 100;

pub(super) fn probes() -> Vec<Probe> {
    vec![events(), decision()]
}

fn events() -> Probe {
    let rows = vec![
        Row {
            id: "events.bare",
            what: "200 clients of a bare axum route with server-sent events: from the call that sends a message until each has it",
            bound_by: "200 writes to sockets and as many wake-ups of clients, on the cores there are",
            ..row(Unit::MILLISECONDS)
        },
        Row {
            id: "events.sse",
            what: "200 clients follow the events of the server: from the commit of an event until each has it, taken in turn with it",
            against: Some("events.bare"),
            // The goal is one of the 99th percentile alone.
            goal: Some(Goal::with_p99(5.0, 5.0)),
            bound_by: "as events.bare, and one read of the store for all of them",
            ..row(Unit::MILLISECONDS)
        },
    ];
    Probe::new(rows, |bench| {
        let samples = Samples::of(bench, "live", "events", "state-live", EVENTS)?;
        let figures = [
            ("events.bare", samples.times("bare")),
            ("events.sse", samples.times("events")),
        ];
        let measured = figures.into_iter();
        Ok(measured
            .filter_map(|(id, figure)| Some((id, figure?)))
            .collect())
    })
}

fn decision() -> Probe {
    let rows = vec![Row {
        id: "approval.next_step",
        what: "a decision of a request that a run waits for, until the launch of the next step is recorded, no sandbox",
        against: Some("floor.run"),
        goal: Some(Goal::of_median(10.0)),
        bound_by: "three commits (the decision, the claim, the launch), and the start of a supervisor",
        ..row(Unit::MILLISECONDS)
    }];
    Probe::new(rows, |bench| {
        let samples = Samples::of(bench, "live", "decision", "state-decision", DECISIONS)?;
        let measured = samples.times("next_step").into_iter();
        Ok(measured
            .map(|figure| ("approval.next_step", figure))
            .collect())
    })
}
