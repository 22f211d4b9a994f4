//! Secrets reach the job's environment and nothing else (L18, L47, L54 as far as this executor goes).

use moorline_core::attempt::{Attempt, Exit, IsolationNeed};
use moorline_core::protocol::Reply;
use moorline_executor::{Executor as _, LogStream};
use moorline_secrets::{EnvKey, Origin, SecretEnv, SecretValue};
use moorline_testkit::canary::Canary;

use super::support::Bench;

fn secret(canary: &Canary) -> SecretEnv {
    let mut secrets = SecretEnv::new();
    let key: EnvKey = "API_KEY".parse().unwrap();
    secrets.insert(
        key,
        SecretValue::from(canary.value()),
        Origin::new("a test"),
    );
    secrets
}

/// A job that says its secret in every way it can, and then waits to be looked at.
fn leaky(bench: &Bench) -> Attempt {
    bench.script(
        r#"
        printf '%s' "$API_KEY" | cut -c1-5 | tr -d '\n'; printf '%s\n' "$API_KEY" | cut -c6-
        echo "err $API_KEY" >&2
        printf '%s' "$API_KEY" | base64
        printf '::moorline {"type":"progress","message":"%s"}\n' "$API_KEY"
        printf '::moorline {"type":"result","status":"error","class":"auth","reason":"key %s"}\n' "$API_KEY"
        echo ready
        while [ ! -e "$MOORLINE_OUTPUT_DIR/go" ]; do sleep 0.01; done
        "#,
    )
}

async fn leaks_nowhere(isolation: IsolationNeed) {
    let bench = Bench::new();
    let canary = Canary::new();
    let mut attempt = leaky(&bench);
    attempt.isolation = isolation;
    let handle = bench
        .executor
        .launch(&attempt, &secret(&canary))
        .await
        .unwrap();
    bench.wait_for_line(&handle, "ready").await;
    assert_eq!(canary.leaks_in_arguments().unwrap(), []);
    std::fs::write(bench.dir(&handle).join("out/go"), "").unwrap();
    let outcome = bench.wait(&handle).await;
    assert_eq!(outcome.exit, Exit::Exited { code: 0 });
    let Reply::Error { reason, .. } = &outcome.reply else {
        panic!("{:?}", outcome.reply)
    };
    assert_eq!(reason, "key [redacted:API_KEY]");
    let out = bench.lines(&handle, LogStream::Stdout).await;
    assert_eq!(out[0], "[redacted:API_KEY]", "split over two writes");
    assert_eq!(
        bench.lines(&handle, LogStream::Stderr).await,
        ["err [redacted:API_KEY]"]
    );
    assert_eq!(canary.leaks_below(bench.home.path()).unwrap(), []);
    assert_eq!(canary.find_in(format!("{outcome:?}").as_bytes()), None);
}

#[tokio::test]
async fn a_secret_leaks_nowhere_without_a_sandbox() {
    leaks_nowhere(IsolationNeed::Off).await;
}

#[tokio::test]
async fn a_secret_leaks_nowhere_in_a_sandbox() {
    leaks_nowhere(IsolationNeed::Required).await;
}

/// L47: the executor's own words are redacted as well.
#[tokio::test]
async fn an_error_that_contains_a_secret_is_stored_redacted() {
    let bench = Bench::new();
    // Without a slash, or it would be a path.
    let canary = Canary::of("canary-in-the-place-of-a-program");
    for isolation in [IsolationNeed::Off, IsolationNeed::Required] {
        let mut attempt = bench.attempt(&[canary.value()]);
        attempt.isolation = isolation;
        let handle = bench
            .executor
            .launch(&attempt, &secret(&canary))
            .await
            .unwrap();
        let outcome = bench.wait(&handle).await;
        let Exit::NotStarted { reason } = &outcome.exit else {
            panic!("{outcome:?}")
        };
        assert!(
            reason.starts_with("no program `[redacted:API_KEY]` in "),
            "{reason}"
        );
        assert_eq!(canary.leaks_below(bench.home.path()).unwrap(), []);
    }
}
