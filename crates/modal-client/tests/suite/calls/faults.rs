//! Under every fault of a plan: no call is lost, none is applied twice.

use std::time::Duration;

use moorline_modal_client::proto::{AppListRequest, AppListResponse};
use moorline_modal_client::queues::PutOptions;
use moorline_modal_client::{
    CallOptions, Client, Config, Effect, ErrorKind, Existence, RetryPolicy, Rpc,
};
use moorline_modal_emulator::{Emulator, EmulatorOptions};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::calls::Harness;

#[tokio::test]
async fn a_call_that_fails_after_its_effect_is_repeated_and_applied_once() {
    let harness = Harness::start().await;
    let queue = harness.client.queues().ephemeral(None).await.unwrap();
    for (kind, code) in [
        ("fail_before", 14),
        ("fail_after", 14),
        ("fail_after", 13),
        ("fail_after", 1),
    ] {
        let before = harness.count("queue.put");
        harness.faults(json!([{"rpc": "QueuePut", "kind": kind, "code": code}]));
        queue.put(&1, PutOptions::default()).await.unwrap();
        assert_eq!(harness.count("queue.put") - before, 1, "{kind} {code}");
    }
    assert_eq!(queue.len().await.unwrap(), 4);
}

#[tokio::test]
async fn a_reset_stream_is_repeated() {
    let harness = Harness::start().await;
    let queue = harness.client.queues().ephemeral(None).await.unwrap();
    harness.faults(json!([{"rpc": "QueuePut", "kind": "reset"}]));
    queue.put(&1, PutOptions::default()).await.unwrap();
    assert_eq!(
        (harness.count("queue.put"), queue.len().await.unwrap()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_value_whose_answer_is_lost_is_not_lost() {
    let harness = Harness::start().await;
    let queue = harness.client.queues().ephemeral(None).await.unwrap();
    queue.put(&"only one", PutOptions::default()).await.unwrap();
    harness.faults(json!([{"rpc": "QueueGet", "kind": "fail_after", "code": 14}]));
    let value: Option<String> = queue.get(Some(Duration::ZERO)).await.unwrap();
    assert_eq!(value.as_deref(), Some("only one"));
    assert_eq!(harness.count("queue.get"), 1);
}

#[tokio::test]
async fn throttling_is_waited_for_beyond_the_number_of_retries() {
    let mut policy = RetryPolicy::default();
    policy.max_retries = 0;
    let harness = Harness::with(policy).await;
    harness.faults(
        json!([{"rpc": "AppList", "kind": "throttle", "retry_after_secs": 0.1, "times": 3}]),
    );
    harness.client.apps().list(None).await.unwrap();
}

#[tokio::test]
async fn throttling_that_takes_too_long_is_an_error() {
    let mut policy = RetryPolicy::default();
    policy.max_throttle_wait = Some(Duration::from_millis(250));
    let harness = Harness::with(policy).await;
    harness.faults(
        json!([{"rpc": "AppList", "kind": "throttle", "retry_after_secs": 0.1, "times": 9}]),
    );
    let error = harness.client.apps().list(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(!error.may_have_happened());
}

#[tokio::test]
async fn retries_end_with_the_error_and_whether_it_may_have_happened() {
    let harness = Harness::start().await;
    let queue = harness.client.queues().ephemeral(None).await.unwrap();
    harness.faults(json!([{"rpc": "QueuePut", "kind": "fail_before", "code": 14, "times": 4}]));
    let error = queue.put(&1, PutOptions::default()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.rpc()),
        (ErrorKind::Unavailable, Some("QueuePut"))
    );
    assert!(error.may_have_happened());
    assert_eq!(harness.count("queue.put"), 0);
}

#[tokio::test]
async fn a_verdict_is_not_repeated() {
    let harness = Harness::start().await;
    harness.faults(json!([{"rpc": "AppList", "kind": "fail_before", "code": 7}]));
    let error = harness.client.apps().list(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!error.may_have_happened());
    harness.client.apps().list(None).await.unwrap();
}

#[tokio::test]
async fn a_slow_attempt_is_given_up_and_the_next_one_counts() {
    let mut policy = RetryPolicy::default();
    policy.attempt_timeout = Duration::from_millis(300);
    let harness = Harness::with(policy).await;
    let dict = harness.client.dicts().ephemeral(None).await.unwrap();
    harness.faults(json!([{"rpc": "DictUpdate", "kind": "delay", "ms": 2000}]));
    dict.put("key", &1).await.unwrap();
    assert_eq!(harness.count("dict.update"), 1);
}

#[tokio::test]
async fn the_whole_call_ends_with_its_budget_of_time() {
    let harness = Harness::start().await;
    harness.client.apps().list(None).await.unwrap();
    harness.faults(json!([{"rpc": "AppList", "kind": "delay", "ms": 60_000, "times": 99}]));
    let rpc = Rpc::new("/modal.client.ModalClient/AppList", Effect::Read);
    let request = AppListRequest::default();
    let options = CallOptions::new().total_timeout(Duration::from_millis(400));
    let call = harness
        .client
        .call::<_, AppListResponse>(rpc, request, &options);
    let error = tokio::time::timeout(Duration::from_secs(3), call)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn the_first_fetch_of_the_token_is_repeated_as_well() {
    let harness = Harness::start().await;
    harness.faults(json!([{"rpc": "AuthTokenGet", "kind": "fail_before", "code": 14, "times": 2}]));
    harness.client.apps().list(None).await.unwrap();
}

#[tokio::test]
async fn a_token_that_the_server_refuses_is_fetched_anew_once() {
    let harness = Harness::start().await;
    harness.client.apps().list(None).await.unwrap();
    harness.faults(json!([{"rpc": "AppList", "kind": "fail_before", "code": 16}]));
    harness.client.apps().list(None).await.unwrap();
    harness.faults(json!([{"rpc": "AppList", "kind": "fail_before", "code": 16, "times": 2}]));
    let error = harness.client.apps().list(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn a_fallback_server_is_used_when_the_first_does_not_listen() {
    let harness = Harness::start().await;
    // A port of an emulator that is gone.
    let closed = Harness::start().await;
    let url = closed.emulator.url();
    closed.emulator.stop().await;
    let servers = format!("{url},{}", harness.emulator.url());
    let client = Client::new(Config::new(&servers, "ak-emulator", "as-emulator").unwrap()).unwrap();
    client.apps().list(None).await.unwrap();
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again() {
    let state = tempfile::tempdir().unwrap();
    let options = |port| EmulatorOptions {
        port,
        state: Some(state.path().to_owned()),
        ..EmulatorOptions::default()
    };
    let emulator = Emulator::start(options(0)).await.unwrap();
    let client = Client::new(crate::calls::config(&emulator)).unwrap();
    client
        .dicts()
        .lookup("d", None, Existence::CreateNew)
        .await
        .unwrap();
    let port = emulator.address().port();
    emulator.stop().await;
    let dicts = client.dicts();
    let (again, found) = tokio::join!(
        Emulator::start(options(port)),
        dicts.lookup("d", None, Existence::MustExist)
    );
    again.unwrap();
    found.unwrap();
}

#[tokio::test]
async fn an_unreachable_server_is_an_error_that_had_no_effect() {
    let closed = Harness::start().await;
    let url = closed.emulator.url();
    closed.emulator.stop().await;
    let mut policy = RetryPolicy::default();
    policy.max_connect_wait = Duration::from_millis(300);
    let config = Config::new(&url, "ak", "as").unwrap().retry(policy);
    let error = Client::new(config)
        .unwrap()
        .dicts()
        .ephemeral(None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!error.may_have_happened(), "{error}");
}

/// One thing that a caller does.
#[derive(Clone, Debug)]
enum Op {
    Put(i64),
    Get,
    Set(u8, i64),
    Pop(u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        any::<i64>().prop_map(Op::Put),
        Just(Op::Get),
        (0..4u8, any::<i64>()).prop_map(|(key, value)| Op::Set(key, value)),
        (0..4u8).prop_map(Op::Pop),
    ];
    prop::collection::vec(op, 1..16)
}

fn plan() -> impl Strategy<Value = Value> {
    let transient = prop::sample::select(vec![14, 13, 2, 1, 4]);
    let kind = prop_oneof![
        transient
            .clone()
            .prop_map(|code| json!({"kind": "fail_before", "code": code})),
        transient.prop_map(|code| json!({"kind": "fail_after", "code": code})),
        Just(json!({"kind": "reset"})),
        Just(json!({"kind": "delay", "ms": 5})),
        Just(json!({"kind": "throttle", "retry_after_secs": 0.1})),
    ];
    let rpcs = vec!["QueuePut", "QueueGet", "DictUpdate", "DictPop", "*"];
    let fault = (prop::sample::select(rpcs), 1..12u64, 1..3u64, kind).prop_map(
        |(rpc, nth, times, mut fault)| {
            fault["rpc"] = rpc.into();
            fault["nth"] = nth.into();
            fault["times"] = times.into();
            fault
        },
    );
    prop::collection::vec(fault, 0..6).prop_map(Value::from)
}

#[test]
fn whatever_fails_the_world_is_as_if_every_call_had_happened_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let harness = runtime.block_on(Harness::impatient());
    let config = ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&(ops(), plan()), |(ops, plan)| {
            runtime.block_on(check(&harness, ops, plan))
        })
        .unwrap();
}

/// Runs the operations under the plan, beside a model of a queue and a dict.
async fn check(harness: &Harness, ops: Vec<Op>, plan: Value) -> Result<(), TestCaseError> {
    harness.faults(json!([]));
    let queue = harness.client.queues().ephemeral(None).await.unwrap();
    let dict = harness.client.dicts().ephemeral(None).await.unwrap();
    let begin = harness.emulator.journal().effects(None).len();
    harness.faults(plan);
    let mut values = std::collections::VecDeque::new();
    let mut entries = std::collections::BTreeMap::new();
    let mut effects = 0;
    for op in ops {
        match op {
            Op::Put(value) => {
                queue.put(&value, PutOptions::default()).await.unwrap();
                values.push_back(value);
                effects += 1;
            }
            Op::Get => {
                let expected = values.pop_front();
                effects += usize::from(expected.is_some());
                prop_assert_eq!(
                    queue.get::<i64>(Some(Duration::ZERO)).await.unwrap(),
                    expected
                );
            }
            Op::Set(key, value) => {
                dict.put(&key, &value).await.unwrap();
                entries.insert(key, value);
                effects += 1;
            }
            Op::Pop(key) => {
                let expected = entries.remove(&key);
                effects += usize::from(expected.is_some());
                prop_assert_eq!(dict.pop::<i64>(&key).await.unwrap(), expected);
            }
        }
    }
    harness.faults(json!([]));
    prop_assert_eq!(queue.len().await.unwrap(), values.len() as u64);
    prop_assert_eq!(dict.len().await.unwrap(), entries.len() as u64);
    let journal = harness.emulator.journal().effects(None);
    let done = journal[begin..].iter().filter(|effect| {
        ["queue.put", "queue.get", "dict.update", "dict.pop"].contains(&effect.what.as_str())
    });
    prop_assert_eq!(done.count(), effects);
    Ok(())
}

#[tokio::test]
async fn a_lookup_that_creates_creates_once_under_faults() {
    let harness = Harness::start().await;
    harness
        .faults(json!([{"rpc": "QueueGetOrCreate", "kind": "fail_after", "code": 14, "times": 2}]));
    harness
        .client
        .queues()
        .lookup("q", None, Existence::CreateNew)
        .await
        .unwrap();
    assert_eq!(harness.count("queue.create"), 1);
}
