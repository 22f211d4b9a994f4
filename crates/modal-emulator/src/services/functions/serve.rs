//! RPCs by which a container is given inputs and hands in outputs.
//!
//! The requests do not say who asks: the connection does ([`crate::call::Meta::task`]).

use std::sync::Arc;
use std::time::Duration;

use moorline_modal_proto::client::function_call_put_data_request::CallInfo;
use moorline_modal_proto::client::function_input::ArgsOneof;
use moorline_modal_proto::client::{
    CancelInputEvent, ContainerCheckpointRequest, ContainerHeartbeatRequest,
    ContainerHeartbeatResponse, FunctionCallPutDataRequest, FunctionGetDynamicConcurrencyRequest,
    FunctionGetDynamicConcurrencyResponse, FunctionGetInputsItem, FunctionGetInputsRequest,
    FunctionGetInputsResponse, FunctionPutOutputsRequest, TaskResultRequest,
};
use tonic::Status;

use super::board::Taken;
use super::pools::Ask;
use super::{act, instant, no_call};
use crate::call::{Call, Meta};
use crate::routes::Rpcs;
use crate::services::{blobs, tasks::TaskKind};
use crate::world::World;

/// How long a heartbeat is held, waiting for something to tell. Containers send one each 15 s.
const HEARTBEAT: Duration = Duration::from_secs(14);

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.read("ContainerHello", hello);
    rpcs.read("ContainerHeartbeat", heartbeat);
    rpcs.read("ContainerCheckpoint", checkpoint);
    rpcs.read("FunctionGetInputs", get_inputs);
    rpcs.read("FunctionGetDynamicConcurrency", get_dynamic_concurrency);
    rpcs.write("FunctionPutOutputs", put_outputs);
    rpcs.write("FunctionCallPutDataOut", put_data_out);
    rpcs.write("TaskResult", task_result);
}

/// Task and function of the container that calls.
fn caller(world: &World, meta: &Meta) -> Result<(String, String), Status> {
    let task = meta.task.as_ref().map(|task| task.0.as_str());
    match task.map(|task| (task, world.running.kind(task))) {
        Some((task, Some(TaskKind::Function(function)))) => Ok((task.to_owned(), function)),
        _ => Err(Status::permission_denied(
            "only a running container of a function may ask this",
        )),
    }
}

async fn hello(world: Arc<World>, call: Call<()>) -> Result<(), Status> {
    caller(&world, &call.meta).map(|_| ())
}

async fn heartbeat(
    world: Arc<World>,
    call: Call<ContainerHeartbeatRequest>,
) -> Result<ContainerHeartbeatResponse, Status> {
    let (task, function) = caller(&world, &call.meta)?;
    let over = tokio::time::sleep(HEARTBEAT);
    tokio::pin!(over);
    loop {
        let (input_ids, told) = act(&world, |board| {
            let slot = board.slot(&function, &task)?;
            let told = Arc::clone(&slot.heartbeat).notified_owned();
            Some((std::mem::take(&mut slot.cancel), told))
        })
        .ok_or_else(|| Status::failed_precondition("the container has ended"))?;
        if !input_ids.is_empty() {
            let event = CancelInputEvent {
                input_ids,
                ..CancelInputEvent::default()
            };
            return Ok(ContainerHeartbeatResponse {
                cancel_input_event: Some(event),
            });
        }
        tokio::select! {
            () = told => {}
            () = &mut over => return Ok(ContainerHeartbeatResponse::default()),
            () = world.stop.cancelled() => return Err(Status::unavailable("the emulator stops")),
        }
    }
}

/// No container is told to make a snapshot, so none asks this.
async fn checkpoint(
    _world: Arc<World>,
    _call: Call<ContainerCheckpointRequest>,
) -> Result<(), Status> {
    Err(Status::failed_precondition(
        "the emulator makes no memory snapshots of containers",
    ))
}

