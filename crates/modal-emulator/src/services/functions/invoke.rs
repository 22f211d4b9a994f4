//! RPCs by which functions are called.

use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use moorline_modal_proto::client::function_call_get_data_request::CallInfo;
use moorline_modal_proto::client::{
    DataChunk, FunctionCallCancelRequest, FunctionCallFromIdRequest, FunctionCallFromIdResponse,
    FunctionCallGetDataRequest, FunctionCallGetInfoRequest, FunctionCallGetInfoResponse,
    FunctionCallHandleMetadata, FunctionFinishInputsRequest, FunctionGetOutputsRequest,
    FunctionGetOutputsResponse, FunctionMapRequest, FunctionMapResponse, FunctionPutInputsItem,
    FunctionPutInputsRequest, FunctionPutInputsResponse, FunctionPutInputsResponseItem,
    FunctionRetryInputsRequest, FunctionRetryInputsResponse,
};
use tonic::Status;

use super::calls::{DataStream, NewCall};
use super::{act, no_call, no_function, ready_pool};
use crate::call::{Call, Meta};
use crate::routes::{Answers, Rpcs};
use crate::services::apps;
use crate::world::World;

/// Inputs of a map that a client lets wait at a time.
const OUTSTANDING: u32 = 1000;
/// The longest that an answer is held back.
const HOLD: Duration = Duration::from_mins(1);

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("FunctionMap", map);
    rpcs.write("FunctionPutInputs", put_inputs);
    rpcs.write("FunctionRetryInputs", retry_inputs);
    rpcs.read("FunctionFinishInputs", finish_inputs);
    rpcs.read("FunctionGetOutputs", get_outputs);
    rpcs.read("FunctionCallFromId", from_id);
    rpcs.read("FunctionCallGetInfo", get_info);
    rpcs.write("FunctionCallCancel", cancel);
    rpcs.stream("FunctionCallGetDataOut", get_data_out);
    rpcs.stream("FunctionCallGetDataIn", get_data_in);
}

/// Begins a call; it has no inputs yet.
pub(super) fn create(
    world: &Arc<World>,
    function_id: &str,
    invocation: i32,
) -> Result<(String, NewCall), Status> {
    let effective = world.functions.catalog.read().effective(function_id);
    let effective = effective.ok_or_else(|| no_function(function_id))?;
    apps::may_run(world, &effective.app_id)?;
    let new = NewCall {
        function_id: function_id.to_owned(),
        app_id: effective.app_id,
        invocation,
        policy: effective.function.retry_policy.unwrap_or_default(),
    };
    let id = act(world, |board| {
        ready_pool(world, board, function_id).map(|()| board.create(new.clone()))
    });
    Ok((id.ok_or_else(|| no_function(function_id))?, new))
}

/// Takes inputs, and tells the journal.
pub(super) fn add(
    world: &Arc<World>,
    call_id: &str,
    items: Vec<FunctionPutInputsItem>,
    meta: Option<&Meta>,
) -> Result<Vec<FunctionPutInputsResponseItem>, Status> {
    let taken = act(world, |board| board.add(call_id, items)).ok_or_else(|| no_call(call_id))?;
    let key = meta.and_then(Meta::idempotency_key);
    for input in &taken {
        world.journal.record("input.accept", &input.input_id, key);
    }
    Ok(taken)
}

async fn map(
    world: Arc<World>,
    call: Call<FunctionMapRequest>,
) -> Result<FunctionMapResponse, Status> {
    let Call {
        message: request,
        meta,
    } = call;
    let (function_call_id, new) = create(
        &world,
        &request.function_id,
        request.function_call_invocation_type,
    )?;
    meta.effect("call.create", &function_call_id);
    let pipelined_inputs = add(
        &world,
        &function_call_id,
        request.pipelined_inputs,
        Some(&meta),
    )?;
    Ok(FunctionMapResponse {
        function_call_jwt: function_call_id.clone(),
        function_call_id,
        pipelined_inputs,
        retry_policy: Some(new.policy),
        sync_client_retries_enabled: true,
        max_inputs_outstanding: OUTSTANDING,
    })
}

async fn put_inputs(
    world: Arc<World>,
    call: Call<FunctionPutInputsRequest>,
) -> Result<FunctionPutInputsResponse, Status> {
    let Call {
        message: request,
        meta,
    } = call;
    let inputs = add(
        &world,
        &request.function_call_id,
        request.inputs,
        Some(&meta),
    )?;
    Ok(FunctionPutInputsResponse { inputs })
}

async fn retry_inputs(
    world: Arc<World>,
    call: Call<FunctionRetryInputsRequest>,
) -> Result<FunctionRetryInputsResponse, Status> {
    let Call {
        message: request,
        meta,
    } = call;
    let id = request.function_call_jwt;
    let input_jwts = act(&world, |board| board.retry(&id, request.inputs));
    let input_jwts = input_jwts.ok_or_else(|| no_call(&id))?;
    for input in &input_jwts {
        meta.effect("input.retry", input);
    }
    Ok(FunctionRetryInputsResponse { input_jwts })
}

