//! Outputs from any offset, and the input of a sandbox's first command.
//!
//! RPCs: `TaskExecStdioRead`, `SandboxStdioReadV2`, `SandboxStdinWriteV2`.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use moorline_modal_proto::router::{
    SandboxStdinWriteV2Request, SandboxStdinWriteV2Response, SandboxStdioFileDescriptor,
    SandboxStdioReadV2Request, SandboxStdioReadV2Response, TaskExecStdioFileDescriptor,
    TaskExecStdioReadRequest, TaskExecStdioReadResponse,
};
use tonic::Status;

use super::{admit, exec};
use crate::call::Call;
use crate::routes::{Answers, Rpcs};
use crate::services::sandboxes::command::Stream;
use crate::services::sandboxes::version1;
use crate::world::World;

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.stream("TaskExecStdioRead", task_exec_stdio_read);
    rpcs.stream("SandboxStdioReadV2", sandbox_stdio_read_v2);
    rpcs.read("SandboxStdinWriteV2", sandbox_stdin_write_v2);
}

/// A log that can not be read now: the caller tries again from where it was.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape of an error mapping"
)]
fn unreadable(error: std::io::Error) -> Status {
    Status::unavailable(format!("the output could not be read: {error}"))
}

async fn task_exec_stdio_read(
    world: Arc<World>,
    call: Call<TaskExecStdioReadRequest>,
) -> Result<Answers<TaskExecStdioReadResponse>, Status> {
    let request = call.message;
    let stream = match request.file_descriptor() {
        TaskExecStdioFileDescriptor::Stdout => Stream::Stdout,
        TaskExecStdioFileDescriptor::Stderr => Stream::Stderr,
    };
    let command = (request.task_id.as_str(), request.exec_id.as_str());
    let wanted = (stream, request.offset);
    let pieces = exec::pieces(&world, &call.meta, command, wanted)
        .await?
        .map_err(unreadable);
    Ok(pieces
        .map_ok(|(_, data)| TaskExecStdioReadResponse { data })
        .boxed())
}

async fn sandbox_stdio_read_v2(
    world: Arc<World>,
    call: Call<SandboxStdioReadV2Request>,
) -> Result<Answers<SandboxStdioReadV2Response>, Status> {
    let request = call.message;
    admit(&world, &call.meta, &request.task_id)?;
    let stream = match request.file_descriptor() {
        SandboxStdioFileDescriptor::Stdout => Stream::Stdout,
        SandboxStdioFileDescriptor::Stderr => Stream::Stderr,
    };
    let output = version1::output(&world, &request.task_id, stream).await?;
    let pieces = output.read(request.offset).map_err(unreadable);
    let answer = |(starting_offset, data)| SandboxStdioReadV2Response {
        data,
        starting_offset,
    };
    Ok(pieces.map_ok(answer).boxed())
}

async fn sandbox_stdin_write_v2(
    world: Arc<World>,
    call: Call<SandboxStdinWriteV2Request>,
) -> Result<SandboxStdinWriteV2Response, Status> {
    let SandboxStdinWriteV2Request {
        task_id,
        offset,
        data,
        eof,
    } = call.message;
    admit(&world, &call.meta, &task_id)?;
    let over = || Status::failed_precondition("the sandbox has ended, nobody reads its stdin");
    let live = world.sandboxes.live(&task_id).ok_or_else(over)?;
    let main = live.main().await.map_err(|_| over())?;
    let _busy = live.activity.begin();
    main.command.stdin.write(offset, data, eof).await?;
    Ok(SandboxStdinWriteV2Response {})
}
