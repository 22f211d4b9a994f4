//! From another project over HTTP: what is there is not there (404), or is one's own of that name, whatever way
//! leads to it.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use moorline_api::routes::{Kind, Method, ROUTES, Route};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde_json::{Map, Value, json};

use super::super::live::socket::Socket;
use super::super::support::{Api, PATIENCE};
use super::{Estate, acme};

/// Routes whose path has a name that could be one's own: the status, and why.
const OWN_NAMES: &[(&str, u16, &str)] = &[
    (
        "artifact_history",
        200,
        "no promotion of a job of that name",
    ),
    (
        "artifact_rollback",
        409,
        "a lane that never pointed anywhere",
    ),
    ("schedule_run_now", 403, "a lane that points to nothing"),
    (
        "schedule_undeploy",
        422,
        "there is no workspace to look into",
    ),
    ("gate_show", 200, "gates of which none is met"),
    ("secret_set", 200, "a secret of one's own"),
    ("secret_rotate", 409, "a secret that one has not"),
    (
        "principal_get",
        200,
        "who is not on record has the role that anybody has",
    ),
    ("principal_remove", 200, "who was set just before"),
    ("principal_set", 200, "a principal of one's own"),
];

/// Members that requests have besides their ids; each request is given those that it knows.
fn members(estate: &Estate) -> Map<String, Value> {
    let things = &estate.things;
    let Value::Object(members) = json!({
        "reason": "from another project", "note": "x", "option": "approved", "decision": "approve",
        "run": things["run"], "fresh": false, "looked_into": true, "out": "upload:new", "role": "viewer",
        "principal": "human:bob", "values": {"ACME_SESSION": "x"}, "lane": "prod",
    }) else {
        unreachable!("it is an object");
    };
    members
}

/// The body of a route's request, of what its schema knows.
fn body(document: &Value, route: &Route, members: &Map<String, Value>) -> Value {
    let method = route.method.as_str().to_lowercase();
    let operation = &document["paths"][route.path][method];
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let name = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next());
    let schema = name.map_or(schema, |name| &document["components"]["schemas"][name]);
    let known = schema["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let given = members.clone().into_iter();
    given.filter(|(name, _)| known.contains_key(name)).collect()
}

/// A path with the things of the estate in its braces; none where it has no braces.
fn about(path: &str, things: &BTreeMap<&str, String>) -> Option<String> {
    path.contains('{').then_some(())?;
    let mut filled = path.to_owned();
    while let (Some(open), Some(close)) = (filled.find('{'), filled.find('}')) {
        let name = filled[open + 1..close].to_owned();
        let thing = things.get(name.as_str());
        let thing = thing.unwrap_or_else(|| panic!("the estate has no `{name}`, for {path}"));
        filled.replace_range(open..=close, &thing.replace('/', "%2F"));
    }
    Some(filled)
}

async fn text(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    (status, response.text().await.unwrap())
}

/// An admin of the project that is always there.
fn outsider(estate: &Estate) -> (Api, String) {
    let token = estate.server.token("ada", ["--principal", "human:ada"]);
    let token = token.unwrap();
    (Api::new(estate.server.url(), Some(&token)), token)
}

