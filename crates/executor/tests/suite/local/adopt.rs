//! Attempts that outlive whoever started them: launched once, found again, adopted or declared lost.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use moorline_core::attempt::{Attempt, Exit, Handle, Observation};
use moorline_executor::local::LocalExecutor;
use moorline_executor::{Executor as _, ExecutorError};
use moorline_secrets::SecretEnv;
use moorline_testkit::{env, process, wait};
use rustix::process::{Pid, Signal, kill_process};

use super::support::{Bench, PATIENCE, config};

/// Where the launcher process finds its orders.
const ORDERS: &str = "MOORLINE_TEST_LAUNCH";

fn pid(handle: &Handle) -> Pid {
    let pid = i32::try_from(handle.data["pid"].as_i64().unwrap()).unwrap();
    Pid::from_raw(pid).unwrap()
}

#[tokio::test]
async fn an_attempt_is_launched_once_however_often_it_is_asked_for() {
    let bench = Bench::new();
    let mut attempt = bench.script("echo x >> $WITNESS; sleep 0.2");
    let witness = bench.home.path().join("witness");
    attempt
        .env
        .insert("WITNESS".to_owned(), witness.display().to_string());
    let other = LocalExecutor::new(config(bench.home.path())).unwrap();
    let secrets = SecretEnv::new();
    let launches = (0..8).map(|n| {
        let executor = if n % 2 == 0 { &bench.executor } else { &other };
        executor.launch(&attempt, &secrets)
    });
    let handles = futures::future::try_join_all(launches).await.unwrap();
    assert!(handles.iter().all(|handle| *handle == handles[0]));
    assert_eq!(bench.wait(&handles[0]).await.exit, Exit::Exited { code: 0 });
    // Also when it is over.
    assert_eq!(bench.launch(&attempt).await, handles[0]);
    assert_eq!(std::fs::read_to_string(witness).unwrap(), "x\n");
}

#[tokio::test]
async fn another_executor_finds_the_attempt_and_waits_for_it() {
    let bench = Bench::new();
    let handle = bench.launch(&bench.script("sleep 0.2; exit 5")).await;
    let other = LocalExecutor::new(config(bench.home.path())).unwrap();
    assert_eq!(
        other.find_owned("tests").await.unwrap(),
        std::slice::from_ref(&handle)
    );
    assert_eq!(other.find_owned("someone else").await.unwrap(), []);
    assert_eq!(other.observe(&handle).await.unwrap(), Observation::Running);
    let outcome = other.wait(&handle).await.unwrap();
    assert_eq!(outcome.exit, Exit::Exited { code: 5 });
    assert_eq!(bench.wait(&handle).await, outcome);
}

#[tokio::test]
async fn an_attempt_whose_supervisor_was_killed_is_lost_and_leaves_nothing_behind() {
    for isolation in [
        moorline_core::attempt::IsolationNeed::Off,
        moorline_core::attempt::IsolationNeed::Required,
    ] {
        let bench = Bench::new();
        let mut attempt =
            bench.script("(setsid sleep 1000 &) ; sleep 1000 & echo ready; sleep 1000");
        attempt.isolation = isolation;
        let handle = bench.launch(&attempt).await;
        bench.wait_for_line(&handle, "ready").await;
        kill_process(pid(&handle), Signal::KILL).unwrap();
        let outcome = bench.wait(&handle).await;
        assert!(
            matches!(outcome.exit, Exit::Lost { .. }),
            "{:?}",
            outcome.exit
        );
        // Whoever looks next sees the same words.
        let other = LocalExecutor::new(config(bench.home.path())).unwrap();
        assert_eq!(
            other.observe(&handle).await.unwrap(),
            Observation::Over(Box::new(outcome))
        );
        let mark = format!("MOORLINE_ATTEMPT_ID={}", handle.attempt_id);
        // What was killed may still be on its way out.
        wait::until(PATIENCE, "the end of all processes", || {
            process::matching(&mark).unwrap().is_empty()
        })
        .unwrap();
    }
}

/// The id of a process that is alive, with the start time of one that is not. The parent of this
/// process is taken: start times are counted in ticks of 10 ms, and this process itself can be of
/// the same tick as its supervisor.
#[tokio::test]
async fn a_reused_process_id_is_not_taken_for_the_supervisor() {
    let other = std::os::unix::process::parent_id();
    let bench = Bench::new();
    let mut handle = bench.launch(&bench.script("sleep 1000")).await;
    kill_process(pid(&handle), Signal::KILL).unwrap();
    let claim = bench.dir(&handle).join("claim.json");
    let text = std::fs::read_to_string(&claim).unwrap();
    let reused = text.replace(
        &format!("\"pid\":{}", handle.data["pid"]),
        &format!("\"pid\":{other}"),
    );
    assert_ne!(reused, text);
    std::fs::write(claim, reused).unwrap();
    handle.data["pid"] = other.into();
    let Observation::Over(outcome) = bench.executor.observe(&handle).await.unwrap() else {
        panic!("another process was taken for the supervisor");
    };
    assert!(matches!(outcome.exit, Exit::Lost { .. }));
}

