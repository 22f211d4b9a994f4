//! What holds of every request: errors, ids, conditions, pages, waiting, uploads, probes, and how it ends.

use std::net::TcpStream;

use moorline_testkit::moorlined::{Server, ServerOptions};
use moorline_tests::repository;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::support::{Api, PATIENCE};

struct House {
    server: Server,
    token: String,
    api: Api,
}

impl House {
    fn new() -> Self {
        Self::of(ServerOptions::new().unwrap())
    }

    fn of(options: ServerOptions) -> Self {
        let server = options.start().unwrap();
        let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
        let api = Api::new(server.url(), Some(&token));
        Self { server, token, api }
    }

    /// Sends a directory of the repository: how to name it.
    async fn uploaded(&self, directory: &str) -> String {
        let mut packed = tar::Builder::new(Vec::new());
        let path = repository().join(directory);
        packed.append_dir_all("", path).unwrap();
        let request = self.api.request(Method::POST, "/v1/uploads");
        let request = request.header("content-type", "application/x-tar");
        let sent = request.body(packed.into_inner().unwrap()).send().await;
        let sent = sent.unwrap();
        assert_eq!(sent.status(), 201);
        let answer: Value = sent.json().await.unwrap();
        answer["upload"].as_str().unwrap().to_owned()
    }

    async fn started(&self) -> String {
        let job = self.uploaded("examples/hello").await;
        let (status, row) = self.api.post("/v1/runs", &submission(&job)).await;
        assert_eq!(status, 202, "{row}");
        row["run_id"].as_str().unwrap().to_owned()
    }
}

fn submission(job: &str) -> Value {
    json!({"job": job, "inputs": {}, "params": {}})
}

fn header(response: &Response, name: &str) -> Option<String> {
    let value = response.headers().get(name)?;
    Some(value.to_str().unwrap().to_owned())
}

/// L29: every error is a problem document with a code, what to do, and the id of its request.
#[tokio::test]
async fn every_error_is_a_problem_with_the_id_of_its_request() {
    let house = House::new();
    let cases = [
        (Method::GET, "/v1/nowhere", None, 404, "ERR_NOT_FOUND"),
        (Method::PUT, "/v1/runs", None, 405, "ERR_USAGE"),
        (Method::GET, "/v1/runs?limit=many", None, 400, "ERR_USAGE"),
        (Method::GET, "/v1/runs?colour=red", None, 400, "ERR_USAGE"),
        (Method::GET, "/v1/runs/01a2", None, 404, "ERR_NOT_FOUND"),
        (
            Method::POST,
            "/v1/runs",
            Some(("text/plain", "{}")),
            415,
            "ERR_USAGE",
        ),
        (
            Method::POST,
            "/v1/runs",
            Some(("application/json", "{")),
            400,
            "ERR_USAGE",
        ),
        (
            Method::POST,
            "/v1/runs",
            Some(("application/json", "[]")),
            400,
            "ERR_USAGE",
        ),
        (
            Method::POST,
            "/v1/explain",
            Some(("application/json", "{\"actor\": \"human:eve\"}")),
            400,
            "ERR_USAGE",
        ),
    ];
    for (method, path, body, status, code) in cases {
        let mut request = house
            .api
            .request(method, path)
            .header("x-request-id", "mine-1");
        if let Some((kind, body)) = body {
            request = request.header("content-type", kind).body(body);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let kind = header(&response, "content-type");
        assert_eq!(kind.as_deref(), Some("application/problem+json"), "{path}");
        assert_eq!(header(&response, "x-request-id").as_deref(), Some("mine-1"));
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["code"], code, "{path}: {problem}");
        assert_eq!(problem["status"], status, "{path}: {problem}");
        assert_eq!(problem["request_id"], "mine-1", "{path}: {problem}");
        assert!(problem["hint"].is_string(), "{path}: {problem}");
    }
}

