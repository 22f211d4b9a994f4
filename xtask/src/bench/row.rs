//! One line of the table: what is measured, and what it is held against.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::stats;
use crate::error::{Error, Result};
use crate::shell::Shell;
use crate::workspace::Workspace;

/// What a figure counts, and which direction is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    /// As it stands in the table.
    pub(super) name: &'static str,
    pub(super) less_is_better: bool,
}

impl Unit {
    /// The time of one operation.
    pub(super) const MILLISECONDS: Self = Self {
        name: "ms",
        less_is_better: true,
    };

    /// Operations in a second.
    pub(super) const PER_SECOND: Self = Self {
        name: "/s",
        less_is_better: false,
    };

    /// 10^6 bytes in a second.
    pub(super) const MEGABYTES_PER_SECOND: Self = Self {
        name: "MB/s",
        less_is_better: false,
    };

    /// Resident memory.
    pub(super) const MEBIBYTES: Self = Self {
        name: "MiB",
        less_is_better: true,
    };

    /// Of one processor's time.
    pub(super) const PERCENT: Self = Self {
        name: "%",
        less_is_better: true,
    };

    /// Whether `value` is as good as `goal` or better.
    pub(super) fn reaches(self, value: f64, goal: f64) -> bool {
        if self.less_is_better {
            value <= goal
        } else {
            value >= goal
        }
    }
}

/// What a figure should reach. The 99th percentile only where one is promised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Goal {
    pub(super) median: f64,
    pub(super) p99: Option<f64>,
}

impl Goal {
    pub(super) const fn of_median(median: f64) -> Self {
        Self { median, p99: None }
    }

    pub(super) const fn with_p99(median: f64, p99: f64) -> Self {
        Self {
            median,
            p99: Some(p99),
        }
    }
}

/// The outcome of measuring a row once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figure {
    /// The median of the samples, or the one figure of a rate.
    pub(super) median: f64,
    /// For times, the 99th percentile.
    pub(super) p99: Option<f64>,
    /// How many operations it stands on.
    pub(super) samples: usize,
}

impl Figure {
    /// From the times of single operations, in milliseconds. There has to be one at least.
    pub(super) fn of_times(mut milliseconds: Vec<f64>) -> Self {
        milliseconds.sort_by(f64::total_cmp);
        Self {
            median: stats::percentile(&milliseconds, 50.0),
            p99: Some(stats::percentile(&milliseconds, 99.0)),
            samples: milliseconds.len(),
        }
    }

    /// From a number of operations and the time they took together.
    pub(super) fn of_rate(operations: u32, seconds: f64) -> Self {
        Self {
            samples: operations as usize,
            ..Self::of_value(f64::from(operations) / seconds)
        }
    }

    /// What was found once.
    pub(super) fn of_value(value: f64) -> Self {
        Self {
            median: value,
            p99: None,
            samples: 1,
        }
    }
}

/// Figures by the id of their row. A row that this machine can not measure is left out.
pub(super) type Figures = Vec<(&'static str, Figure)>;

/// The work of a [`Probe`]: does it, and says how it went.
pub(super) type Measure = Box<dyn Fn(&Bench) -> Result<Figures>>;

/// One piece of measuring, and the rows that it gives.
pub(super) struct Probe {
    pub(super) rows: Vec<Row>,
    pub(super) measure: Measure,
}

impl Probe {
    pub(super) fn new(
        rows: Vec<Row>,
        measure: impl Fn(&Bench) -> Result<Figures> + 'static,
    ) -> Self {
        Self {
            rows,
            measure: Box::new(measure),
        }
    }

    /// Of a single row.
    pub(super) fn of(row: Row, measure: impl Fn(&Bench) -> Result<Figure> + 'static) -> Self {
        let id = row.id;
        Self::new(vec![row], move |bench| Ok(vec![(id, measure(bench)?)]))
    }
}

/// A line of the table.
pub(super) struct Row {
    /// Short and stable, such as `floor.spawn`; other rows name it.
    pub(super) id: &'static str,
    /// For people.
    pub(super) what: &'static str,
    pub(super) unit: Unit,
    /// The id of the row that the ratio is to: the floor that this one can not beat or, for growth,
    /// the same with the fewest runs. It has the same unit.
    pub(super) against: Option<&'static str>,
    pub(super) goal: Option<Goal>,
    /// What others did on a machine of this kind, in the same unit.
    pub(super) peers: &'static [(&'static str, f64)],
    /// Whether it is taken inside one process or over a process per operation.
    pub(super) scope: &'static str,
    /// What limits it.
    pub(super) bound_by: &'static str,
}

/// The rows whose id contains `wanted`, with the rows they are compared with, in the order of the
/// list. A probe stays when one of its rows does.
pub(super) fn choose(mut probes: Vec<Probe>, wanted: Option<&str>) -> Vec<Probe> {
    let Some(wanted) = wanted else { return probes };
    let rows = probes.iter().flat_map(|probe| &probe.rows);
    let compared: Vec<&str> = rows
        .filter(|row| row.id.contains(wanted))
        .filter_map(|row| row.against)
        .collect();
    for probe in &mut probes {
        probe
            .rows
            .retain(|row| row.id.contains(wanted) || compared.contains(&row.id));
    }
    probes.retain(|probe| !probe.rows.is_empty());
    probes
}

