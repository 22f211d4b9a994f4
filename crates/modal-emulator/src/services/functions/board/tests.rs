//! What must hold of calls and containers, without any process.

use std::collections::BTreeMap;

use moorline_modal_proto::client::{
    AutoscalerSettings, Function, FunctionGetOutputsRequest, FunctionInput,
};
use proptest::prelude::*;

use super::*;
use crate::services::functions::instant;

const FUNCTION: &str = "fu-1";

fn board(function: &Function) -> Board {
    let mut board = Board::default();
    let bounds = Bounds::of(function, &AutoscalerSettings::default());
    board.pool(FUNCTION, "ap-1", bounds, 0);
    board
}

fn call(board: &mut Board, invocation: FunctionCallInvocationType, retries: u32) -> String {
    board.create(NewCall {
        function_id: FUNCTION.to_owned(),
        app_id: "ap-1".to_owned(),
        invocation: invocation.into(),
        policy: FunctionRetryPolicy {
            retries,
            initial_delay_ms: 100,
            backoff_coefficient: 2.0,
            ..FunctionRetryPolicy::default()
        },
    })
}

fn add(board: &mut Board, call: &str, indices: std::ops::Range<i32>) -> Vec<String> {
    let item = |idx| FunctionPutInputsItem {
        idx,
        input: Some(FunctionInput::default()),
        ..FunctionPutInputsItem::default()
    };
    let taken = board.add(call, indices.map(item).collect()).unwrap();
    taken.into_iter().map(|item| item.input_id).collect()
}

fn start(board: &mut Board, task: &str) {
    board.begin(FUNCTION, task, Leave::default(), instant());
}

fn take(board: &mut Board, task: &str) -> Option<FunctionGetInputsItem> {
    match board.take(FUNCTION, task, &Ask::default(), instant()) {
        Taken::Inputs(mut inputs) => inputs.pop(),
        Taken::Wait(_) | Taken::Leave => None,
    }
}

fn put(
    board: &mut Board,
    task: &str,
    input: &FunctionGetInputsItem,
    status: GenericStatus,
) -> bool {
    board.put(
        FUNCTION,
        task,
        FunctionPutOutputsItem {
            input_id: input.input_id.clone(),
            retry_count: input.retry_count,
            result: Some(result(status, "")),
            ..FunctionPutOutputsItem::default()
        },
    )
}

/// Statuses of the outputs so far, and how many inputs have none.
fn outputs(board: &Board, call: &str) -> (BTreeMap<i32, GenericStatus>, i32) {
    let answer = board.calls[call].outputs(&FunctionGetOutputsRequest::default());
    let status = |output: &FunctionGetOutputsItem| output.result.as_ref().unwrap().status();
    let outputs = answer
        .outputs
        .iter()
        .map(|output| (output.idx, status(output)))
        .collect();
    (outputs, answer.num_unfinished_inputs)
}

#[test]
fn an_input_sent_twice_runs_once() {
    let mut board = board(&Function::default());
    let call = call(&mut board, FunctionCallInvocationType::Sync, 0);
    let first = add(&mut board, &call, 0..2);
    assert_eq!(add(&mut board, &call, 0..2), first);
    start(&mut board, "ta-1");
    let a = take(&mut board, "ta-1").unwrap();
    assert!(put(&mut board, "ta-1", &a, GenericStatus::Success));
    assert!(!put(&mut board, "ta-1", &a, GenericStatus::Failure));
    let b = take(&mut board, "ta-1").unwrap();
    assert_ne!(a.input_id, b.input_id);
    assert!(take(&mut board, "ta-1").is_none());
}

#[test]
fn a_repeated_request_of_a_container_is_given_the_same_input() {
    let mut board = board(&Function::default());
    let call = call(&mut board, FunctionCallInvocationType::Sync, 0);
    add(&mut board, &call, 0..2);
    start(&mut board, "ta-1");
    let ask = |key: &str| Ask {
        key: Some(key.to_owned()),
        ..Ask::default()
    };
    let mut ids = |key| match board.take(FUNCTION, "ta-1", &ask(key), instant()) {
        Taken::Inputs(inputs) => inputs[0].input_id.clone(),
        other => panic!("{other:?}"),
    };
    let first = ids("k1");
    assert_eq!(ids("k1"), first);
    assert_ne!(ids("k2"), first);
}

