//! How an attempt ends, as the outcome tells it.

use std::time::Duration;

use moorline_core::attempt::{Exit, Observation};
use moorline_executor::{Executor as _, LogStream};

use super::support::Bench;

#[tokio::test]
async fn exit_codes_arrive_as_they_are() {
    let bench = Bench::new();
    for code in [0, 1, 3, 65, 75, 77, 78, 124, 255] {
        let (handle, outcome) = bench.run(&bench.script(&format!("exit {code}"))).await;
        assert_eq!(outcome.exit, Exit::Exited { code });
        assert_eq!(
            bench.executor.observe(&handle).await.unwrap(),
            Observation::Over(Box::new(outcome))
        );
    }
}

#[tokio::test]
async fn a_signal_that_nobody_here_sent_is_named() {
    let bench = Bench::new();
    for signal in [6, 9, 11, 15] {
        let (_, outcome) = bench
            .run(&bench.script(&format!("kill -{signal} $$")))
            .await;
        assert_eq!(outcome.exit, Exit::Signaled { signal });
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_was_never_started() {
    let bench = Bench::new();
    let (handle, outcome) = bench.run(&bench.attempt(&["no-such-program"])).await;
    let reason = "no program `no-such-program` in /usr/local/bin:/usr/bin:/bin".to_owned();
    assert_eq!(
        outcome.exit,
        Exit::NotStarted {
            reason: reason.clone()
        }
    );
    assert_eq!(outcome.started_at, None);
    assert_eq!(
        bench.lines(&handle, LogStream::System).await,
        [format!("not started: {reason}")]
    );
}

#[tokio::test]
async fn a_timeout_is_a_timeout_also_when_the_job_exits_politely() {
    let bench = Bench::new();
    let mut attempt = bench.script("trap 'exit 0' TERM; while :; do sleep 0.05; done");
    attempt.limits.timeout = Duration::from_millis(200);
    let (_, outcome) = bench.run(&attempt).await;
    assert_eq!(outcome.exit, Exit::TimedOut);
    assert!(outcome.usage.wall_seconds >= 0.2);
}