/// A row and what its rounds gave.
pub(super) struct Measured {
    pub(super) row: Row,
    figures: Vec<Figure>,
    idle_before: Vec<f64>,
    idle_during: Vec<f64>,
}

impl Measured {
    pub(super) fn new(row: Row) -> Self {
        Self {
            row,
            figures: Vec::new(),
            idle_before: Vec::new(),
            idle_during: Vec::new(),
        }
    }

    /// Adds a round; the idle shares are in percent.
    pub(super) fn add(&mut self, figure: Figure, idle_before: f64, idle_during: f64) {
        self.figures.push(figure);
        self.idle_before.push(idle_before);
        self.idle_during.push(idle_during);
    }

    /// The medians over the rounds, each of its own. `None` when this machine can not measure it.
    pub(super) fn figure(&self) -> Option<Figure> {
        let p99: Vec<f64> = self
            .figures
            .iter()
            .filter_map(|figure| figure.p99)
            .collect();
        (!self.figures.is_empty()).then(|| Figure {
            median: stats::median(self.figures.iter().map(|figure| figure.median)),
            p99: (!p99.is_empty()).then(|| stats::median(p99)),
            samples: self.figures.iter().map(|figure| figure.samples).sum(),
        })
    }

    pub(super) fn idle(&self) -> (f64, f64) {
        let median = |values: &[f64]| stats::median(values.iter().copied());
        (median(&self.idle_before), median(&self.idle_during))
    }

    /// Whether it reaches its goal; `None` without one.
    pub(super) fn reaches_goal(&self) -> Option<bool> {
        let (goal, unit) = (self.row.goal?, self.row.unit);
        Some(self.figure().is_some_and(|figure| {
            let p99 = goal
                .p99
                .is_none_or(|goal| figure.p99.is_some_and(|p99| unit.reaches(p99, goal)));
            unit.reaches(figure.median, goal.median) && p99
        }))
    }
}

/// What rows work with.
#[derive(Debug)]
pub(super) struct Bench {
    scratch: TempDir,
    binaries: PathBuf,
}

impl Bench {
    pub(super) fn new(workspace: &Workspace) -> Result<Self> {
        // In the target directory, since /tmp may be memory, where a commit costs nothing.
        let scratch = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(workspace.target())
            .map_err(Error::io("make a scratch directory"))?;
        let profile = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        Ok(Self {
            scratch,
            binaries: workspace.target().join(profile),
        })
    }

    /// A directory on a disk that goes away at the end. Rounds share it.
    pub(super) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// A built binary of the workspace, such as `moorline`.
    pub(super) fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// A built example of a crate, such as `measure`.
    pub(super) fn example(&self, name: &str) -> PathBuf {
        self.binaries.join("examples").join(name)
    }

    /// What an example prints when it runs in the scratch directory.
    pub(super) fn output_of(
        &self,
        example: &str,
        arguments: impl IntoIterator<Item: AsRef<OsStr>>,
    ) -> Result<String> {
        Shell::new(self.example(example), self.scratch())
            .args(arguments)
            .quiet()
            .capture()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &'static str, against: Option<&'static str>, goal: Option<Goal>) -> Row {
        Row {
            id,
            what: id,
            unit: Unit::MILLISECONDS,
            against,
            goal,
            peers: &[],
            scope: "one process",
            bound_by: "nothing",
        }
    }

    fn probe(rows: Vec<Row>) -> Probe {
        Probe::new(rows, |_| Ok(Vec::new()))
    }

    fn ids(probes: &[Probe]) -> Vec<Vec<&str>> {
        let ids = |probe: &'_ Probe| probe.rows.iter().map(|row| row.id).collect();
        probes.iter().map(ids).collect()
    }

    #[test]
    fn a_chosen_row_brings_what_it_is_compared_with() {
        let probes = || {
            vec![
                probe(vec![row("floor.a", None, None)]),
                probe(vec![row("floor.b", None, None), row("floor.c", None, None)]),
                probe(vec![row("x", Some("floor.b"), None)]),
            ]
        };
        assert_eq!(ids(&choose(probes(), Some("x"))), [["floor.b"], ["x"]]);
        assert_eq!(
            ids(&choose(probes(), Some("floor"))),
            [vec!["floor.a"], vec!["floor.b", "floor.c"]]
        );
        assert_eq!(choose(probes(), Some("nothing")).len(), 0);
        assert_eq!(choose(probes(), None).len(), 3);
    }

    #[test]
    fn a_goal_holds_for_the_median_and_for_the_99th_percentile() {
        let reaches = |median, p99| {
            let mut measured = Measured::new(row("x", None, Some(Goal::with_p99(3.0, 8.0))));
            for shift in [-0.5, 0.0, 0.5] {
                let figure = Figure {
                    median: median + shift,
                    p99: Some(p99),
                    samples: 10,
                };
                measured.add(figure, 90.0, 50.0);
            }
            measured.reaches_goal()
        };
        assert_eq!(reaches(3.0, 8.0), Some(true));
        assert_eq!(reaches(3.1, 8.0), Some(false));
        assert_eq!(reaches(3.0, 8.1), Some(false));
        let unmeasured = Measured::new(row("x", None, Some(Goal::of_median(3.0))));
        assert_eq!(unmeasured.figure(), None);
        assert_eq!(unmeasured.reaches_goal(), Some(false));
        assert!(Unit::PER_SECOND.reaches(900.0, 800.0));
        assert!(!Unit::PER_SECOND.reaches(700.0, 800.0));
    }
}
