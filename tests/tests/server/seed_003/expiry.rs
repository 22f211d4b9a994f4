//! What time does to a checkpoint, over HTTP (D-FLOW-6, L35): reminders that grow louder, and the end by each
//! policy. Time is a file; two servers look at it at once.

use std::fs;
use std::path::{Path, PathBuf};

use moorline_testkit::moorlined::{Replica, Server, ServerOptions};
use moorline_testkit::postgres::{TestDatabase, create_database};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::live::reader::Sse;
use super::super::parked::insist;
use super::super::support::Api;
use super::kickoff;
use super::machines::{reads, rests};
use super::person::{Choice, Person, Refused, Way, text};

/// When everything starts.
const START: &str = "2026-03-02T12:00:00Z";

/// A step that asks at the checkpoint of the policy that `hints` name, each an hour long with two reminders.
fn write_job(job: &Path) {
    let gate = |policy: &str| {
        json!({
            "name": format!("approve_{policy}"), "title": "May it go on?", "context": ["hints"],
            "options": [{"name": "approved", "to": "work"}, {"name": "rejected", "to": "reject"}],
            "expires_after_seconds": 3600, "reminders": [600, 1200], "on_expiry": policy,
        })
    };
    let route = |policy: &str| {
        json!({
            "when": [{"evidence": "/hints/policy", "is": "equal", "value": policy}],
            "to": format!("approve_{policy}"),
        })
    };
    let spec = json!({
        "job_id": "expires",
        "params": {"project_id": "", "user_id": "", "entrepreneur_input": "", "hints": {}},
        "steps": [
            {"name": "ask", "argv": ["/bin/true"], "egress": "none"},
            {"name": "work", "argv": ["/bin/true"], "egress": "none"},
        ],
        "workflow": {
            "phases": [{"name": "onboarding"}],
            "steps": {
                "ask": {"phase": "onboarding", "uses": ["hints"], "then": {
                    "routes": [route("fail"), route("hold")],
                    "otherwise": "approve_auto_reject", "on_missing": "approve_auto_reject",
                }},
                "work": {"phase": "onboarding", "then": "end"},
            },
            "gates": [gate("fail"), gate("hold"), gate("auto_reject")],
        },
    });
    fs::write(job.join("job_spec.json"), spec.to_string()).unwrap();
}

/// Two servers whose time is a file, and a run that waits at the checkpoint of a policy.
struct Scene {
    clock: PathBuf,
    ada: Person,
    api: Api,
    run: String,
    /// As it stood when the request was opened.
    asked: Value,
    /// What is told of the run from then on.
    told: Sse,
    _second: Replica,
    server: Server,
    _home: TempDir,
    _database: TestDatabase,
}

impl Scene {
    async fn of(policy: &str) -> Self {
        let database = create_database().unwrap();
        let home = tempfile::tempdir().unwrap();
        write_job(home.path());
        let clock = home.path().join("clock");
        fs::write(&clock, START).unwrap();
        let config = format!(
            "[server]\nkickoff_job = \"{}\"\nrate_per_second = 10000\nrate_burst = 10000\n",
            home.path().display()
        );
        let options = ServerOptions::new().unwrap().store(database.url());
        let options = options.env("MOORLINE_TEST_CLOCK", &clock);
        let server = options.config(&config).unwrap().start().unwrap();
        let second = server.replica().unwrap();
        let ada = Person::at(&server).await;
        let api = ada.api(server.url());
        let run = kickoff(&api, policy, &json!({"policy": policy})).await;
        let asked = rests(&api, &run).await;
        let checkpoint = &asked["hitl_pending"]["checkpoint"];
        assert_eq!(*checkpoint, format!("approve_{policy}"), "{asked:#}");
        let kinds = "approval.reminded approval.expired approval.decided run.ended";
        let kinds = kinds.replace(' ', "&kinds=");
        let path = format!("/v1/events/stream?run={run}&after=0&kinds={kinds}");
        let told = Sse::open(&api, &path, None).await.unwrap();
        Self {
            clock,
            ada,
            api,
            run,
            asked,
            told,
            _second: second,
            server,
            _home: home,
            _database: database,
        }
    }