/// Nothing is to be done: an input runs as soon as it is there.
async fn finish_inputs(
    world: Arc<World>,
    call: Call<FunctionFinishInputsRequest>,
) -> Result<(), Status> {
    let id = call.message.function_call_id;
    act(&world, |board| board.calls.contains_key(&id).then_some(())).ok_or_else(|| no_call(&id))
}

/// Outputs stay after `clear_on_success`: should the answer be lost, they are there for the next attempt.
async fn get_outputs(
    world: Arc<World>,
    call: Call<FunctionGetOutputsRequest>,
) -> Result<FunctionGetOutputsResponse, Status> {
    let request = call.message;
    let id = &request.function_call_id;
    let hold = Duration::try_from_secs_f32(request.timeout.max(0.0))
        .unwrap_or(HOLD)
        .min(HOLD);
    let over = tokio::time::sleep(hold);
    tokio::pin!(over);
    loop {
        let (answer, changed) = act(&world, |board| {
            let call = board.calls.get(id).ok_or_else(|| no_call(id))?;
            let changed = Arc::clone(&call.changed).notified_owned();
            Ok::<_, Status>((call.outputs(&request), changed))
        })?;
        if !answer.outputs.is_empty() {
            return Ok(answer);
        }
        tokio::select! {
            () = changed => {}
            () = &mut over => return Ok(answer),
            () = world.stop.cancelled() => return Err(Status::unavailable("the emulator stops")),
        }
    }
}

async fn from_id(
    world: Arc<World>,
    call: Call<FunctionCallFromIdRequest>,
) -> Result<FunctionCallFromIdResponse, Status> {
    let id = call.message.function_call_id;
    act(&world, |board| {
        let call = board.calls.get(&id).ok_or_else(|| no_call(&id))?;
        let metadata = FunctionCallHandleMetadata {
            app_id: call.app_id.clone(),
            function_id: call.function_id.clone(),
        };
        Ok(FunctionCallFromIdResponse {
            function_call_id: id.clone(),
            num_inputs: i32::try_from(call.inputs.len()).unwrap_or(i32::MAX),
            metadata: Some(metadata),
        })
    })
}

async fn get_info(
    world: Arc<World>,
    call: Call<FunctionCallGetInfoRequest>,
) -> Result<FunctionCallGetInfoResponse, Status> {
    let id = call.message.function_call_id;
    let info = act(&world, |board| {
        board.calls.get(&id).map(super::calls::Call::info)
    });
    info.map(|info| FunctionCallGetInfoResponse { info: Some(info) })
        .ok_or_else(|| no_call(&id))
}

async fn cancel(world: Arc<World>, call: Call<FunctionCallCancelRequest>) -> Result<(), Status> {
    let Call {
        message: request,
        meta,
    } = call;
    let ids = match &request.function_id {
        None => vec![request.function_call_id.clone()],
        Some(function) => act(&world, |board| {
            let of = board
                .calls
                .values()
                .filter(|call| call.function_id == *function);
            of.filter(|call| call.unfinished > 0)
                .map(|call| call.id.clone())
                .collect()
        }),
    };
    for id in ids {
        if !act(&world, |board| {
            board.cancel(&id, request.terminate_containers)
        }) {
            return Err(no_call(&id));
        }
        meta.effect("call.cancel", &id);
    }
    Ok(())
}

/// The stream that is asked for: what the container sends, or what it is sent.
fn stream_of(
    world: &Arc<World>,
    request: &FunctionCallGetDataRequest,
    pick: impl FnOnce(&super::calls::Call) -> Arc<DataStream>,
) -> Result<Arc<DataStream>, Status> {
    match &request.call_info {
        Some(CallInfo::FunctionCallId(id)) => {
            act(world, |board| board.calls.get(id).map(pick)).ok_or_else(|| no_call(id))
        }
        _ => Err(Status::failed_precondition(
            "calls do not go through the input plane here",
        )),
    }
}

/// A stream stays open when the call has ended: who reads it knows how much there is to come.
fn follow(world: Arc<World>, chunks: Arc<DataStream>, after: u64) -> Answers<DataChunk> {
    let next = |(world, chunks, after): (Arc<World>, Arc<DataStream>, u64)| async move {
        let chunk = world.stop.run_until_cancelled(chunks.next(after)).await?;
        let after = chunk.index;
        Some((Ok(chunk), (world, chunks, after)))
    };
    Box::pin(stream::unfold((world, chunks, after), next))
}

async fn get_data_out(
    world: Arc<World>,
    call: Call<FunctionCallGetDataRequest>,
) -> Result<Answers<DataChunk>, Status> {
    let chunks = stream_of(&world, &call.message, |call| Arc::clone(&call.data_out))?;
    Ok(follow(world, chunks, call.message.last_index))
}

async fn get_data_in(
    world: Arc<World>,
    call: Call<FunctionCallGetDataRequest>,
) -> Result<Answers<DataChunk>, Status> {
    let chunks = stream_of(&world, &call.message, |call| Arc::clone(&call.data_in))?;
    Ok(follow(world, chunks, call.message.last_index))
}
