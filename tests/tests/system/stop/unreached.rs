//! An executor that does not take the order to end a run.

use std::sync::Arc;
use std::time::Duration;

use moorline_api::{ControlPlane as _, RunRequest, StopRequest};
use moorline_core::principal::{Principal, PrincipalKind};
use moorline_core::stop::StopScope;
use moorline_engine::EngineConfig;
use moorline_executor::Executor;
use moorline_executor::decorators::{Chaos, Fault, Operation, Plan};
use moorline_testkit::moorline::Signal;
use moorline_testkit::wait;
use serde_json::json;

use super::fleet::{engine, submission};
use super::scene::{PATIENCE, STUBBORN, STUBBORN_TREE, Scene};

/// How long a stop waits here before it says what it could not reach.
const SHORT: Duration = Duration::from_millis(100);

/// D-STOP-2: a stop that can not reach an executor says so, stays in force, and is carried out by a worker as
/// soon as the executor takes the order.
#[test]
fn a_stop_that_reaches_no_executor_says_so_and_keeps_trying() {
    let scene = Scene::new();
    let job = scene.job_with(STUBBORN, &json!({"grace_seconds": 0}), &json!({}));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let lost = (1..=3).fold(Plan::default(), |plan, call| {
            plan.at(Operation::Cancel, call, Fault::Before)
        });
        let deaf = |local| -> Arc<dyn Executor> { Arc::new(Chaos::new(Arc::new(local), lost)) };
        let hasty = |config: &mut EngineConfig| config.stop_patience = SHORT;
        let engine = engine(&scene, None, deaf, hasty).await;
        let run = engine.run_submit(submission(&job)).await.unwrap().run_id;
        scene.wait_for_processes(STUBBORN_TREE);
        let stop = StopRequest {
            scope: StopScope::All,
            actor: Principal::named(PrincipalKind::Human, "ada"),
            reason: "unsafe output".to_owned(),
            grace_seconds: None,
        };
        let report = engine.stop(stop).await.unwrap();
        assert_eq!(report.dead, []);
        let unreached: Vec<_> = report.unreached.keys().cloned().collect();
        assert_eq!(unreached, [run.to_string()]);
        assert_eq!(scene.alive().len(), STUBBORN_TREE);
        assert_eq!(engine.stop_list().await.unwrap(), [report.stop]);

        // As a worker does, round after round: two more orders are lost, the next one is not.
        let mut rounds = Vec::new();
        while !scene.alive().is_empty() {
            let enforced = engine.enforce_stops().await.unwrap();
            rounds.extend(enforced.repeated.first().map(|_| enforced.unreached.len()));
            tokio::time::sleep(SHORT / 4).await; // L77: a worker's pause between two rounds
        }
        assert_eq!(rounds.get(..3), Some([1, 1, 0].as_slice()), "{rounds:?}");
        let summary = engine.run_wait(RunRequest {
            run: run.to_string(),
        });
        assert_eq!(summary.await.unwrap().status.as_str(), "killed");
        engine.drain().await;
    });
}

/// D-STOP-2: a stop command that is killed behind its gate has reached nothing yet; the next worker does what
/// it did not come to.
#[test]
fn a_stop_whose_process_was_killed_is_carried_out_by_a_worker() {
    let scene = Scene::new();
    let job = scene.job(STUBBORN);
    let mut runner = scene.start(&job);
    scene.wait_for_processes(STUBBORN_TREE);
    runner.signal(Signal::KILL).unwrap();
    runner.wait(PATIENCE).unwrap();
    let mut stop = scene
        .moorline
        .spawn(["stop", "all", "--grace", "600", "--json"])
        .unwrap();
    let in_force = || scene.json(&["stop", "--list"]) != json!([]);
    wait::until(PATIENCE, "the gate", in_force).unwrap();
    stop.signal(Signal::KILL).unwrap();
    stop.wait(PATIENCE).unwrap();
    let worked = scene.command(&["work", "--until-idle", "--json"]);
    assert_eq!(worked.code, Some(0), "{worked}");
    assert_eq!(scene.alive(), Vec::<String>::new());
    assert_eq!(scene.json(&["runs", "show", "latest"])["status"], "killed");
}
