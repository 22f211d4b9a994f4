//! Whole processes of `moorline`, from the start of the program to its exit.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;

use super::super::floors::times;
use super::super::row::{Bench, Figure, Goal, Probe, Row, Unit};
use super::row;
use super::state::Filled;
use crate::error::{Error, Result};

const STARTS: u32 = 200;
const RUNS: u32 = 60;
const LISTS: u32 = 40;
const SPEC: &str = r#"{"job_id": "quick", "steps": [{"name": "true", "argv": ["/bin/true"]}]}"#;
const SCOPE: &str = "a CLI process each";

pub(super) fn start_up() -> Vec<Probe> {
    vec![
        Probe::of(
            Row {
                id: "start.version",
                what: "moorline --version",
                against: Some("floor.spawn"),
                goal: Some(Goal::of_median(5.0)),
                peers: &[("restate", 8.4), ("modal", 1012.0), ("airflow", 2768.0)],
                scope: SCOPE,
                bound_by: "exec and page faults of one static binary; the table of commands is built",
                ..row(Unit::MILLISECONDS)
            },
            |bench| times(STARTS, || run(bench, &["--version"])),
        ),
        Probe::of(
            Row {
                id: "start.app-name",
                what: "moorline app-name llm/litellm@1",
                against: Some("floor.spawn"),
                goal: Some(Goal::of_median(5.0)),
                scope: SCOPE,
                bound_by: "as start.version: it opens no store and starts no runtime",
                ..row(Unit::MILLISECONDS)
            },
            |bench| times(STARTS, || run(bench, &["app-name", "llm/litellm@1"])),
        ),
    ]
}

pub(super) fn runs(filled: &Rc<Filled>) -> Vec<Probe> {
    let filled = Rc::clone(filled);
    vec![
        Probe::of(
            Row {
                id: "cli.run",
                what: "moorline run of /bin/true, --isolation off",
                against: Some("floor.run"),
                scope: SCOPE,
                bound_by: "submit.plain, opening and closing the store, start-up",
                ..row(Unit::MILLISECONDS)
            },
            |bench| run_job(bench, "off"),
        ),
        Probe::of(
            Row {
                id: "cli.run.sandbox",
                what: "moorline run of /bin/true, --isolation best-effort (the default of the lane dev)",
                against: Some("floor.run"),
                scope: SCOPE,
                bound_by: "submit.sandbox, opening and closing the store, start-up",
                ..row(Unit::MILLISECONDS)
            },
            |bench| run_job(bench, "best-effort"),
        ),
        Probe::of(
            Row {
                id: "cli.list.10k",
                what: "moorline runs list --limit 1 with 10,000 runs in the store",
                against: Some("floor.open"),
                goal: Some(Goal::of_median(150.0)),
                scope: SCOPE,
                bound_by: "start-up and opening the store",
                ..row(Unit::MILLISECONDS)
            },
            move |bench| {
                let state = filled.with_runs(bench, 10_000)?;
                times(LISTS, || {
                    run(bench, &["--state", &state, "runs", "list", "--limit", "1"])
                })
            },
        ),
    ]
}

fn run_job(bench: &Bench, isolation: &str) -> Result<Figure> {
    let job = bench.scratch().join("quick");
    write_spec(&job).map_err(Error::io("write a job"))?;
    times(RUNS, || {
        run(
            bench,
            &[
                "--state",
                "state-cli",
                "run",
                "quick",
                "--isolation",
                isolation,
            ],
        )
    })
}

fn write_spec(job: &Path) -> std::io::Result<()> {
    fs::create_dir_all(job)?;
    fs::write(job.join("job_spec.json"), SPEC)
}

/// Runs `moorline` in the scratch directory, its output unread.
pub(super) fn moorline(bench: &Bench, arguments: &[&str]) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "the subject of the measurement is a process"
    )]
    let mut command = Command::new(bench.binary("moorline"));
    command
        .args(arguments)
        .current_dir(bench.scratch())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn run(bench: &Bench, arguments: &[&str]) -> Result {
    let status = moorline(bench, arguments)
        .status()
        .map_err(Error::io("start moorline"))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        command: format!("moorline {}", arguments.join(" ")),
        status: status.to_string(),
    })
}