#[tokio::test]
async fn a_handle_that_is_wrong_does_not_end_the_attempt() {
    let bench = Bench::new();
    let handle = bench.launch(&bench.script("sleep 0.3; exit 4")).await;
    let mut wrong = handle.clone();
    wrong.data["pid"] = std::os::unix::process::parent_id().into();
    assert_eq!(
        bench.executor.observe(&wrong).await.unwrap(),
        Observation::Running
    );
    assert_eq!(bench.wait(&wrong).await.exit, Exit::Exited { code: 4 });
}

#[tokio::test]
async fn an_attempt_of_an_earlier_boot_is_lost() {
    let bench = Bench::new();
    let (mut handle, _) = bench.run(&bench.script("exit 0")).await;
    let dir = bench.dir(&handle);
    std::fs::remove_file(dir.join("exit.json")).unwrap();
    let claim = std::fs::read_to_string(dir.join("claim.json")).unwrap();
    let boot = handle.data["boot_id"].as_str().unwrap().to_owned();
    std::fs::write(dir.join("claim.json"), claim.replace(&boot, "another-boot")).unwrap();
    handle.data["boot_id"] = "another-boot".into();
    let reason = "the machine was restarted while it ran".to_owned();
    assert_eq!(bench.wait(&handle).await.exit, Exit::Lost { reason });
}

/// A power loss can leave an empty record. It is as good as none.
#[tokio::test]
async fn a_damaged_record_is_a_lost_attempt() {
    let bench = Bench::new();
    let (handle, _) = bench.run(&bench.script("exit 0")).await;
    std::fs::write(bench.dir(&handle).join("exit.json"), "").unwrap();
    let outcome = bench.wait(&handle).await;
    assert!(matches!(outcome.exit, Exit::Lost { .. }));
    assert_eq!(bench.wait(&handle).await, outcome);
}

#[tokio::test]
async fn what_is_forgotten_is_gone_and_what_runs_can_not_be_forgotten() {
    let bench = Bench::new();
    let handle = bench
        .launch(&bench.script("echo x > $MOORLINE_OUTPUT_DIR/x; sleep 0.1"))
        .await;
    let refused = bench.executor.forget(&handle).await;
    assert!(matches!(refused, Err(ExecutorError::StillRunning)));
    bench.wait(&handle).await;
    for _ in 0..2 {
        bench.executor.forget(&handle).await.unwrap();
    }
    assert!(!bench.dir(&handle).exists());
    assert_eq!(bench.executor.find_owned("tests").await.unwrap(), []);
    let gone = bench.executor.observe(&handle).await;
    assert!(matches!(gone, Err(ExecutorError::NotFound { .. })));
}

/// Killed at any moment of a launch, the launcher leaves an attempt that runs once or not at all, and that
/// whoever comes next can launch or adopt. The witness is outside of the executor's records.
#[tokio::test]
async fn a_launcher_killed_at_any_moment_leaves_an_attempt_that_runs_once() {
    let bench = Bench::new();
    let witness = bench.home.path().join("witness");
    let mut adopted = 0;
    for round in 0..24 {
        let mut attempt = bench.script("echo $MOORLINE_ATTEMPT_ID >> $WITNESS; sleep 0.05");
        attempt
            .env
            .insert("WITNESS".to_owned(), witness.display().to_string());
        let mut launcher = launcher(&attempt, bench.home.path());
        // From before the spawn to after the handle.
        let moment = Duration::from_micros(400 * round);
        let claim = bench
            .home
            .path()
            .join(format!("attempts/{}/claim.json", attempt.id));
        let start = clock();
        wait::until(PATIENCE, "the moment", || clock() >= start + moment).unwrap();
        // However slow the machine is, some are killed after it.
        if round >= 20 {
            wait::until(PATIENCE, "the claim", || claim.exists()).unwrap();
        }
        launcher.kill().unwrap();
        launcher.wait().unwrap();
        adopted += u32::from(claim.exists());
        let handle = bench.launch(&attempt).await;
        assert_eq!(bench.wait(&handle).await.exit, Exit::Exited { code: 0 });
        let starts = std::fs::read_to_string(&witness).unwrap();
        let ours = attempt.id.to_string();
        assert_eq!(starts.lines().filter(|line| *line == ours).count(), 1);
    }
    assert!(adopted >= 4, "{adopted}");
}

/// Time since some fixed point.
fn clock() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::try_from(now).unwrap()
}

/// A process that launches one attempt and then stays.
fn launcher(attempt: &Attempt, home: &Path) -> Child {
    #[expect(
        clippy::disallowed_methods,
        reason = "the launcher has to be a process that can be killed"
    )]
    let mut command = Command::new(std::env::current_exe().unwrap());
    let orders = serde_json::to_string(&(home, attempt)).unwrap();
    command
        .args([
            "--exact",
            "local::adopt::the_launcher",
            "--ignored",
            "--nocapture",
        ])
        .env(ORDERS, orders)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
#[ignore = "a helper of the other tests: the launcher process that one of them kills"]
async fn the_launcher() {
    let Some(orders) = env::read(ORDERS) else {
        return;
    };
    let (home, attempt): (std::path::PathBuf, Attempt) = serde_json::from_str(&orders).unwrap();
    let executor = LocalExecutor::new(config(&home)).unwrap();
    executor.launch(&attempt, &SecretEnv::new()).await.unwrap();
    std::future::pending::<()>().await;
}
