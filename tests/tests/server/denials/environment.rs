//! The environment of a server is whose who runs it: no job finds a secret there, of no project.

use std::fs;

use moorline_testkit::moorline::{Moorline, Running};
use moorline_testkit::moorlined::ServerOptions;
use serde_json::json;

use super::super::support::{Api, PATIENCE};
use super::acme;

/// What a server has in its environment: the address of its store, its workspace.
const OF_THE_SERVER: &str = "a word of the server alone";

/// D-SEC-4: a job that declares a secret by the name of a variable of the server does not get it; what is kept
/// for the project and the lane, it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_reads_the_environment_of_the_server() {
    let options = ServerOptions::new().unwrap();
    let job = tempfile::tempdir().unwrap();
    let spec = json!({
        "job_id": "reads",
        "secrets": [{"name": "workspace", "keys": ["OF_THE_SERVER"]}],
        "steps": [{
            "name": "main",
            "argv": ["/bin/sh", "-c", "test -n \"$OF_THE_SERVER\""],
            "egress": "none",
            "secrets": ["workspace"],
        }],
    });
    fs::write(job.path().join("job_spec.json"), spec.to_string()).unwrap();
    let config = "[server]\nprojects = [\"acme\"]\n";
    let options = options.config(config).unwrap();
    let options = options.env("OF_THE_SERVER", OF_THE_SERVER);
    let server = options.start().unwrap();
    let made = ["tokens", "create", "eve", "--principal", "human:eve"];
    let theirs = acme(&server, &made)["token"].clone();
    let own = server.token("ada", ["--principal", "human:ada"]).unwrap();
    let laptop = Moorline::new().unwrap();
    for token in [own.as_str(), theirs.as_str().unwrap()] {
        let run = || {
            let mut command = laptop.bare_command();
            command.env("MOORLINE_TOKEN", token);
            command.args(["--server", server.url(), "--json", "run"]);
            command.arg(job.path()).args(["--mode", "real"]);
            Running::start(&mut command)
                .unwrap()
                .wait(PATIENCE)
                .unwrap()
        };
        let refused = run();
        assert_eq!(refused.code, Some(78), "{refused}");
        let error = refused.json().unwrap()["error"].clone();
        assert_eq!(error["code"], "ERR_MISSING_SECRET", "{refused}");
        let api = Api::new(server.url(), Some(token));
        let set = json!({"lane": "dev", "values": {"OF_THE_SERVER": "kept"}});
        let request = api.request(reqwest::Method::PUT, "/v1/secrets/workspace");
        let set = request.json(&set).send().await.unwrap();
        assert_eq!(set.status(), 200, "{}", set.text().await.unwrap());
        let done = run();
        assert_eq!(done.code, Some(0), "{done}");
    }
}
