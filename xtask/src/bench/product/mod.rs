//! What Moorline does, held against the floors.
//!
//! The figures of one process come from the example `measure` of the engine, `transitions` of the
//! store, `throughput` of the secrets and `live` of the server; those of the command line and of the
//! server from whole processes of the built `moorline` and `moorlined`, the latter beside the example
//! `bare`. Everything is durable: `synchronous=FULL` on SQLite, `fsync` on with PostgreSQL.

mod cli;
mod growth;
mod idle;
mod live;
mod modal;
mod parts;
mod runs;
mod server;
mod state;
mod stop;

use std::rc::Rc;

use self::state::Filled;
use super::row::{Bench, Figure, Probe, Row, Unit};
use crate::error::{Error, Result};

pub(super) fn probes() -> Vec<Probe> {
    let filled = Rc::new(Filled::default());
    let mut probes = cli::start_up();
    probes.extend(runs::probes());
    probes.extend(stop::probes());
    probes.extend(live::probes());
    probes.extend(cli::runs(&filled));
    probes.extend(parts::probes());
    probes.extend(growth::probes(&filled));
    probes.push(idle::probe(&filled));
    probes.extend(server::probes(&filled));
    probes.extend(modal::probes());
    probes
}

/// What most rows of the product have in common.
fn row(unit: Unit) -> Row {
    Row {
        id: "",
        what: "",
        unit,
        against: None,
        goal: None,
        peers: &[],
        scope: "one process",
        bound_by: "",
    }
}

/// The lines `name sample sample …` of an example.
#[derive(Debug)]
struct Samples(Vec<(String, Vec<f64>)>);

impl Samples {
    /// Runs the engine's example `measure` on a state directory.
    fn of_engine(bench: &Bench, what: &str, state: &str, count: usize) -> Result<Self> {
        Self::of(bench, "measure", what, state, count)
    }

    /// Runs an example that takes what to measure, the supervisor, a state directory and a count.
    fn of(bench: &Bench, example: &str, what: &str, state: &str, count: usize) -> Result<Self> {
        let helper = bench.binary("moorline-supervisor");
        let output = bench.output_of(
            example,
            [
                what.as_ref(),
                helper.as_os_str(),
                bench.scratch().join(state).as_os_str(),
                count.to_string().as_ref(),
            ],
        )?;
        Ok(Self::parse(&output))
    }

    /// Words that are no number, such as a unit, are passed over.
    fn parse(output: &str) -> Self {
        let line = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            let name = words.next()?.to_owned();
            Some((name, words.filter_map(|word| word.parse().ok()).collect()))
        };
        Self(output.lines().filter_map(line).collect())
    }

    /// `None` when this machine can not measure it.
    fn times(&self, name: &str) -> Option<Figure> {
        let (_, samples) = self.0.iter().find(|(found, _)| found == name)?;
        (!samples.is_empty()).then(|| Figure::of_times(samples.clone()))
    }

    /// As [`Samples::times`], for a name with one sample.
    fn value(&self, name: &str) -> Option<Figure> {
        let (_, samples) = self.0.iter().find(|(found, _)| found == name)?;
        samples.first().copied().map(Figure::of_value)
    }

    /// The first sample of a name that every machine has.
    fn must(&self, name: &str) -> Result<f64> {
        let value = self.value(name).map(|figure| figure.median);
        value.ok_or_else(|| Error::Refused(format!("an example printed no `{name}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_and_its_samples() {
        let samples = Samples::parse("plain 2.5 1.5 3.5\nsandbox\nrate 812.5 1/s\n");
        let median = |figure: Option<Figure>| figure.map(|figure| figure.median);
        assert_eq!(median(samples.times("plain")), Some(2.5));
        assert_eq!(median(samples.value("rate")), Some(812.5));
        assert_eq!(samples.times("sandbox"), None);
        assert_eq!(samples.times("other"), None);
        assert!(samples.must("other").is_err());
    }
}
