//! One line of the table: what is measured, and what it is held against.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::stats;
use crate::error::{Error, Result};
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
            median: f64::from(operations) / seconds,
            p99: None,
            samples: operations as usize,
        }
    }
}

/// The work of a row: does it, and says how it went.
pub(super) type Measure = Box<dyn Fn(&Bench) -> Result<Figure>>;

/// A line of the table.
pub(super) struct Row {
    /// Short and stable, such as `floor.spawn`; other rows name their floor by it.
    pub(super) id: &'static str,
    /// For people.
    pub(super) what: &'static str,
    pub(super) unit: Unit,
    /// The id of the row that this one can not be better than. It has the same unit.
    pub(super) floor: Option<&'static str>,
    pub(super) goal: Option<Goal>,
    /// Whether it is taken inside one process or over a process per operation.
    pub(super) scope: &'static str,
    /// What limits it.
    pub(super) bound_by: &'static str,
    pub(super) measure: Measure,
}

/// The rows whose id contains `wanted`, with the floors they need, in the order of the list.
pub(super) fn choose(rows: Vec<Row>, wanted: Option<&str>) -> Vec<Row> {
    let Some(wanted) = wanted else { return rows };
    let floors: Vec<&str> = rows
        .iter()
        .filter(|row| row.id.contains(wanted))
        .filter_map(|row| row.floor)
        .collect();
    rows.into_iter()
        .filter(|row| row.id.contains(wanted) || floors.contains(&row.id))
        .collect()
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

    /// The medians over the rounds, each of its own.
    pub(super) fn figure(&self) -> Figure {
        let p99: Vec<f64> = self
            .figures
            .iter()
            .filter_map(|figure| figure.p99)
            .collect();
        Figure {
            median: stats::median(self.figures.iter().map(|figure| figure.median)),
            p99: (!p99.is_empty()).then(|| stats::median(p99)),
            samples: self.figures.iter().map(|figure| figure.samples).sum(),
        }
    }

    pub(super) fn idle(&self) -> (f64, f64) {
        let median = |values: &[f64]| stats::median(values.iter().copied());
        (median(&self.idle_before), median(&self.idle_during))
    }

    /// Whether it reaches its goal; `None` without one.
    pub(super) fn reaches_goal(&self) -> Option<bool> {
        let (figure, goal, unit) = (self.figure(), self.row.goal?, self.row.unit);
        let p99 = goal
            .p99
            .is_none_or(|goal| figure.p99.is_some_and(|p99| unit.reaches(p99, goal)));
        Some(unit.reaches(figure.median, goal.median) && p99)
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
    #[expect(
        dead_code,
        reason = "floors run no program of ours; the rows of the product do"
    )]
    pub(super) fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &'static str, floor: Option<&'static str>, goal: Option<Goal>) -> Row {
        Row {
            id,
            what: id,
            unit: Unit::MILLISECONDS,
            floor,
            goal,
            scope: "one process",
            bound_by: "nothing",
            measure: Box::new(|_| Ok(Figure::of_rate(1, 1.0))),
        }
    }

    fn ids(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|row| row.id).collect()
    }

    #[test]
    fn a_chosen_row_brings_its_floor() {
        let rows = || {
            vec![
                row("floor.a", None, None),
                row("floor.b", None, None),
                row("x", Some("floor.b"), None),
            ]
        };
        assert_eq!(ids(&choose(rows(), Some("x"))), ["floor.b", "x"]);
        assert_eq!(ids(&choose(rows(), Some("floor"))), ["floor.a", "floor.b"]);
        assert_eq!(choose(rows(), Some("nothing")).len(), 0);
        assert_eq!(choose(rows(), None).len(), 3);
    }

    #[test]
    fn a_goal_holds_for_the_median_and_for_the_99th_percentile() {
        let reaches = |median, p99| {
            let mut measured = Measured::new(row(
                "x",
                None,
                Some(Goal {
                    median: 3.0,
                    p99: Some(8.0),
                }),
            ));
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
        assert!(Unit::PER_SECOND.reaches(900.0, 800.0));
        assert!(!Unit::PER_SECOND.reaches(700.0, 800.0));
    }
}
