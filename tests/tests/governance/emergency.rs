//! Emergencies and stops of schedules.

use std::fs::File;
use std::io::Read as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use moorline_testkit::moorline::{Moorline, Output, Running};
use moorline_testkit::{canary, process, wait};
use moorline_tests::Job;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use serde_json::{Value, json};

use crate::support::{Bank, JOB, job_spec, json_of, ok, refused, statement, write_job};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The steps, in their order (D-STOP-3).
const STEPS: [&str; 4] = ["disable", "stop", "revoke", "archive"];

/// Does not heed the polite signals, and has a child that has left the session.
const STUBBORN: &str =
    "trap '' TERM INT HUP; ( ( setsid sleep 300 & ) & ); while :; do sleep 300; done";

/// Processes of [`STUBBORN`].
const TREE: usize = 3;

/// A home with something that runs.
struct Scene {
    moorline: Moorline,
    marker: String,
}

impl Scene {
    fn new() -> Self {
        Self {
            moorline: Moorline::new().unwrap(),
            marker: format!("emergency-{}", canary::random_hex(8)),
        }
    }

    /// A job whose processes can be found.
    fn job(&self, id: &str, script: &str) -> Job {
        Job::new(json!({"job_id": id, "steps": [{
            "name": "main",
            "argv": ["/bin/sh", "-c", script],
            "env": {"EMERGENCY_MARKER": self.marker},
            "egress": "none",
        }]}))
    }

    /// Starts it, and comes back once its tree stands.
    fn start(&self, job: &Job) -> Running {
        let before = self.alive();
        let path = job.path().to_str().unwrap();
        let arguments = ["run", path, "--isolation", "off", "--json"];
        let running = self.moorline.spawn(arguments).unwrap();
        let stands = || self.alive() >= before + TREE;
        wait::until(PATIENCE, "the tree", stands).unwrap();
        running
    }

    fn alive(&self) -> usize {
        process::matching(&self.marker).unwrap().len()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        json_of(&self.moorline, arguments)
    }

    fn stops(&self) -> Vec<String> {
        let stops = self.json(&["stop", "--list"]);
        let scopes = stops.as_array().unwrap().iter();
        scopes
            .map(|stop| stop["scope"].as_str().unwrap().to_owned())
            .collect()
    }

    /// How often each step of the newest emergency was recorded.
    fn tries(&self) -> Vec<u64> {
        let latest = self.json(&["emergency", "list"])[0].clone();
        let steps = latest["steps"].as_array().cloned().unwrap_or_default();
        steps
            .iter()
            .map(|step| step["tries"].as_u64().unwrap())
            .collect()
    }
}

/// A lane where everything is at work: a promoted job whose schedule is enabled, with its secret and with
/// published outputs.
struct House {
    scene: Scene,
    // It serves until the end.
    _bank: Bank,
    artifact: String,
    published: String,
}

/// The schedule of [`House`].
const SCHEDULE: &str = "prod/bank-daily";

impl House {
    fn new() -> Self {
        let scene = Scene::new();
        let bank = Bank::open("a session", statement(&["-12.50", "3.20"]));
        let job = scene.moorline.root().join("job");
        write_job(&job, &job_spec(&bank));
        let submitted = scene.json(&["artifact", "submit", job.to_str().unwrap()]);
        let artifact = submitted["artifact"]["id"].as_str().unwrap().to_owned();
        let decide = |verb: &str, more: &[&str]| {
            let all = [
                &["artifact", verb, &artifact, "--reason", "reads well"],
                more,
            ]
            .concat();
            ok(&scene.moorline, &all);
        };
        decide("approve", &[]);
        decide("promote", &["--lane", "prod"]);
        let set = [
            "secrets",
            "set",
            "first-bank-session",
            "--lane",
            "prod",
            "--key",
            "FIRST_BANK_SESSION",
        ];
        let set = scene.moorline.run_with_input(set, b"a session").unwrap();
        assert_eq!(set.code, Some(0), "{set}");
        ok(&scene.moorline, &["gates", "check-secrets", SCHEDULE]);
        ok(&scene.moorline, &["gates", "probe-egress", SCHEDULE]);
        let run = scene.json(&["schedule", "run-now", SCHEDULE]);
        let published = run["run_id"].as_str().unwrap().to_owned();
        let done = scene.json(&["runs", "wait", &published]);
        assert_eq!(done["status"], "success", "{done:#}");
        let verify = [
            "gates",
            "verify-run",
            SCHEDULE,
            "--run",
            &published,
            "--note",
            "as sent",
        ];
        ok(&scene.moorline, &verify);
        let house = Self {
            scene,
            _bank: bank,
            artifact,
            published,
        };
        house.enable();
        house
    }

