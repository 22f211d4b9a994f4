//! Who comes in, how far, for how long, and how often.

use std::fs;
use std::path::Path;

use moorline_engine::signature;
use moorline_testkit::moorline::{Moorline, Running, binary};
use moorline_testkit::moorlined::{Server, ServerOptions};
use moorline_testkit::wait;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use super::support::{Api, PATIENCE};

/// What signs the requests to the hook.
const SECRET: &str = "a-shared-secret-of-the-sender";

/// The instant at which a server with a clock of its own starts.
const START: &str = "2026-03-01T06:15:00Z";

async fn get(api: &Api, path: &str) -> Response {
    api.request(Method::GET, path).send().await.unwrap()
}

fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap()).to_owned()
}

/// A browser without a jar: it follows nothing and shows what it is told to.
fn browser() -> Client {
    let client = Client::builder().redirect(Policy::none()).no_proxy();
    client.timeout(PATIENCE).build().unwrap()
}

fn with_token(server: &Server, name: &str, arguments: &[&str]) -> Api {
    let token = server.token(name, arguments).unwrap();
    Api::new(server.url(), Some(&token))
}

/// L28: missing, wrong, unscoped, expired: 401, 401, 403, 401; each as a problem that says what to do.
#[tokio::test]
async fn who_may_not_come_in_is_told_so_and_nothing_else() {
    let options = ServerOptions::new().unwrap();
    let home = tempfile::tempdir().unwrap();
    let clock = home.path().join("clock");
    fs::write(&clock, START).unwrap();
    let server = options.env("MOORLINE_TEST_CLOCK", &clock).start().unwrap();
    let good = server.token("ada", ["--principal", "human:ada", "--days", "1"]);
    let good = good.unwrap();
    let (rest, last) = good.split_at(good.len() - 1);
    let wrong = format!("{rest}{}", if last == "A" { "B" } else { "A" });
    let unknown_project = good.replacen("mlt_default_", "mlt_elsewhere_", 1);

    let api = Api::new(server.url(), Some(&good));
    assert_eq!(api.get("/v1/runs").await, (200, json!([])));
    let mut refusals = Vec::new();
    for token in [
        None,
        Some(wrong.as_str()),
        Some(&unknown_project),
        Some("mlt_"),
    ] {
        let response = get(&Api::new(server.url(), token), "/v1/runs").await;
        assert_eq!(response.status(), 401, "{token:?}");
        assert!(header(&response, "www-authenticate").starts_with("Bearer"));
        assert_eq!(
            header(&response, "content-type"),
            "application/problem+json"
        );
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["code"], "ERR_UNAUTHENTICATED");
        refusals.push((problem["detail"].clone(), problem["hint"].clone()));
    }
    assert_eq!(refusals[1], refusals[2], "a wrong one is as an unknown one");
    assert_eq!(refusals[1], refusals[3]);

    let scoped = with_token(
        &server,
        "ci",
        &["--principal", "ci:github", "--scope", "run.get"],
    );
    let (status, problem) = scoped.get("/v1/runs").await;
    assert_eq!((status, &problem["rules"]), (403, &json!(["D-AUDIT-2"])));
    let hint = problem["hint"].as_str().unwrap();
    let record = hint.split("`moorline explain refusal ").nth(1).unwrap();
    let record = record.split('`').next().unwrap();
    let explained = server
        .moorline()
        .run(["explain", "refusal", record])
        .unwrap();
    assert!(explained.stdout.contains("ci:github"), "{explained}");

    fs::write(&clock, "2026-03-02T06:15:00Z").unwrap();
    assert_eq!(api.get("/v1/runs").await.0, 401, "expired");
}

