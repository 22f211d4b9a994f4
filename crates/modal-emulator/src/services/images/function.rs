//! A layer that a function makes: it runs once, as every function does, and what it changed is the layer.

use std::sync::Arc;

use moorline_modal_proto::client::function_input::ArgsOneof;
use moorline_modal_proto::client::generic_result::GenericStatus;
use moorline_modal_proto::client::{
    DataFormat, FileDescriptor, FunctionCallInvocationType, FunctionInput,
};

use super::build::{Base, Failure};
use super::log::BuildLog;
use crate::ids;
use crate::services::functions;
use crate::world::World;

/// No arguments, as Python pickles them: `((), {})`.
const NO_ARGUMENTS: &[u8] = b"\x80\x04)}\x86.";

/// What is to be run.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) function_id: String,
    /// Its arguments, if it has any.
    pub(super) input: Option<FunctionInput>,
    /// The image that it runs in.
    pub(super) base: Base,
}

/// Runs the function to its end and takes the layer of its container.
pub(super) async fn build(
    world: &Arc<World>,
    order: Order,
    log: &BuildLog,
) -> Result<Base, Failure> {
    let text = format!("=> Running function {}\n", order.function_id);
    log.write(&text, FileDescriptor::Stdout);
    let input = order.input.unwrap_or_else(|| FunctionInput {
        data_format: DataFormat::Pickle.into(),
        args_oneof: Some(ArgsOneof::Args(NO_ARGUMENTS.into())),
        ..FunctionInput::default()
    });
    let invocation = FunctionCallInvocationType::Sync;
    let call = functions::begin_call(world, &order.function_id, input, invocation)?;
    let output = functions::output(world, &call.call_id);
    let output = world
        .stop
        .run_until_cancelled(output)
        .await
        .ok_or(Failure::Stopped)??;
    let result = output.result.unwrap_or_default();
    if result.status() != GenericStatus::Success {
        let reason = match result.exception.as_str() {
            "" => "the function failed".to_owned(),
            exception => format!("the function failed: {exception}"),
        };
        log.write(&result.traceback, FileDescriptor::Stderr);
        return Err(Failure::Step(reason));
    }
    let task = output.task_id;
    let gone = || Failure::Step("the function's container ended before its files were kept".into());
    let place = world.sandboxes.guest(&task).ok_or_else(gone)?;
    let name = ids::new("layer");
    let layer = world.storage.images.dir.join(&name);
    let kept = place.container.snapshot(&layer).await;
    // It has done its work.
    if let Some(leave) = world.running.leave(&task) {
        leave.now.cancel();
    }
    kept.map_err(|error| Failure::Step(super::told(&error)))?;
    let mut base = order.base;
    base.layers.insert(0, name);
    log.write("Kept what the function changed\n", FileDescriptor::Stdout);
    Ok(base)
}
