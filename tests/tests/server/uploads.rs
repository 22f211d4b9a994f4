//! Uploads where several servers share a PostgreSQL, each with a state directory of its own: what one took is
//! there at the other.

use moorline_testkit::moorlined::{Server, ServerOptions};
use moorline_testkit::postgres::{TestDatabase, create_database};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Api, packed_files, packed_spec, uploaded};

fn server(database: &TestDatabase, work: bool, config: &str) -> Server {
    let options = ServerOptions::new().unwrap().store(database.url());
    let options = options.config(config).unwrap();
    let options = if work {
        options
    } else {
        options.arg("--no-work")
    };
    options.start().unwrap()
}

async fn sent(api: &Api, name: &str, body: Vec<u8>) -> Value {
    let request = api.request(Method::POST, &format!("/v1/uploads?name={name}"));
    let request = request.header("content-type", "application/octet-stream");
    let answer = request.body(body).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    answer.json::<Value>().await.unwrap()["upload"].clone()
}

/// A directory and an input are sent to one server, which drives nothing; the other one is asked to run them,
/// and the first one knows how it ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_took_another_one_runs() {
    let database = create_database().unwrap();
    let (one, two) = (server(&database, false, ""), server(&database, true, ""));
    let token = one.token("ada", ["--principal", "human:ada"]).unwrap();
    let here = Api::new(one.url(), Some(&token));
    let there = here.at(two.url());
    let script = "cat \"$(sed -n 's/.*\"path\": *\"\\([^\"]*words.txt\\)\".*/\\1/p' \"$MOORLINE_INPUT\")\"\n";
    let spec = json!({
        "job_id": "reads",
        "inputs": {"words": {"required": true}},
        "steps": [{"name": "main", "argv": ["/bin/sh", "-c", script], "egress": "none"}],
    });
    let job = uploaded(&here, packed_spec(&spec)).await;
    let input = sent(&here, "words.txt", b"from the first machine\n".to_vec()).await;
    let asked = json!({"job": job, "inputs": {"words": input}});
    let (status, run) = there.post("/v1/runs", &asked).await;
    assert_eq!(status, 202, "{run}");
    let run = run["run_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/runs/{run}");
    let ended = |seen: &Value| seen["summary"]["ended_at"].is_string();
    let view = here.until(&path, "the run to end", ended).await;
    assert_eq!(view["summary"]["status"], "success", "{view:#}");
    for server in [&one, &two] {
        let log = server.moorline().run(["runs", "logs", &run]).unwrap();
        assert_eq!(log.stdout, "from the first machine\n", "{log}");
    }
    let attempts = |server: &Server| server.state_dir().join("attempts").read_dir();
    let any = |server: &Server| attempts(server).is_ok_and(|mut all| all.next().is_some());
    assert_eq!(
        (any(&one), any(&two)),
        (false, true),
        "it ran at the second"
    );

    // The same the other way round, once more, and at the same time: an upload can be named again.
    let again = json!({"job": job, "inputs": {"words": input}});
    let all = futures::future::join_all((0..4).map(|_| there.post("/v1/runs", &again))).await;
    for (status, run) in all {
        assert_eq!(status, 202, "{run}");
    }
}

/// An artifact is submitted where its directory was not sent; a project has no uploads of another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_of_its_project_at_every_server() {
    let database = create_database().unwrap();
    let project = format!("acme-{}", moorline_testkit::canary::random_hex(4));
    let config = format!("[server]\nprojects = [\"{project}\"]\n");
    let servers = [(); 2].map(|()| server(&database, false, &config));
    let [one, two] = &servers;
    let token = |project: &str| {
        let arguments = ["--project", project, "--principal", "human:ada"];
        one.token("ada", arguments).unwrap()
    };
    let ours = Api::new(one.url(), Some(&token(&project)));
    let spec = json!({"job_id": "mine", "steps": [
        {"name": "main", "argv": ["/bin/sh", "-c", "echo mine"], "egress": "none"}
    ]});
    let files = [
        ("job_spec.json", spec.to_string()),
        ("RUNBOOK.md", "# Mine\n\nSays whose it is.\n".to_owned()),
    ];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let job = uploaded(&ours, packed_files(&files)).await;
    let submission = json!({"dir": job});
    let theirs = Api::new(two.url(), Some(&token("default")));
    let (status, problem) = theirs.post("/v1/artifacts", &submission).await;
    assert_eq!((status, &problem["code"]), (404, &json!("ERR_NOT_FOUND")));
    let (status, submitted) = ours.at(two.url()).post("/v1/artifacts", &submission).await;
    assert!(matches!(status, 200 | 201), "{submitted:#}");
    assert_eq!(submitted["artifact"]["job_id"], "mine", "{submitted:#}");
}
