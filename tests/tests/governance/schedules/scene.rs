//! A job with a cadence, promoted in `prod`, and workers whose clock the test drives.

use std::fs;
use std::process::Command;
use std::time::Duration;

use moorline_testkit::moorline::{Moorline, Output, Running, Signal};
use moorline_testkit::postgres::{self, TestDatabase};
use moorline_testkit::wait;
use serde_json::{Value, json};

use crate::support::{TestClock, json_of, ok, write_spec};

/// Generous: the machine may be busy with everything else.
const DEADLINE: Duration = Duration::from_secs(30);

/// When the scenes begin.
const NOON: &str = "2026-05-01T12:00:00Z";

/// Seconds of a job that is done at once.
pub(crate) const QUICK: u32 = 0;

/// Seconds of a job that goes on until it is told to end.
pub(crate) const SLOW: u32 = 300;

/// Sleeps for the seconds of its parameters.
const SCRIPT: &str =
    r#"exec sleep "$(sed -n 's/.*"seconds": *\([0-9]*\).*/\1/p' "$MOORLINE_INPUT")""#;

/// Which store a scene is played on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Where {
    Sqlite,
    Postgres,
}

/// A cadence of the spec.
pub(crate) struct Cadence {
    cadence: Value,
    zone: &'static str,
}

impl Cadence {
    pub(crate) fn of(expr: &str, zone: &'static str) -> Self {
        Self {
            cadence: json!({"type": "cron", "expr": expr}),
            zone,
        }
    }

    pub(crate) fn hourly() -> Self {
        Self::of("0 * * * *", "UTC")
    }

    pub(crate) fn with(mut self, member: &str, value: &str) -> Self {
        self.cadence[member] = json!(value);
        self
    }
}

/// The binary with a home, a clock, and a promoted job.
pub(crate) struct Scene {
    // Dropped first, while the home is still there.
    _stop: StopAll,
    pub(crate) moorline: Moorline,
    pub(crate) clock: TestClock,
    // Held for its `Drop`.
    _database: Option<TestDatabase>,
}

impl Scene {
    /// The job is promoted at `start`, its schedule disabled.
    fn promoted_at(place: Where, start: &str, cadence: &Cadence, seconds: u32) -> Self {
        let mut moorline = Moorline::new().unwrap();
        let clock = TestClock::at(moorline.root(), start);
        moorline = moorline
            .env("MOORLINE_TEST_CLOCK", clock.path())
            .env("MOORLINE_PRINCIPAL", "human:ada");
        let database = match place {
            Where::Sqlite => None,
            Where::Postgres => Some(postgres::create_database().unwrap()),
        };
        if let Some(database) = &database {
            moorline = moorline.env("MOORLINE_STORE", database.url());
        }
        let scene = Self {
            _stop: StopAll(moorline.command(["stop", "all"])),
            moorline,
            clock,
            _database: database,
        };
        scene.promote(cadence, seconds);
        let since = scene.show()["since"].clone();
        assert_eq!(
            since, start,
            "the binary under test has no test clock: build it with `--all-features`"
        );
        scene
    }

    fn promote(&self, cadence: &Cadence, seconds: u32) {
        let job = self.moorline.root().join("tide");
        fs::create_dir(&job).unwrap();
        fs::write(job.join("RUNBOOK.md"), "# Runbook\n\nNothing to do.\n").unwrap();
        let spec = json!({
            "job_id": "tide",
            "job_type": "task",
            "version": 1,
            "time_zone": cadence.zone,
            "cadence": cadence.cadence,
            "egress": "none",
            "params": {"seconds": seconds},
            "failure_policy": {"alert_after_skipped_runs": 2},
            "steps": [{
                "name": "tell",
                "argv": ["/bin/sh", "-c", SCRIPT],
                "timeout_seconds": 300,
                "grace_seconds": 0,
            }],
        });
        write_spec(&job, &spec);
        let moorline = &self.moorline;
        ok(moorline, &["init"]);
        ok(moorline, &["artifact", "submit", job.to_str().unwrap()]);
        let approve = ["artifact", "approve", "latest", "--reason", "read it"];
        ok(moorline, &approve);
        let promote = [
            "artifact", "promote", "latest", "--lane", "prod", "--reason", "live",
        ];
        ok(moorline, &promote);
    }

    pub(crate) fn promoted(place: Where, cadence: &Cadence, seconds: u32) -> Self {
        Self::promoted_at(place, NOON, cadence, seconds)
    }

    /// As [`Self::promoted`], with every gate passed and the schedule enabled.
    pub(crate) fn enabled(place: Where, cadence: &Cadence, seconds: u32) -> Self {
        Self::enabled_at(place, NOON, cadence, seconds)
    }

    pub(crate) fn enabled_at(place: Where, start: &str, cadence: &Cadence, seconds: u32) -> Self {
        let scene = Self::promoted_at(place, start, cadence, seconds);
        scene.pass_gates();
        scene.enable();
        scene
    }

