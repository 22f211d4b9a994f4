//! The dashboard as a person sees it: real Chromium, driven by the scripts of `tests/browser` (playwright-core),
//! against the real server. Without Chromium or its driver these tests fail; they are never skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use moorline_core::spec::{self, JobSpec};
use moorline_testkit::moorline::{Moorline, Running, binary};
use moorline_testkit::moorlined::{Server, ServerOptions};
use moorline_testkit::wait;
use moorline_tests::{Job, repository};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::Api;

/// For one script; a hung one is killed.
const SCRIPT: Duration = Duration::from_mins(5);
/// For anything that must come before.
const PATIENCE: Duration = Duration::from_mins(1);
/// The first question of the workflow that ships with Moorline.
const ASKS: &str = "Is this the idea you want to validate?";
/// Says a line again and again until it is ended, and how far it is.
const CHATTER: &str = "n=0; while :; do n=$((n+1)); echo \"line $n of a log that goes on\"; \
     if [ $((n % 10)) = 0 ]; then \
     echo '::moorline {\"type\":\"progress\",\"phase\":\"crawl\",\"task\":\"pages\",\"pct\":'$((n % 100))'}'; \
     echo '::moorline {\"type\":\"metric\",\"name\":\"pages_per_second\",\"value\":'$((n % 7))'}'; fi; sleep 0.2; done";

/// Leaves a file that a browser must not show.
const LEAVES: &str = "mkdir \"$MOORLINE_OUTPUT_DIR/deep\"; \
     echo '<script>alert(1)</script>' > \"$MOORLINE_OUTPUT_DIR/deep/report.html\"";

/// A server, somebody who is an admin of it, and jobs.
struct House {
    server: Server,
    token: String,
    chatter: Job,
}

impl House {
    fn new() -> Self {
        let options = ServerOptions::of(Moorline::new().unwrap().env("USER", "ada"));
        let config = "[server]\nrate_per_second = 10000\n";
        let server = options.config(config).unwrap().start().unwrap();
        let token = server
            .token("browser", ["--principal", "human:ada"])
            .unwrap();
        Self {
            server,
            token,
            chatter: job("chatter", CHATTER),
        }
    }

    fn moorline(&self) -> &Moorline {
        self.server.moorline()
    }

    /// Runs a command; what it came to is the caller's to look at.
    fn does(&self, arguments: &[&str]) -> Option<Value> {
        let output = self.moorline().run(arguments).ok()?;
        output.json().ok()
    }

    /// A member of the first document of a list.
    fn newest(&self, list: &[&str], member: &str) -> String {
        let list = self.does(list).unwrap();
        first(&list, member).unwrap_or_else(|| panic!("no {member} in {list:#}"))
    }

    /// Starts the job that goes on, and gives its run once it runs.
    fn chatters(&self) -> (Running, String) {
        let running = self
            .moorline()
            .spawn(["run", path(self.chatter.path())])
            .unwrap();
        let run = wait::some(PATIENCE, "a run that runs", || {
            let list = [
                "runs", "list", "--job", "chatter", "--status", "running", "--json",
            ];
            first(&self.does(&list)?, "run_id")
        });
        (running, run.unwrap())
    }

    /// Runs the job that leaves a file to its end, and gives its run. From then on its source is known, which the
    /// scripts pause and resume to make events.
    fn leaves(&self) -> String {
        let quick = job("quick", LEAVES);
        self.does(&["run", path(quick.path()), "--json"]);
        self.newest(&["runs", "list", "--job", "quick", "--json"], "run_id")
    }

    /// Starts the workflow that ships with Moorline, up to its first question.
    fn asks(&self) {
        let job = repository().join("examples/validation-workflow");
        let output = self.moorline().run(["run", path(&job)]).unwrap();
        assert_eq!(output.code, Some(3), "{output}");
    }

