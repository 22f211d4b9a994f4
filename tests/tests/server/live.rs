//! Live updates: what every reader of the events and of a log gets, whatever happens to servers on the way.

pub(crate) mod reader;
pub(crate) mod socket;

use std::fs;
use std::path::Path;

use futures::future::join_all;
use moorline_testkit::moorlined::{Server, ServerOptions};
use moorline_testkit::postgres;
use reqwest::Method;
use serde_json::{Value, json};

use self::reader::{Reader, Sse};
use self::socket::Socket;
use super::support::Api;

/// Readers at the same time.
const READERS: usize = 50;

/// A server whose kickoff starts a job of one step that runs this script.
fn serving(options: ServerOptions, home: &Path, script: &str) -> Server {
    let job = home.join("job");
    fs::create_dir_all(&job).unwrap();
    let spec = json!({
        "job_id": "live",
        "params": {"project_id": "", "user_id": "", "entrepreneur_input": ""},
        "steps": [{"name": "main", "argv": ["/bin/sh", "-c", script], "egress": "none"}],
    });
    fs::write(job.join("job_spec.json"), spec.to_string()).unwrap();
    let config = format!(
        "[server]\nkickoff_job = \"{}\"\nrate_per_second = 10000\nrate_burst = 10000\n",
        job.display()
    );
    options.config(&config).unwrap().start().unwrap()
}

fn api(server: &Server) -> Api {
    let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
    Api::new(server.url(), Some(&token))
}

/// Starts a run.
async fn kickoff(api: &Api) -> String {
    let body = json!({
        "project_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a01",
        "user_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a02",
        "entrepreneur_input": "A quiet ferry timetable",
    });
    let (status, started) = api.post("/kickoff", &body).await;
    assert_eq!(status, 202, "{started:#}");
    started["run_id"].as_str().unwrap().to_owned()
}

async fn ended(api: &Api, run: &str) -> Value {
    api.until(&format!("/v1/runs/{run}"), "the run to end", |seen| {
        !matches!(
            seen["summary"]["status"].as_str(),
            Some("queued" | "running")
        )
    })
    .await
}

/// Runs so many jobs to their end, at the same time.
async fn work(api: &Api, runs: usize) {
    let runs = (0..runs).map(|_| async {
        let run = kickoff(api).await;
        ended(api, &run).await
    });
    for view in join_all(runs).await {
        assert_eq!(view["summary"]["status"], "success", "{view:#}");
    }
}

/// The id of the newest event, once nothing more comes: every run is over, and its end is settled.
async fn newest(api: &Api) -> u64 {
    let path = "/v1/events?newest=true&limit=1";
    let (status, events) = api.get(path).await;
    assert_eq!(status, 200, "{events:#}");
    events[0]["id"].as_u64().unwrap()
}

/// L63 (events): fifty readers and one that does not read for a while, with the server killed in the middle,
/// each get every event once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_get_every_event_once_across_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let mut server = serving(ServerOptions::new().unwrap(), home.path(), "exit 0");
    let api = api(&server);
    work(&api, 2).await;
    let mut slow = Sse::open(&api, "/v1/events/stream", None).await.unwrap();
    let readers: Vec<_> = (0..READERS)
        .map(|_| Reader::start(&api, &[server.url()], None))
        .collect();
    work(&api, 4).await;
    server.kill().unwrap();
    server.restart().unwrap();
    work(&api, 4).await;
    let last = newest(&api).await;
    let all: Vec<u64> = (1..=last).collect();
    for reader in readers {
        assert_eq!(reader.until(last).await, all);
    }
    // What was sent to the slow one before the crash, and what it asks for afterwards.
    let mut seen = Vec::new();
    while let Some(message) = slow.next().await {
        seen.extend(message.id);
    }
    let rest = Reader::start(&api, &[server.url()], seen.last().copied());
    seen.extend(rest.until(last).await);
    assert_eq!(seen, all);
}

/// L63 (events): a reader that moves from one replica to the other, and the other way, with one of them
/// killed, has every event once. PostgreSQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_move_between_replicas_without_gap_or_repeat() {
    let database = postgres::create_database().unwrap();
    let home = tempfile::tempdir().unwrap();
    let options = ServerOptions::new().unwrap().store(database.url());
    let mut server = serving(options, home.path(), "exit 0");
    let second = server.replica().unwrap();
    let (first, here) = (api(&server), server.url().to_owned());
    let other = first.at(second.url());
    let readers: Vec<_> = (0..10)
        .map(|n| {
            let mut urls = [here.as_str(), second.url()];
            urls.rotate_left(n % 2);
            Reader::start(&first, &urls, None)
        })
        .collect();
    futures::join!(work(&first, 3), work(&other, 3));
    server.kill().unwrap();
    work(&other, 3).await;
    let last = newest(&other).await;
    let all: Vec<u64> = (1..=last).collect();
    for reader in readers {
        assert_eq!(reader.until(last).await, all);
    }
}