    fn enable(&self) {
        let enable = ["schedule", "enable", SCHEDULE, "--reason", "every morning"];
        ok(&self.scene.moorline, &enable);
        assert_eq!(self.state(), "enabled");
    }

    fn state(&self) -> String {
        let schedule = self.scene.json(&["schedule", "show", SCHEDULE]);
        schedule["schedule"]["state"].as_str().unwrap().to_owned()
    }

    /// Nothing of it is at work any more, and nothing is lost.
    fn assert_shut(&self, emergency: &Value, run: &str) {
        assert_eq!(self.state(), "disabled");
        let id = emergency["id"].as_str().unwrap();
        let (artifact, published) = (&self.artifact, &self.published);
        let done: Vec<_> = emergency["steps"].as_array().unwrap().iter().collect();
        let done: Vec<_> = done.iter().map(|step| &step["report"]["done"]).collect();
        let removed = done[2][0].as_str().unwrap();
        assert!(removed.starts_with("secret/prod/"), "{removed}");
        let expected = [
            json!([format!("schedule/{SCHEDULE}")]),
            json!([format!("run/{run}")]),
            json!([removed]),
            json!([
                format!("artifact/{artifact}"),
                format!("export/{JOB}/{published}")
            ]),
        ];
        assert_eq!(done, expected.iter().collect::<Vec<_>>(), "{emergency:#}");
        let shown = self.scene.json(&["artifact", "show", artifact]);
        assert_eq!(shown["artifact"]["state"], "archived", "{shown:#}");
        let state = self.scene.moorline.state_dir();
        let exported = |place: &str| {
            let run = state.join(place).join(JOB).join(published);
            run.join("transactions.jsonl").is_file()
        };
        assert!(exported(&format!("set-aside/{id}/exports")), "kept");
        assert!(!exported("exports"), "out of the way");
        let secrets = self.scene.json(&["secrets", "list", "--lane", "prod"]);
        assert_eq!(secrets, json!([]));
    }
}

/// `moorline` with a standard output that takes one line and no more until that line is read. A command that
/// prints a line after each of its steps so stands still after the step that a test wants.
struct StepByStep {
    child: Child,
    lines: File,
}

impl StepByStep {
    fn start(moorline: &Moorline, arguments: &[&str]) -> Self {
        // Each write is a packet of its own (pipe(2), O_DIRECT), and there is room for a single one.
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::DIRECT).unwrap();
        fcntl_setpipe_size(&read, 1).unwrap();
        rustix::io::write(&write, b"taken").unwrap();
        let child = moorline
            .command(arguments)
            .stdout(Stdio::from(write))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            lines: File::from(read),
        }
    }

    /// Lets it print `count` lines; it comes as far as the line after them.
    fn let_print(&mut self, count: usize) {
        for _ in 0..count {
            let mut packet = [0; 4096];
            assert_ne!(self.lines.read(&mut packet).unwrap(), 0, "it has ended");
        }
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// L49: a SIGKILL between the steps `taken` and `taken + 1`; the emergency is complete once it is resumed.
fn interrupted_after(taken: usize, resume: &[&str]) {
    let house = House::new();
    let scene = &house.scene;
    let runner = scene.start(&scene.job("stubborn", STUBBORN));
    let run = scene.json(&["runs", "show", "latest"])["run_id"].clone();
    let call = ["emergency", "run", "--reason", "a token leaked"];
    let mut first = StepByStep::start(&scene.moorline, &call);
    first.let_print(taken - 1);
    let recorded = || scene.tries().iter().filter(|tries| **tries > 0).count() >= taken;
    wait::until(PATIENCE, "the step", recorded).unwrap();
    first.kill();
    let expected: Vec<u64> = (0..STEPS.len())
        .map(|step| u64::from(step < taken))
        .collect();
    assert_eq!(scene.tries(), expected, "recorded steps at the SIGKILL");
    let id = scene.json(&["emergency", "show"])["id"].clone();

    let complete = scene.json(resume);
    assert_eq!(
        (&complete["id"], &complete["state"]),
        (&id, &json!("complete"))
    );
    assert_eq!(complete, scene.json(&["emergency", "show"]));
    let names: Vec<_> = complete["steps"].as_array().unwrap().iter().collect();
    assert_eq!(
        names.iter().map(|step| &step["step"]).collect::<Vec<_>>(),
        STEPS
    );
    assert!(
        names.iter().all(|step| step["report"]["left"] == json!({})),
        "{complete:#}"
    );
    assert_eq!(runner.wait(PATIENCE).unwrap().code, Some(137));
    assert_eq!(scene.alive(), 0);
    assert_eq!(scene.stops(), ["all"]);
    house.assert_shut(&complete, run.as_str().unwrap());
    assert_eq!(scene.json(&["audit", "verify"])["intact"], json!(true));
    // Each result was recorded once: what was done before the SIGKILL was not done again.
    let steps = ["events", "list", "--after", "0", "--kind", "emergency.step"];
    let told = scene.json(&steps);
    let told = told
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["data"]["step"]);
    let behind_the_gate: Vec<_> = told.filter(|step| **step != "disable").collect();
    assert_eq!(behind_the_gate, STEPS[1..].iter().collect::<Vec<_>>());
}

