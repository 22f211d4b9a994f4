//! From a failed run to people: the settings, the outbox, a webhook, a mail.

use std::fs;
use std::time::Duration;

use moorline_testkit::moorline::Moorline;
use moorline_testkit::receivers::closed_port;
use moorline_testkit::receivers::http::Receiver;
use moorline_testkit::receivers::smtp;
use moorline_testkit::wait;
use moorline_tests::run;
use serde_json::{Value, json};

use super::super::support::{json_of, ok, refused};
use super::reads;

const DEADLINE: Duration = Duration::from_secs(30);

fn with_settings(settings: &str) -> Moorline {
    let moorline = Moorline::new()
        .unwrap()
        .env("OPS_SIGNING_KEY", "shared-with-the-receiver");
    fs::write(moorline.work_dir().join("moorline.toml"), settings).unwrap();
    moorline
}

/// L44, L47: a run of three attempts is told once, signed, to each destination; a worker does it.
#[test]
fn a_worker_tells_every_destination_once() {
    let (hook, mails) = (Receiver::start().unwrap(), smtp::Receiver::start().unwrap());
    let moorline = with_settings(&format!(
        "[alerts.ops]\nchannel = \"webhook\"\ntarget = \"{}\"\nsecret = \"OPS_SIGNING_KEY\"\n\
         [alerts.mail]\nchannel = \"email\"\ntarget = \"ops@example.com\"\nsmtp = \"{}\"\n\
         from = \"moorline@example.com\"\n",
        hook.url("/alerts"),
        mails.address()
    ));
    let retries = json!({"failure_policy": {"retries": {"max": 2, "initial_delay_seconds": 0.01}}});
    let job = reads("bank", "exit 75", json!({}), retries);
    let (_, summary) = run(&moorline, job.path(), &[]);
    assert_eq!(hook.requests(), [], "the run itself waits for nobody");
    let worker = moorline.spawn(["work"]).unwrap();
    // Recorded, not only sent: a worker that is killed in between would send again.
    let told = || {
        let shown = json_of(&moorline, &["alerts", "show", "latest"]);
        let deliveries = shown["deliveries"].as_array().cloned().unwrap_or_default();
        deliveries.len() == 2 && deliveries.iter().all(|d| d["state"] == "delivered")
    };
    wait::until(DEADLINE, "both to be told", told).unwrap();
    drop(worker);
    ok(&moorline, &["alerts", "send"]);
    let requests = hook.requests();
    assert_eq!((requests.len(), mails.mails().len()), (1, 1));
    let document: Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(document["run_id"], summary["run_id"]);
    assert_eq!(document["data"]["attempts"], 3);
    assert_eq!(document["data"]["source_id"], "bank");
    assert!(requests[0].header("moorline-signature").starts_with("t="));
}

/// A job names whom to tell as well, by a URL that is itself a secret.
#[test]
fn a_job_tells_its_own_destination() {
    let hook = Receiver::start().unwrap();
    let moorline = Moorline::new()
        .unwrap()
        .env("HOOK_URL", hook.url("/services/secret-part"));
    let rest = json!({
        "secrets": [{"name": "hook", "keys": ["HOOK_URL"]}],
        "alerts": [{"channel": "slack", "target_secret": "hook"}]
    });
    let job = reads("bank", "exit 77", json!({}), rest);
    run(&moorline, job.path(), &["--mode", "real"]);
    ok(&moorline, &["alerts", "send"]);
    let requests = hook.requests();
    assert_eq!(requests.len(), 1);
    let message: Value = serde_json::from_slice(&requests[0].body).unwrap();
    let text = message["text"].as_str().unwrap();
    assert!(
        text.starts_with("warning: reads-bank needs_reauth: auth"),
        "{text}"
    );
    let shown = ok(&moorline, &["alerts", "show", "latest", "--json"]).stdout;
    assert!(
        shown.contains("job:slack:secret hook") && !shown.contains("secret-part"),
        "{shown}"
    );
}

#[test]
fn a_test_says_whether_it_arrived() {
    let hook = Receiver::start().unwrap();
    let closed = closed_port().unwrap();
    let moorline = with_settings(&format!(
        "[alerts.ops]\nchannel = \"webhook\"\ntarget = \"{}\"\nsecret = \"OPS_SIGNING_KEY\"\n\
         [alerts.away]\nchannel = \"webhook\"\ntarget = \"http://{closed}/\"\n",
        hook.url("/")
    ));
    ok(&moorline, &["init"]);
    ok(&moorline, &["alerts", "test", "ops"]);
    assert_eq!(hook.requests().len(), 1);
    let said = refused(&moorline, &["alerts", "test", "away"], 1);
    assert!(said.contains("away was not told"), "{said}");
    let said = refused(&moorline, &["alerts", "test", "nobody"], 1);
    assert!(said.contains("away, ops"), "{said}");
    // What was given up is listed, and can be sent again.
    let dead = json_of(&moorline, &["alerts", "list", "--dead"]);
    assert_eq!(dead.as_array().map(Vec::len), Some(1), "{dead:#}");
    ok(
        &moorline,
        &["alerts", "replay", dead[0]["id"].as_str().unwrap()],
    );
    let again = json_of(&moorline, &["alerts", "show", "latest"]);
    assert_eq!(again["deliveries"][0]["state"], "pending", "{again:#}");
}
