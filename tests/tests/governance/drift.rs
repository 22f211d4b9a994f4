//! Schedules deployed to Modal, and drift: the real binary, our client, the emulator and the official tool.

use std::path::{Path, PathBuf};

use moorline_core::app_name::AppPolicy;
use moorline_core::content_id::ContentId;
use moorline_core::lane::Lane;
use moorline_executor::modal::ModalDeployer;
use moorline_executor::{Deployable, Deployer as _};
use moorline_modal_client::functions::{FileFunction, Schedule};
use moorline_modal_client::images::{BuildOptions, ImageDefinition};
use moorline_modal_client::{Client, Config};
use moorline_modal_emulator::{Emulator, EmulatorOptions};
use moorline_testkit::moorline::{Moorline, Running, binary};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::schedules::scene::{Cadence, QUICK, Scene, Where};
use crate::support::{json_of, ok};

/// The app of `prod/tide`.
const APP: &str = "schedules-tide-v1-prod";

/// An emulator, and an enabled schedule of an installation that knows it.
struct Stage {
    runtime: Runtime,
    emulator: Option<Emulator>,
    client: Client,
    scene: Scene,
}

impl Stage {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let options = EmulatorOptions {
            python: python(),
            helper: binary("modal-sandbox-fs-tools").unwrap(),
            ..EmulatorOptions::default()
        };
        let emulator = runtime.block_on(Emulator::start(options)).unwrap();
        let mut scene = Scene::enabled(
            Where::Sqlite,
            &Cadence::of("15 6 * * *", "Europe/Berlin"),
            QUICK,
        );
        for (name, value) in emulator.environment() {
            let moorline = std::mem::replace(&mut scene.moorline, Moorline::new().unwrap());
            scene.moorline = moorline.env(name, value);
        }
        let variables = emulator
            .environment()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        let client = Config::from_env(variables).and_then(Client::new).unwrap();
        Self {
            runtime,
            emulator: Some(emulator),
            client,
            scene,
        }
    }

    fn deploy(&self) -> Value {
        json_of(&self.scene.moorline, &["schedule", "deploy", "prod/tide"])
    }

    /// What `schedule drift` says of the lane, and that its exit code says the same.
    fn drift(&self) -> Vec<Value> {
        let arguments = ["schedule", "drift", "--lane", "prod", "--json"];
        let done = self.scene.moorline.run(arguments).unwrap();
        let report: Value = done.json().unwrap();
        let drift = report["drift"].as_bool().unwrap();
        assert_eq!(done.code, Some(i32::from(drift)), "{done}");
        report["findings"].as_array().unwrap().clone()
    }

    /// The state of the one finding there is.
    fn state(&self) -> String {
        let findings = self.drift();
        assert_eq!(findings.len(), 1, "{findings:#?}");
        findings[0]["state"].as_str().unwrap().to_owned()
    }

    /// Runs the official command line tool.
    #[expect(clippy::disallowed_methods, reason = "the official tool is a program")]
    fn modal(&self, arguments: &[&str]) -> String {
        let mut command = std::process::Command::new(python());
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.scene.moorline.root())
            .env("COLUMNS", "200")
            .envs(self.emulator.as_ref().unwrap().environment())
            .args(["-m", "modal"])
            .args(arguments);
        let ran = Running::start(&mut command)
            .unwrap()
            .wait(std::time::Duration::from_secs(55))
            .unwrap();
        assert_eq!(ran.code, Some(0), "{ran}");
        ran.stdout
    }

    fn end(mut self) {
        if let Some(emulator) = self.emulator.take() {
            self.runtime.block_on(emulator.stop());
        }
    }
}

fn python() -> PathBuf {
    let helper = binary("modal-sandbox-fs-tools").unwrap();
    let target: &Path = helper.ancestors().nth(2).unwrap();
    let python = target.join("venv/bin/python");
    assert!(
        python.is_file(),
        "the Python environment is not there; run `cargo xtask setup`"
    );
    python
}

/// L51: what is missing, taken away, changed behind our back, left behind and out of reach is drift, each with
/// what to do; "can not verify" is drift.
#[test]
fn every_difference_between_a_schedule_and_what_is_deployed_is_drift() {
    let mut stage = Stage::new();
    assert_eq!(stage.state(), "missing");
    let deployed = stage.deploy();
    assert_eq!(deployed["app"], APP, "{deployed:#}");
    assert_eq!(stage.state(), "equal");
    let apps = stage.modal(&["app", "list", "--json"]);
    assert!(apps.contains(APP), "{apps}");

    // Deployed again by somebody, with another time.
    stage.runtime.block_on(redeploy(&stage.client)).unwrap();
    let findings = stage.drift();
    assert_eq!(findings[0]["state"], "different", "{findings:#?}");
    let differences = findings[0]["differences"].to_string();
    assert!(
        differences.contains("`15 6 * * *` in Europe/Berlin"),
        "{differences}"
    );
    assert!(differences.contains("`0 5 * * *` in UTC"), "{differences}");
    stage.deploy();
    assert_eq!(stage.state(), "equal");

    stage.modal(&["app", "stop", APP, "--yes"]);
    assert_eq!(stage.state(), "missing");
    stage.deploy();

    ok(&stage.scene.moorline, &["schedule", "disable", "prod/tide"]);
    assert_eq!(stage.state(), "extra");
    let undeploy = ["schedule", "undeploy", "prod/tide"];
    assert_eq!(json_of(&stage.scene.moorline, &undeploy)["changed"], true);
    assert_eq!(json_of(&stage.scene.moorline, &undeploy)["changed"], false);
    assert_eq!(stage.state(), "equal");
    let again = stage
        .scene
        .moorline
        .run(["schedule", "deploy", "prod/tide"])
        .unwrap();
    assert!(
        again.stderr.contains("only an enabled one is deployed"),
        "{again}"
    );

    let emulator = stage.emulator.take().unwrap();
    stage.runtime.block_on(emulator.stop());
    assert_eq!(stage.state(), "unverified");
    let told = stage.scene.events("schedule.drift");
    let states: Vec<&str> = told
        .iter()
        .map(|event| event["data"]["state"].as_str().unwrap())
        .collect();
    assert_eq!(
        states,
        ["missing", "different", "missing", "extra", "unverified"]
    );
    stage.end();
}

