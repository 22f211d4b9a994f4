//! Who may not, and what is not theirs: every operation through the command line and over HTTP.
//!
//! All tests are about the [`Estate`] of the project `acme`: one of everything that a project can have. Whoever
//! has no right to it, or belongs to another project of the same server, is told no more than that.

mod commands;
mod environment;
mod remote;
mod tenants;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use moorline_testkit::moorline::Output;
use moorline_testkit::moorlined::{Server, ServerOptions};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::Api;

/// Texts of `acme` that are in no request: who reads one of them has read what is another's.
const TELLTALES: [&str; 4] = [
    "the log of acme",
    "Tides of acme",
    "a reason of acme",
    "human:zoe",
];

/// A job that asks a person.
const GATED: &str = "acme-gate";

/// One of everything that a project can have, in the project `acme` of a server with two.
struct Estate {
    server: Server,
    home: tempfile::TempDir,
    /// An admin of `acme`.
    theirs: Api,
    /// What there is, by the name that commands and paths have for it.
    things: BTreeMap<&'static str, String>,
}

impl Estate {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let gated = home.path().join("gated");
        write_gated(&gated);
        let config = format!(
            "[server]\nprojects = [\"acme\"]\nkickoff_job = \"{}\"\nrate_per_second = 10000\n\
             [principals]\n\"agent:codex\" = \"admin\"\n",
            gated.display()
        );
        let options = ServerOptions::new().unwrap().config(&config).unwrap();
        let server = options.start().unwrap();
        let made = acme(
            &server,
            &["tokens", "create", "eve", "--principal", "human:eve"],
        );
        let theirs = Api::new(server.url(), made["token"].as_str());
        let mut estate = Self {
            server,
            home,
            theirs,
            things: BTreeMap::new(),
        };
        estate.keep("token", &made["record"]["id"]);
        estate.furnish().await;
        estate
    }

    fn keep(&mut self, name: &'static str, id: &Value) {
        let id = id.as_str().unwrap_or_else(|| panic!("{name}: {id:#}"));
        self.things.insert(name, id.to_owned());
    }

    /// Makes one of everything.
    async fn furnish(&mut self) {
        let job = self.job();
        write_scheduled(&job);
        let dir = job.to_str().unwrap().to_owned();
        let schedule = acme(&self.server, &["job", "schedule", &dir]);
        fs::write(job.join("SCHEDULE.json"), schedule.to_string()).unwrap();
        for (name, value) in [
            ("job", dir.as_str()),
            ("job_id", "acme-tide"),
            ("schedule", "prod/acme-tide"),
            ("source_id", "acme_bank"),
            ("secret", "acme-session"),
            ("principal", "human:zoe"),
        ] {
            self.things.insert(name, value.to_owned());
        }
        // It fails without its session: that pauses the source, and tells of it.
        let failed = self.run(&["run", &dir, "--json"]);
        assert_eq!(failed.code, Some(75), "{failed}");
        let alerts = acme(&self.server, &["alerts", "list"]);
        self.keep("alert", &alerts[0]["id"]);
        let submitted = acme(&self.server, &["artifact", "submit", &dir]);
        self.keep("artifact", &submitted["artifact"]["id"]);
        self.keep("content", &submitted["artifact"]["content"]);
        let reason = ["--reason", TELLTALES[2]];
        for words in [
            &["artifact", "approve", "latest"][..],
            &["artifact", "promote", "latest", "--lane", "prod"],
            &["principal", "set", "human:zoe", "--role", "viewer"],
        ] {
            acme(&self.server, &[words, &reason].concat());
        }
        for lane in ["dev", "prod"] {
            let words = ["secrets", "set", "acme-session", "--key", "ACME_SESSION"];
            let words = [&["--project", "acme"], &words[..], &["--lane", lane]].concat();
            let set = self.server.moorline().run_with_input(words, b"good");
            assert_eq!(set.unwrap().code, Some(0));
        }
        let refused = self.run(&["schedule", "enable", "prod/acme-tide", "--json"]);
        assert_eq!(refused.code, Some(78), "{refused}");
        let hint = refused.json().unwrap()["error"]["hint"].clone();
        let refusal = hint.as_str().unwrap().split("explain refusal ").nth(1);
        let refusal = refusal.unwrap().split('`').next().unwrap();
        self.keep("refusal", &json!(refusal));
        let called = acme(
            &self.server,
            &[
                "emergency",
                "run",
                "--lane",
                "staging",
                "--reason",
                "a drill",
            ],
        );
        self.keep("emergency", &called["id"]);
        let run = self.kick_off(&self.theirs, "a key").await;
        let asked = self
            .theirs
            .until(&format!("/status/{run}"), "a request", |seen| {
                seen["hitl_pending"].is_object()
            })
            .await;
        self.things.insert("run", run.clone());
        self.things.insert("run_id", run);
        self.keep("approval", &asked["hitl_pending"]["request_id"]);
        let upload = self
            .theirs
            .request(Method::POST, "/v1/uploads?name=may.ofx");
        let upload = upload.header("content-type", "application/octet-stream");
        let answer = upload.body("a file of acme").send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        self.keep("upload", &answer["upload"]);
    }

    /// The directory of the job that has a schedule, a source and a secret.
    fn job(&self) -> PathBuf {
        self.home.path().join("tide")
    }

    /// Starts the job that asks a person, under an idempotency key: the run.
    async fn kick_off(&self, api: &Api, key: &str) -> String {
        let body = json!({
            "project_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a01",
            "user_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a02",
            "entrepreneur_input": "the same idea in both projects",
        });
        let (status, run) = api.post_once("/kickoff", key, &body).await.unwrap();
        assert_eq!(status, 202, "{run:#}");
        run["run_id"].as_str().unwrap().to_owned()
    }

    /// A command of `acme`, on the machine of the server.
    fn run(&self, words: &[&str]) -> Output {
        let all = [&["--project", "acme"], words].concat();
        self.server.moorline().run(all).unwrap()
    }

    /// The text of a token of `acme`.
    fn token_of_acme(&self, name: &str, arguments: &[&str]) -> String {
        let all = [&["tokens", "create", name], arguments].concat();
        let made = acme(&self.server, &all);
        made["token"].as_str().unwrap().to_owned()
    }

    /// What happened in `acme` so far, as the newest event and the number of audit records.
    async fn history(&self) -> (Value, Value) {
        let (_, newest) = self.theirs.get("/v1/events?newest=true&limit=1").await;
        let (_, report) = self.theirs.post("/v1/audit/verify", &json!({})).await;
        assert_eq!(report["intact"], true, "{report:#}");
        (newest[0]["id"].clone(), report["records"].clone())
    }

    /// What a text tells that is of `acme`, beyond what was asked with.
    fn told<'e>(&'e self, text: &str, asked: &str) -> Vec<&'e str> {
        let ids = [
            "run",
            "approval",
            "artifact",
            "content",
            "token",
            "alert",
            "refusal",
            "emergency",
        ];
        let ids = ids.iter().filter_map(|name| self.things.get(name));
        let words = ids.map(String::as_str).chain(TELLTALES);
        words
            .filter(|word| text.contains(word) && !asked.contains(word))
            .collect()
    }
}

