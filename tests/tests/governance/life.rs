//! The whole life of a source, as people live it: one session at the command line.
//!
//! A bank's statements are to be read every morning. The job is submitted with two flaws, mended, approved,
//! promoted; its schedule passes the gates one by one; three mornings go well. Then the session expires, a
//! person signs on again; then the bank sends a broken statement. A new version comes and goes; an emergency
//! ends it all, and a person releases it.
//!
//! Everything is the real binary, its worker, real jobs in the sandbox, a real bank on loopback and a real
//! receiver of alerts. Only the clock is moved by hand.
//!
//! The session is recorded: `docs/life-of-a-source.md` holds each command with what it said, and this test
//! holds that page to the commands that were run. With `MOORLINE_RECORD=1` it writes the page anew.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use moorline_testkit::moorline::{Moorline, Output, Running, Signal};
use moorline_testkit::receivers::http::Receiver;
use moorline_testkit::{postgres, wait};
use serde_json::Value;

use crate::session::Session;
use crate::support::{
    Bank, JOB, SOURCE, TestClock, job_spec, json_of, ok, statement, write_job, write_spec,
};

/// How long the worker may take for one thing.
const PATIENCE: Duration = Duration::from_secs(45);
/// The schedule of the story.
const SCHEDULE: &str = "prod/bank-daily";

#[test]
fn the_life_of_a_source_on_sqlite() {
    live(None);
}

#[test]
fn the_life_of_a_source_on_postgres() {
    let database = postgres::create_database().unwrap();
    live(Some(database.url()));
}

/// Where the story takes place.
struct Stage {
    moorline: Moorline,
    bank: Bank,
    alerts: Receiver,
    clock: TestClock,
    job: PathBuf,
    session: RefCell<Session>,
}

impl Stage {
    fn new(store: Option<&str>) -> Self {
        let bank = Bank::open("spring session", statement(&["-12.50", "3.20"]));
        let alerts = Receiver::start().unwrap();
        let mut moorline = Moorline::new().unwrap().env("USER", "ada");
        let clock = TestClock::at(moorline.root(), "2026-03-02T12:00:00Z");
        moorline = moorline.env("MOORLINE_TEST_CLOCK", clock.path());
        if let Some(url) = store {
            moorline = moorline.env("MOORLINE_STORE", url);
        }
        let settings = format!(
            "[alerts.ops]\nchannel = \"webhook\"\ntarget = \"{}\"\n",
            alerts.url("/alerts")
        );
        fs::write(moorline.work_dir().join("moorline.toml"), settings).unwrap();
        let job = moorline.root().join("job");
        let mut session = Session::default();
        session.set_home(moorline.root().to_str().unwrap());
        write_job(&job, &job_spec(&bank));
        Self {
            moorline,
            bank,
            alerts,
            clock,
            job,
            session: RefCell::new(session),
        }
    }

    fn json(&self, arguments: &[&str]) -> Value {
        json_of(&self.moorline, arguments)
    }

    /// A command of the story that must succeed.
    fn ok(&self, arguments: &[&str]) {
        self.record(arguments, &ok(&self.moorline, arguments));
    }

    /// A command of the story that must be refused with this exit code.
    fn refused(&self, arguments: &[&str], code: i32) -> String {
        let done = self.moorline.run(arguments).unwrap();
        assert_eq!(done.code, Some(code), "{arguments:?}: {done}");
        self.record(arguments, &done);
        done.stderr
    }

    fn record(&self, arguments: &[&str], done: &Output) {
        let mut session = self.session.borrow_mut();
        session.command(arguments, &format!("{}{}", done.stdout, done.stderr));
    }

    /// A heading of the story.
    fn part(&self, title: &str, text: &str) {
        self.session.borrow_mut().part(title, text);
    }

    /// Submits the job directory as it is; gives the artifact's id.
    fn submit(&self) -> String {
        let submitted = self.json(&["artifact", "submit", self.job.to_str().unwrap()]);
        let id = &submitted["artifact"]["id"];
        id.as_str()
            .unwrap_or_else(|| panic!("{submitted:#}"))
            .to_owned()
    }