/// D-RUN-5, D-FLOW-8: what a job tells of its progress is seen while it runs, in the event log and in that of
/// the run alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_progress_of_a_job_is_seen_while_it_runs() {
    let home = tempfile::tempdir().unwrap();
    let script = r#"
        echo '::moorline {"type":"progress","phase":"load","pct":40}'
        echo '::moorline {"type":"metric","name":"rows","value":12}'
        while :; do sleep 1; done
    "#;
    let server = serving(ServerOptions::new().unwrap(), home.path(), script);
    let api = api(&server);
    let run = kickoff(&api).await;
    let path = format!("/v1/events/stream?run={run}&kinds=run.progress&kinds=run.metric");
    let mut events = Sse::open(&api, &path, None).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..2 {
        let message = events.next_event().await;
        let mut data = message.data["data"].clone();
        assert!(data["attempt_id"].take().is_string(), "{data:#}");
        told.push((message.event, data));
    }
    let (_, view) = api.get(&format!("/v1/runs/{run}")).await;
    assert_eq!(view["summary"]["status"], "running");
    assert_eq!(
        told,
        [
            (
                "run.progress".to_owned(),
                json!({"phase": "load", "progress_pct": 40.0, "step": "main", "attempt_id": null})
            ),
            (
                "run.metric".to_owned(),
                json!({"metric": "rows", "value": 12.0, "step": "main", "attempt_id": null})
            ),
        ]
    );
    let cancel = json!({"reason": "seen enough", "grace_seconds": 0.0});
    let (status, summary) = api.post(&format!("/v1/runs/{run}/cancel"), &cancel).await;
    assert_eq!(status, 200, "{summary:#}");
}

/// L47: what a job says in its last moment is kept as well, without what looks like a secret, and once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_short_job_says_is_kept_and_redacted() {
    let home = tempfile::tempdir().unwrap();
    let script = r#"
        for n in 1 2 3; do echo "::moorline {\"type\":\"progress\",\"pct\":$n}"; done
        begin=ghp; rest=0123456789abcdefghijABCDEFGHIJ012345
        echo "::moorline {\"type\":\"progress\",\"message\":\"with ${begin}_$rest\"}"
    "#;
    let server = serving(ServerOptions::new().unwrap(), home.path(), script);
    let api = api(&server);
    let run = kickoff(&api).await;
    ended(&api, &run).await;
    let (_, events) = api
        .get(&format!("/v1/events?run={run}&kinds=run.progress"))
        .await;
    let said: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            let data = &event["data"];
            (data["progress_pct"].clone(), data["output"].clone())
        })
        .collect();
    assert_eq!(
        said,
        [
            (json!(1.0), Value::Null),
            (json!(2.0), Value::Null),
            (json!(3.0), Value::Null),
            (Value::Null, json!("with [redacted]")),
        ]
    );
}

/// A server that is told to end says so to those who follow, and ends without waiting for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_asks_its_readers_to_come_back() {
    let home = tempfile::tempdir().unwrap();
    let mut server = serving(ServerOptions::new().unwrap(), home.path(), "exit 0");
    let api = api(&server);
    let mut events = Sse::open(&api, "/v1/events/stream", None).await.unwrap();
    let lines = api
        .request(Method::GET, "/v1/events/stream")
        .send()
        .await
        .unwrap();
    let first = events.next_event().await;
    server.end().unwrap();
    let mut last = first;
    while let Some(message) = events.next().await {
        last = message;
    }
    assert_eq!(last.event, "reconnect");
    assert!(last.data["retry_ms"].is_u64(), "{:?}", last.data);
    let text = lines.text().await.unwrap();
    let lines: Vec<Value> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    // How much came before the end is the network's; the last line is the server's.
    assert!(
        lines.last().unwrap()["reconnect"]["retry_ms"].is_u64(),
        "{text}"
    );
}

/// What is wrong with a request for a stream has a status of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_can_not_begin_answers_with_an_error() {
    let home = tempfile::tempdir().unwrap();
    let server = serving(ServerOptions::new().unwrap(), home.path(), "exit 0");
    let api = api(&server);
    let nobody = Api::new(server.url(), None);
    let none = "0190b5a2-0000-7000-8000-000000000000";
    for (caller, path, id, status) in [
        (&nobody, "/v1/events/stream".to_owned(), None, 401),
        (&api, "/v1/events/stream".to_owned(), Some("x"), 400),
        (
            &api,
            "/v1/events/stream?kinds=no.such".to_owned(),
            None,
            400,
        ),
        (&api, format!("/v1/events/stream?run={none}"), None, 404),
        (&api, format!("/v1/runs/{none}/logs"), None, 404),
        (&nobody, "/v1/audit/export".to_owned(), None, 401),
    ] {
        let mut request = caller.request(Method::GET, &path);
        if let Some(id) = id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind, "application/problem+json", "{path}");
    }
}