/// A revocation on the machine reaches a server that has just seen the token.
#[tokio::test]
async fn a_revoked_token_is_refused_by_a_server_that_knew_it() {
    let server = Server::start().unwrap();
    let made = [
        "tokens",
        "create",
        "laptop",
        "--principal",
        "human:ada",
        "--json",
    ];
    let made = server.moorline().run(made).unwrap().json().unwrap();
    let api = Api::new(server.url(), made["token"].as_str());
    assert_eq!(api.get("/v1/runs").await.0, 200);
    let id = made["record"]["id"].as_str().unwrap();
    let revoked = server.moorline().run(["tokens", "revoke", id]).unwrap();
    assert_eq!(revoked.code, Some(0), "{revoked}");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while api.get("/v1/runs").await.0 != 401 {
        assert!(tokio::time::Instant::now() < deadline, "it still lets in");
        // L77: between two looks
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(!server.log().contains("mlt_"), "no token in the log");
}

/// L29: what is another project's is not there, and its tokens see their own.
#[tokio::test]
async fn projects_do_not_see_each_other() {
    let options = ServerOptions::new().unwrap();
    let options = options.config("[server]\nprojects = [\"acme\"]\n").unwrap();
    let server = options.start().unwrap();
    let own = with_token(&server, "ada", &["--principal", "human:ada"]);
    let acme = ["--project", "acme", "--principal", "human:eve"];
    let other = with_token(&server, "eve", &acme);
    let names = async |api: &Api| -> Vec<Value> {
        let (status, tokens) = api.get("/v1/tokens").await;
        assert_eq!(status, 200, "{tokens:#}");
        let tokens = tokens.as_array().unwrap().iter();
        tokens.map(|token| token["name"].clone()).collect()
    };
    assert_eq!(names(&own).await, ["ada"]);
    assert_eq!(names(&other).await, ["eve"]);
    let (_, tokens) = own.get("/v1/tokens").await;
    let id = tokens[0]["id"].as_str().unwrap();
    let path = format!("/v1/tokens/{id}/revoke");
    let (status, _) = other.post(&path, &json!({"reason": "not mine"})).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_browser_logs_in_acts_from_our_pages_alone_and_logs_out() {
    let server = Server::start().unwrap();
    let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
    let url = |path: &str| format!("{}{path}", server.url());
    let browser = browser();
    let log_in = async |token: &str| {
        let body = format!("token={token}&next=%2Fruns");
        let form = "application/x-www-form-urlencoded";
        let post = browser.post(url("/login")).header("content-type", form);
        post.body(body).send().await.unwrap()
    };
    assert_eq!(
        browser.get(url("/login")).send().await.unwrap().status(),
        200
    );
    let refused = log_in("mlt_nobody").await;
    assert_eq!(refused.status(), 401);
    assert_eq!(header(&refused, "set-cookie"), "");
    let session = log_in(&token).await;
    assert_eq!(
        (session.status().as_u16(), header(&session, "location")),
        (303, "/runs".to_owned())
    );
    let cookie = header(&session, "set-cookie");
    assert!(
        cookie.contains("; HttpOnly; SameSite=Strict"),
        "no script and no other site has it"
    );
    assert!(
        !cookie.contains(&token),
        "the session has a token of its own"
    );
    let cookie = cookie.split(';').next().unwrap().to_owned();

    let runs = async || {
        let get = browser.get(url("/v1/runs")).header("cookie", &cookie);
        get.send().await.unwrap().status().as_u16()
    };
    assert_eq!(runs().await, 200);
    let text = cookie.split_once('=').unwrap().1;
    let shown = Api::new(server.url(), Some(text)).get("/v1/runs").await;
    assert_eq!(
        shown.0, 401,
        "what a browser keeps is no token for programs"
    );

    let stop = async |name: &'static str, value: &str| {
        let post = browser.post(url("/v1/stops")).header("cookie", &cookie);
        let body = json!({"scope": "job:none", "reason": "for the test"});
        let post = post.header(name, value).json(&body);
        post.send().await.unwrap().status().as_u16()
    };
    assert_eq!(stop("origin", "https://evil.example").await, 403);
    assert_eq!(stop("sec-fetch-site", "cross-site").await, 403);
    assert_eq!(stop("origin", server.url()).await, 200);

    let post = browser.post(url("/logout")).header("cookie", &cookie);
    assert_eq!(post.send().await.unwrap().status(), 303);
    assert_eq!(runs().await, 401);

    let mut last = log_in("mlt_nobody").await;
    for _ in 0..20 {
        last = log_in("mlt_nobody").await;
    }
    assert_eq!(last.status(), 429, "nobody tries all tokens");
    assert!(header(&last, "retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn a_token_that_asks_too_often_waits_and_others_do_not() {
    let options = ServerOptions::new().unwrap();
    let slow = "[server]\nrate_per_second = 1\nrate_burst = 3\n";
    let server = options.config(slow).unwrap().start().unwrap();
    let busy = with_token(&server, "busy", &["--principal", "ci:busy"]);
    let calm = with_token(&server, "calm", &["--principal", "ci:calm"]);
    let mut limited = None;
    for _ in 0..200 {
        let response = get(&busy, "/v1/runs").await;
        if response.status() == 429 {
            limited = Some(response);
            break;
        }
        assert_eq!(response.status(), 200);
    }
    let limited = limited.expect("200 requests take less than 200 seconds");
    assert!(header(&limited, "retry-after").parse::<u64>().unwrap() >= 1);
    let problem: Value = limited.json().await.unwrap();
    assert_eq!(problem["code"], "ERR_RATE_LIMITED");
    assert_eq!(calm.get("/v1/runs").await.0, 200);
}

/// D-STOP-1: nobody who has asked too often has to wait with a stop; nor may they stop without end.
#[tokio::test]
async fn who_has_asked_too_often_can_still_stop() {
    let options = ServerOptions::new().unwrap();
    let slow = "[server]\nrate_per_second = 1\nrate_burst = 3\n";
    let server = options.config(slow).unwrap().start().unwrap();
    let ada = with_token(&server, "ada", &["--principal", "human:ada"]);
    let exhaust = async |path: &'static str, body: Value| {
        let mut limited = false;
        for _ in 0..200 {
            limited |= ada.post(path, &body).await.0 == 429;
        }
        assert!(limited, "{path}: 200 requests take less than 200 seconds");
    };
    exhaust("/v1/runs", json!({})).await;
    let reason = "for the test";
    let stop = json!({"scope": "job:none", "reason": reason});
    assert_eq!(ada.post("/v1/stops", &stop).await.0, 200);
    exhaust("/v1/stops", stop).await;
    // What lets things go on again is not among it.
    let release = json!({"scope": "job:none", "reason": reason});
    exhaust("/v1/stops/release", release).await;
}

fn write_job(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let spec = json!({
        "job_id": "hooked",
        "params": {"body": null},
        "steps": [{"name": "work", "argv": ["/bin/true"], "egress": "none"}],
    });
    fs::write(dir.join("job_spec.json"), spec.to_string()).unwrap();
}

#[tokio::test]
async fn a_signed_request_starts_its_job_once() {
    let job = tempfile::tempdir().unwrap();
    write_job(job.path());
    let config = format!(
        "[server.incoming.billing]\nsecret = \"HOOK_KEY\"\njob = \"{}\"\n",
        job.path().display()
    );
    let options = ServerOptions::new().unwrap().env("HOOK_KEY", SECRET);
    let clock = job.path().with_extension("clock");
    fs::write(&clock, format!("{START} running")).unwrap();
    let options = options.env("MOORLINE_TEST_CLOCK", &clock);
    let server = options.config(&config).unwrap().start().unwrap();
    let body = r#"{"invoice": 7}"#;
    let post = async |hook: &str, signature: &str, body: &'static str| {
        let post = browser().post(format!("{}/hooks/{hook}", server.url()));
        let post = post.header("moorline-signature", signature).body(body);
        let response = post.send().await.unwrap();
        (
            response.status().as_u16(),
            response.json::<Value>().await.unwrap(),
        )
    };
    let now: jiff::Timestamp = START.parse().unwrap();
    let signed = signature::sign(SECRET, now, body.as_bytes());
    let (status, started) = post("billing", &signed, body).await;
    assert_eq!(status, 202, "{started:#}");
    let run = started["run_id"].as_str().unwrap();
    let (time, hex) = signed.split_once(",v1=").unwrap();
    let in_capitals = format!("{time},v1={}", hex.to_uppercase());
    let (status, refused) = post("billing", &in_capitals, body).await;
    assert_eq!(status, 409, "{refused:#}");
    assert!(refused["detail"].as_str().unwrap().contains(run));

    let old = now - jiff::SignedDuration::from_mins(6);
    let forged = signature::sign("another secret", now, body.as_bytes());
    let late = signature::sign(SECRET, old, body.as_bytes());
    let changed = post("billing", &signed, r#"{"invoice": 8}"#).await;
    let mut refusals = vec![changed];
    for (hook, signature) in [("billing", &forged), ("billing", &late), ("other", &signed)] {
        refusals.push(post(hook, signature, body).await);
    }
    for (status, problem) in &refusals {
        assert_eq!(
            (*status, &problem["code"]),
            (401, &json!("ERR_UNAUTHENTICATED"))
        );
        assert_eq!(problem["detail"], refusals[0].1["detail"]);
    }
    let api = with_token(&server, "ada", &["--principal", "human:ada"]);
    let (_, runs) = api.get("/v1/runs").await;
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs:#}");
    let (_, found) = api.get(&format!("/v1/runs/{run}")).await;
    assert_eq!(found["actor"], "ci:hook-billing");
}

/// A job that asks once it has done its work.
fn write_gated_job(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let spec = json!({
        "job_id": "asks",
        "steps": [{"name": "work", "argv": ["/bin/true"], "egress": "none"}],
        "workflow": {
            "start": "work",
            "steps": {"work": {"then": "may_it"}},
            "gates": [{"name": "may_it", "title": "May it?", "options": [
                {"name": "approved", "to": "end"},
                {"name": "rejected", "to": "reject"},
            ]}],
        },
    });
    fs::write(dir.join("job_spec.json"), spec.to_string()).unwrap();
}

#[tokio::test]
async fn a_link_decides_one_request_once() {
    let job = tempfile::tempdir().unwrap();
    write_gated_job(job.path());
    let server = Server::start().unwrap();
    let asked = ["run", job.path().to_str().unwrap(), "--json"];
    let parked = server.moorline().run(asked).unwrap();
    assert_eq!(parked.code, Some(3), "{parked}");
    let link = || {
        let link = ["approvals", "link", "latest", "--to", "human:ada", "--json"];
        let link = server.moorline().run(link).unwrap().json().unwrap();
        format!("{}{}", server.url(), link["path"].as_str().unwrap())
    };
    let (first, second) = (link(), link());
    let browser = browser();
    let look = async |link: &str| {
        let response = browser.get(link).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let decide = async |link: &str, option: &str| {
        let form = "application/x-www-form-urlencoded";
        let post = browser.post(link).header("content-type", form);
        let post = post.body(format!("option={option}"));
        post.send().await.unwrap().status().as_u16()
    };
    for _ in 0..2 {
        let (status, page) = look(&first).await;
        assert_eq!(status, 200, "looking decides nothing");
        assert!(page.contains("May it?"), "{page}");
    }
    let token = first.rsplit('/').next().unwrap();
    let shown = Api::new(server.url(), Some(token)).get("/v1/runs").await;
    assert_eq!(shown.0, 401, "a link permits nothing else");
    let cut = first.get(..first.len() - 1).unwrap();
    assert_eq!(look(cut).await.0, 404);
    assert_eq!(decide(&first, "nothing_of_the_kind").await / 100, 4);
    assert_eq!(look(&first).await.0, 200, "a mistake does not use it up");
    assert_eq!(decide(&first, "approved").await, 200);
    assert_eq!(decide(&first, "approved").await, 200, "the same answer");
    assert_eq!(decide(&first, "rejected").await, 409);
    let (status, page) = look(&first).await;
    assert_eq!(status, 410);
    assert!(page.contains("This link was used"), "{page}");
    let (status, page) = look(&second).await;
    assert_eq!(status, 410);
    assert!(page.contains("Somebody has decided already"), "{page}");
    assert_eq!(decide(&second, "rejected").await, 409);
    let api = with_token(&server, "ada", &["--principal", "human:ada"]);
    let decided = |run: &Value| run[0]["status"] == "success";
    api.until("/v1/runs", "the run to end", decided).await;
}

/// L27: without a token nobody listens beyond this machine.
#[test]
fn nothing_listens_beyond_this_machine_while_there_is_no_token() {
    let server = Moorline::of_binary(binary("moorlined").unwrap()).unwrap();
    let everywhere = ["--bind", "0.0.0.0:0"];
    let refused = server.run(everywhere).unwrap();
    assert_eq!(refused.code, Some(78), "{refused}");
    assert!(
        refused.stderr.contains("moorline tokens create"),
        "{refused}"
    );
    let moorline = Moorline::new().unwrap();
    let mut create = moorline.bare_command();
    create.arg("--state").arg(server.state_dir());
    let create = Running::start(create.args(["tokens", "create", "ada"]));
    let made = create.unwrap().wait(PATIENCE).unwrap();
    assert_eq!(made.code, Some(0), "{made}");
    assert!(made.stdout.starts_with("mlt_default_"));
    let running = server.spawn(everywhere).unwrap();
    let listens = || {
        let said = running.stdout_so_far() + &running.stderr_so_far();
        said.contains("listening on")
    };
    wait::until(PATIENCE, "a server that listens", listens).unwrap();
}