/// D-AUDIT-2: no path of the server is read for a client, whatever it looks like.
#[tokio::test]
async fn every_path_that_is_no_upload_is_refused() {
    let house = House::new();
    let inside = house.server.state_dir();
    for path in [
        "/etc",
        ".",
        "../state",
        inside.to_str().unwrap(),
        "upload:../../etc",
    ] {
        let (status, problem) = house.api.post("/v1/runs", &submission(path)).await;
        assert!(matches!(status, 400 | 404), "{path}: {status} {problem}");
        let (status, problem) = house
            .api
            .post("/v1/jobs/check", &json!({"job": path}))
            .await;
        assert!(matches!(status, 400 | 404), "{path}: {status} {problem}");
    }
    let inputs = json!({"job": "live:hello", "inputs": {"a": "/etc/passwd"}, "params": {}});
    let (status, problem) = house.api.post("/v1/runs", &inputs).await;
    assert_eq!((status, &problem["rules"]), (400, &json!(["D-AUDIT-2"])));
}

#[tokio::test]
async fn an_uploaded_job_runs_and_its_end_can_be_waited_for() {
    let house = House::new();
    let run = house.started().await;
    let path = format!("/v1/runs/{run}/summary");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let summary = loop {
        let request = house.api.request(Method::GET, &path);
        let response = request.header("prefer", "wait=10").send().await.unwrap();
        assert_eq!(
            header(&response, "preference-applied").as_deref(),
            Some("wait=10")
        );
        let status = response.status();
        if status == 200 {
            break response.json::<Value>().await.unwrap();
        }
        assert_eq!(status, 202);
        assert!(tokio::time::Instant::now() < deadline);
    };
    assert_eq!(summary["status"], "success", "{summary}");
}

/// L31: the same key gives the same run, in the header as in the body.
#[tokio::test]
async fn a_submission_with_a_known_key_starts_nothing_new() {
    let house = House::new();
    let job = house.uploaded("examples/hello").await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        let body = submission(&job);
        let sent = house.api.post_once("/v1/runs", "key-1", &body);
        let (status, row) = sent.await.unwrap();
        assert_eq!(status, 202, "{row}");
        runs.push(row["run_id"].as_str().unwrap().to_owned());
    }
    runs.dedup();
    assert_eq!(runs.len(), 1, "{runs:?}");
}