    fn state(&self) -> String {
        let view = self.json(&["schedule", "show", SCHEDULE]);
        view["schedule"]["state"]
            .as_str()
            .unwrap_or_else(|| panic!("{view:#}"))
            .to_owned()
    }

    fn source_state(&self) -> String {
        let view = self.json(&["sources", "show", SOURCE]);
        view["state"]
            .as_str()
            .unwrap_or_else(|| panic!("{view:#}"))
            .to_owned()
    }

    /// Runs of the job, newest first.
    fn runs(&self) -> Vec<Value> {
        let listed = self.json(&["runs", "list"]);
        listed.as_array().unwrap().clone()
    }

    /// Moves the clock to a morning and waits until the worker has seen the run to its end.
    fn morning(&self, instant: &str, status: &str) -> Value {
        let before = self.runs().len();
        self.clock.set(instant);
        let what = format!("the run of {instant}");
        wait::some(PATIENCE, &what, || {
            let runs = self.runs();
            let over = runs.len() > before && !runs[0]["ended_at"].is_null();
            over.then(|| {
                assert_eq!(runs[0]["status"], status, "{:#}", runs[0]);
                runs[0].clone()
            })
        })
        .unwrap()
    }

    /// Names of the runs whose outputs are published.
    fn exports(&self) -> Vec<String> {
        let directory = self.moorline.state_dir().join("exports").join(JOB);
        let mut names: Vec<String> = fs::read_dir(directory)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| name != "latest")
            .collect();
        names.sort();
        names
    }

    /// Alerts that were delivered and say this.
    fn alerts_with(&self, text: &str) -> usize {
        let requests = self.alerts.requests();
        let says = |body: &[u8]| String::from_utf8_lossy(body).contains(text);
        requests
            .iter()
            .filter(|request| says(request.body.as_ref()))
            .count()
    }

    fn worker(&self) -> Running {
        self.moorline.spawn(["work"]).unwrap()
    }
}

fn live(store: Option<&str>) {
    let stage = Stage::new(store);
    stage.part(
        "Review",
        "The first submission has two flaws: a document is missing, and a token stands in the code. An agent \
         can submit; only a person approves and promotes.",
    );
    let first = review_and_approve(&stage);
    stage.part(
        "The gates",
        "A promoted artifact has a schedule, disabled. Enabling it lists everything that is missing.",
    );
    pass_the_gates(&stage);
    stage.part(
        "Three mornings",
        "`moorline work` runs beside this session. At 06:15 in New York, also on the day that the clocks \
         change, it starts the artifact that was approved.",
    );
    let worker = stage.worker();
    three_good_mornings(&stage);
    stage.part(
        "The session expires",
        "The bank wants a new sign-on. The source needs a person, its schedule is disabled, one alert goes \
         out, and nothing starts in the days that follow.",
    );
    the_session_expires(&stage);
    stage.part(
        "A broken statement",
        "An amount is no number. Nothing of it is exported, what came is archived, and the schedule is \
         disabled.",
    );
    the_bank_sends_something_broken(&stage);
    stage.part(
        "A version comes and goes",
        "A stricter version is promoted and rolled back: the lane points to the very content of before, and \
         the schedule stays disabled until a person enables it.",
    );
    a_version_comes_and_goes(&stage, &first);
    end_worker(worker);
    stage.part(
        "An emergency, and its release",
        "Schedules disabled, everything stopped, secrets revoked, artifacts set aside: one command.",
    );
    an_emergency_and_its_release(&stage);
    stage.ok(&["audit", "verify"]);
    if store.is_none() {
        stage.session.borrow().compare();
    }
    let verified = stage.json(&["audit", "verify"]);
    assert_eq!(verified["intact"], true, "{verified:#}");
}