/// L49.
#[test]
fn an_emergency_that_was_killed_after_the_gate_is_complete_when_resumed() {
    interrupted_after(1, &["emergency", "run", "--resume"]);
}

/// L49.
#[test]
fn an_emergency_that_was_killed_after_the_stop_is_complete_when_resumed() {
    interrupted_after(2, &["emergency", "run", "--resume", "latest"]);
}

/// L49: a plain second call carries the first one on.
#[test]
fn an_emergency_that_was_killed_after_the_revocation_is_carried_on_by_the_next_call() {
    interrupted_after(3, &["emergency", "run", "--reason", "again"]);
}

/// L49: nothing was left to do.
#[test]
fn an_emergency_that_was_killed_after_its_last_step_is_complete() {
    interrupted_after(4, &["emergency", "run", "--resume", "latest"]);
}

/// D-STOP-3: everything stays stopped until a person releases it, with a reason.
#[test]
fn after_an_emergency_nothing_starts_until_a_person_releases_it() {
    let scene = Scene::new();
    let runner = scene.start(&scene.job("stubborn", STUBBORN));
    let told = ok(
        &scene.moorline,
        &["emergency", "run", "--reason", "wrong amounts"],
    );
    let lines: Vec<_> = told
        .stdout
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(lines[..4], STEPS, "{told}");
    assert_eq!(runner.wait(PATIENCE).unwrap().code, Some(137));
    let quick = scene.job("quick", "exit 0");
    let run = || -> Output {
        let path = quick.path().to_str().unwrap();
        scene
            .moorline
            .run(["run", path, "--isolation", "off"])
            .unwrap()
    };
    assert_eq!(run().code, Some(78));
    refused(&scene.moorline, &["release", "all", "--reason", " "], 2);
    ok(&scene.moorline, &["release", "all", "--reason", "fixed"]);
    assert_eq!(run().code, Some(0));
    // Another one is an emergency of its own.
    ok(
        &scene.moorline,
        &["emergency", "run", "--reason", "once more"],
    );
    let all = scene.json(&["emergency", "list"]);
    let reasons: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["reason"])
        .collect();
    assert_eq!(reasons, ["once more", "wrong amounts"]);
}

