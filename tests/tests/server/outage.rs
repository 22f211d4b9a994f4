//! PostgreSQL goes away while clients submit and read, in each way that it can: it refuses, it falls silent, it
//! crashes. The server says so in order, keeps what runs, and is itself again when PostgreSQL is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use moorline_testkit::chaos::Network;
use moorline_testkit::coverage::{self, Backend};
use moorline_testkit::moorlined::{Server, ServerOptions};
use moorline_testkit::postgres::{Postgres, create_database};
use moorline_testkit::wait;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::killed;
use super::live::reader::Reader;
use super::support::{Api, PATIENCE};

/// Clients that submit at the same time.
const CLIENTS: usize = 3;
/// Clients that follow the events.
const READERS: usize = 3;
/// Between two requests of one client: many enough to be a load, few enough for a busy machine.
const PAUSE: Duration = Duration::from_millis(100);

/// A job that leaves a line where no store is. Asked to hold, it goes on when a file of its name is there, and
/// says when it is over.
const SCRIPT: &str = r#"
echo "$MOORLINE_RUN_ID $MOORLINE_ATTEMPT_ID" >> /witness/lines
for file in during afterwards; do
    if grep -q "hold until $file" "$MOORLINE_INPUT"; then
        while [ ! -e "/witness/$file" ]; do sleep 0.05; done
        echo over > "/witness/$file.over"
    fi
done
"#;

fn body(text: &str) -> Value {
    json!({
        "project_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a01",
        "user_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a02",
        "entrepreneur_input": text,
    })
}

/// What a request is answered with: the document of a success; nothing when the store was away, which has to be
/// said in the one form. No answer within [`PATIENCE`] is a failure.
async fn answer(request: RequestBuilder) -> Option<Value> {
    let response = request.send().await.expect("an answer in time");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    if (200..300).contains(&status) {
        return Some(body);
    }
    let header = |name: &str| Some(headers.get(name)?.to_str().unwrap());
    assert_eq!(
        (status, header("content-type"), body["code"].as_str()),
        (503, Some("application/problem+json"), Some("ERR_STORE")),
        "{text}"
    );
    let after: u64 = header("retry-after").unwrap().parse().unwrap();
    assert!(after > 0, "{text}");
    None
}

/// How one client fares.
#[derive(Debug, Default)]
struct Fares {
    /// Successes.
    good: AtomicUsize,
    /// Refusals because the store was away.
    away: AtomicUsize,
}

impl Fares {
    fn count(&self, answer: Option<&Value>) {
        let counter = if answer.is_some() {
            &self.good
        } else {
            &self.away
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Clients that ask for as long as they are not told that it is over.
struct Load {
    over: Arc<AtomicBool>,
    fares: Vec<Arc<Fares>>,
    submitting: Vec<JoinHandle<BTreeMap<String, String>>>,
    reading: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(api: &Api, paths: &[String]) -> Self {
        let mut load = Self {
            over: Arc::default(),
            fares: Vec::new(),
            submitting: Vec::new(),
            reading: Vec::new(),
        };
        for client in 0..CLIENTS {
            let (api, over, fares) = (api.clone(), Arc::clone(&load.over), load.client());
            load.submitting.push(tokio::spawn(async move {
                let mut runs = BTreeMap::new();
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let key = format!("client-{client}-{number}");
                    let run = submit(&api, &key, &key, &fares).await;
                    runs.insert(key, run);
                    tokio::time::sleep(PAUSE).await; // L77: the load
                }
                runs
            }));
        }
        for path in paths {
            let (api, path) = (api.clone(), path.clone());
            let (over, fares) = (Arc::clone(&load.over), load.client());
            load.reading.push(tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let answer = answer(api.request(Method::GET, &path)).await;
                    fares.count(answer.as_ref());
                    tokio::time::sleep(PAUSE).await; // L77: the load
                }
            }));
        }
        load
    }

    fn client(&mut self) -> Arc<Fares> {
        let fares = Arc::<Fares>::default();
        self.fares.push(Arc::clone(&fares));
        fares
    }

    /// Waits until each client had more successes, or refusals, than it has now.
    async fn until_more(&self, what: &str, of: impl Fn(&Fares) -> &AtomicUsize) {
        let count = |fares: &Arc<Fares>| of(fares).load(Ordering::Relaxed);
        let before: Vec<usize> = self.fares.iter().map(count).collect();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self
            .fares
            .iter()
            .map(count)
            .zip(&before)
            .any(|(now, before)| now <= *before)
        {
            let broken = self.submitting.iter().any(JoinHandle::is_finished)
                || self.reading.iter().any(JoinHandle::is_finished);
            assert!(!broken, "a client ended while it waited for {what}");
            let late = tokio::time::Instant::now() >= deadline;
            assert!(
                !late,
                "no client may wait so long for {what}: {:?}",
                self.fares
            );
            tokio::time::sleep(Duration::from_millis(20)).await; // L77: between two looks
        }
    }

    /// Ends it: the run of each key.
    async fn end(self) -> BTreeMap<String, String> {
        self.over.store(true, Ordering::Relaxed);
        for reading in self.reading {
            reading.await.unwrap();
        }
        let mut runs = BTreeMap::new();
        for submitting in self.submitting {
            runs.extend(submitting.await.unwrap());
        }
        runs
    }
}