#[test]
fn the_client_of_a_synchronous_call_tries_again_itself() {
    let mut board = board(&Function::default());
    let call = call(&mut board, FunctionCallInvocationType::Sync, 2);
    let inputs = add(&mut board, &call, 0..1);
    start(&mut board, "ta-1");
    let first = take(&mut board, "ta-1").unwrap();
    put(&mut board, "ta-1", &first, GenericStatus::Failure);
    assert_eq!(
        outputs(&board, &call),
        ([(0, GenericStatus::Failure)].into(), 0)
    );
    let item = FunctionRetryInputsItem {
        input_jwt: inputs[0].clone(),
        ..Default::default()
    };
    board.retry(&call, vec![item]).unwrap();
    assert_eq!(outputs(&board, &call), ([].into(), 1));
    let second = take(&mut board, "ta-1").unwrap();
    assert_eq!(second.retry_count, 1);
    assert!(
        !put(&mut board, "ta-1", &first, GenericStatus::Success),
        "of the first attempt"
    );
    put(&mut board, "ta-1", &second, GenericStatus::Success);
    assert_eq!(
        outputs(&board, &call),
        ([(0, GenericStatus::Success)].into(), 0)
    );
}

#[test]
fn the_server_tries_the_inputs_of_spawned_calls_again_with_growing_delays() {
    let mut board = board(&Function::default());
    let call = call(&mut board, FunctionCallInvocationType::Async, 2);
    add(&mut board, &call, 0..1);
    start(&mut board, "ta-1");
    let mut delays = Vec::new();
    while let Some(input) = take(&mut board, "ta-1") {
        put(&mut board, "ta-1", &input, GenericStatus::Failure);
        for later in std::mem::take(&mut board.follow.later) {
            delays.push(later.after.as_millis());
            board.later(&later);
        }
    }
    assert_eq!(delays, [100, 200]);
    assert_eq!(
        outputs(&board, &call),
        ([(0, GenericStatus::Failure)].into(), 0)
    );
}

#[test]
fn inputs_of_a_lost_container_run_elsewhere_and_those_of_a_crashed_one_fail() {
    let mut board = board(&Function::default());
    let call = call(&mut board, FunctionCallInvocationType::Sync, 0);
    add(&mut board, &call, 0..1);
    start(&mut board, "ta-1");
    take(&mut board, "ta-1").unwrap();
    board.gone(FUNCTION, "ta-1", &Gone::Asked);
    start(&mut board, "ta-2");
    let again = take(&mut board, "ta-2").unwrap();
    assert_eq!(again.retry_count, 0);
    board.gone(
        FUNCTION,
        "ta-2",
        &Gone::Crashed("exited with code 3".to_owned()),
    );
    assert_eq!(
        outputs(&board, &call),
        ([(0, GenericStatus::InternalFailure)].into(), 0)
    );
}

#[test]
fn a_container_that_never_begins_fails_what_waits() {
    let mut board = board(&Function::default());
    let call = call(&mut board, FunctionCallInvocationType::Sync, 0);
    add(&mut board, &call, 0..3);
    start(&mut board, "ta-1");
    board.gone(
        FUNCTION,
        "ta-1",
        &Gone::Crashed("exited with code 1".to_owned()),
    );
    let failed = [0, 1, 2].map(|idx| (idx, GenericStatus::InitFailure));
    assert_eq!(outputs(&board, &call), (failed.into(), 0));
}

#[test]
fn a_cancelled_call_is_over_at_once_and_its_containers_are_told() {
    let mut board = board(&Function::default());
    let call = call(&mut board, FunctionCallInvocationType::Async, 5);
    add(&mut board, &call, 0..2);
    start(&mut board, "ta-1");
    let running = take(&mut board, "ta-1").unwrap();
    assert!(board.cancel(&call, false));
    let over = [0, 1].map(|idx| (idx, GenericStatus::Terminated));
    assert_eq!(outputs(&board, &call), (over.into(), 0));
    let told = &board.slot(FUNCTION, "ta-1").unwrap().cancel;
    assert_eq!(told, std::slice::from_ref(&running.input_id));
    assert!(!put(&mut board, "ta-1", &running, GenericStatus::Failure));
    assert!(take(&mut board, "ta-1").is_none());
    add(&mut board, &call, 2..3);
    assert_eq!(outputs(&board, &call).0[&2], GenericStatus::Terminated);
}

