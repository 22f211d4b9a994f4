//! The report: a table for people, JSON for machines.

use std::fmt;

use serde_json::{Value, json};

use super::facts::Machine;
use super::row::{Goal, Measured, Unit};

/// All that was measured.
pub(super) struct Report<'a> {
    machine: &'a Machine,
    rounds: u32,
    rows: &'a [Measured],
}

const HEAD: [&str; 8] = [
    "row", "median", "p99", "unit", "ratio", "goal", "idle %", "n",
];

impl<'a> Report<'a> {
    pub(super) fn new(machine: &'a Machine, rounds: u32, rows: &'a [Measured]) -> Self {
        Self {
            machine,
            rounds,
            rows,
        }
    }

    /// How many times worse a row is than the one it is held against, whichever direction is better.
    fn ratio(&self, measured: &Measured) -> Option<f64> {
        let against = self
            .rows
            .iter()
            .find(|other| Some(other.row.id) == measured.row.against)?;
        let (value, other) = (measured.figure()?.median, against.figure()?.median);
        Some(times_worse(measured.row.unit, value, other))
    }

    pub(super) fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|measured| self.row_json(measured))
            .collect();
        json!({
            "machine": {
                "cores": self.machine.cores,
                "processor": self.machine.processor,
                "kernel": self.machine.kernel,
                "memory_mib": self.machine.memory,
                "file_system": self.machine.file_system,
            },
            "rounds": self.rounds,
            "rows": rows,
        })
    }

    fn row_json(&self, measured: &Measured) -> Value {
        let (row, figure, idle) = (&measured.row, measured.figure(), measured.idle());
        let peers: Value = row
            .peers
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        json!({
            "id": row.id,
            "what": row.what,
            "unit": row.unit.name,
            "median": figure.map(|figure| figure.median),
            "p99": figure.and_then(|figure| figure.p99),
            "samples": figure.map_or(0, |figure| figure.samples),
            "against": row.against,
            "times_worse": self.ratio(measured),
            "goal": row.goal.map(|goal| json!({"median": goal.median, "p99": goal.p99})),
            "reaches_goal": measured.reaches_goal(),
            "peers": peers,
            "idle_percent": {"before": idle.0, "during": idle.1},
            "scope": row.scope,
            "bound_by": row.bound_by,
        })
    }

    fn cells(&self, measured: &Measured) -> [String; 8] {
        let (row, idle) = (&measured.row, measured.idle());
        let Some(figure) = measured.figure() else {
            let mut cells = [const { String::new() }; 8];
            row.id.clone_into(&mut cells[0]);
            "not here".clone_into(&mut cells[1]);
            cells[5] = row.goal.map_or(String::new(), goal_text);
            return cells;
        };
        let goal = row.goal.map_or(String::new(), |goal| {
            let verdict = if measured.reaches_goal() == Some(true) {
                "met"
            } else {
                "MISSED"
            };
            format!("{} {verdict}", goal_text(goal))
        });
        [
            row.id.to_owned(),
            number(figure.median),
            figure.p99.map_or(String::new(), number),
            row.unit.name.to_owned(),
            self.ratio(measured).map_or(String::new(), number),
            goal,
            format!("{:.0}, {:.0}", idle.0, idle.1),
            figure.samples.to_string(),
        ]
    }

    /// What a row is, in a sentence.
    fn legend(measured: &Measured) -> String {
        let row = &measured.row;
        let mut parts = vec![format!("{}: {}", row.id, row.what), row.scope.to_owned()];
        parts.extend(row.against.map(|against| format!("ratio to {against}")));
        parts.push(format!("bound by {}", row.bound_by));
        let figure = measured.figure();
        parts.extend(row.peers.iter().map(|(name, value)| {
            let times = figure.map_or(String::new(), |figure| {
                let times = times_worse(row.unit, *value, figure.median);
                format!(" ({} times ours)", number(times))
            });
            format!("{name} {} {}{times}", number(*value), row.unit.name)
        }));
        parts.join("; ")
    }
}

/// How many times worse the first value is than the second.
fn times_worse(unit: Unit, value: f64, than: f64) -> f64 {
    if unit.less_is_better {
        value / than
    } else {
        than / value
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![HEAD.map(str::to_owned)];
        lines.extend(self.rows.iter().map(|measured| self.cells(measured)));
        let mut widths = [0; HEAD.len()];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        for line in &lines {
            let cells = line
                .iter()
                .zip(widths)
                .enumerate()
                .map(|(column, (cell, width))| {
                    if column == 0 {
                        format!("{cell:<width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        writeln!(
            f,
            "\nmedians over {} rounds; idle % of the machine before and during each row; a ratio \
             above 1 is worse\n",
            self.rounds
        )?;
        for measured in self.rows {
            writeln!(f, "{}", Self::legend(measured))?;
        }
        Ok(())
    }
}

fn goal_text(goal: Goal) -> String {
    match goal.p99 {
        None => number(goal.median),
        Some(p99) => format!("{}, p99 {}", number(goal.median), number(p99)),
    }
}

/// Three digits that mean something.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{Figure, Row};
    use super::*;

    fn measured(
        id: &'static str,
        unit: Unit,
        against: Option<&'static str>,
        median: f64,
    ) -> Measured {
        let mut measured = Measured::new(Row {
            id,
            what: id,
            unit,
            against,
            goal: against.map(|_| Goal::of_median(3.0)),
            peers: if against.is_some() {
                &[("a peer", 5.0)]
            } else {
                &[]
            },
            scope: "one process",
            bound_by: "the disk",
        });
        measured.add(
            Figure {
                median,
                p99: Some(9.5),
                samples: 100,
            },
            91.2,
            40.0,
        );
        measured
    }

    #[test]
    fn a_report_reads_as_a_table() {
        let machine = Machine {
            cores: 2,
            processor: "a processor".into(),
            kernel: "6.1".into(),
            memory: 1024,
            file_system: "ext4".into(),
        };
        let rows = [
            measured("floor.commit", Unit::MILLISECONDS, None, 0.125),
            measured("commit", Unit::MILLISECONDS, Some("floor.commit"), 2.5),
        ];
        let report = Report::new(&machine, 3, &rows);
        let expected = "row           median   p99  unit  ratio      goal  idle %    n
floor.commit   0.125  9.50    ms                   91, 40  100
commit          2.50  9.50    ms   20.0  3.00 met  91, 40  100

medians over 3 rounds; idle % of the machine before and during each row; a ratio above 1 is worse

floor.commit: floor.commit; one process; bound by the disk
commit: commit; one process; ratio to floor.commit; bound by the disk; a peer 5.00 ms (2.00 times ours)
";
        assert_eq!(report.to_string(), expected);
        let json = report.json();
        assert_eq!(json["rows"][1]["times_worse"], 20.0);
        assert_eq!(json["rows"][1]["reaches_goal"], true);
        assert_eq!(json["rows"][0]["goal"], Value::Null);
    }

    #[test]
    fn a_rate_is_worse_than_its_floor_by_being_smaller() {
        let machine = Machine::look(std::path::Path::new("/"));
        let rows = [
            measured("floor", Unit::PER_SECOND, None, 2000.0),
            measured("rate", Unit::PER_SECOND, Some("floor"), 500.0),
        ];
        assert_eq!(Report::new(&machine, 1, &rows).ratio(&rows[1]), Some(4.0));
    }
}
