//! The command line against a real server: contexts, tokens, files that travel, keys that stay.

use std::fs;
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use moorline_testkit::moorline::{Moorline, Output, Running};
use moorline_testkit::moorlined::Server;
use moorline_testkit::wait;
use serde_json::{Value, json};

use super::support::PATIENCE;

const ADA: [&str; 2] = ["--principal", "human:ada"];

/// A person's machine: no state of its own.
struct Laptop {
    moorline: Moorline,
}

impl Laptop {
    fn new() -> Self {
        let moorline = Moorline::new().unwrap();
        Self { moorline }
    }

    /// Runs a command as it is typed: no state directory is given.
    fn run<const N: usize>(&self, arguments: [&str; N]) -> Output {
        self.run_with(arguments, b"")
    }

    fn run_with<const N: usize>(&self, arguments: [&str; N], input: &[u8]) -> Output {
        self.start(&arguments, input).wait(PATIENCE).unwrap()
    }

    fn start(&self, arguments: &[&str], input: &[u8]) -> Running {
        let mut given = tempfile::tempfile().unwrap();
        given.write_all(input).unwrap();
        given.rewind().unwrap();
        let mut command = self.moorline.bare_command();
        Running::start(command.args(arguments).stdin(given)).unwrap()
    }

    fn ok<const N: usize>(&self, arguments: [&str; N]) -> Output {
        let output = self.run(arguments);
        assert_eq!(output.code, Some(0), "{arguments:?}\n{output}");
        output
    }

    fn json<const N: usize>(&self, arguments: [&str; N]) -> Value {
        self.ok(arguments).json().unwrap()
    }

    fn home(&self) -> std::path::PathBuf {
        self.moorline.root().join("home")
    }

    fn log_in(&self, server: &Server, name: &str) {
        let token = server.token(name, ADA).unwrap();
        let url = server.url();
        let output = self.run_with(["login", url, "--name", name], token.as_bytes());
        assert_eq!(output.code, Some(0), "{output}");
        assert!(output.stdout.contains("human:ada"), "{output}");
        assert!(!output.stdout.contains(&token) && !output.stderr.contains(&token));
    }

    fn job(&self, name: &str, script: &str) -> String {
        let dir = self.moorline.root().join(name);
        write_job(&dir, name, script);
        dir.display().to_string()
    }
}

fn write_job(dir: &Path, name: &str, script: &str) {
    fs::create_dir_all(dir).unwrap();
    let step = json!({"name": "main", "argv": ["/bin/sh", "run.sh"], "egress": "none"});
    let spec = json!({"job_id": name, "version": 1, "title": name, "steps": [step]});
    fs::write(dir.join("job_spec.json"), spec.to_string()).unwrap();
    fs::write(dir.join("run.sh"), script).unwrap();
    for page in ["RUNBOOK.md", "RISKS.md", "TEST_REPORT.md"] {
        fs::write(dir.join(page), format!("# {page}\n\nNothing to add.\n")).unwrap();
    }
}

#[test]
fn a_job_is_run_on_the_server_and_its_log_is_followed_here() {
    let server = Server::start().unwrap();
    let laptop = Laptop::new();
    laptop.log_in(&server, "acme");
    let job = laptop.job("talks", "echo from afar\n");
    let summary = laptop.json(["run", &job, "--json"]);
    assert_eq!(summary["status"], "success");
    let log = laptop.ok(["runs", "logs", "latest"]);
    assert_eq!(log.stdout, "from afar\n");
    let rows = laptop.json(["runs", "list", "--json"]);
    assert_eq!(rows[0]["run_id"], summary["run_id"]);
    assert_eq!(
        laptop
            .ok(["events", "watch", "--after", "0", "--count", "1", "--json"])
            .json()
            .unwrap()["id"],
        1
    );
    assert!(
        !laptop.moorline.work_dir().join(".moorline").exists(),
        "no state here"
    );
    assert!(!laptop.moorline.state_dir().exists());
}

#[test]
fn stopping_everything_works_from_afar() {
    let server = Server::start().unwrap();
    let laptop = Laptop::new();
    laptop.log_in(&server, "acme");
    let stopped = laptop.json(["stop", "all", "--reason", "unsafe", "--json"]);
    assert_eq!(stopped["unreached"], json!({}));
    let job = laptop.job("talks", "true\n");
    let refused = laptop.run(["run", &job]);
    assert_eq!(refused.code, Some(78), "{refused}");
    assert!(refused.stderr.contains("ERR_STOP_IN_FORCE"), "{refused}");
    laptop.ok(["release", "all", "--reason", "looked at"]);
    laptop.ok(["run", &job]);
}