    /// A script of `tests/browser`, with what it is told by its environment. It must succeed.
    #[expect(
        clippy::disallowed_methods,
        reason = "test support: a browser is a program of its own"
    )]
    fn script(&self, name: &str, told: &[(&str, &str)]) -> Command {
        let modules = target().join("browser");
        assert!(
            modules.join("node_modules/playwright-core").is_dir(),
            "what drives the browser is not installed; run `cargo xtask setup`"
        );
        let mut command = Command::new("node");
        command
            .arg(repository().join("tests/browser").join(name))
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", self.server.root())
            .env("MODULES", modules)
            .env("CHROMIUM", chromium())
            .env("URL", self.server.url())
            .env("TOKEN", &self.token)
            .envs(told.iter().copied());
        command
    }

    fn plays(&self, name: &str, told: &[(&str, &str)]) {
        ended(Running::start(&mut self.script(name, told)).unwrap());
    }
}

impl Drop for House {
    /// What still runs would go on without its server.
    fn drop(&mut self) {
        self.does(&["stop", "all", "--reason", "the test is over", "--json"]);
    }
}

/// A member of the first document of a list, as the command line prints it.
fn first(list: &Value, member: &str) -> Option<String> {
    let rows = match list {
        Value::Object(members) => members.values().find(|value| value.is_array())?,
        rows => rows,
    };
    rows.get(0)?.get(member)?.as_str().map(str::to_owned)
}

/// A source, as specs name it.
fn reads(source: &str) -> Value {
    let entity = json!({
        "source_id": source, "tier_hint": 1, "preferred_methods": ["csv_export"], "lookback_days": 30,
    });
    json!({"entities": [entity]})
}

fn ended(script: Running) {
    let output = script.wait(SCRIPT).unwrap();
    assert_eq!(output.code, Some(0), "{output}");
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn search_path() -> String {
    moorline_testkit::env::read("PATH").unwrap()
}

/// Where the browser is.
fn chromium() -> PathBuf {
    let path = search_path();
    let found = path
        .split(':')
        .map(|directory| Path::new(directory).join("chromium"));
    found
        .into_iter()
        .find(|file| file.is_file())
        .expect("Chromium is not installed; run `cargo xtask setup`")
}

/// The target directory that this test was built in.
fn target() -> PathBuf {
    let profile = binary("moorline").unwrap();
    profile
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .to_path_buf()
}

fn job(id: &str, script: &str) -> Job {
    Job::new(json!({
        "job_id": id,
        "title": format!("The job {id} of these tests"),
        "portfolio": reads("atlas"),
        "steps": [{"name": "main", "argv": ["/bin/sh", "-c", script]}],
    }))
}

/// Something on every page: runs of every kind, a reviewed job with two versions, a schedule, a secret, requests.
fn furnish(house: &House) -> Value {
    let good = Job::new(json!({
        "job_id": "report",
        "title": "A report in two steps",
        "steps": [
            {"name": "collect", "argv": ["/bin/sh", "-c", "echo collecting; sleep 0.3; echo '::moorline {\"type\":\"metric\",\"name\":\"rows\",\"value\":12}'; echo '::moorline {\"type\":\"metric\",\"name\":\"rows\",\"value\":40}'"]},
            {"name": "write", "argv": ["/bin/sh", "-c", "echo '# Report' > \"$MOORLINE_OUTPUT_DIR/report.md\"; echo written"], "outputs": [{"path": "report.md"}]},
        ],
    }));
    let bad = job("broken", "echo 'could not open the ledger' >&2; exit 65");
    for _ in 0..3 {
        house.does(&["run", path(good.path()), "--json"]);
    }
    house.does(&["run", path(bad.path()), "--json"]);
    reviewed(house);
    house.does(&[
        "tokens",
        "create",
        "pipeline",
        "--principal",
        "ci:deploy",
        "--json",
    ]);
    house.asks();
    let run = |job: &str| {
        let run = house.newest(&["runs", "list", "--job", job, "--json"], "run_id");
        format!("/runs/{run}")
    };
    let request = house.newest(&["approvals", "list", "--json"], "id");
    let artifact = house.newest(&["artifact", "list", "--json"], "id");
    json!({
        "overview": "/",
        "runs": "/runs",
        "runs-none": "/runs?job=nothing-of-this-name",
        "run": run("report"),
        "run-failed": run("broken"),
        "run-waiting": run("validation-workflow"),
        "run-live": run("chatter"),
        "approvals": "/approvals",
        "approval": format!("/approvals/{request}"),
        "schedules": "/schedules",
        "schedule": "/schedules/staging/nightly",
        "jobs": "/jobs",
        "job": "/jobs/report",
        "artifacts": "/artifacts",
        "artifact": format!("/artifacts/{artifact}"),
        "sources": "/sources",
        "source": "/sources/atlas",
        "secrets": "/secrets",
        "alerts": "/alerts",
        "alerts-dead": "/alerts?dead=1",
        "events": "/events",
        "audit": "/audit",
        "access": "/access",
        "stop": "/stop",
        "stops": "/stops",
        "missing": "/runs/01900000-0000-7000-8000-000000000001",
    })
}

/// A job with a schedule, approved and promoted, and a second version of it that waits for review.
fn reviewed(house: &House) {
    let version = |version: u32, words: &str, host: &str| {
        let spec = json!({
            "job_id": "nightly",
            "title": "Figures of the night",
            "version": version,
            "portfolio": reads("atlas"),
            "time_zone": "Europe/Berlin",
            "cadence": {"type": "cron", "expr": "30 2 * * *"},
            "secrets": [{"name": "atlas", "keys": ["ATLAS_TOKEN"]}],
            "steps": [{"name": "read", "argv": ["/bin/sh", "read.sh"], "egress": {"allow": [host]}, "secrets": ["atlas"]}],
        });
        let text = serde_json::to_vec_pretty(&spec).unwrap();
        let loaded: JobSpec = spec::load(&text).unwrap_or_else(|wrong| panic!("{wrong}"));
        let schedule = json!({
            "type": "cron", "expr": "30 2 * * *", "time_zone": "Europe/Berlin", "job_id": "nightly",
            "spec_hash": loaded.canonical_hash().unwrap(),
        });
        Job::new(spec)
            .file("job_spec.json", text)
            .file("SCHEDULE.json", schedule.to_string())
            .file("RUNBOOK.md", format!("# Runbook\n\n{words}\n\nAsk ada.\n"))
            .file("read.sh", "echo read\n")
    };
    let submit = |job: &Job| {
        let done = house.does(&[
            "artifact",
            "submit",
            path(job.path()),
            "--note",
            "what the night brings",
            "--json",
        ]);
        let done = done.unwrap();
        let artifact = done.get("artifact").unwrap_or(&done);
        artifact["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{done:#}"))
            .to_owned()
    };
    let first = submit(&version(1, "Run it at night.", "api.atlas.example:443"));
    house.does(&[
        "artifact",
        "approve",
        &first,
        "--reason",
        "reads well",
        "--json",
    ]);
    house.does(&[
        "artifact",
        "promote",
        &first,
        "--lane",
        "staging",
        "--reason",
        "first version",
        "--json",
    ]);
    submit(&version(
        2,
        "Run it at night, and look at it in the morning.",
        "api2.atlas.example:443",
    ));
}

