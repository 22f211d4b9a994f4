//! Two hundred process trees at once, driven by two workers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use moorline_api::{ControlPlane as _, SubmitRequest};
use moorline_core::attempt::IsolationNeed;
use moorline_core::clock::{SystemClock, SystemIds};
use moorline_core::principal::{Principal, PrincipalKind};
use moorline_engine::{Engine, EngineConfig, StateDirs};
use moorline_executor::Executor;
use moorline_executor::local::{LocalConfig, LocalExecutor};
use moorline_secrets::SourceChain;
use moorline_store::{PostgresStore, SqliteStore, Store};
use moorline_testkit::moorline::{Running, Signal, binary};
use moorline_testkit::postgres::{self, TestDatabase};
use moorline_testkit::wait;
use moorline_tests::Job;
use serde_json::{Value, json};

use super::scene::Scene;

/// Runs at once.
const FLEET: usize = 200;

/// Workers, each with its part of the fleet.
const WORKERS: usize = 2;

/// A child and a grandchild that do not heed SIGTERM, and one that has forked twice and left the session.
const TREE: &str =
    "trap '' TERM; sh -c 'sleep 300 & wait' & ( ( setsid sleep 300 & ) & ); wait; exit 1";

/// Processes of [`TREE`].
const TREE_SIZE: usize = 4;

/// An engine on a scene's state whose processes are all of the binary's: it has `capacity`, and an executor
/// that the test may have put something around.
pub(super) async fn engine(
    scene: &Scene,
    store: Option<&str>,
    around: impl FnOnce(LocalExecutor) -> Arc<dyn Executor>,
    settle: impl FnOnce(&mut EngineConfig),
) -> Engine {
    let dirs = StateDirs::new(scene.moorline.state_dir());
    dirs.create().unwrap();
    let store: Arc<dyn Store> = match store {
        Some(url) => Arc::new(PostgresStore::connect(url).await.unwrap()),
        None => Arc::new(SqliteStore::open(&dirs.store()).unwrap()),
    };
    let helper = binary("moorline-supervisor").unwrap();
    let local = LocalExecutor::new(LocalConfig::new(dirs.attempts(), helper)).unwrap();
    let mut config = EngineConfig::embedded(dirs);
    settle(&mut config);
    let secrets = Arc::new(SourceChain::new());
    let (clock, ids) = (Arc::new(SystemClock), Arc::new(SystemIds));
    Engine::builder(config, store, secrets, clock, ids)
        .executor("local", around(local))
        .build()
}

pub(super) fn submission(job: &Job) -> SubmitRequest {
    SubmitRequest {
        job: job.path().to_path_buf(),
        isolation: Some(IsolationNeed::Off),
        actor: Principal::named(PrincipalKind::Human, "ada"),
        ..SubmitRequest::default()
    }
}

/// How long a whole fleet may take, on a machine that does something else besides.
const FLEET_PATIENCE: Duration = Duration::from_mins(2);

/// Everything that runs, and who drives it.
struct Fleet {
    scene: Scene,
    workers: Vec<Running>,
    // Dropped after the scene, which uses it.
    _database: Option<TestDatabase>,
}

impl Fleet {
    /// Makes `count` runs of a script durable, and starts workers that take all of them.
    fn start(count: usize, script: &str, database: Option<TestDatabase>) -> Self {
        let url = database.as_ref().map(TestDatabase::url);
        let mut scene = Scene::new();
        if let Some(url) = url {
            scene.moorline = scene.moorline.env("MOORLINE_STORE", url);
        }
        let capacity = count.div_ceil(WORKERS).to_string();
        scene.moorline = scene.moorline.env("MOORLINE_CAPACITY", capacity);
        let job = scene.job(script);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            // Without a place for a single run it drives none of them.
            let nowhere = |config: &mut EngineConfig| config.capacity = 0;
            let engine = engine(&scene, url, |local| Arc::new(local), nowhere).await;
            for _ in 0..count {
                engine.run_submit(submission(&job)).await.unwrap();
            }
        });
        drop(runtime);
        let worker = |_| scene.moorline.spawn(["work"]).unwrap();
        let workers = (0..WORKERS).map(worker).collect();
        Self {
            scene,
            workers,
            _database: database,
        }
    }

    fn wait_for_processes(&self, count: usize) {
        let stands = || self.scene.alive().len() >= count;
        wait::until(FLEET_PATIENCE, "the fleet", stands).unwrap();
    }

    fn stop(&self) -> Running {
        let stop = ["stop", "all", "--reason", "unsafe output", "--json"];
        self.scene.moorline.spawn(stop).unwrap()
    }

    /// What every stop of a whole fleet comes to: no survivor, no start behind the gate, one end each.
    fn assert_stopped(&self, count: usize, report: &Value) {
        let scene = &self.scene;
        assert_eq!(
            scene.alive(),
            Vec::<String>::new(),
            "alive at the end of the stop"
        );
        assert_eq!(report["unreached"], json!({}), "{report:#}");
        let events = |kind: &str| {
            let list = [
                "events", "list", "--after", "0", "--limit", "100000", "--kind", kind,
            ];
            let events = scene.json(&list);
            let ids = events.as_array().unwrap().iter();
            ids.map(|event| event["id"].as_u64().unwrap())
                .collect::<Vec<_>>()
        };
        let gate = events("stop.engaged");
        assert_eq!(gate.len(), 1);
        let started = events("attempt.claimed");
        assert_eq!(started.len(), count, "each was started once");
        assert!(
            started.iter().all(|start| *start < gate[0]),
            "started behind the gate"
        );
        assert_eq!(events("run.ended").len(), count, "one end each");
        let runs = scene.json(&["runs", "list", "--limit", "1000"]);
        let runs = runs.as_array().unwrap();
        assert!(
            runs.iter().all(|run| run["status"] == "killed"),
            "{runs:#?}"
        );
        assert_eq!(runs.len(), count);
        assert_eq!(scene.json(&["audit", "verify"])["intact"], json!(true));
    }

    fn report(stop: Running) -> Value {
        let output = stop.wait(FLEET_PATIENCE).unwrap();
        assert_eq!(output.code, Some(0), "{output}");
        output.json().unwrap()
    }
}

