//! `cargo xtask test`: every test there is, on every back end there is, counted.
//!
//! Sets the machine up, builds once, starts one PostgreSQL, and runs in turn the Rust tests
//! (cargo-nextest where it is installed, plain `cargo test` otherwise), the doc tests and the unit
//! tests of the Python examples. The last line is always `tests: N passed, M failed`, over all of
//! them.
//!
//! A runner that fails without a failed test, or can not be counted, counts as one failed test, and
//! so does each back end that the suite has to cover and that left no mark (L76). So the exit code
//! and the last line always agree.
//!
//! Arguments after `--` go to the Rust test runner. They usually choose some tests, so such a run
//! leaves out the other runners and does not ask which back ends were covered.

mod count;
mod runners;

use std::path::PathBuf;
use std::{fs, io};

use moorline_testkit::coverage::Backend;
use moorline_testkit::env;
use moorline_testkit::postgres::Postgres;

use self::count::Count;
use self::runners::{Runner, Surroundings};
use crate::cli::TestArguments;
use crate::clock;
use crate::error::{Error, Result};
use crate::output::{say, step};
use crate::setup;
use crate::workspace::Workspace;

impl TestArguments {
    /// Everything, under a profile of nextest.
    pub(crate) fn all(profile: &str) -> Self {
        Self {
            crash_kills: None,
            profile: profile.to_owned(),
            no_nextest: false,
            passed_on: Vec::new(),
        }
    }
}

pub(crate) fn run(workspace: &Workspace, arguments: &TestArguments) -> Result {
    let report = run_counted(workspace, arguments)?;
    say!("{}", report.closing_line());
    if report.ok() {
        Ok(())
    } else {
        Err(Error::Told)
    }
}

/// The outcome of a whole test run.
#[derive(Debug)]
pub(crate) struct Report {
    count: Count,
}

impl Report {
    /// Nothing failed and nothing is missing.
    pub(crate) fn ok(&self) -> bool {
        self.count.failed == 0
    }

    /// The one line that ends the output.
    pub(crate) fn closing_line(&self) -> String {
        format!(
            "tests: {} passed, {} failed",
            self.count.passed, self.count.failed
        )
    }
}

/// [`run`] without the closing line, for a command that has more to say before it.
pub(crate) fn run_counted(workspace: &Workspace, arguments: &TestArguments) -> Result<Report> {
    setup::run(workspace)?;

    step("build");
    workspace.build_everything()?;

    let marks = CoverageMarks::fresh(workspace)?;
    // Held until the last test has ended.
    let (postgres_url, _server) = one_postgres()?;
    let mut variables = vec![
        (env::COVERAGE_DIR, marks.directory.display().to_string()),
        (env::POSTGRES_URL, postgres_url),
    ];
    if let Some(kills) = arguments.crash_kills {
        variables.push((env::CRASH_KILLS, kills.to_string()));
    }
    let surroundings = Surroundings {
        workspace,
        variables,
    };

    let everything = arguments.passed_on.is_empty();
    let mut runners = vec![runners::rust(
        &surroundings,
        (!arguments.no_nextest).then_some(arguments.profile.as_str()),
        &arguments.passed_on,
    )];
    if everything {
        runners.push(runners::documentation());
        runners.extend(runners::python_examples(workspace)?);
    }

    let mut report = Report {
        count: Count::default(),
    };
    let mut told = Vec::new();
    for runner in runners {
        let (line, count) = watch(&surroundings, &runner)?;
        report.count += count;
        told.push(line);
    }

    step("summary");
    for line in &told {
        say!("{line}");
    }
    if !everything {
        say!(
            "arguments were given to the runner: doc tests, Python tests and the coverage of back ends are left out"
        );
        return Ok(report);
    }
    for backend in Backend::missing_from(&marks.directory) {
        report.count += Count::ONE_FAILED;
        say!(
            "not covered: {backend}. No test worked against it, so this run proves nothing about it"
        );
    }
    Ok(report)
}

/// Runs one runner; gives its line of the summary, and its count.
fn watch(surroundings: &Surroundings<'_>, runner: &Runner) -> Result<(String, Count)> {
    step(&runner.name);
    let start = clock::now();
    let counted = (runner.run)(surroundings)?;
    let seconds = start.elapsed().as_secs_f64();
    let what = match &counted {
        Ok(count) => count.to_string(),
        Err(reason) => format!("FAILED: {reason}"),
    };
    let line = format!("{:<46} {what} ({seconds:.1} s)", runner.name);
    Ok((line, counted.unwrap_or(Count::ONE_FAILED)))
}

/// The URL of the server that all test processes share, and the server itself where it is ours.
fn one_postgres() -> Result<(String, Option<Postgres>)> {
    if let Some(url) = env::read(env::POSTGRES_URL) {
        say!("using the PostgreSQL of {}", env::POSTGRES_URL);
        return Ok((url, None));
    }
    let server = Postgres::start()?;
    Ok((server.url(), Some(server)))
}

/// The directory in which tests mark the back ends that they worked against.
struct CoverageMarks {
    directory: PathBuf,
}

impl CoverageMarks {
    fn fresh(workspace: &Workspace) -> Result<Self> {
        let directory = workspace.target().join("coverage-marks");
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove the coverage marks of the last run")(
                    error,
                ));
            }
            _ => {}
        }
        fs::create_dir_all(&directory).map_err(Error::io("make the coverage marks' directory"))?;
        Ok(Self { directory })
    }
}
