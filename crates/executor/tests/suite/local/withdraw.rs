//! Withdrawing an attempt that nobody has a handle of.

use futures::future::join_all;
use moorline_core::attempt::{Exit, Observation};
use moorline_executor::Executor as _;
use moorline_secrets::SecretEnv;

use super::support::Bench;

#[tokio::test]
async fn a_withdrawn_attempt_is_not_started_by_a_launch_that_comes_late() {
    let bench = Bench::new();
    let witness = bench.home.path().join("witness");
    let attempt = bench.script(&format!("echo ran >> {}", witness.display()));
    for _ in 0..2 {
        assert_eq!(bench.executor.withdraw(&attempt).await.unwrap(), None);
    }
    assert_eq!(bench.executor.find_owned("tests").await.unwrap(), []);
    let (handle, outcome) = bench.run(&attempt).await;
    let reason = "it was withdrawn before it started".to_owned();
    assert_eq!(outcome.exit, Exit::NotStarted { reason });
    assert_eq!(outcome.started_at, None);
    let seen = bench.executor.observe(&handle).await.unwrap();
    assert_eq!(seen, Observation::Over(Box::new(outcome)));
    assert!(!witness.exists());
    bench.executor.forget(&handle).await.unwrap();
}

#[tokio::test]
async fn an_attempt_that_was_launched_is_not_withdrawn_and_its_handle_is_given() {
    let bench = Bench::new();
    let attempt = bench.script("exit 3");
    let handle = bench.launch(&attempt).await;
    assert_eq!(bench.executor.withdraw(&attempt).await.unwrap(), Some(handle.clone()));
    assert_eq!(bench.wait(&handle).await.exit, Exit::Exited { code: 3 });
    assert_eq!(bench.executor.withdraw(&attempt).await.unwrap(), Some(handle));
}

/// L31: of a launch and a withdrawal at the same time exactly one takes place.
#[tokio::test]
async fn a_launch_and_a_withdrawal_at_once_agree() {
    let bench = Bench::new();
    let witness = bench.home.path().join("witness");
    let races = (0..20).map(|_| async {
        let attempt = bench.script(&format!("echo \"$MOORLINE_ATTEMPT_ID\" >> {}", witness.display()));
        let secrets = SecretEnv::default();
        let launch = bench.executor.launch(&attempt, &secrets);
        let (launched, withdrawn) = tokio::join!(launch, bench.executor.withdraw(&attempt));
        let outcome = bench.wait(&launched.unwrap()).await;
        match withdrawn.unwrap() {
            Some(_) => assert_eq!(outcome.exit, Exit::Exited { code: 0 }),
            None => assert!(matches!(outcome.exit, Exit::NotStarted { .. }), "{outcome:?}"),
        }
        let lines = std::fs::read_to_string(&witness).unwrap_or_default();
        let ran = lines.contains(&attempt.id.to_string());
        assert_eq!(ran, outcome.exit == Exit::Exited { code: 0 });
    });
    join_all(races).await;
}
