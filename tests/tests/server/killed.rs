//! Two replicas on one PostgreSQL, four clients that submit, and SIGKILL at random moments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moorline_testkit::coverage::{self, Backend};
use moorline_testkit::env;
use moorline_testkit::moorlined::{Server, ServerOptions};
use moorline_testkit::postgres::create_database;
use serde_json::{Value, json};

use super::support::{Api, PATIENCE};

/// Kills where nobody asks for more.
const KILLS: u32 = 10;

/// Clients that submit at the same time.
const CLIENTS: usize = 4;

/// A job that leaves a line where no store is: its run and its attempt.
const SCRIPT: &str = "echo \"$MOORLINE_RUN_ID $MOORLINE_ATTEMPT_ID\" >> /witness/lines";

/// A job of one step, whose script has the volume `witness`.
pub(super) fn write_job(job: &Path, script: &str) {
    fs::create_dir_all(job).unwrap();
    let spec = json!({
        "job_id": "witnessed",
        "params": {"project_id": "", "user_id": "", "entrepreneur_input": ""},
        "steps": [{
            "name": "work", "argv": ["/bin/sh", "-c", script], "egress": "none",
            "mounts": [{"volume": "witness", "path": "/witness", "read_only": false}],
        }],
    });
    fs::write(job.join("job_spec.json"), spec.to_string()).unwrap();
}

/// Submits under one key until some replica answers; gives the run.
async fn submit(replicas: &[Api], first: usize, key: &str, body: &Value) -> String {
    let deadline = tokio::time::Instant::now() + PATIENCE * 2;
    for turn in first.. {
        let answer = replicas[turn % replicas.len()]
            .post_once("/kickoff", key, body)
            .await;
        if let Ok((202, run)) = answer {
            return run["run_id"].as_str().unwrap().to_owned();
        }
        assert!(tokio::time::Instant::now() < deadline, "{key}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await; // L77: between two tries
    }
    unreachable!("the loop has no end but by return")
}

/// Numbers that look random and are the same in every run of the test (a linear congruence).
fn moments(count: u32) -> impl Iterator<Item = Duration> {
    let mut state: u64 = 0x5eed;
    (0..count).map(move |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros((state >> 33) % 300_000)
    })
}

/// L30, L31, L63: whatever replica is killed and whenever, no run that was acknowledged is lost, none is
/// started twice, each key is one run, and the ids of events have no gap and no repetition.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_replicas_at_random_loses_no_run_and_starts_none_twice() {
    let kills = env::crash_kills(KILLS).unwrap();
    let database = create_database().unwrap();
    let job = tempfile::tempdir().unwrap();
    write_job(job.path(), SCRIPT);
    let config = format!(
        "[server]\nkickoff_job = \"{}\"\nrate_per_second = 10000\n",
        job.path().display()
    );
    // Each has a state directory of its own, as on two machines.
    let start = || {
        let options = ServerOptions::new().unwrap().store(database.url());
        options.config(&config).unwrap().start().unwrap()
    };
    let (one, two) = (start(), start());
    let token = one.token("ada", ["--principal", "human:ada"]).unwrap();
    let replicas: Vec<Api> = [&one, &two]
        .map(|server| Api::new(server.url(), Some(&token)))
        .into();

    let over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&over);
    let killer = std::thread::spawn(move || kill_at_random([one, two], kills, &told));
    let clients = (0..CLIENTS).map(|client| {
        let (replicas, over) = (replicas.clone(), Arc::clone(&over));
        tokio::spawn(async move {
            let mut runs = BTreeMap::new();
            for number in 0.. {
                if over.load(Ordering::Relaxed) && number > 0 {
                    break;
                }
                let key = format!("client-{client}-{number}");
                let body = json!({
                    "project_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a01",
                    "user_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a02",
                    "entrepreneur_input": key,
                });
                // Twice, at both: the second one is answered with the first one's run.
                let (a, b) = tokio::join!(
                    submit(&replicas, 0, &key, &body),
                    submit(&replicas, 1, &key, &body)
                );
                assert_eq!(a, b, "{key}");
                runs.insert(key, a);
            }
            runs
        })
    });
    let mut acknowledged = BTreeMap::new();
    for client in clients {
        acknowledged.extend(client.await.unwrap());
    }
    let [one, two] = killer.join().unwrap();
    let api = Api::new(one.url(), Some(&token));
    check(&api, &[&one, &two], &acknowledged).await;
    println!("{kills} kills, {} runs", acknowledged.len());
    coverage::record(Backend::Postgres).unwrap();
}

fn kill_at_random(mut servers: [Server; 2], kills: u32, over: &AtomicBool) -> [Server; 2] {
    for (number, moment) in moments(kills).enumerate() {
        std::thread::sleep(moment); // L77: the moment is the subject
        servers[number % 2].restart().unwrap();
    }
    over.store(true, Ordering::Relaxed);
    servers
}

/// Each key is one run, each run was started once and succeeded, no event is missing or there twice, and the trail
/// is whole.
pub(super) async fn check(api: &Api, servers: &[&Server], acknowledged: &BTreeMap<String, String>) {
    let runs: BTreeSet<&String> = acknowledged.values().collect();
    assert_eq!(runs.len(), acknowledged.len(), "two keys have one run");
    for run in &runs {
        let path = format!("/v1/runs/{run}");
        api.until(&path, "the run to succeed", |seen| {
            seen["summary"]["status"] == "success"
        })
        .await;
    }
    // What ran, told by a witness outside of the store.
    let witness = |server: &Server| server.state_dir().join("volumes/witness/lines");
    let lines: String = servers
        .iter()
        .map(|server| fs::read_to_string(witness(server)).unwrap_or_default())
        .collect();
    let mut started: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lines.lines() {
        *started.entry(line.split(' ').next().unwrap()).or_default() += 1;
    }
    assert!(started.values().all(|times| *times == 1), "{started:?}");
    assert_eq!(started.len(), runs.len());

    let mut last = 0;
    loop {
        let (_, page) = api
            .get(&format!("/v1/events?after={last}&limit=1000"))
            .await;
        let page = page.as_array().unwrap().clone();
        if page.is_empty() {
            break;
        }
        for event in &page {
            assert_eq!(
                event["id"].as_u64(),
                Some(last + 1),
                "a gap or a repetition"
            );
            last += 1;
        }
    }
    let verified = servers[0].moorline().run(["audit", "verify"]).unwrap();
    assert_eq!(verified.code, Some(0), "{verified}");
}
