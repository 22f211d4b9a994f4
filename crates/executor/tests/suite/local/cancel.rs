//! Ending attempts: the whole tree, whatever it does.

use std::time::Duration;

use moorline_core::attempt::{Attempt, Exit, IsolationNeed};
use moorline_executor::{Executor as _, LogStream};
use moorline_testkit::{process, wait};

use super::support::{Bench, PATIENCE};

/// A job that ignores SIGTERM, with a child that ignores it too and one that left the session by a double
/// fork. Each carries the marker in its environment. It says `ready` when all are there.
const STUBBORN: &str = r#"
    trap '' TERM
    sh -c 'trap "" TERM; sleep 1000' &
    (setsid sh -c 'trap "" TERM; sleep 1000 & wait' >/dev/null 2>&1 &)
    sleep 1000 &
    echo ready
    wait
    sleep 1000
"#;

fn marked(mut attempt: Attempt) -> (Attempt, String) {
    let marker = format!("marker-{}", attempt.id);
    attempt.env.insert("MARKER".to_owned(), marker.clone());
    (attempt, marker)
}

async fn stubborn_tree_is_gone_after_cancel(isolation: IsolationNeed) {
    let bench = Bench::new();
    let (mut attempt, marker) = marked(bench.script(STUBBORN));
    attempt.isolation = isolation;
    let handle = bench.launch(&attempt).await;
    bench.wait_for_line(&handle, "ready").await;
    // The shell, two subshells and four sleeps, or fewer where a shell becomes its last command.
    wait::until(PATIENCE, "the whole tree", || {
        process::matching(&marker).unwrap().len() >= 5
    })
    .unwrap();
    bench
        .executor
        .cancel(&handle, Duration::ZERO)
        .await
        .unwrap();
    let outcome = bench.wait(&handle).await;
    assert_eq!(outcome.exit, Exit::Cancelled);
    assert_eq!(process::matching(&marker).unwrap(), []);
}

#[tokio::test]
async fn a_tree_that_ignores_sigterm_and_left_the_session_is_gone_without_a_sandbox() {
    stubborn_tree_is_gone_after_cancel(IsolationNeed::Off).await;
}

#[tokio::test]
async fn a_tree_that_ignores_sigterm_and_left_the_session_is_gone_in_a_sandbox() {
    stubborn_tree_is_gone_after_cancel(IsolationNeed::Required).await;
}

async fn polite_job_says_goodbye(isolation: IsolationNeed) {
    let bench = Bench::new();
    let mut attempt =
        bench.script("trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.02; done");
    attempt.isolation = isolation;
    let handle = bench.launch(&attempt).await;
    bench.wait_for_line(&handle, "ready").await;
    bench.executor.cancel(&handle, PATIENCE).await.unwrap();
    assert_eq!(bench.wait(&handle).await.exit, Exit::Cancelled);
    assert_eq!(
        bench.lines(&handle, LogStream::Stdout).await,
        ["ready", "bye"]
    );
    assert_eq!(
        bench.lines(&handle, LogStream::System).await,
        ["ended by request"]
    );
}

#[tokio::test]
async fn a_polite_job_is_asked_first_without_a_sandbox() {
    polite_job_says_goodbye(IsolationNeed::Off).await;
}

#[tokio::test]
async fn a_polite_job_is_asked_first_in_a_sandbox() {
    polite_job_says_goodbye(IsolationNeed::Required).await;
}

#[tokio::test]
async fn the_grace_is_kept_and_then_force_is_used() {
    let bench = Bench::new();
    let handle = bench
        .launch(&bench.script("trap '' TERM; echo ready; while :; do sleep 0.02; done"))
        .await;
    bench.wait_for_line(&handle, "ready").await;
    bench
        .executor
        .cancel(&handle, Duration::from_millis(300))
        .await
        .unwrap();
    let outcome = bench.wait(&handle).await;
    assert_eq!(outcome.exit, Exit::Cancelled);
    assert!(outcome.usage.wall_seconds >= 0.3);
    assert_eq!(
        bench.lines(&handle, LogStream::System).await,
        ["ended by request", "killed after its grace"]
    );
}

/// L19: stopping what is stopped is success.
#[tokio::test]
async fn cancelling_what_is_over_changes_nothing() {
    let bench = Bench::new();
    let (handle, outcome) = bench.run(&bench.script("exit 3")).await;
    bench
        .executor
        .cancel(&handle, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(bench.wait(&handle).await, outcome);
}

#[tokio::test]
async fn a_deep_tree_is_gone_as_well() {
    let bench = Bench::new();
    // Each level waits for the next one; the last one says so.
    let script = r#"
        if [ "$1" = 0 ]; then echo ready; exec sleep 1000; fi
        sh -c "$0" "$0" $(($1 - 1)) & wait"#;
    let (attempt, marker) = marked(bench.attempt(&["sh", "-c", script, script, "40"]));
    let handle = bench.launch(&attempt).await;
    bench.wait_for_line(&handle, "ready").await;
    bench
        .executor
        .cancel(&handle, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(bench.wait(&handle).await.exit, Exit::Cancelled);
    assert_eq!(process::matching(&marker).unwrap(), []);
}
