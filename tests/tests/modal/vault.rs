//! Secrets that Modal keeps: the contract of back ends, and runs that name them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use moorline_executor::modal::ModalSecrets;
use moorline_modal_client::{Client, Config};
use moorline_secrets::backend::conformance::{Backends, run_all};
use moorline_secrets::backend::{
    BackendError, KeptObject, SecretBackend, SecretPlace, SecretValues,
};
use moorline_secrets::{EnvKey, Origin};
use moorline_testkit::canary::Canary;
use moorline_testkit::moorline::{Moorline, Output};
use moorline_testkit::wait;
use moorline_tests::Job;
use serde_json::{Value, json};

use crate::support::Emu;

/// The secrets of one workspace, in environments of its own for each name.
#[derive(Debug)]
struct Apart {
    name: String,
    inner: ModalSecrets,
}

impl Apart {
    fn place(&self, place: &SecretPlace) -> SecretPlace {
        SecretPlace {
            environment: format!("{}-{}", self.name, place.environment),
            ..place.clone()
        }
    }
}

#[async_trait]
impl SecretBackend for Apart {
    fn origin(&self) -> Origin {
        self.inner.origin()
    }

    fn is_readable(&self) -> bool {
        self.inner.is_readable()
    }

    async fn put(&self, place: &SecretPlace, values: &SecretValues) -> Result<(), BackendError> {
        self.inner.put(&self.place(place), values).await
    }

    async fn keys(&self, place: &SecretPlace) -> Result<BTreeSet<EnvKey>, BackendError> {
        self.inner.keys(&self.place(place)).await
    }

    async fn get(&self, place: &SecretPlace) -> Result<SecretValues, BackendError> {
        self.inner.get(&self.place(place)).await
    }

    async fn list(&self, lane: &str, environment: &str) -> Result<Vec<KeptObject>, BackendError> {
        let environment = format!("{}-{environment}", self.name);
        self.inner.list(lane, &environment).await
    }

    async fn remove(
        &self,
        place: &SecretPlace,
        keys: Option<&BTreeSet<EnvKey>>,
    ) -> Result<bool, BackendError> {
        self.inner.remove(&self.place(place), keys).await
    }
}

struct Workspace(String);

impl Backends for Workspace {
    fn open(&self, name: &str) -> Arc<dyn SecretBackend> {
        let config = Config::new(&self.0, "ak-test", "as-test").unwrap();
        Arc::new(Apart {
            name: name.to_owned(),
            inner: ModalSecrets::new(Client::new(config).unwrap()),
        })
    }
}

#[test]
fn the_secrets_of_modal_conform() {
    let emu = Emu::start();
    let workspace = Workspace(emu.emulator().url());
    let failures = emu.block_on(run_all(&workspace));
    assert_eq!(failures, [] as [String; 0]);
    emu.stop();
}

/// The binary, pointed at an emulator that keeps its secrets.
fn at(emu: &Emu) -> Moorline {
    let moorline = Moorline::new()
        .unwrap()
        .env("MOORLINE_SECRETS_BACKEND", "modal");
    let variables = emu.emulator().environment().into_iter();
    variables.fold(moorline, |moorline, (name, value)| {
        moorline.env(name, value)
    })
}

fn job(script: &str) -> Job {
    Job::new(json!({
        "secrets": [{"name": "token", "keys": ["TOKEN"]}],
        "steps": [{
            "name": "main",
            "argv": ["/bin/sh", "-c", script],
            "egress": "none",
            "secrets": ["token"],
            "timeout_seconds": 300
        }]
    }))
}

fn set(moorline: &Moorline, key: &str, value: &str) {
    let arguments = ["secrets", "set", "token", "--key", key];
    let done = moorline
        .run_with_input(arguments, value.as_bytes())
        .unwrap();
    assert_eq!(done.code, Some(0), "{done}");
}