#[test]
fn every_page_is_accessible_and_quiet_in_light_dark_and_on_a_phone() {
    let house = House::new();
    let (_chatter, _) = house.chatters();
    let paths = furnish(&house);
    let shots = target().join("screenshots");
    fs::create_dir_all(&shots).unwrap();
    house.plays(
        "pages.mjs",
        &[("PATHS", &paths.to_string()), ("SHOTS", path(&shots))],
    );
}

#[test]
fn empty_pages_say_what_to_do_next() {
    let house = House::new();
    let names = [
        "",
        "runs",
        "approvals",
        "schedules",
        "jobs",
        "artifacts",
        "sources",
        "secrets",
        "alerts",
        "stops",
    ];
    let entry = |name: &str| (format!("empty-{name}"), json!(format!("/{name}")));
    let paths: Value = names
        .into_iter()
        .map(entry)
        .collect::<serde_json::Map<_, _>>()
        .into();
    let shots = target().join("screenshots");
    house.plays(
        "pages.mjs",
        &[("PATHS", &paths.to_string()), ("SHOTS", path(&shots))],
    );
}

#[test]
fn a_person_watches_decides_follows_stops_and_releases() {
    let house = House::new();
    let (_chatter, run) = house.chatters();
    house.asks();
    let started = house.server.root().join("started");
    let told = [
        ("RUN", run.as_str()),
        ("ASKS", ASKS),
        ("STARTED", path(&started)),
    ];
    let script = Running::start(&mut house.script("story.mjs", &told)).unwrap();
    // The page is open: what starts now has to show by itself.
    let asked = wait::some(SCRIPT, "the page is open", || {
        started.exists().then_some(())
    });
    let second = asked.map(|()| house.moorline().spawn(["run", path(house.chatter.path())]));
    ended(script);
    drop(second.unwrap());
}