    /// Lets it be so many seconds after the start.
    fn pass(&self, seconds: i64) {
        let start: jiff::Timestamp = START.parse().unwrap();
        let now = start + jiff::SignedDuration::from_secs(seconds);
        let new = self.clock.with_extension("new");
        fs::write(&new, now.to_string()).unwrap();
        fs::rename(&new, &self.clock).unwrap();
    }

    fn request_path(&self) -> String {
        let id = text(&self.asked["hitl_pending"]["request_id"]);
        format!("/v1/approvals/{id}")
    }

    async fn request(&self) -> Value {
        reads(&self.api, &self.request_path()).await
    }

    /// The next thing that is told of the run: its kind, and its data.
    async fn next(&mut self) -> (String, Value) {
        let message = self.told.next_event().await;
        (message.event, message.data["data"].clone())
    }

    /// The reminders come, each louder than the one before.
    async fn reminds(&mut self) {
        for (seconds, number, level) in [(600, 1, "info"), (1200, 2, "warning")] {
            self.pass(seconds);
            let (kind, data) = self.next().await;
            assert_eq!(kind, "approval.reminded");
            assert_eq!(
                (&data["reminder"], &data["level"], &data["checkpoint"]),
                (
                    &json!(number),
                    &json!(level),
                    &self.asked["hitl_pending"]["checkpoint"]
                ),
                "{data:#}"
            );
            let request = self.request().await;
            assert_eq!(
                (
                    &request["status"],
                    &request["reminded"],
                    &request["version"]
                ),
                (&json!("pending"), &json!(number), &json!(1))
            );
        }
    }

    /// The time is over: what is told of it.
    async fn expires(&mut self, policy: &str) {
        self.pass(3600);
        let (kind, data) = self.next().await;
        assert_eq!(kind, "approval.expired");
        assert_eq!(
            data,
            json!({
                "approval_id": self.asked["hitl_pending"]["request_id"],
                "checkpoint": format!("approve_{policy}"),
                "policy": policy,
                "expires_at": "2026-03-02T13:00:00Z",
            })
        );
    }

    /// The run is over by this class, and whoever decides now, in whatever way, is too late (L35).
    async fn is_over(&mut self, class: &str) {
        let (kind, data) = self.next().await;
        assert_eq!(kind, "run.ended", "{data:#}");
        let end = rests(&self.api, &self.run).await;
        assert_eq!(
            (&end["status"], &end["hitl_pending"]),
            (&json!("failed"), &Value::Null),
            "{end:#}"
        );
        let said = end["error_message"].as_str().unwrap();
        assert!(
            said.contains("nobody decided") && said.contains("D-FLOW-6"),
            "{said}"
        );
        let view = reads(&self.api, &format!("/v1/runs/{}", self.run)).await;
        assert_eq!(view["summary"]["failure"]["class"], class, "{view:#}");
        let request = self.request().await;
        assert_eq!(
            (&request["status"], &request["decision"]),
            (&json!("expired"), &Value::Null)
        );

        let late = json!({"option": "approved"});
        let path = format!("{}/decision", self.request_path());
        let (status, problem) = insist(&self.api, &path, "late", &late).await;
        assert_eq!(
            (status, &problem["code"], &problem["rules"]),
            (410, &json!("ERR_EXPIRED"), &json!(["D-FLOW-6"])),
            "{problem:#}"
        );
        let choice = Choice {
            option: "approved",
            given: None,
        };
        for way in [Way::Http, Way::Cli] {
            let at = self.server.url();
            let refused = self.ada.decides(at, way, &self.asked, choice).await;
            let status = (way == Way::Http).then_some(410);
            let code = "ERR_EXPIRED".to_owned();
            assert_eq!(refused, Err(Refused { status, code }), "{way:?}");
        }
        let id = text(&self.asked["hitl_pending"]["request_id"]);
        let page = self
            .ada
            .sees(self.server.url(), &format!("/approvals/{id}"))
            .await;
        assert!(
            page.contains("expired") && !page.contains("/decision\""),
            "{page}"
        );
        self.each_once(&[
            "approval.reminded",
            "approval.reminded",
            "approval.expired",
            "run.ended",
        ])
        .await;
    }