/// The deployed function runs in Modal's own runtime: it says that the time has come, and starts nothing.
#[test]
fn a_deployed_schedule_says_that_its_time_has_come_and_starts_nothing() {
    let stage = Stage::new();
    stage.deploy();
    let due = async {
        let function = stage.client.functions().lookup(APP, "due", None).await?;
        function.call::<Option<()>>(()).await
    };
    stage.runtime.block_on(due).unwrap();
    let queues = stage.modal(&["queue", "list"]);
    assert!(queues.contains("moorline-due"), "{queues}");
    assert_eq!(stage.scene.started_for(), Vec::<String>::new());
    stage.end();
}

/// D-AUDIT-3: in one workspace no project lists, replaces or stops what another one deployed, also where the names of
/// two apps come out alike.
#[test]
fn a_project_leaves_alone_what_another_one_deployed() {
    let runtime = Runtime::new().unwrap();
    let options = EmulatorOptions {
        helper: binary("modal-sandbox-fs-tools").unwrap(),
        ..EmulatorOptions::default()
    };
    let emulator = runtime.block_on(Emulator::start(options)).unwrap();
    let variables = emulator.environment().into_iter();
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let client = Config::from_env(variables).and_then(Client::new).unwrap();
    let deployer = || {
        let image = "python:3.12-slim-bookworm";
        ModalDeployer::new(client.clone(), AppPolicy::default(), true, image)
    };
    let of = |project: &str| deployer().of_project(project);
    let tide = |job: &str| {
        let content = ContentId::of_bytes(b"what it starts");
        let document = json!({
            "type": "cron", "expr": "0 0 29 2 *", "time_zone": "UTC", "job_id": job, "spec_hash": content,
        });
        Deployable {
            id: format!("prod/{job}").parse().unwrap(),
            document: serde_json::from_value(document).unwrap(),
            content,
        }
    };
    runtime.block_on(async {
        let lane = Lane::PROD;
        let (everybody, acme) = (deployer(), of("acme"));
        everybody.deploy(&tide("tide")).await.unwrap();
        assert_eq!(acme.deployed(&lane).await.unwrap(), []);
        assert!(!acme.undeploy(&tide("tide").id).await.unwrap());
        acme.deploy(&tide("tide")).await.unwrap();
        let apps = async |deployer: &ModalDeployer| -> Vec<String> {
            let deployed = deployer.deployed(&lane).await.unwrap();
            deployed.into_iter().map(|one| one.app).collect()
        };
        assert_eq!(apps(&everybody).await, ["schedules-tide-v1"]);
        assert_eq!(apps(&acme).await, ["acme-schedules-tide-v1"]);
        assert!(everybody.undeploy(&tide("tide").id).await.unwrap());
        assert_eq!(apps(&acme).await, ["acme-schedules-tide-v1"]);

        // Both are `acme-schedules-schedules-tide-v1`.
        let (one, other) = (tide("schedules-tide"), tide("tide"));
        let alike = of("acme-schedules");
        acme.deploy(&one).await.unwrap();
        assert_eq!(acme.app(&one.id).unwrap(), alike.app(&other.id).unwrap());
        let refused = alike.deploy(&other).await.unwrap_err();
        assert!(
            format!("{refused:?}").contains("of another project"),
            "{refused:?}"
        );
        assert!(!alike.undeploy(&other.id).await.unwrap());
        assert_eq!(apps(&alike).await, [] as [&str; 0]);
        assert_eq!(apps(&acme).await.len(), 2);
        emulator.stop().await;
    });
}

/// As anybody with the workspace's token could.
async fn redeploy(client: &Client) -> moorline_modal_client::Result<String> {
    let environment = None;
    let tags = {
        let app = client.apps().get_deployed(APP, environment).await?;
        client.apps().tags(&app.id).await?
    };
    let mut draft = client.functions().draft(APP, environment).await?;
    let image = client
        .images()
        .build(
            draft.app_id(),
            &ImageDefinition::from_registry("python:3.12-slim-bookworm")?,
            &BuildOptions::default(),
        )
        .await?;
    let mut function = FileFunction::new("due", "moorline_schedule", image.id);
    function.schedule = Some(Schedule::cron("0 5 * * *", "UTC"));
    draft.function(&function).await?;
    draft.publish(tags).await
}