/// Submits under one key until it is taken; gives the run.
async fn submit(api: &Api, key: &str, text: &str, fares: &Fares) -> String {
    loop {
        let request = api.request(Method::POST, "/kickoff").json(&body(text));
        let started = answer(request.header("idempotency-key", key)).await;
        fares.count(started.as_ref());
        if let Some(started) = started {
            return started["run_id"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(PAUSE).await; // L77: a client waits before it asks again
    }
}

/// Waits until the probes say this, while the process is alive all the time.
async fn probes(api: &Api, ready: u16) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        assert_eq!(api.get("/healthz").await.0, 200);
        let (status, seen) = api.get("/readyz").await;
        if status == ready {
            assert_eq!(seen["ready"], ready == 200, "{seen:#}");
            return;
        }
        assert!(matches!(status, 200 | 503), "{status} {seen:#}");
        let late = tokio::time::Instant::now() >= deadline;
        assert!(!late, "`/readyz` does not come to {ready}: {seen:#}");
        tokio::time::sleep(Duration::from_millis(20)).await; // L77: between two looks
    }
}

fn until(what: &str, holds: impl FnMut() -> bool) {
    wait::until(PATIENCE, what, holds).unwrap();
}

/// A server whose leases end while nobody can renew them.
fn server(url: &str, job: &Path) -> Server {
    killed::write_job(job, SCRIPT);
    let config = format!(
        "lease_seconds = 5\n[server]\nkickoff_job = \"{}\"\nrate_per_second = 10000\n",
        job.display()
    );
    let options = ServerOptions::new().unwrap().store(url);
    options.config(&config).unwrap().start().unwrap()
}

async fn goes_and_comes_back(url: &str, away: impl FnOnce(), back: impl FnOnce()) {
    let job = tempfile::tempdir().unwrap();
    let server = server(url, job.path());
    let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
    let api = Api::new(server.url(), Some(&token));
    probes(&api, 200).await;
    let followers: Vec<Reader> = (0..READERS)
        .map(|_| Reader::start(&api, &[server.url()], None))
        .collect();
    // One attempt that ends while PostgreSQL is away, and one that outlasts it.
    let witness = server.state_dir().join("volumes/witness");
    let mut held = BTreeMap::new();
    for file in ["during", "afterwards"] {
        let text = format!("hold until {file}");
        let run = submit(&api, file, &text, &Fares::default()).await;
        until("an attempt to run", || {
            fs::read_to_string(witness.join("lines")).is_ok_and(|lines| lines.contains(&run))
        });
        held.insert(file.to_owned(), run);
    }
    let paths = [
        "/v1/runs?limit=5".to_owned(),
        format!("/v1/runs/{}", held["during"]),
    ];
    let load = Load::start(&api, &paths);
    load.until_more("the load to begin", |fares| &fares.good)
        .await;

    away();
    let ((), ()) = tokio::join!(
        probes(&api, 503),
        load.until_more("a refusal", |fares| &fares.away)
    );
    fs::write(witness.join("during"), "").unwrap();
    until("the attempt to be over", || {
        witness.join("during.over").exists()
    });
    load.until_more("another refusal", |fares| &fares.away)
        .await;
    probes(&api, 503).await;

    back();
    probes(&api, 200).await;
    load.until_more("success after it", |fares| &fares.good)
        .await;
    fs::write(witness.join("afterwards"), "").unwrap();
    let runs = load.end().await;
    // The answer may have been lost that said so; the key still stands for the run.
    for (key, run) in &runs {
        assert_eq!(
            submit(&api, key, key, &Fares::default()).await,
            *run,
            "{key}"
        );
    }
    let mut all = runs;
    all.extend(held.clone());
    killed::check(&api, &[&server], &all).await;
    for run in held.values() {
        let (_, view) = api.get(&format!("/v1/runs/{run}")).await;
        assert_eq!(
            view["attempts"].as_array().map(Vec::len),
            Some(1),
            "{view:#}"
        );
    }
    let (_, newest) = api.get("/v1/events?newest=true&limit=1").await;
    let newest = newest[0]["id"].as_u64().unwrap();
    for follower in followers {
        let seen = follower.until(newest).await;
        let all: Vec<u64> = (1..=seen.len() as u64).collect();
        assert_eq!(seen, all, "a gap or a repetition");
    }
    coverage::record(Backend::Postgres).unwrap();
}

/// L63: as by a server that is restarted, or a network that rejects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_refuses_in_mid_load_is_told_and_used_again() {
    let database = create_database().unwrap();
    let (proxy, url) = database.behind_a_network().unwrap();
    let away = || {
        proxy.set(Network::Refusing);
        proxy.cut();
    };
    goes_and_comes_back(&url, away, || proxy.set(Network::Whole)).await;
}

/// L63: a partition. Nothing is refused and nothing is answered, so each request takes as long as the store
/// waits for PostgreSQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_falls_silent_in_mid_load_is_told_and_used_again() {
    let database = create_database().unwrap();
    let (proxy, url) = database.behind_a_network().unwrap();
    let away = || proxy.set(Network::Silent);
    goes_and_comes_back(&url, away, || proxy.set(Network::Whole)).await;
}

/// L63: PostgreSQL itself dies, with what it had not committed, and recovers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_crashes_in_mid_load_is_told_and_used_again() {
    let postgres = Postgres::start().unwrap();
    let database = postgres.create_database().unwrap();
    let away = || postgres.crash().unwrap();
    goes_and_comes_back(database.url(), away, || postgres.resume().unwrap()).await;
}