    pub(crate) fn pass_gates(&self) {
        let moorline = &self.moorline;
        ok(moorline, &["gates", "check-secrets", "prod/tide"]);
        ok(moorline, &["gates", "probe-egress", "prod/tide"]);
        // What the lane points to, with a parameter that makes even the slow job quick.
        let job = moorline.root().join("tide");
        let run = [
            "run",
            job.to_str().unwrap(),
            "--lane",
            "prod",
            "--mode",
            "real",
        ];
        ok(moorline, &[&run[..], &["--param", "seconds=0"]].concat());
        let verify = ["gates", "verify-run", "prod/tide", "--run", "latest"];
        ok(moorline, &verify);
    }

    pub(crate) fn enable(&self) -> Value {
        json_of(&self.moorline, &["schedule", "enable", "prod/tide"])
    }

    /// Runs a command as somebody else.
    pub(crate) fn run_as(&self, principal: &str, arguments: &[&str]) -> Output {
        let mut command = self.moorline.command(arguments);
        command.env("MOORLINE_PRINCIPAL", principal);
        Running::start(&mut command)
            .unwrap()
            .wait(DEADLINE)
            .unwrap()
    }

    /// A worker that works until it is told to end.
    pub(crate) fn worker(&self) -> Running {
        self.moorline.spawn(["work"]).unwrap()
    }

    /// Tells a worker to end, and waits for it.
    #[expect(clippy::unused_self, reason = "reads as a part of the scene")]
    pub(crate) fn end(&self, mut worker: Running) {
        worker.signal(Signal::TERM).unwrap();
        let ended = worker.wait(DEADLINE).unwrap();
        assert_eq!(ended.code, Some(0), "{ended}");
    }

    #[expect(clippy::unused_self, reason = "reads as a part of the scene")]
    pub(crate) fn wait_for(&self, what: &str, condition: impl FnMut() -> bool) {
        wait::until(DEADLINE, what, condition).unwrap();
    }

    /// Waits until this many runs that the schedule started are over.
    pub(crate) fn wait_for_ends(&self, count: usize) {
        self.wait_for("the ends of the runs", || {
            let fired = self.events("schedule.fired");
            let ended = self.events("run.ended");
            let over = |event: &Value| {
                ended
                    .iter()
                    .any(|end| end["run_id"] == event["data"]["run_id"])
            };
            fired.len() == count && fired.iter().all(over)
        });
    }

    /// Moves the clock to a full hour of the day; gives the run that starts then.
    pub(crate) fn start_hour(&self, hour: u8) -> String {
        self.clock.set(&format!("2026-05-01T{hour}:00:01Z"));
        self.wait_for_running()
    }

    /// The one run whose process was launched and goes on.
    pub(crate) fn wait_for_running(&self) -> String {
        wait::some(DEADLINE, "a run that goes on", || {
            let running = self.with_status("running").pop()?;
            let launched = self.events("attempt.launched");
            launched
                .iter()
                .any(|event| event["run_id"] == running.as_str())
                .then_some(running)
        })
        .unwrap()
    }

    pub(crate) fn cancel(&self, run: &str) {
        ok(&self.moorline, &["runs", "cancel", run, "--grace", "0"]);
    }

    /// Runs in this state, newest first.
    pub(crate) fn with_status(&self, status: &str) -> Vec<String> {
        let list = ["runs", "list", "--status", status];
        let runs = json_of(&self.moorline, &list);
        let ids = runs.as_array().unwrap().iter();
        ids.map(|run| run["run_id"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn show(&self) -> Value {
        json_of(&self.moorline, &["schedule", "show", "prod/tide"])["schedule"].clone()
    }

    /// Every event of a kind, oldest first.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let list = ["events", "list", "--kind", kind, "--limit", "500"];
        let events = json_of(&self.moorline, &list);
        events.as_array().unwrap().clone()
    }

    /// The nominal times of the starts that were made, in the order in which they were.
    pub(crate) fn started_for(&self) -> Vec<String> {
        let fired = self.events("schedule.fired");
        let times = fired.iter().map(|event| event["data"]["fire_at"].as_str());
        times.map(|time| time.unwrap().to_owned()).collect()
    }

    /// What was told of starts that fell away: cause and count.
    pub(crate) fn skipped(&self) -> Vec<(String, u64)> {
        let skipped = self.events("schedule.skipped");
        let told = skipped.iter().map(|event| {
            let cause = event["data"]["cause"].as_str().unwrap().to_owned();
            (cause, event["data"]["count"].as_u64().unwrap())
        });
        told.collect()
    }
}

/// Ends what a failed test leaves: processes of jobs outlive workers.
struct StopAll(Command);

impl Drop for StopAll {
    fn drop(&mut self) {
        if let Ok(stop) = Running::start(&mut self.0) {
            drop(stop.wait(DEADLINE));
        }
    }
}