async fn get_inputs(
    world: Arc<World>,
    call: Call<FunctionGetInputsRequest>,
) -> Result<FunctionGetInputsResponse, Status> {
    let (task, function) = caller(&world, &call.meta)?;
    let ask = Ask {
        key: call.meta.idempotency_key().map(str::to_owned),
        batch_max: usize::try_from(call.message.batch_max_size).unwrap_or(usize::MAX),
        linger: Duration::from_millis(call.message.batch_linger_ms),
    };
    loop {
        let (taken, cut_off, arrivals) = act(&world, |board| {
            let cut_off = board
                .pools
                .get(&function)
                .is_some_and(|pool| pool.bounds.cut_off);
            let arrivals = board
                .pools
                .get(&function)
                .map(|pool| Arc::clone(&pool.arrivals));
            let arrivals = arrivals.unwrap_or_default().notified_owned();
            (
                board.take(&function, &task, &ask, instant()),
                cut_off,
                arrivals,
            )
        });
        let until = match taken {
            Taken::Inputs(inputs) => return given(&world, inputs, cut_off).await,
            Taken::Leave => {
                let leave = FunctionGetInputsItem {
                    kill_switch: true,
                    ..Default::default()
                };
                return Ok(FunctionGetInputsResponse {
                    inputs: vec![leave],
                    ..Default::default()
                });
            }
            Taken::Wait(until) => until,
        };
        let over = async {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = arrivals => {}
            () = over => {}
            () = world.stop.cancelled() => return Err(Status::unavailable("the emulator stops")),
        }
    }
}

/// Inputs as the container gets them. One that is cut off can not fetch blobs: it gets their content.
async fn given(
    world: &World,
    mut inputs: Vec<FunctionGetInputsItem>,
    cut_off: bool,
) -> Result<FunctionGetInputsResponse, Status> {
    for input in inputs.iter_mut().filter_map(|item| item.input.as_mut()) {
        if let Some(ArgsOneof::ArgsBlobId(id)) = &input.args_oneof
            && cut_off
        {
            let args = blobs::read(world, id).await?;
            input.args_oneof = Some(ArgsOneof::Args(args.into()));
        }
    }
    Ok(FunctionGetInputsResponse {
        inputs,
        ..FunctionGetInputsResponse::default()
    })
}

/// More inputs than the target while some wait, as many as the target otherwise.
async fn get_dynamic_concurrency(
    world: Arc<World>,
    call: Call<FunctionGetDynamicConcurrencyRequest>,
) -> Result<FunctionGetDynamicConcurrencyResponse, Status> {
    let (_, function) = caller(&world, &call.meta)?;
    let waiting = act(&world, |board| {
        board
            .pools
            .get(&function)
            .is_some_and(|pool| !pool.ready.is_empty())
    });
    let request = call.message;
    let concurrency = if waiting {
        request.max_concurrency
    } else {
        request.target_concurrency
    };
    Ok(FunctionGetDynamicConcurrencyResponse { concurrency })
}

async fn put_outputs(
    world: Arc<World>,
    call: Call<FunctionPutOutputsRequest>,
) -> Result<(), Status> {
    let (task, function) = caller(&world, &call.meta)?;
    for output in call.message.outputs {
        let input = output.input_id.clone();
        if act(&world, |board| board.put(&function, &task, output)) {
            call.meta.effect("output.accept", input);
        }
    }
    Ok(())
}

async fn put_data_out(
    world: Arc<World>,
    call: Call<FunctionCallPutDataRequest>,
) -> Result<(), Status> {
    let Some(CallInfo::FunctionCallId(id)) = call.message.call_info else {
        let text = "calls do not go through the input plane here";
        return Err(Status::failed_precondition(text));
    };
    let chunks = act(&world, |board| {
        board.calls.get(&id).map(|call| Arc::clone(&call.data_out))
    });
    chunks
        .ok_or_else(|| no_call(&id))?
        .put(call.message.data_chunks);
    Ok(())
}

/// The container could not begin: its code can not be imported, or its `enter` failed.
async fn task_result(world: Arc<World>, call: Call<TaskResultRequest>) -> Result<(), Status> {
    let (task, function) = caller(&world, &call.meta)?;
    if let Some(result) = call.message.result {
        act(&world, |board| {
            board.cannot_begin(&function, &task, &result);
        });
        call.meta.effect("container.failed", &task);
    }
    Ok(())
}