/// L75: a log is followed line by line, and a reader goes on behind the last line it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_followed_and_resumed_by_its_line() {
    let home = tempfile::tempdir().unwrap();
    let script = "echo one; echo two >&2; echo three; while :; do sleep 1; done";
    let server = serving(ServerOptions::new().unwrap(), home.path(), script);
    let api = api(&server);
    let run = kickoff(&api).await;
    let path = format!("/v1/runs/{run}/logs?follow=true");
    let mut log = Sse::open(&api, &path, None).await.unwrap();
    let mut lines = Vec::new();
    for _ in 0..3 {
        let message = log.next_event().await;
        assert_eq!(message.event, "line");
        lines.push((message.id, message.data["text"].clone()));
    }
    let numbers: Vec<_> = lines.iter().map(|(id, _)| *id).collect();
    assert_eq!(numbers, [Some(1), Some(2), Some(3)]);
    drop(log);
    let mut log = Sse::open(&api, &path, Some(2)).await.unwrap();
    let again = log.next_event().await;
    assert_eq!((again.id, again.data["text"].clone()), lines[2]);
    let cancel = json!({"reason": "seen enough", "grace_seconds": 0.0});
    api.post(&format!("/v1/runs/{run}/cancel"), &cancel).await;
    let mut last = again.event;
    while let Some(message) = log.next().await {
        last = message.event;
    }
    assert_eq!(last, "end", "a complete log says so");
}

/// Both ways on one connection: subscriptions with filters and cursors, a window that is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_socket_carries_the_same_events() {
    let home = tempfile::tempdir().unwrap();
    let server = serving(ServerOptions::new().unwrap(), home.path(), "exit 0");
    let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
    let api = Api::new(server.url(), Some(&token));
    work(&api, 2).await;
    let path = "/v1/events?kinds=run.ended&kinds=run.queued";
    let (_, listed) = api.get(path).await;
    let listed = listed.as_array().unwrap();
    let mut socket = Socket::open(server.url(), &token, None).await.unwrap();
    socket.say(&json!({"op": "ping", "n": 7})).await;
    assert_eq!(socket.hear().await, json!({"op": "pong", "n": 7}));
    let events = json!({"kinds": ["run.ended", "run.queued"]});
    let subscribe = json!({"op": "subscribe", "id": "runs", "events": events, "window": 1});
    socket.say(&subscribe).await;
    assert_eq!(
        socket.hear().await,
        json!({"op": "subscribed", "id": "runs"})
    );
    for event in listed {
        assert_eq!(
            socket.hear().await,
            json!({"op": "event", "id": "runs", "event": event})
        );
        // The window is full: what comes before the acknowledgement is the answer to this.
        socket.say(&json!({"op": "ping"})).await;
        assert_eq!(socket.hear().await, json!({"op": "pong", "n": null}));
        let ack = json!({"op": "ack", "id": "runs", "event": event["id"]});
        socket.say(&ack).await;
    }
    socket.say(&subscribe).await;
    let twice = socket.hear().await;
    assert_eq!(
        (&twice["op"], &twice["problem"]["status"]),
        (&json!("problem"), &json!(400))
    );
    socket
        .say(&json!({"op": "unsubscribe", "id": "runs"}))
        .await;
    assert_eq!(
        socket.hear().await,
        json!({"op": "unsubscribed", "id": "runs"})
    );
    let after = listed[0]["id"].clone();
    let events = json!({"kinds": ["run.ended", "run.queued"], "after": after});
    socket
        .say(&json!({"op": "subscribe", "id": "rest", "events": events}))
        .await;
    assert_eq!(
        socket.hear().await,
        json!({"op": "subscribed", "id": "rest"})
    );
    for event in &listed[1..] {
        assert_eq!(socket.hear().await["event"], *event);
    }
}

/// A page of another site can not use the session of this one, and nobody gets in without a token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_socket_is_for_those_who_are_let_in() {
    let home = tempfile::tempdir().unwrap();
    let server = serving(ServerOptions::new().unwrap(), home.path(), "exit 0");
    let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
    for (token, origin, status) in [
        ("mlt_default_0", None, Some(401)),
        (token.as_str(), Some("https://elsewhere.example"), Some(403)),
        (token.as_str(), Some(server.url()), None),
    ] {
        let refused = Socket::open(server.url(), token, origin).await.err();
        assert_eq!(refused, status, "{origin:?}");
    }
}

/// L49: an emergency goes on when whoever called it is gone, and its first word is that the gate is in force.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_goes_on_without_its_caller() {
    let home = tempfile::tempdir().unwrap();
    let script = "while :; do sleep 1; done";
    let server = serving(ServerOptions::new().unwrap(), home.path(), script);
    let api = api(&server);
    let run = kickoff(&api).await;
    let which = json!({"choice": "call", "lane": null, "reason": "a drill", "grace_seconds": 0.0});
    let response = api
        .request(Method::POST, "/v1/emergencies")
        .json(&json!({"which": which}))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let (_, stops) = api.get("/v1/stops").await;
    assert_eq!(stops.as_array().map(Vec::len), Some(1), "{stops:#}");
    drop(response);
    let done = |seen: &Value| seen[0]["state"] == "complete";
    api.until("/v1/emergencies", "the emergency to be over", done)
        .await;
    assert_eq!(ended(&api, &run).await["summary"]["status"], "killed");
}