/// Spec, submission, review with two findings, approval, promotion.
fn review_and_approve(stage: &Stage) -> String {
    let job = stage.job.to_str().unwrap();
    stage.ok(&["job", "validate", job, "--lane", "prod"]);

    // Two flaws: a document is missing, and a token stands in the code.
    let risks = fs::read(stage.job.join("RISKS.md")).unwrap();
    fs::remove_file(stage.job.join("RISKS.md")).unwrap();
    let code = stage.job.join("collect.py");
    let good = fs::read_to_string(&code).unwrap();
    let token = ["ghp_", "0123456789abcdefghijABCDEFGHIJ012345"].concat();
    fs::write(&code, format!("TOKEN = \"{token}\"\n{good}")).unwrap();
    let said = stage.refused(&["artifact", "submit", job], 65);
    assert!(
        said.contains("RISKS.md") && said.contains("collect.py:1"),
        "{said}"
    );
    assert!(!said.contains(&token), "{said}");
    assert_eq!(stage.json(&["artifact", "list"]), serde_json::json!([]));

    fs::write(stage.job.join("RISKS.md"), risks).unwrap();
    fs::write(&code, good).unwrap();
    stage.ok(&["artifact", "submit", job]);
    let artifact = stage.submit();
    let approve = ["artifact", "approve", &artifact, "--reason", "reads well"];
    let mut agent = stage.moorline.command(approve);
    let agent = Running::start(agent.env("MOORLINE_PRINCIPAL", "agent:planner")).unwrap();
    let agent = agent.wait(PATIENCE).unwrap();
    assert_eq!(agent.code, Some(77), "{agent}");
    assert!(agent.stderr.contains("D-ART-4"), "{agent}");
    let promote = [
        "artifact",
        "promote",
        &artifact,
        "--lane",
        "prod",
        "--reason",
        "first version",
    ];
    stage.refused(&promote, 1);
    stage.ok(&approve);
    stage.ok(&promote);
    assert_eq!(stage.state(), "disabled");
    artifact
}

/// Enabling lists what is missing; each gate is met; then it enables.
fn pass_the_gates(stage: &Stage) {
    let enable = ["schedule", "enable", SCHEDULE, "--reason", "every morning"];
    let said = stage.refused(&enable, 78);
    for gate in [
        "secrets_configured",
        "egress_verified",
        "first_run_verified",
    ] {
        assert!(said.contains(gate), "{gate}: {said}");
    }
    assert!(!said.contains("spec_approved:"), "{said}");

    let set = [
        "secrets",
        "set",
        "first-bank-session",
        "--lane",
        "prod",
        "--key",
    ];
    let set = [
        &set[..],
        &["FIRST_BANK_SESSION", "--ttl", "720", "--source", SOURCE],
    ]
    .concat();
    let done = stage
        .moorline
        .run_with_input(set, b"spring session")
        .unwrap();
    assert_eq!(done.code, Some(0), "{done}");
    stage.ok(&["gates", "check-secrets", SCHEDULE]);
    stage.ok(&["gates", "probe-egress", SCHEDULE]);
    let run = stage.json(&["schedule", "run-now", SCHEDULE]);
    let run = run["run_id"]
        .as_str()
        .unwrap_or_else(|| panic!("{run:#}"))
        .to_owned();
    let summary = stage.json(&["runs", "wait", &run]);
    assert_eq!(summary["status"], "success", "{summary:#}");
    let verify = [
        "gates",
        "verify-run",
        SCHEDULE,
        "--run",
        &run,
        "--note",
        "two payments, as sent",
    ];
    stage.ok(&verify);
    stage.ok(&enable);
    stage.ok(&["gates", "show", SCHEDULE]);
    assert_eq!(stage.state(), "enabled");
}

/// 06:15 in New York is 11:15 UTC until 8 March 2026, and 10:15 from then on.
fn three_good_mornings(stage: &Stage) {
    for instant in [
        "2026-03-07T11:15:00Z",
        "2026-03-08T10:15:00Z",
        "2026-03-09T10:15:00Z",
    ] {
        let before = stage.exports().len();
        let run = stage.morning(instant, "success");
        assert_eq!(run["trigger"], "schedule", "{run:#}");
        wait::until(PATIENCE, "the export", || {
            stage.exports().len() == before + 1
        })
        .unwrap();
    }
    stage.ok(&["runs", "list"]);
    assert_eq!(stage.alerts.requests(), []);
}