/// Ten times the goal for the gate, and ten times that for a build that is not optimised on a busy machine.
const ACKNOWLEDGED: f64 = 1_000.0;

fn a_stop_of_200_trees_leaves_none(database: Option<TestDatabase>) {
    let fleet = Fleet::start(FLEET, TREE, database);
    fleet.wait_for_processes(FLEET * TREE_SIZE);
    let report = Fleet::report(fleet.stop());
    fleet.assert_stopped(FLEET, &report);
    assert_eq!(report["dead"].as_array().unwrap().len(), FLEET);
    let acknowledged = report["acknowledged_ms"].as_f64().unwrap();
    assert!(
        acknowledged < ACKNOWLEDGED,
        "the gate took {acknowledged} ms"
    );
}

/// D-STOP-2, L48.
#[test]
fn a_stop_of_200_running_trees_leaves_none() {
    a_stop_of_200_trees_leaves_none(None);
}

/// D-STOP-2, L48: the store is a server, which both workers reach on their own.
#[test]
fn a_stop_of_200_running_trees_on_postgres_leaves_none() {
    a_stop_of_200_trees_leaves_none(Some(postgres::create_database().unwrap()));
}

/// D-STOP-2: one worker is killed before the stop, the other one as soon as the gate is in force; the stop ends
/// what both of them left.
#[test]
fn a_stop_of_200_running_trees_outlives_their_drivers() {
    let mut fleet = Fleet::start(FLEET, TREE, None);
    fleet.wait_for_processes(FLEET * TREE_SIZE);
    let [first, second] = fleet.workers.as_mut_slice() else {
        panic!("there are two workers");
    };
    first.signal(Signal::KILL).unwrap();
    let stop = fleet
        .scene
        .moorline
        .spawn(["stop", "all", "--json"])
        .unwrap();
    let store = SqliteStore::open(&fleet.scene.moorline.state_dir().join("store.db")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engaged = || !runtime.block_on(store.stops_list()).unwrap().is_empty();
    wait::until(FLEET_PATIENCE, "the gate", engaged).unwrap();
    second.signal(Signal::KILL).unwrap();
    let report = Fleet::report(stop);
    fleet.assert_stopped(FLEET, &report);
}

/// L48: a hundred runs write all the time. When the stop has ended nobody writes any more.
#[test]
fn nothing_is_written_once_a_stop_has_ended_100_writers() {
    const WRITERS: usize = 100;
    // A stubborn writer, and one that has left the session.
    let write = r#"while :; do echo "$MOORLINE_RUN_ID" >> "$WITNESS"; sleep 0.3; done"#;
    let script = format!("trap '' TERM; ( ( setsid sh -c '{write}' & ) & ); {write}");
    let fleet = Fleet::start(WRITERS, &script, None);
    let scene = &fleet.scene;
    // Twice as many lines as writers, from each run at least one.
    let all_write = || {
        let lines = scene.lines();
        let runs: BTreeSet<_> = lines.iter().collect();
        runs.len() == WRITERS && lines.len() > 2 * WRITERS
    };
    wait::until(FLEET_PATIENCE, "all to write", all_write).unwrap();
    let report = Fleet::report(fleet.stop());
    let written = scene.lines().len();
    fleet.assert_stopped(WRITERS, &report);
    assert_eq!(scene.lines().len(), written, "written after the stop");
}