#[tokio::test]
async fn what_is_known_is_not_sent_again_and_what_changed_is_not_overwritten() {
    let house = House::new();
    let run = house.started().await;
    let path = format!("/v1/runs/{run}");
    house
        .api
        .until(&path, "the end of the run", |view| {
            view["summary"]["status"] == "success"
        })
        .await;
    let first = house.api.request(Method::GET, &path).send().await.unwrap();
    let etag = header(&first, "etag").unwrap();
    let again = house.api.request(Method::GET, &path);
    let again = again.header("if-none-match", &etag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    let change = |etag: &str| {
        let request = house.api.request(Method::POST, &format!("{path}/cancel"));
        request
            .header("if-match", etag)
            .json(&json!({"reason": "seen"}))
    };
    let stale = change("\"of-yesterday\"").send().await.unwrap();
    assert_eq!(stale.status(), 412);
    // Ending what has ended succeeds (L19).
    let fresh = change(&etag).send().await.unwrap();
    assert_eq!(fresh.status(), 200);
}

/// A cursor goes through everything once, by following `Link`.
#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let house = House::new();
    let mut started = Vec::new();
    for _ in 0..5 {
        started.insert(0, house.started().await);
    }
    let mut seen = Vec::new();
    let mut next = Some("/v1/runs?limit=2".to_owned());
    while let Some(path) = next {
        let page = house.api.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(page.status(), 200);
        next = header(&page, "link").map(|link| {
            let (path, rest) = link.split_once('>').unwrap();
            assert_eq!(rest, "; rel=\"next\"");
            path.trim_start_matches('<').to_owned()
        });
        let rows: Vec<Value> = page.json().await.unwrap();
        seen.extend(
            rows.iter()
                .map(|row| row["run_id"].as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(seen, started);
}

#[tokio::test]
async fn probes_need_no_token_and_tell_no_secret() {
    let house = House::new();
    let anyone = Api::new(house.server.url(), None);
    assert_eq!(anyone.get("/healthz").await, (200, json!("ok\n")));
    let (status, ready) = anyone.get("/readyz").await;
    assert_eq!((status, &ready["ready"]), (200, &json!(true)), "{ready}");
    let names: Vec<&str> = ready["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["serving", "store", "clock", "stop_gate"]);
    assert!(
        !ready
            .to_string()
            .contains(house.server.root().to_str().unwrap())
    );
    house.api.get("/v1/runs").await;
    let (status, numbers) = anyone.get("/metrics").await;
    let numbers = numbers.as_str().unwrap();
    assert_eq!(status, 200);
    for line in [
        "moorline_http_requests_total{method=\"GET\",route=\"/v1/runs\",status=\"200\"} 1",
        "moorline_approvals_open{project=\"default\"} 0",
        "moorline_attempts_live{project=\"default\"} 0",
    ] {
        assert!(numbers.contains(line), "{line} is not in\n{numbers}");
    }
}

/// D-AUDIT-3: another project's objects are not there, and its token lets nobody in elsewhere.
#[tokio::test]
async fn each_project_has_state_of_its_own() {
    let options = ServerOptions::new().unwrap();
    let config = "[server]\nprojects = [\"acme\"]\n";
    let house = House::of(options.config(config).unwrap());
    house.started().await;
    let acme = house.server.state_dir().join("projects/acme/store.db");
    assert!(acme.is_file());
    let (status, ready) = house.api.get("/readyz").await;
    assert_eq!(status, 200, "{ready}");
    let text = ready.to_string();
    assert!(text.contains("acme") && text.contains("default"), "{text}");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let options = ServerOptions::new().unwrap();
    let config = "[server]\nbody_limit_mb = 1\nupload_limit_mb = 1\n";
    let house = House::of(options.config(config).unwrap());
    let large = "x".repeat((1 << 20) + 1);
    let body = json!({"reason": large});
    let (status, problem) = house.api.post("/v1/stops/release", &body).await;
    assert_eq!((status, &problem["code"]), (413, &json!("ERR_TOO_LARGE")));
    let upload = house.api.request(Method::POST, "/v1/uploads?name=large");
    let upload = upload.header("content-type", "application/octet-stream");
    let upload = upload.body(large).send().await.unwrap();
    assert_eq!(upload.status(), 413);
}

/// It ends as told: what it drives is finished, nothing more is accepted, and the code is 0.
#[tokio::test]
async fn a_server_that_is_told_to_end_finishes_what_runs() {
    let mut house = House::new();
    let run = house.started().await;
    let output = house.server.end().unwrap();
    assert_eq!(output.code, Some(0), "{output}");
    let address = house.server.url().trim_start_matches("http://").to_owned();
    assert!(TcpStream::connect(&address).is_err());
    house.server.restart().unwrap();
    // With connections of its own: those of before are closed.
    let api = Api::new(house.server.url(), Some(&house.token));
    let path = format!("/v1/runs/{run}");
    let ended = |view: &Value| view["summary"]["status"] == "success";
    let view = api.until(&path, "the end of the run", ended).await;
    assert_eq!(view["attempts"].as_array().unwrap().len(), 1, "{view}");
}

#[test]
fn a_migration_can_be_looked_at_before_it_is_made() {
    let mut server = Server::start().unwrap();
    server.end().unwrap();
    let done = server.command(["migrate", "--check"]).unwrap();
    assert_eq!(done.code, Some(0), "{done}");
    assert!(done.stdout.starts_with("default: up to date"), "{done}");
}