fn run(moorline: &Moorline, job: &Job, more: &[&str]) -> Output {
    let path = job.path().to_str().unwrap();
    let all = [&["run", path, "--mode", "real"], more].concat();
    moorline.run(&all).unwrap()
}

/// D-SEC-4: the object is named, its values never pass through here again, and of its keys the step has those
/// that it declares. What runs here can not have them.
#[test]
fn a_run_at_modal_names_the_objects_that_modal_keeps() {
    let emu = Emu::start();
    let moorline = at(&emu);
    let canary = Canary::new();
    let job = job("echo length ${#TOKEN} other ${#OTHER}; echo \"it is $TOKEN\"");
    let refused = run(&moorline, &job, &["--executor", "modal"]);
    assert_eq!(refused.code, Some(78), "{refused}");
    assert!(
        refused.stderr.contains("Modal's secrets"),
        "where it looked\n{refused}"
    );

    set(&moorline, "TOKEN", canary.value());
    set(&moorline, "OTHER", "not declared");
    let done = run(&moorline, &job, &["--executor", "modal"]);
    assert_eq!(done.code, Some(0), "{done}");
    let log = moorline.run(["runs", "logs", "latest"]).unwrap().stdout;
    let length = canary.value().len();
    assert!(log.contains(&format!("length {length} other 0")), "{log}");
    assert!(log.contains("it is [redacted:TOKEN]"), "{log}");
    assert_eq!(canary.leaks_below(&moorline.state_dir()).unwrap(), []);

    let here = run(&moorline, &job, &[]);
    assert_eq!(here.code, Some(78), "{here}");
    assert!(here.stderr.contains("can only be named"), "{here}");
    assert!(here.stderr.contains("executor `modal`"), "{here}");
    emu.stop();
}

/// "Can not verify" is drift; a revocation stops the sandbox that holds it, then deletes the object.
#[test]
fn secrets_at_modal_are_checked_by_key_and_revoked_after_what_holds_them() {
    let emu = Emu::start();
    let moorline = at(&emu);
    let job = job("echo ready; sleep 1000");
    let path = job.path().to_str().unwrap();
    set(&moorline, "TOKEN", "kept at Modal");
    let checked = moorline.run(["secrets", "check", path, "--json"]).unwrap();
    assert_eq!(checked.code, Some(0), "{checked}");
    assert_eq!(
        checked.json().unwrap()[0]["found_in"],
        "LONG_HORIZON_AGENT_TOKEN (by name)"
    );
    let audited = moorline
        .run(["secrets", "audit", "--lane", "dev", "--json"])
        .unwrap();
    assert_eq!(audited.code, Some(78), "{audited}");
    let report: Value = audited.json().unwrap();
    assert_eq!(report["findings"][1]["state"], "unverifiable", "{report}");

    let running = moorline
        .spawn(["run", path, "--mode", "real", "--executor", "modal"])
        .unwrap();
    let ready =
        || format!("{}{}", running.stdout_so_far(), running.stderr_so_far()).contains("ready");
    wait::until(Duration::from_secs(50), "the job's first line", ready)
        .unwrap_or_else(|error| panic!("{error}: {}", running.stderr_so_far()));
    let revoked = moorline
        .run([
            "secrets",
            "revoke",
            "token",
            "--reason",
            "seen in a log",
            "--json",
        ])
        .unwrap();
    assert_eq!(revoked.code, Some(0), "{revoked}");
    let report: Value = revoked.json().unwrap();
    assert_eq!(report["removed"], json!(["dev/LONG_HORIZON_AGENT_TOKEN"]));
    assert_eq!(report["stopped"].as_array().unwrap().len(), 1, "{report}");
    let ended = running.wait(Duration::from_secs(30)).unwrap();
    assert_eq!(ended.code, Some(137), "{ended}");
    let missing = run(&moorline, &job, &["--executor", "modal"]);
    assert!(missing.stderr.contains("ERR_MISSING_SECRET"), "{missing}");
    emu.stop();
}
