//! A server that is told to end while it has work to do: what was asked is answered, nothing new is taken, what
//! runs is finished or left to another one, and it ends in time with code 0.

use std::fs;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use moorline_testkit::moorline::Signal;
use moorline_testkit::moorlined::{Server, ServerOptions};
use moorline_testkit::postgres::create_database;
use moorline_testkit::wait;
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Api, PATIENCE, packed, packed_spec, uploaded};

fn serving(config: &str) -> Server {
    let options = ServerOptions::new().unwrap();
    let config = format!("[server]\nrate_per_second = 100000\n{config}");
    options.config(&config).unwrap().start().unwrap()
}

fn person(server: &Server) -> Api {
    let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
    Api::new(server.url(), Some(&token))
}

async fn started(api: &Api, archive: Vec<u8>) -> String {
    let job = uploaded(api, archive).await;
    let (status, run) = api.post("/v1/runs", &json!({"job": job})).await;
    assert_eq!(status, 202, "{run}");
    run["run_id"].as_str().unwrap().to_owned()
}

/// Whether nobody takes a connection there.
fn is_closed(server: &Server) -> bool {
    let address = server.url().trim_start_matches("http://");
    TcpStream::connect(address).is_err()
}

/// Clients ask without a pause while the server is told to end: each request is answered in full or was never
/// taken, whoever waits is answered at once, and then there is no connection to be had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_is_answered_and_nothing_more_is_taken() {
    let mut server = serving("drain_seconds = 2\n");
    let api = person(&server);
    let hangs = started(&api, packed("hangs", "sleep 600\n")).await;
    let enough = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (api, enough) = (api.again(), Arc::clone(&enough));
            tokio::spawn(async move {
                let mut answered = 0_u32;
                loop {
                    let sent = api.request(Method::GET, "/v1/runs").send().await;
                    match sent {
                        Ok(answer) => {
                            // Headers have come, so the body has to.
                            let status = answer.status();
                            let body = answer.bytes().await.unwrap();
                            assert_eq!(status, 200, "{body:?}");
                            assert!(body.ends_with(b"]"), "{body:?}");
                            answered += 1;
                        }
                        Err(_) => return answered,
                    }
                    assert!(!enough.load(Ordering::Relaxed), "it takes requests still");
                }
            })
        })
        .collect();
    let waiting = api.request(Method::GET, &format!("/v1/runs/{hangs}/summary"));
    let waiting = tokio::spawn(waiting.header("prefer", "wait=25").send());
    let stream = api.request(Method::GET, "/v1/events/stream").send();
    let mut stream = stream.await.unwrap().bytes_stream();
    assert!(stream.next().await.is_some());
    for _ in 0..20 {
        assert_eq!(api.get("/v1/runs").await.0, 200);
    }

    server.signal(Signal::TERM).unwrap();
    wait::until(PATIENCE, "nobody to take connections", || {
        is_closed(&server)
    })
    .unwrap();
    // Who waited is told how it stands, and that the connection is over.
    match waiting.await.unwrap() {
        Ok(answer) => {
            assert_eq!(answer.status(), 202);
            assert_eq!(answer.headers()["connection"], "close");
        }
        // On a machine that is slow enough it came too late.
        Err(error) => assert!(error.is_connect(), "{error:?}"),
    }
    let mut told = Vec::new();
    while let Some(bytes) = stream.next().await {
        told.extend(bytes.unwrap());
    }
    let told = String::from_utf8(told).unwrap();
    assert!(
        told.trim_end()
            .lines()
            .last()
            .unwrap()
            .contains("reconnect"),
        "{told}"
    );
    let output = server.ended().unwrap();
    assert_eq!(output.code, Some(0), "{output}");
    enough.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
    // What runs was left, and the next one has it.
    server.restart().unwrap();
    let api = api.at(server.url()).again();
    let (_, view) = api.get(&format!("/v1/runs/{hangs}")).await;
    assert_eq!(view["summary"]["status"], "running", "{view:#}");
    let path = format!("/v1/runs/{hangs}/cancel");
    let (status, cancelled) = api.post(&path, &json!({"reason": "seen"})).await;
    assert_eq!(status, 200, "{cancelled}");
}

/// It ends within `drain_seconds` whatever runs, and says what it left; requests have ten seconds in any case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_in_the_documented_time() {
    let mut server = serving("drain_seconds = 0\n");
    let api = person(&server);
    let hangs = started(&api, packed("hangs", "sleep 600\n")).await;
    let running = |seen: &Value| seen["summary"]["status"] == "running";
    let path = format!("/v1/runs/{hangs}");
    api.until(&path, "it to run", running).await;
    let begun = Instant::now();
    let output = server.end().unwrap();
    // L77: the bound itself is looked at, from below the time that the attempt would take.
    assert!(begun.elapsed() < Duration::from_mins(1), "{output}");
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stderr.contains("left what runs"), "{output}");
    server.restart().unwrap();
    let stop = server.moorline();
    let stopped = stop.run(["stop", "all", "--reason", "seen"]).unwrap();
    assert_eq!(stopped.code, Some(0), "{stopped}");
}

/// The step that runs is finished where it runs; the one behind it is another server's, and so is what still
/// waited for a slot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_go_on_at_another_server() {
    let database = create_database().unwrap();
    let replica = |config: &str| {
        let options = ServerOptions::new().unwrap().store(database.url());
        options.config(config).unwrap().start().unwrap()
    };
    let mut one = replica("capacity = 1\n[server]\ndrain_seconds = 600\n");
    let gate = one.state_dir().join("volumes/gate");
    fs::create_dir_all(&gate).unwrap();
    let api = person(&one);
    let steps = json!({"job_id": "two-steps", "steps": [
        {"name": "first", "egress": "none",
         "argv": ["/bin/sh", "-c", "while [ ! -e /gate/open ]; do sleep 0.1; done"],
         "mounts": [{"volume": "gate", "path": "/gate", "read_only": true}]},
        {"name": "second", "egress": "none", "argv": ["/bin/sh", "-c", "echo second"]},
    ]});
    let begun = started(&api, packed_spec(&steps)).await;
    let running = |seen: &Value| seen["summary"]["status"] == "running";
    api.until(&format!("/v1/runs/{begun}"), "it to run", running)
        .await;
    let queued = started(&api, packed("queued", "echo queued\n")).await;

    one.signal(Signal::TERM).unwrap();
    wait::until(PATIENCE, "nobody to take connections", || is_closed(&one)).unwrap();
    // Only now is there another one: so nothing of them was its own before.
    let two = replica("");
    let there = api.at(two.url()).again();
    let success = |seen: &Value| seen["summary"]["status"] == "success";
    let path = format!("/v1/runs/{queued}");
    there.until(&path, "what was queued", success).await;
    fs::write(gate.join("open"), "").unwrap();
    let output = one.ended().unwrap();
    assert_eq!(output.code, Some(0), "{output}");
    let path = format!("/v1/runs/{begun}");
    let view = there.until(&path, "the run to end", success).await;
    let seen: Vec<_> = view["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| (attempt["step"].as_str(), attempt["number"].as_u64()))
        .collect();
    assert_eq!(seen, [(Some("first"), Some(1)), (Some("second"), Some(1))]);
    let log = two.moorline().run(["runs", "logs", &queued]).unwrap();
    assert_eq!(log.stdout, "queued\n", "{log}");
}