/// The server has no key of anybody: what is approved is signed on the person's own machine (D-ART-3).
#[test]
fn an_approval_is_signed_where_the_person_is() {
    let server = Server::start().unwrap();
    let laptop = Laptop::new();
    laptop.log_in(&server, "acme");
    let job = laptop.job("report", "echo report\n");
    laptop.ok(["artifact", "submit", &job]);
    let approved = laptop.json([
        "artifact", "approve", "latest", "--reason", "read it", "--json",
    ]);
    assert_eq!(approved["state"], "approved");
    let key = laptop.home().join(".config/moorline/keys/human-ada.key");
    assert_eq!(
        fs::metadata(key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let server_keys = server.root().join("home/.config/moorline/keys");
    assert!(!server_keys.exists(), "the server made no key");
    assert!(
        !server.state_dir().join("keys").exists(),
        "the server made no key"
    );
    laptop.ok(["artifact", "promote", "latest", "--reason", "it is time"]);
    let out = laptop
        .moorline
        .root()
        .join("exported")
        .display()
        .to_string();
    laptop.ok(["artifact", "export", "latest", "--out", &out]);
    let report = laptop.json(["artifact", "verify", &out, "--json"]);
    assert_eq!(
        (&report["intact"], &report["approved"]),
        (&json!(true), &json!(true))
    );

    // Another machine of the same name has another key, which an admin would have to register.
    let other = Laptop::new();
    other.log_in(&server, "acme");
    let second = other.job("report", "echo second\n");
    other.ok(["artifact", "submit", &second]);
    let refused = other.run(["artifact", "approve", "latest", "--reason", "read it"]);
    assert_eq!(refused.code, Some(77), "{refused}");
    assert!(refused.stderr.contains("D-AUDIT-2"), "{refused}");
}

/// A decision that comes unsigned is refused: the server would have to sign in somebody's name.
#[tokio::test]
async fn a_decision_that_is_not_signed_is_refused_over_http() {
    let server = Server::start().unwrap();
    let laptop = Laptop::new();
    laptop.log_in(&server, "acme");
    let job = laptop.job("report", "echo report\n");
    laptop.ok(["artifact", "submit", &job]);
    let token = server.token("plain", ADA).unwrap();
    let api = super::support::Api::new(server.url(), Some(&token));
    let body = json!({"reason": "read it"});
    let (status, refused) = api.post("/v1/artifacts/latest/approve", &body).await;
    assert_eq!(
        (status, &refused["code"]),
        (422, &json!("ERR_INPUTS")),
        "{refused:#}"
    );
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("D-ART-3"), "{detail}");
    assert!(
        !server.root().join("home/.config/moorline/keys").exists(),
        "no key was made"
    );
}

#[test]
fn contexts_say_which_server_and_flags_count_before_them() {
    let server = Server::start().unwrap();
    let laptop = Laptop::new();
    let nothing = laptop.json(["contexts", "list", "--json"]);
    assert_eq!(nothing, json!([]));
    laptop.log_in(&server, "acme");
    let listed = laptop.json(["contexts", "list", "--json"]);
    assert_eq!(
        listed,
        json!([{
            "name": "acme", "server": server.url(), "project": "default", "token": "file", "current": true,
        }])
    );
    let file = laptop.home().join(".config/moorline/tokens/acme");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let me = laptop.json(["principal", "whoami", "--json"]);
    assert_eq!(me["principal"], "human:ada");
    laptop.ok(["contexts", "use", "--local"]);
    let local = laptop.run(["runs", "list"]);
    assert_eq!(local.code, Some(1), "no state directory here\n{local}");
    laptop.ok(["--context", "acme", "runs", "list"]);
    laptop.ok(["--server", server.url(), "runs", "list"]);
    let both = laptop.run(["--server", server.url(), "--state", "x", "runs", "list"]);
    assert_eq!(both.code, Some(2), "{both}");
    // A token file that others can read is not used.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = laptop.run(["--context", "acme", "runs", "list"]);
    assert!(refused.stderr.contains("D-SEC-3"), "{refused}");
    laptop.ok(["logout", "acme"]);
    assert!(!file.exists());
    let unknown = laptop.run(["--context", "acme", "runs", "list"]);
    assert_eq!(unknown.code, Some(1), "{unknown}");
}

/// L28, L46: what is wrong with a token is said at once.
#[test]
fn a_token_that_lets_nobody_in_is_refused_and_not_kept() {
    let server = Server::start().unwrap();
    let laptop = Laptop::new();
    let url = server.url();
    for (token, code) in [
        ("", 2),
        ("hunter2", 2),
        (
            "mlt_default_0190aaaaaaaa7aaa8aaaaaaaaaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            77,
        ),
    ] {
        let output = laptop.run_with(["login", url], token.as_bytes());
        assert_eq!(output.code, Some(code), "`{token}`\n{output}");
        assert!(
            token.is_empty() || !output.stderr.contains(token),
            "{output}"
        );
    }
    assert!(!laptop.home().join(".config").exists(), "nothing was kept");
    let none = laptop.run(["--server", url, "runs", "list"]);
    assert_eq!(none.code, Some(77), "{none}");
    assert!(none.stderr.contains("moorline login"), "{none}");
}

#[test]
fn a_server_that_is_not_there_is_said_to_be_unreachable_with_what_to_do() {
    let mut server = Server::start().unwrap();
    let laptop = Laptop::new();
    laptop.log_in(&server, "acme");
    server.kill().unwrap();
    for arguments in [["runs", "list", "--json"], ["stop", "all", "--json"]] {
        let output = laptop.run(arguments);
        assert_eq!(output.code, Some(75), "{output}");
        let error = &output.json().unwrap()["error"];
        assert_eq!(error["code"], "ERR_UNREACHABLE");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(server.url()), "{message}");
    }
}