/// D-STOP-3: an emergency of one lane leaves the others alone.
#[test]
fn an_emergency_of_a_lane_leaves_the_other_lanes_alone() {
    let scene = Scene::new();
    let mut runner = scene.start(&scene.job("stubborn", STUBBORN));
    let of_prod = [
        "emergency",
        "run",
        "--lane",
        "prod",
        "--reason",
        "wrong amounts",
    ];
    let complete = scene.json(&of_prod);
    assert_eq!(
        (&complete["lane"], &complete["state"]),
        (&json!("prod"), &json!("complete"))
    );
    assert_eq!(scene.stops(), ["lane:prod"]);
    assert_eq!(scene.alive(), TREE, "the lane dev goes on");
    let unknown = ["emergency", "run", "--lane", "nowhere", "--reason", "x"];
    refused(&scene.moorline, &unknown, 78);
    let of_dev = [
        "emergency",
        "run",
        "--lane",
        "dev",
        "--reason",
        "wrong amounts",
    ];
    assert_eq!(scene.json(&of_dev)["state"], json!("complete"));
    assert_eq!(scene.alive(), 0);
    runner
        .signal(moorline_testkit::moorline::Signal::KILL)
        .unwrap();
}

/// D-STOP-3: an agent and a pipeline stop everything, and call no emergency.
#[test]
fn an_agent_may_stop_everything_and_call_no_emergency() {
    for principal in ["agent:codex", "ci:nightly"] {
        let scene = Scene::new();
        ok(&scene.moorline, &["init"]);
        let as_principal = |arguments: &[&str]| {
            let mut command = scene.moorline.command(arguments);
            Running::start(command.env("MOORLINE_PRINCIPAL", principal))
                .unwrap()
                .wait(PATIENCE)
                .unwrap()
        };
        let refused = as_principal(&["emergency", "run", "--reason", "x"]);
        assert_eq!(refused.code, Some(77), "{refused}");
        assert!(refused.stderr.contains("D-STOP-3"), "{refused}");
        assert_eq!(scene.stops(), Vec::<String>::new());
        assert_eq!(scene.json(&["emergency", "list"]), json!([]));
        let stopped = as_principal(&["stop", "all", "--reason", "x"]);
        assert_eq!(stopped.code, Some(0), "{stopped}");
        let released = as_principal(&["release", "all", "--reason", "x"]);
        assert_eq!(released.code, Some(77), "{released}");
        assert_eq!(scene.stops(), ["all"]);
    }
}

/// An emergency has a reason, and resumes only what there is.
#[test]
fn an_emergency_without_a_reason_or_with_nothing_to_resume_is_refused() {
    let scene = Scene::new();
    ok(&scene.moorline, &["init"]);
    refused(&scene.moorline, &["emergency", "run"], 2);
    let blank = refused(&scene.moorline, &["emergency", "run", "--reason", " "], 2);
    assert!(blank.contains("D-STOP-3"), "{blank}");
    for resume in [&["--resume"][..], &["--resume", "0198"]] {
        let arguments = [&["emergency", "run"], resume].concat();
        refused(&scene.moorline, &arguments, 1);
    }
    assert_eq!(scene.stops(), Vec::<String>::new());
}

/// D-STOP-1, D-SCHED-4: a stop of a schedule, by whatever scope covers it, disables it at once; while it is in
/// force nothing enables or starts it, and its release enables nothing.
#[test]
fn a_stop_disables_the_schedules_it_covers_and_its_release_enables_none() {
    let house = House::new();
    let moorline = &house.scene.moorline;
    for scope in [
        "schedule:prod/bank-daily",
        "job:bank-daily",
        "source:first_bank",
        "lane:prod",
        "all",
    ] {
        assert_eq!(
            house.scene.json(&["stop", "schedule:prod/other"])["schedules"],
            json!([])
        );
        let report = house
            .scene
            .json(&["stop", scope, "--reason", "wrong amounts"]);
        assert_eq!(report["schedules"], json!([SCHEDULE]), "{scope}");
        assert_eq!(house.state(), "disabled");
        let again = house
            .scene
            .json(&["stop", scope, "--reason", "wrong amounts"]);
        assert_eq!(again["schedules"], json!([]), "L19: {scope}");
        let enable = ["schedule", "enable", SCHEDULE, "--reason", "every morning"];
        let said = refused(moorline, &enable, 78);
        assert!(
            said.contains("ERR_STOP_IN_FORCE") && said.contains(scope),
            "{said}"
        );
        if !scope.starts_with("schedule:") {
            refused(moorline, &["schedule", "run-now", SCHEDULE], 78);
        }
        ok(moorline, &["release", scope, "--reason", "fixed"]);
        assert_eq!(house.state(), "disabled");
        house.enable();
    }
    assert_eq!(house.scene.stops(), ["schedule:prod/other"]);
}