/// The bank wants a new session: the source needs a person, and one alert says so. A person signs on again,
/// a probe run shows that it works, and a person enables the schedule.
fn the_session_expires(stage: &Stage) {
    stage.bank.wants("summer session");
    stage.morning("2026-03-10T10:15:00Z", "needs_reauth");
    assert_eq!(stage.source_state(), "needs_reauth");
    assert_eq!(stage.state(), "disabled");
    wait::until(PATIENCE, "the alert", || {
        stage.alerts_with("needs_reauth") == 1
    })
    .unwrap();
    stage.ok(&["sources", "list"]);
    // Days pass, and nothing starts.
    let runs = stage.runs().len();
    stage.clock.set("2026-03-12T15:00:00Z");

    fs::write(
        stage.moorline.root().join("home/new-session"),
        "summer session",
    )
    .unwrap();
    stage.ok(&["sources", "reauth", SOURCE, "--lane", "prod"]);
    assert_eq!(stage.source_state(), "active");
    assert_eq!(stage.runs().len(), runs + 1, "the probe is the only run");
    assert_eq!(stage.state(), "disabled", "only a person enables");
    stage.ok(&["schedule", "list", "--lane", "prod"]);
    stage.ok(&[
        "schedule",
        "enable",
        SCHEDULE,
        "--reason",
        "signed on again",
    ]);
    stage.morning("2026-03-13T10:15:00Z", "success");
    assert_eq!(
        stage.alerts_with("needs_reauth"),
        1,
        "one alert for one trouble"
    );
}

/// A statement with an amount that is none: nothing of it is exported, and it is kept for the repair.
fn the_bank_sends_something_broken(stage: &Stage) {
    let exports = stage.exports();
    stage.bank.gives(statement(&["-12.50", "$120"]));
    let run = stage.morning("2026-03-14T10:15:00Z", "failed");
    let run = run["run_id"].as_str().unwrap().to_owned();
    assert_eq!(stage.exports(), exports);
    assert_eq!(stage.state(), "disabled");
    assert_eq!(stage.source_state(), "needs_repair");
    stage.ok(&["explain", "run", &run]);
    let explained = stage.json(&["explain", "run", &run]);
    assert!(
        explained.to_string().contains("validation"),
        "{explained:#}"
    );
    wait::until(PATIENCE, "the alert", || {
        stage.alerts_with("validation") == 1
    })
    .unwrap();
    stage.bank.gives(statement(&["-12.50", "120"]));
    stage.ok(&[
        "sources",
        "resume",
        SOURCE,
        "--reason",
        "the bank mended it",
    ]);
}

/// A second version is approved and promoted, and rolled back to the very content of the first.
fn a_version_comes_and_goes(stage: &Stage, first: &str) {
    let show = |artifact: &str| stage.json(&["artifact", "show", artifact]);
    let before = show(first)["artifact"]["content"].clone();
    let mut spec = job_spec(&stage.bank);
    spec["version"] = 2.into();
    spec["validation"]["min_transactions"] = 2.into();
    write_spec(&stage.job, &spec);
    let second = stage.submit();
    stage.ok(&["artifact", "approve", &second, "--reason", "stricter"]);
    stage.ok(&[
        "artifact", "promote", &second, "--lane", "prod", "--reason", "stricter",
    ]);
    let back = [
        "artifact",
        "rollback",
        JOB,
        "--lane",
        "prod",
        "--reason",
        "too strict",
    ];
    let back = stage.json(&back);
    stage.ok(&["artifact", "history", JOB, "--lane", "prod"]);
    assert_eq!(back["promotion"]["content"], before, "{back:#}");
    assert_eq!(stage.state(), "disabled");
    stage.ok(&["artifact", "verify", first]);
}

/// Everything is disabled, stopped, revoked and set aside; a person releases it with a reason.
fn an_emergency_and_its_release(stage: &Stage) {
    stage.ok(&["emergency", "run", "--reason", "amounts look wrong"]);
    let job = stage.job.to_str().unwrap();
    stage.refused(&["run", job], 78);
    let kept = stage.json(&["secrets", "list", "--lane", "prod"]);
    let revoked = !kept.to_string().contains("\"present\":true");
    assert!(revoked, "{kept:#}");
    stage.ok(&["release", "all", "--reason", "looked into by Ada"]);
    assert_eq!(stage.state(), "disabled");
}

fn end_worker(mut worker: Running) {
    worker.signal(Signal::TERM).unwrap();
    let done = worker.wait(PATIENCE).unwrap();
    assert_eq!(done.code, Some(0), "{done}");
}