#[test]
fn a_page_that_is_kept_up_to_date_loses_nothing_that_a_person_does_on_it() {
    let house = House::new();
    let (_chatter, run) = house.chatters();
    let over = house.leaves();
    house.asks();
    let told = [
        ("RUN", run.as_str()),
        ("OVER", over.as_str()),
        ("ASKS", ASKS),
    ];
    house.plays("steady.mjs", &told);
}

#[test]
fn everything_can_be_done_by_keyboard_and_the_focus_is_never_lost() {
    let house = House::new();
    let (_chatter, run) = house.chatters();
    house.leaves();
    house.asks();
    house.plays("keyboard.mjs", &[("RUN", &run), ("ASKS", ASKS)]);
}

/// What changes something, by any id: who may do it is asked before whether it is there.
const ACTIONS: [&str; 14] = [
    "/stop",
    "/stops/release",
    "/runs/01900000-0000-7000-8000-000000000001/cancel",
    "/runs/01900000-0000-7000-8000-000000000001/retry",
    "/approvals/01900000-0000-7000-8000-000000000001/decision",
    "/schedules/dev/nightly/enable",
    "/schedules/dev/nightly/disable",
    "/schedules/dev/nightly/resume",
    "/schedules/dev/nightly/run-now",
    "/jobs/nightly/run",
    "/sources/atlas/pause",
    "/sources/atlas/resume",
    "/alerts/01900000-0000-7000-8000-000000000001/replay",
    "/access/tokens/01900000-0000-7000-8000-000000000001/revoke",
];

/// Posts a form as a client without a browser does.
async fn posts(api: &Api, path: &str) -> reqwest::Response {
    let form = "scope=all&reason=a+try&option=approved";
    let request = api.request(Method::POST, path).body(form);
    let kind = "application/x-www-form-urlencoded";
    request.header("content-type", kind).send().await.unwrap()
}

#[tokio::test]
async fn who_may_not_sees_no_control_and_is_refused() {
    let house = House::new();
    let looks = house
        .server
        .token("looks", ["--principal", "human:eve", "--role", "viewer"]);
    let viewer = Api::new(house.server.url(), Some(&looks.unwrap()));
    for page in [
        "/",
        "/runs",
        "/approvals",
        "/schedules",
        "/sources",
        "/stops",
        "/access",
    ] {
        let seen = viewer.request(Method::GET, page).send().await.unwrap();
        assert_eq!(seen.status(), 200, "{page}");
        let policy = seen.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{page}: {policy}");
        let html = seen.text().await.unwrap();
        for control in ["action=\"/stop", "stop-switch", "/revoke\"", "/pause\""] {
            assert!(!html.contains(control), "{page} shows {control}");
        }
    }
    for action in ACTIONS {
        let refused = posts(&viewer, action).await;
        assert_eq!(refused.status(), 403, "{action}");
        let html = refused.text().await.unwrap();
        assert!(html.contains("ERR_FORBIDDEN"), "{action}: {html}");
    }
}

#[tokio::test]
async fn nobody_is_shown_anything_but_the_login() {
    let house = House::new();
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    let client = client.build().unwrap();
    for page in ["/", "/runs", "/runs/latest/log.txt", "/audit", "/stop"] {
        let answer = client.get(format!("{}{page}", house.server.url())).send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 303, "{page}");
        let to = answer.headers()["location"].to_str().unwrap();
        assert!(to.starts_with("/login"), "{page}: {to}");
    }
    for action in ACTIONS {
        let answer = client
            .post(format!("{}{action}", house.server.url()))
            .send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 303, "{action}");
        assert_eq!(answer.headers()["location"], "/login", "{action}");
    }
}

#[test]
fn everything_can_be_done_without_script() {
    let house = House::new();
    let (_chatter, run) = house.chatters();
    house.asks();
    house.plays("plain.mjs", &[("RUN", &run), ("ASKS", ASKS)]);
}