/// A command of `acme` on the machine of the server, which must succeed: its one document.
fn acme(server: &Server, words: &[&str]) -> Value {
    let all = [&["--project", "acme"], words, &["--json"]].concat();
    let done = server.moorline().run(all).unwrap();
    assert_eq!(done.code, Some(0), "{words:?}: {done}");
    done.json().unwrap()
}

fn write_gated(dir: &Path) {
    let spec = json!({
        "job_id": GATED,
        "params": {"project_id": "", "user_id": "", "entrepreneur_input": ""},
        "steps": [{"name": "ask", "argv": ["/bin/true"], "egress": "none"}],
        "workflow": {
            "steps": {"ask": {"then": "may_it"}},
            "gates": [{"name": "may_it", "title": "May it?", "options": [
                {"name": "approved", "to": "end"},
                {"name": "rejected", "to": "reject"},
            ]}],
        },
    });
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("job_spec.json"), spec.to_string()).unwrap();
}

/// A job with a schedule, a source and a session, that fails while the session is not good.
fn write_scheduled(dir: &Path) {
    let script = "echo the log of acme; case \"$ACME_SESSION\" in good*) exit 0 ;; esac; exit 2";
    let spec = json!({
        "job_id": "acme-tide",
        "job_type": "task",
        "version": 1,
        "title": "Tides of acme",
        "time_zone": "UTC",
        "cadence": {"type": "cron", "expr": "15 6 * * *"},
        "portfolio": {"entities": [{
            "source_id": "acme_bank",
            "tier_hint": 2,
            "lookback_days": 30,
            "preferred_methods": ["csv_export"],
            "session_artifacts": [{"secret": "acme-session", "ttl_hours": 720, "warn_hours": 48}],
            "reauth": {"instructions": "Sign on and export the session."},
        }]},
        "secrets": [{"name": "acme-session", "keys": ["ACME_SESSION"]}],
        "steps": [{
            "name": "main",
            "argv": ["/bin/sh", "-c", script],
            "egress": "none",
            "secrets": ["acme-session"],
        }],
    });
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("job_spec.json"), spec.to_string()).unwrap();
    fs::write(dir.join("RUNBOOK.md"), "# Runbook\n\nNothing to do.\n").unwrap();
}