/// L29: with every id and name of another project, in every route that takes one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_another_project_s_is_not_there() {
    let estate = Estate::new().await;
    let (api, _) = outsider(&estate);
    let before = estate.history().await;
    let (_, document) = api.get("/openapi.json").await;
    let members = members(&estate);
    let mut wrong = Vec::new();
    for route in ROUTES {
        let Some(path) = about(route.path, &estate.things) else {
            continue;
        };
        let path = match route.name {
            "run_output" => format!("{path}?path=a.txt"),
            "schedule_next" => format!("{path}?count=1"),
            _ => path,
        };
        let method = route.method.as_str().parse().unwrap();
        let body = body(&document, route, &members);
        let mut request = api.request(method, &path);
        if route.method != Method::Get {
            request = request.json(&body);
        }
        let (status, text) = text(request.send().await.unwrap()).await;
        let own = OWN_NAMES.iter().find(|(name, ..)| *name == route.name);
        let expected = own.map_or(404, |(_, status, _)| *status);
        let told = match status {
            200..300 => estate.told(&text, &format!("{path} {body}")),
            _ => Vec::new(),
        };
        if status != expected || !told.is_empty() {
            let name = route.name;
            wrong.push(format!(
                "{name}: {status} for {expected}, tells {told:?}: {text}"
            ));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(estate.history().await, before);
}

/// L29: no list has it, whatever it is filtered by, and no body that names it finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_list_and_no_body_reaches_another_project() {
    let estate = Estate::new().await;
    let (api, _) = outsider(&estate);
    let before = estate.history().await;
    let of = |name: &str| estate.things[name].replace('/', "%2F");
    let mut paths: Vec<String> = ROUTES
        .iter()
        .filter(|route| route.method == Method::Get && !route.path.contains('{'))
        .filter(|route| route.kind == Kind::Call || route.name == "audit_export")
        .map(|route| route.path.to_owned())
        .collect();
    assert!(paths.len() > 12, "{paths:?}");
    paths.extend([
        format!("/v1/runs?job={}", of("job_id")),
        format!("/v1/runs?source={}", of("source_id")),
        format!("/v1/runs?before={}", of("run")),
        format!("/v1/events?run={}", of("run")),
        format!("/v1/events?job_id={}", of("job_id")),
        format!("/v1/approvals?run={}", of("run")),
        format!("/v1/artifacts?job_id={}", of("job_id")),
        format!("/v1/schedules?source={}", of("source_id")),
        format!("/v1/audit?subject=run%2F{}", of("run")),
        "/v1/secrets?lane=prod".to_owned(),
        "/v1/tokens?all=true".to_owned(),
        "/metrics".to_owned(),
    ]);
    let mut wrong = Vec::new();
    for path in &paths {
        let (_, text) = text(
            api.request(reqwest::Method::GET, path)
                .send()
                .await
                .unwrap(),
        )
        .await;
        let told = estate.told(&text, path);
        if !told.is_empty() {
            wrong.push(format!("GET {path} tells {told:?}"));
        }
    }
    let (artifact, run) = (&estate.things["artifact"], &estate.things["run"]);
    for (path, body, status) in [
        (
            "/v1/stops",
            json!({"scope": format!("run:{run}"), "reason": "x"}),
            404,
        ),
        (
            "/v1/stops/release",
            json!({"scope": format!("run:{run}"), "reason": "x"}),
            404,
        ),
        ("/v1/explain", json!({"what": "run", "which": run}), 404),
        (
            "/v1/explain",
            json!({"what": "refusal", "which": estate.things["refusal"]}),
            404,
        ),
        (
            "/v1/explain",
            json!({"what": "schedule", "which": "prod/acme-tide"}),
            404,
        ),
        ("/v1/artifacts/review", json!({"artifact": artifact}), 404),
        ("/v1/artifacts/verify", json!({"artifact": artifact}), 404),
        (
            "/v1/artifacts/review",
            json!({"artifact": estate.things["content"]}),
            404,
        ),
        (
            "/v1/schedules/disable",
            json!({"scope": "schedule:prod/acme-tide", "reason": "x"}),
            404,
        ),
        (
            "/v1/emergencies",
            json!({"which": {"choice": "resume", "id": estate.things["emergency"]}}),
            404,
        ),
        // Files: an upload, and what a run left.
        (
            "/v1/jobs/check",
            json!({"job": estate.things["upload"]}),
            404,
        ),
        ("/v1/runs", json!({"job": estate.things["upload"]}), 404),
        (
            "/v1/artifacts",
            json!({"dir": estate.things["upload"]}),
            404,
        ),
    ] {
        let (found, answer) = api.post(path, &body).await;
        if found != status {
            wrong.push(format!("POST {path} {body}: {found} {answer}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(estate.history().await, before);
}

/// L29: the routes of the seed, and what is downloaded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seed_s_routes_and_downloads_know_their_own_project_alone() {
    let estate = Estate::new().await;
    let (api, _) = outsider(&estate);
    let before = estate.history().await;
    let (run, artifact) = (&estate.things["run"], &estate.things["artifact"]);
    for path in [
        format!("/status/{run}"),
        format!("/v1/runs/{run}/logs?follow=true"),
        format!("/v1/artifacts/{artifact}/content"),
        format!("/v1/artifacts/{}/content", estate.things["content"]),
        "/v1/artifacts/live:acme-tide/content?lane=prod".to_owned(),
    ] {
        let (status, answer) = api.get(&path).await;
        assert_eq!(status, 404, "{path}: {answer}");
    }
    let decision = |request: Value| json!({"run_id": run, "checkpoint": "may_it", "decision": "approved", "request_id": request});
    for request in [Value::Null, json!(estate.things["approval"])] {
        let (status, answer) = api.post("/hitl/approve", &decision(request)).await;
        assert_eq!(status, 404, "{answer:#}");
    }
    assert_eq!(estate.history().await, before);

    // L30: a key is of one project: the same key in another one is another run.
    let own = estate.kick_off(&api, "a key").await;
    assert_ne!(own, *run);
    assert_eq!(estate.kick_off(&estate.theirs, "a key").await, *run);
    assert_eq!(estate.kick_off(&api, "a key").await, own);
    let decide = async |api: &Api, run: &str| {
        let path = format!("/status/{run}");
        let asked = api.until(&path, "a request", |seen| seen["hitl_pending"].is_object());
        let request = asked.await["hitl_pending"]["request_id"].clone();
        let path = format!("/v1/approvals/{}/decision", request.as_str().unwrap());
        let body = json!({"option": "rejected"});
        api.post_once(&path, "a decision", &body).await.unwrap()
    };
    assert_eq!(decide(&api, &own).await.1["request"]["run_id"], json!(own));
    let (_, theirs) = estate.theirs.get(&format!("/status/{run}")).await;
    assert_eq!(theirs["status"], "awaiting_approval", "nobody decided it");
    assert_eq!(
        decide(&estate.theirs, run).await.1["request"]["run_id"],
        json!(run)
    );
}

/// L29: neither stream of events has another project's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stream_has_events_of_another_project() {
    let estate = Estate::new().await;
    let (api, token) = outsider(&estate);
    let run = &estate.things["run"];
    let (status, _) = api.get(&format!("/v1/events/stream?run={run}")).await;
    assert_eq!(status, 404);

    // All there is from the first event on, up to one of one's own that comes last.
    let own = estate.kick_off(&api, "mine").await;
    let stream = api.request(reqwest::Method::GET, "/v1/events/stream?after=0");
    let mut bytes = stream.send().await.unwrap().bytes_stream();
    let mut seen = String::new();
    while !seen.contains("approval.requested") {
        let piece = tokio::time::timeout(PATIENCE, bytes.next()).await;
        seen.push_str(std::str::from_utf8(&piece.unwrap().unwrap().unwrap()).unwrap());
    }
    assert!(seen.contains(&own));
    assert_eq!(estate.told(&seen, ""), Vec::<&str>::new());

    let url = estate.server.url();
    let mut socket = Socket::open(url, &token, None).await.unwrap();
    let subscribe =
        |id: &str, events: Value| json!({"op": "subscribe", "id": id, "events": events});
    socket.say(&subscribe("all", json!({"after": 0}))).await;
    let mut seen = String::new();
    while !seen.contains("approval.requested") {
        seen.push_str(&socket.hear().await.to_string());
    }
    assert_eq!(estate.told(&seen, ""), Vec::<&str>::new());
    socket.say(&json!({"op": "unsubscribe", "id": "all"})).await;
    socket.say(&subscribe("theirs", json!({"run": run}))).await;
    let refused = loop {
        let told = socket.hear().await;
        if told["op"] == "problem" {
            break told;
        }
        assert_eq!(estate.told(&told.to_string(), ""), Vec::<&str>::new());
    };
    assert_eq!(refused["problem"]["code"], "ERR_NOT_FOUND", "{refused:#}");
}

/// A token names its project: with another name in it, it lets nobody in, nor does a link's token that is no
/// link, nor the cookie of a browser.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_lets_into_one_project_lets_into_another() {
    let estate = Estate::new().await;
    let url = estate.server.url();
    let approval = estate.things["approval"].clone();
    let link = acme(
        &estate.server,
        &["approvals", "link", &approval, "--to", "human:eve"],
    );
    let link = link["path"].as_str().unwrap().to_owned();
    let anybody = Api::new(url, None);
    let (status, _) = anybody.get(&link).await;
    assert_eq!(status, 200, "the link itself is good");
    let moved = link.replacen("mlt_acme_", "mlt_default_", 1);
    assert_ne!(moved, link);
    let (status, page) = anybody.get(&moved).await;
    assert_eq!(status, 404);
    assert_eq!(estate.told(&page.to_string(), ""), Vec::<&str>::new());
    let text_of_link = link.rsplit('/').next().unwrap();
    let token = estate.token_of_acme("moves", &["--principal", "human:eve"]);
    for token in [
        text_of_link.to_owned(),
        token.replacen("mlt_acme_", "mlt_default_", 1),
    ] {
        let (status, _) = Api::new(url, Some(&token)).get("/v1/runs").await;
        assert_eq!(status, 401);
    }
    let browser = Browser::log_in(&estate, &token).await;
    assert_eq!(browser.get("/runs").await.0, 200);
    let moved = Browser {
        cookie: browser.cookie.replacen("mlt_acme_", "mlt_default_", 1),
        ..browser
    };
    assert_eq!(moved.get("/v1/runs").await.0, 401);
}

/// A browser with a session.
struct Browser {
    client: Client,
    base: String,
    cookie: String,
}

impl Browser {
    async fn log_in(estate: &Estate, token: &str) -> Self {
        let client = Client::builder().redirect(Policy::none()).no_proxy();
        let client = client.timeout(PATIENCE).build().unwrap();
        let base = estate.server.url().to_owned();
        let form = client.post(format!("{base}/login"));
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        let session = form
            .body(format!("token={token}&next=%2F"))
            .send()
            .await
            .unwrap();
        assert_eq!(session.status(), 303);
        let cookie = session.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self {
            client,
            base,
            cookie,
        }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let get = self.client.get(format!("{}{path}", self.base));
        text(get.header("cookie", &self.cookie).send().await.unwrap()).await
    }

    /// Sends a form, from a page of ours.
    async fn post(&self, path: &str, form: &str) -> (u16, String) {
        let post = self.client.post(format!("{}{path}", self.base));
        let post = post
            .header("cookie", &self.cookie)
            .header("origin", &self.base);
        let post = post.header("content-type", "application/x-www-form-urlencoded");
        text(post.body(form.to_owned()).send().await.unwrap()).await
    }
}

/// L29: no page shows another project's, by its address or in a list, and no form changes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_shows_another_project_s() {
    let estate = Estate::new().await;
    let (_, token) = outsider(&estate);
    let browser = Browser::log_in(&estate, &token).await;
    let before = estate.history().await;
    let of = |name: &str| estate.things[name].as_str();
    let (run, approval, artifact, alert) = (of("run"), of("approval"), of("artifact"), of("alert"));
    let mut wrong = Vec::new();
    for path in [
        "/",
        "/runs",
        "/approvals",
        "/schedules",
        "/jobs",
        "/artifacts",
        "/sources",
        "/secrets",
        "/alerts",
        "/events",
        "/audit",
        "/access",
        "/stops",
        "/stop",
        "/runs?job=acme-tide",
        "/events?job=acme-tide",
    ] {
        let (status, page) = browser.get(path).await;
        let told = estate.told(&page, path);
        if status != 200 || !told.is_empty() {
            wrong.push(format!("{path}: {status} tells {told:?}"));
        }
    }
    for path in [
        format!("/runs/{run}"),
        format!("/runs/{run}/log.txt"),
        format!("/approvals/{approval}"),
        format!("/artifacts/{artifact}"),
        format!("/alerts/{alert}"),
        "/schedules/prod/acme-tide".to_owned(),
        "/sources/acme_bank".to_owned(),
        "/jobs/acme-tide".to_owned(),
    ] {
        let (status, page) = browser.get(&path).await;
        if status != 404 {
            wrong.push(format!("{path}: {status}\n{page}"));
        }
    }
    for (path, form) in [
        (format!("/runs/{run}/cancel"), "reason=x"),
        (format!("/runs/{run}/retry"), "reason=x"),
        (
            format!("/approvals/{approval}/decision"),
            "option=approved&version=1",
        ),
        (format!("/alerts/{alert}/replay"), "reason=x"),
        ("/schedules/prod/acme-tide/disable".to_owned(), "reason=x"),
        ("/schedules/prod/acme-tide/enable".to_owned(), "reason=x"),
        ("/sources/acme_bank/pause".to_owned(), "reason=x"),
        (format!("/access/tokens/{}/revoke", of("token")), "reason=x"),
    ] {
        let (status, page) = browser.post(&path, form).await;
        if status != 404 {
            wrong.push(format!("POST {path}: {status}\n{page}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(estate.history().await, before);
}