    /// Of two servers that look at once, each thing is done by one.
    async fn each_once(&self, kinds: &[&str]) {
        let path = format!("/v1/events?run={}&after=0&limit=1000", self.run);
        let events = reads(&self.api, &path).await;
        let seen: Vec<&str> = events
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|event| event["kind"].as_str())
            .filter(|kind| kind.starts_with("approval.") || *kind == "run.ended")
            .filter(|kind| *kind != "approval.requested")
            .collect();
        assert_eq!(seen, kinds);
    }
}

/// The run fails (`expired`), and that is told once (L44).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_nobody_decides_fails_the_run() {
    let mut scene = Scene::of("fail").await;
    scene.reminds().await;
    scene.expires("fail").await;
    scene.is_over("expired").await;
    let told = |alerts: &Value| {
        let alerts = alerts.as_array().unwrap().iter();
        alerts
            .filter(|alert| alert["data"]["class"] == "expired")
            .count()
    };
    let alerts = scene
        .api
        .until("/v1/alerts", "the notice of the failure", |seen| {
            told(seen) > 0
        });
    assert_eq!(told(&alerts.await), 1);
}

/// The run is rejected, as if somebody had done so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_nobody_decides_can_reject_the_run() {
    let mut scene = Scene::of("auto_reject").await;
    scene.reminds().await;
    scene.expires("auto_reject").await;
    scene.is_over("rejected").await;
}

/// The run goes on waiting, people are told loudly, and it can be decided late by whoever saw that it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_can_be_held_beyond_its_time() {
    let mut scene = Scene::of("hold").await;
    scene.reminds().await;
    scene.expires("hold").await;
    let status = rests(&scene.api, &scene.run).await;
    assert_eq!(status["status"], "awaiting_approval", "{status:#}");
    assert_eq!(status["hitl_pending"]["version"], 2, "{status:#}");
    let request = scene.request().await;
    assert_eq!(
        (&request["status"], &request["overdue"]),
        (&json!("pending"), &json!(true))
    );
    let pending = reads(&scene.api, "/v1/approvals?status=pending").await;
    assert_eq!(pending, json!([request]));
    let path = format!("/approvals/{}", text(&request["id"]));
    let page = scene.ada.sees(scene.server.url(), &path).await;
    assert!(page.contains("Overdue since"), "{page}");

    let choice = Choice {
        option: "approved",
        given: None,
    };
    let at = scene.server.url().to_owned();
    let stale = scene
        .ada
        .decides(&at, Way::Http, &scene.asked, choice)
        .await;
    let code = "ERR_CONFLICT".to_owned();
    assert_eq!(
        stale,
        Err(Refused {
            status: Some(409),
            code
        }),
        "it was seen before it was overdue"
    );
    scene.pass(7200);
    let decided = scene.ada.decides(&at, Way::Page, &status, choice).await;
    assert_eq!(decided, Ok("resumed".to_owned()));
    for kind in ["approval.decided", "run.ended"] {
        assert_eq!(scene.next().await.0, kind);
    }
    assert_eq!(rests(&scene.api, &scene.run).await["status"], "success");
    scene
        .each_once(&[
            "approval.reminded",
            "approval.reminded",
            "approval.expired",
            "approval.decided",
            "run.ended",
        ])
        .await;
}