#[test]
fn an_input_whose_time_is_over_takes_its_container_along() {
    let mut board = board(&Function {
        timeout_secs: 1,
        ..Function::default()
    });
    let call = call(&mut board, FunctionCallInvocationType::Sync, 0);
    add(&mut board, &call, 0..1);
    start(&mut board, "ta-1");
    take(&mut board, "ta-1").unwrap();
    let now = instant();
    assert!(!board.overdue(FUNCTION, "ta-1", now));
    assert!(board.overdue(FUNCTION, "ta-1", now + Duration::from_secs(2)));
    assert_eq!(
        outputs(&board, &call),
        ([(0, GenericStatus::Timeout)].into(), 0)
    );
}

#[derive(Debug, Clone)]
enum Step {
    Add,
    Start,
    Take(usize),
    Put(usize, bool),
    Lose(usize, bool),
    Later,
    Cancel,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Add),
        3 => Just(Step::Start),
        6 => any::<usize>().prop_map(Step::Take),
        6 => (any::<usize>(), any::<bool>()).prop_map(|(n, ok)| Step::Put(n, ok)),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(n, crash)| Step::Lose(n, crash)),
        2 => Just(Step::Later),
        1 => Just(Step::Cancel),
    ]
}

proptest! {
    /// Whatever happens, each input is in one place, and has one output in the end.
    #[test]
    fn no_input_is_lost_and_none_ends_twice(
        steps in proptest::collection::vec(step(), 1..80), retries in 0_u32..3, ours in any::<bool>(),
    ) {
        let mut board = board(&Function::default());
        let kind = if ours {
            FunctionCallInvocationType::Async
        } else {
            FunctionCallInvocationType::Sync
        };
        let call = call(&mut board, kind, retries);
        let (mut inputs, mut tasks) = (0, Vec::<String>::new());
        let mut running = Vec::<(String, FunctionGetInputsItem)>::new();
        let mut later = Vec::<Later>::new();
        for step in steps {
            match step {
                Step::Add => {
                    add(&mut board, &call, inputs..inputs + 1);
                    inputs += 1;
                }
                Step::Start => {
                    let task = format!("ta-{}", ids::new("x"));
                    start(&mut board, &task);
                    tasks.push(task);
                }
                Step::Take(n) if !tasks.is_empty() => {
                    let task = tasks[n % tasks.len()].clone();
                    running.extend(take(&mut board, &task).map(|input| (task, input)));
                }
                Step::Put(n, ok) if !running.is_empty() => {
                    let (task, input) = running.swap_remove(n % running.len());
                    let status = if ok { GenericStatus::Success } else { GenericStatus::Failure };
                    put(&mut board, &task, &input, status);
                }
                Step::Lose(n, crash) if !tasks.is_empty() => {
                    let task = tasks.swap_remove(n % tasks.len());
                    let gone = if crash { Gone::Crashed("was lost".to_owned()) } else { Gone::Asked };
                    board.gone(FUNCTION, &task, &gone);
                }
                Step::Later => later.drain(..).for_each(|later| board.later(&later)),
                Step::Cancel => prop_assert!(board.cancel(&call, false)),
                Step::Take(_) | Step::Put(..) | Step::Lose(..) => {}
            }
            later.append(&mut board.follow.later);
            let (done, unfinished) = outputs(&board, &call);
            prop_assert_eq!(i32::try_from(done.len()).unwrap() + unfinished, inputs);
        }
        // To the end: every attempt succeeds.
        later.drain(..).for_each(|later| board.later(&later));
        start(&mut board, "ta-last");
        for task in tasks {
            board.gone(FUNCTION, &task, &Gone::Asked);
        }
        while let Some(input) = take(&mut board, "ta-last") {
            put(&mut board, "ta-last", &input, GenericStatus::Success);
        }
        let (done, unfinished) = outputs(&board, &call);
        prop_assert_eq!((i32::try_from(done.len()).unwrap(), unfinished), (inputs, 0));
    }
}