/// A server that is started anew in the middle of a watch: the watch goes on, without gap or repetition.
#[test]
fn a_watch_outlives_its_server() {
    let mut server = Server::start().unwrap();
    let laptop = Laptop::new();
    laptop.log_in(&server, "acme");
    let job = laptop.job("talks", "echo hello\n");
    laptop.ok(["run", &job]);
    let before = laptop.json([
        "events", "list", "--after", "0", "--limit", "1000", "--json",
    ]);
    let before = before.as_array().unwrap().len();
    let count = (before + 4).to_string();
    let watch = [
        "events", "watch", "--after", "0", "--count", &count, "--json",
    ];
    let watch = laptop.start(&watch, b"");
    wait::until(PATIENCE, "the events so far", || {
        watch.stdout_so_far().lines().count() >= before
    })
    .unwrap();
    server.restart().unwrap();
    laptop.ok(["run", &job]);
    let output = watch.wait(PATIENCE).unwrap();
    assert_eq!(output.code, Some(0), "{output}");
    let ids: Vec<u64> = output
        .stdout
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["id"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    assert_eq!(ids.len(), before + 4);
}

/// A job that begins, and goes on when it is told to.
fn write_held_job(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let script = "echo it began; touch /hold/began; \
                  while [ ! -e /hold/go ]; do sleep 0.05; done; echo it went on";
    let spec = json!({"job_id": "held", "steps": [{
        "name": "main", "argv": ["/bin/sh", "-c", script], "egress": "none",
        "mounts": [{"volume": "hold", "path": "/hold", "read_only": false}],
    }]});
    fs::write(dir.join("job_spec.json"), spec.to_string()).unwrap();
}

/// Runs a job that is held until its server was gone and is back; `gone` makes it go, given the file that tells
/// the job to go on.
fn run_through(gone: impl FnOnce(&mut Server, &Path)) {
    let mut server = Server::start().unwrap();
    let laptop = Laptop::new();
    laptop.log_in(&server, "acme");
    let job = laptop.moorline.root().join("held");
    write_held_job(&job);
    let waiting = laptop.start(&["run", job.to_str().unwrap(), "--json"], b"");
    let hold = server.state_dir().join("volumes/hold");
    wait::until(PATIENCE, "the job to begin", || hold.join("began").exists()).unwrap();
    wait::until(PATIENCE, "the log to be followed", || {
        waiting.stderr_so_far().contains("it began")
    })
    .unwrap();
    gone(&mut server, &hold.join("go"));
    server.restart().unwrap();
    fs::write(hold.join("go"), "").unwrap();
    let output = waiting.wait(PATIENCE).unwrap();
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(output.json().unwrap()["status"], "success", "{output}");
    assert_eq!(output.stderr.matches("it began").count(), 1, "{output}");
}

/// L75: the end of a run is waited for, and its log followed, while the server drains and is started again.
#[test]
fn waiting_for_a_run_outlives_a_server_that_is_told_to_end() {
    run_through(|server, go| {
        let address = server.url().trim_start_matches("http://").to_owned();
        let go = go.to_owned();
        // The server ends once the job has; nobody can reach it meanwhile.
        let telling = std::thread::spawn(move || {
            let refused = || std::net::TcpStream::connect(&address).is_err();
            wait::until(PATIENCE, "the server to take nothing more", refused).unwrap();
            fs::write(go, "").unwrap();
        });
        let ended = server.end().unwrap();
        assert_eq!(ended.code, Some(0), "{ended}");
        telling.join().unwrap();
    });
}

/// L75: the same with a server that is killed; the one that comes after it finds the run again.
#[test]
fn waiting_for_a_run_outlives_a_server_that_is_killed() {
    run_through(|server, _| server.kill().unwrap());
}

#[test]
fn what_is_of_this_machine_alone_refuses_a_server_and_says_why() {
    let laptop = Laptop::new();
    let url = "http://127.0.0.1:9";
    for (arguments, why) in [
        (vec!["init"], "state directory"),
        (vec!["work", "--once"], "worker"),
        (vec!["config", "show"], "configuration"),
        (vec!["principal", "keygen"], "private key"),
        (vec!["app-name", "llm/litellm@1"], "computes"),
        (vec!["man"], "prints"),
        (vec!["alerts", "send"], "delivers"),
        (vec!["explain", "rule", "D-ART-4"], "everywhere"),
        (vec!["contexts", "list"], "contexts"),
    ] {
        let mut all = vec!["--server", url];
        all.extend(&arguments);
        let output = laptop.start(&all, b"").wait(PATIENCE).unwrap();
        assert_eq!(output.code, Some(2), "{arguments:?}\n{output}");
        assert!(
            output.stderr.contains("--server") && output.stderr.contains(why),
            "{output}"
        );
    }
}
