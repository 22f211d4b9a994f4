//! A thousand runs that wait for a person, a server that keeps dying, and people who click three times.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use moorline_testkit::moorlined::ServerOptions;
use moorline_testkit::wait;
use serde_json::{Value, json};

use super::support::{Api, PATIENCE};

/// Runs that wait.
const PARKED: usize = 1000;

/// How often the server is killed while they are decided.
const KILLS: usize = 20;

/// Requests at once.
const AT_ONCE: usize = 12;

/// A job that does nothing, asks, and does nothing once more when it may.
fn write_job(job: &Path) {
    fs::create_dir_all(job).unwrap();
    let spec = json!({
        "job_id": "parked",
        "params": {"project_id": "", "user_id": "", "entrepreneur_input": ""},
        "steps": [
            {"name": "ask", "argv": ["/bin/true"], "egress": "none"},
            {"name": "work", "argv": ["/bin/true"], "egress": "none"},
        ],
        "workflow": {
            "steps": {"ask": {"then": "may_it"}, "work": {"then": "end"}},
            "gates": [{"name": "may_it", "title": "May it?", "options": [
                {"name": "approved", "to": "end"},
                {"name": "work", "to": "work"},
                {"name": "rejected", "to": "reject"},
            ]}],
        },
    });
    fs::write(job.join("job_spec.json"), spec.to_string()).unwrap();
}

/// What the run of this number is decided to: one in twenty has a process to run afterwards.
const fn option(number: usize) -> &'static str {
    match number % 20 {
        0 => "work",
        1..=12 => "approved",
        _ => "rejected",
    }
}

/// The status that follows from an option.
fn status(option: &str) -> &'static str {
    if option == "rejected" {
        "failed"
    } else {
        "success"
    }
}

/// Posts until an answer comes: the server is dead now and then.
pub(crate) async fn insist(api: &Api, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = api.post_once(path, key, body).await;
        match answer {
            Ok((status, answer)) if status != 503 => return (status, answer),
            other => assert!(
                tokio::time::Instant::now() < deadline,
                "{path} {key}: {other:?}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(20)).await; // L77: between two tries
    }
}

async fn all(api: &Api, path: &str) -> Vec<Value> {
    let (status, found) = api.get(path).await;
    assert_eq!(status, 200, "{path}: {found:#}");
    found.as_array().unwrap().clone()
}

/// L31, L33, L34: of a thousand parked decisions, each sent three times while the server is killed twenty
/// times, every one is applied once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_decisions_are_applied_once_each_while_the_server_dies() {
    let options = ServerOptions::new().unwrap();
    let job = tempfile::tempdir().unwrap();
    write_job(job.path());
    let config = format!(
        "[server]\nkickoff_job = \"{}\"\nrate_per_second = 10000\n",
        job.path().display()
    );
    let mut server = options.config(&config).unwrap().start().unwrap();
    let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
    let api = Api::new(server.url(), Some(&token));
    let kickoff = json!({
        "project_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a01",
        "user_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a02",
        "entrepreneur_input": "A run that waits for a person",
    });
    let runs: Vec<String> = stream::iter(0..PARKED)
        .map(|number| {
            let (api, kickoff) = (&api, &kickoff);
            async move {
                let key = format!("start-{number}");
                let (status, run) = insist(api, "/kickoff", &key, kickoff).await;
                assert_eq!(status, 202, "{run:#}");
                run["run_id"].as_str().unwrap().to_owned()
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;

    for (run, path) in runs.iter().map(|run| (run, format!("/status/{run}"))) {
        api.until(&path, run, |seen| seen["hitl_pending"].is_object())
            .await;
    }

    // Killed after every so many decisions, until it was killed often enough.
    let decided = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&decided);
    let killer = std::thread::spawn(move || {
        for kill in 1..=KILLS {
            let so_many = kill * 3 * PARKED / (KILLS + 1);
            wait::until(PATIENCE * 3, "more decisions", || {
                seen.load(Ordering::Relaxed) >= so_many
            })
            .unwrap();
            server.restart().unwrap();
        }
        server
    });
    let answers: BTreeMap<usize, Value> = stream::iter(0..PARKED)
        .map(|number| {
            let (api, run, decided) = (&api, &runs[number], &decided);
            async move {
                let key = format!("decide-{number}");
                let body = json!({
                    "run_id": run, "checkpoint": "may_it", "decision": option(number),
                    "idempotency_key": key,
                });
                let thrice = futures::future::join_all((0..3).map(|_| async {
                    let answer = insist(api, "/hitl/approve", &key, &body).await;
                    decided.fetch_add(1, Ordering::Relaxed);
                    answer
                }))
                .await;
                for (status, answer) in &thrice {
                    assert_eq!((*status, answer), (200, &thrice[0].1), "{number}");
                }
                (number, thrice[0].1.clone())
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let server = killer.join().unwrap();
    assert_eq!(answers.len(), PARKED);

    for (number, run) in runs.iter().enumerate() {
        let path = format!("/v1/runs/{run}");
        let view = api
            .until(&path, "the end of the run", |seen| {
                matches!(
                    seen["summary"]["status"].as_str(),
                    Some("success" | "failed")
                )
            })
            .await;
        let option = option(number);
        assert_eq!(view["summary"]["status"], status(option), "{view:#}");
        let attempts = view["attempts"].as_array().unwrap().len();
        assert_eq!(attempts, 1 + usize::from(option == "work"), "{view:#}");
    }
    let events = all(&api, "/v1/events?kinds=approval.decided&limit=10000").await;
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &events {
        *times.entry(event["run_id"].as_str().unwrap()).or_default() += 1;
    }
    assert_eq!(times.len(), PARKED);
    assert!(times.values().all(|times| *times == 1), "{times:?}");
    let verified = server.moorline().run(["audit", "verify"]).unwrap();
    assert_eq!(verified.code, Some(0), "{verified}");
}
