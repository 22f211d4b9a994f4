//! What these tests start from: a home, jobs whose processes can be found, and a witness outside the store.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use moorline_testkit::moorline::{Moorline, Output, Running};
use moorline_testkit::{canary, process, wait};
use moorline_tests::Job;
use serde_json::{Value, json};

/// How long anything may take before a test gives up.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A shell whose tree is hard to end: it ignores the polite signals, so its children do too; one child
/// leaves the session, another one leaves the family.
pub(super) const STUBBORN: &str = r#"
trap '' TERM INT HUP
echo "$MOORLINE_RUN_ID" >> "$WITNESS"
sleep 300 &
setsid sleep 300 &
( ( setsid sleep 300 & ) & )
while :; do sleep 300; done
"#;

/// Processes of [`STUBBORN`], when all of it is up: the shell and four sleepers.
pub(super) const STUBBORN_TREE: usize = 5;

/// A home, and everything that a test looks at.
pub(super) struct Scene {
    pub(super) moorline: Moorline,
    /// In the environment of every process of every job.
    marker: String,
}

impl Scene {
    pub(super) fn new() -> Self {
        let marker = format!("stop-{}", canary::random_hex(8));
        Self {
            moorline: Moorline::new().unwrap(),
            marker,
        }
    }

    fn witness(&self) -> PathBuf {
        self.moorline.root().join("witness")
    }

    /// A job of one step that runs `script`, with further members of the step and of the spec.
    pub(super) fn job_with(&self, script: &str, step: &Value, spec: &Value) -> Job {
        let mut main = json!({
            "name": "main",
            "argv": ["/bin/sh", "-c", script],
            "env": {"STOP_MARKER": self.marker, "WITNESS": self.witness()},
            "egress": "none",
        });
        merge(&mut main, step);
        let mut document = json!({"job_id": "test", "steps": [main]});
        merge(&mut document, spec);
        Job::new(document)
    }

    pub(super) fn job(&self, script: &str) -> Job {
        self.job_with(script, &json!({}), &json!({}))
    }

    /// Starts `moorline run` of a job without a sandbox.
    pub(super) fn start(&self, job: &Job) -> Running {
        self.start_with(job, "off")
    }

    pub(super) fn start_with(&self, job: &Job, isolation: &str) -> Running {
        let job = job.path().as_os_str();
        let arguments = ["run", "--json", "--isolation", isolation].map(OsStr::new);
        self.moorline
            .spawn(arguments.into_iter().chain([job]))
            .unwrap()
    }

    /// Runs a command to its end.
    pub(super) fn command(&self, arguments: &[&str]) -> Output {
        self.moorline.run(arguments).unwrap()
    }

    /// The document of a command that has to succeed.
    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        let output = self
            .moorline
            .run(arguments.iter().chain(&["--json"]))
            .unwrap();
        assert_eq!(output.code, Some(0), "{arguments:?}: {output}");
        output.json().unwrap()
    }

    /// Lines that jobs have written to the witness.
    pub(super) fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.witness()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Processes of jobs that run, as text.
    pub(super) fn alive(&self) -> Vec<String> {
        let found = process::matching(&self.marker).unwrap();
        found
            .iter()
            .map(|p| format!("{} {}", p.pid, p.argv.join(" ")))
            .collect()
    }

    pub(super) fn wait_for_processes(&self, count: usize) {
        let what = format!("{count} processes of jobs");
        if let Err(error) = wait::until(PATIENCE, &what, || self.alive().len() >= count) {
            panic!("{error}; there are {:?}", self.alive());
        }
    }

    pub(super) fn wait_for_lines(&self, count: usize) {
        wait::until(PATIENCE, "lines of the witness", || {
            self.lines().len() >= count
        })
        .unwrap();
    }

    /// Whether a run is in the store.
    pub(super) fn has_run(&self) -> bool {
        self.moorline.state_dir().is_dir() && self.json(&["runs", "list"]) != json!([])
    }

    /// Whether a supervisor has taken an attempt.
    pub(super) fn has_claim(&self) -> bool {
        let attempts = fs::read_dir(self.moorline.state_dir().join("attempts"));
        let mut attempts = attempts.into_iter().flatten().flatten();
        attempts.any(|attempt| attempt.path().join("claim.json").exists())
    }

    /// Begins again, as if nothing had been run here.
    pub(super) fn forget_everything(&self) {
        fs::remove_dir_all(self.moorline.state_dir()).unwrap();
        // There is none when nothing had begun.
        drop(fs::remove_file(self.witness()));
    }

    /// The only run, or the newest one.
    pub(super) fn latest(&self) -> String {
        self.json(&["runs", "show", "latest"])["run_id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// How many summaries a run has: its ends in the event log.
    pub(super) fn ends_of(&self, run: &str) -> usize {
        let ended = [
            "events",
            "list",
            "--after",
            "0",
            "--kind",
            "run.ended",
            "--run",
            run,
        ];
        self.json(&ended).as_array().unwrap().len()
    }
}

fn merge(into: &mut Value, from: &Value) {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        into.extend(from.clone());
    }
}

/// The run that `moorline run` has told of, as soon as it has.
pub(super) fn run_of(running: &Running) -> String {
    wait::some(PATIENCE, "the id of the run", || {
        let told = running.stderr_so_far();
        let line = told.lines().find_map(|line| line.strip_prefix("run "))?;
        Some(line.split(' ').next()?.to_owned())
    })
    .unwrap()
}

/// Status and failure code of a summary.
pub(super) fn end_of(summary: &Value) -> (&str, &str) {
    (
        summary["status"].as_str().unwrap_or_default(),
        summary["failure"]["code"].as_str().unwrap_or_default(),
    )
}
