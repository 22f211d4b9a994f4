//! What whoever uses an executor must survive: lost requests and lost answers, over the local back end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use moorline_core::attempt::Exit;
use moorline_executor::decorators::{Chaos, Fault, Operation, Plan};
use moorline_executor::local::LocalExecutor;
use moorline_executor::prelude::*;

use crate::local::support;

fn local(home: &Path) -> Arc<dyn Executor> {
    Arc::new(LocalExecutor::new(support::config(home)).unwrap())
}

/// An attempt that prints one line each time it is started.
fn attempt(home: &Path) -> Attempt {
    let script = ["/bin/sh", "-c", "echo started >> \"$1\"", "sh"];
    let mut attempt = support::attempt(home.to_owned(), &script);
    attempt.owner = "owner".to_owned();
    attempt
}

/// An attempt, and the file in which its starts are counted.
fn witnessed(home: &Path) -> (Attempt, impl Fn() -> String) {
    let mut attempt = attempt(home);
    let witness = home.join(format!("starts-{}", attempt.id));
    attempt
        .argv
        .push(witness.to_string_lossy().into_owned().into());
    (attempt, move || {
        std::fs::read_to_string(&witness).unwrap_or_default()
    })
}

/// The launch took place and its answer was lost: it is found, and launching again gives the same handle.
#[tokio::test]
async fn a_launch_whose_answer_was_lost_is_found_and_not_repeated() {
    let home = tempfile::tempdir().unwrap();
    let plan = Plan::default().at(Operation::Launch, 1, Fault::After);
    let chaos = Chaos::new(local(home.path()), plan);
    let (attempt, starts) = witnessed(home.path());
    let secrets = SecretEnv::new();
    let lost = chaos.launch(&attempt, &secrets).await;
    assert!(
        matches!(lost, Err(ExecutorError::Unknown { .. })),
        "{lost:?}"
    );
    let found = chaos.find_owned("owner").await.unwrap();
    let again = chaos.launch(&attempt, &secrets).await.unwrap();
    assert_eq!(found, std::slice::from_ref(&again));
    assert_eq!(
        chaos.wait(&again).await.unwrap().exit,
        Exit::Exited { code: 0 }
    );
    assert_eq!(starts(), "started\n");
}

#[tokio::test]
async fn a_launch_whose_request_was_lost_left_nothing() {
    let home = tempfile::tempdir().unwrap();
    let plan = Plan::default().at(Operation::Launch, 1, Fault::Before);
    let chaos = Chaos::new(local(home.path()), plan);
    let (attempt, starts) = witnessed(home.path());
    assert!(chaos.launch(&attempt, &SecretEnv::new()).await.is_err());
    assert_eq!(chaos.find_owned("owner").await.unwrap(), []);
    assert_eq!(starts(), "");
}

/// Repeats a call until it is answered.
async fn until_answered<T, F>(mut call: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, ExecutorError>>,
{
    loop {
        match call().await {
            Ok(value) => return value,
            Err(ExecutorError::Io { .. } | ExecutorError::Unknown { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Whoever repeats what was not answered starts each attempt once and loses nothing, whichever calls fail.
#[tokio::test]
async fn repeating_what_was_not_answered_is_enough() {
    let home = tempfile::tempdir().unwrap();
    let local = local(home.path());
    let mut injected = 0;
    for seed in 0..10 {
        let chaos = Chaos::new(Arc::clone(&local), Plan::seeded(seed, 0.5));
        let (attempt, starts) = witnessed(home.path());
        let secrets = SecretEnv::new();
        let handle = until_answered(|| chaos.launch(&attempt, &secrets)).await;
        let outcome = until_answered(|| chaos.wait(&handle)).await;
        assert_eq!(outcome.exit, Exit::Exited { code: 0 }, "seed {seed}");
        until_answered(|| chaos.cancel(&handle, Duration::ZERO)).await;
        let log = || {
            chaos
                .logs(&handle, LogCursor::default(), false)
                .try_collect::<Vec<_>>()
        };
        assert_eq!(until_answered(log).await, []);
        let owned = until_answered(|| chaos.find_owned("owner")).await;
        assert_eq!(owned, std::slice::from_ref(&handle), "seed {seed}");
        until_answered(|| chaos.forget(&handle)).await;
        assert_eq!(
            until_answered(|| chaos.find_owned("owner")).await,
            [],
            "seed {seed}"
        );
        assert_eq!(starts(), "started\n", "seed {seed}");
        injected += chaos.injected().len();
    }
    assert!(injected > 20, "{injected}");
}
