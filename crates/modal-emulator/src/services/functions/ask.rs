//! Calls that the emulator makes itself: for schedules, and for HTTP requests.

use std::sync::Arc;

use moorline_modal_proto::client::{
    FunctionCallInvocationType, FunctionGetOutputsItem, FunctionInput, FunctionPutInputsItem,
};
use tonic::Status;

use super::calls::DataStream;
use super::{act, invoke, no_call};
use crate::world::World;

/// A call that was made.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) call_id: String,
    /// What the function reads beside its input.
    pub(crate) data_in: Arc<DataStream>,
    /// What it writes beside its output.
    pub(crate) data_out: Arc<DataStream>,
}

/// Calls a function with one input.
///
/// # Errors
/// `NOT_FOUND`, and `FAILED_PRECONDITION` when its app has stopped.
pub(crate) fn begin_call(
    world: &Arc<World>,
    function_id: &str,
    input: FunctionInput,
    invocation: FunctionCallInvocationType,
) -> Result<Asked, Status> {
    let (call_id, _) = invoke::create(world, function_id, invocation.into())?;
    let streams = act(world, |board| {
        let call = board.calls.get(&call_id)?;
        Some((Arc::clone(&call.data_in), Arc::clone(&call.data_out)))
    });
    let (data_in, data_out) = streams.ok_or_else(|| no_call(&call_id))?;
    let item = FunctionPutInputsItem {
        input: Some(input),
        ..FunctionPutInputsItem::default()
    };
    invoke::add(world, &call_id, vec![item], None)?;
    Ok(Asked {
        call_id,
        data_in,
        data_out,
    })
}

/// Waits for the output of such a call. Cancel-safe.
///
/// # Errors
/// `NOT_FOUND` when the call has expired.
pub(crate) async fn output(
    world: &Arc<World>,
    call_id: &str,
) -> Result<FunctionGetOutputsItem, Status> {
    loop {
        let (output, changed) = act(world, |board| {
            let call = board.calls.get(call_id).ok_or_else(|| no_call(call_id))?;
            Ok::<_, Status>((
                call.output(0).cloned(),
                Arc::clone(&call.changed).notified_owned(),
            ))
        })?;
        match output {
            Some(output) => return Ok(output),
            None => changed.await,
        }
    }
}

/// Gives a call up.
pub(crate) fn cancel(world: &Arc<World>, call_id: &str) {
    act(world, |board| board.cancel(call_id, false));
}
