//! Commands: started once for each id, waited for, and fed.
//!
//! RPCs: `TaskExecStart`, `TaskExecPoll`, `TaskExecWait`, `TaskExecStdinWrite`, `TaskExecStdinStatus`,
//! `TaskExecStdinWriteStream`.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt as _;
use moorline_modal_proto::client::PtyInfo;
use moorline_modal_proto::router::task_exec_poll_response::ExitStatus as Polled;
use moorline_modal_proto::router::task_exec_stdin_write_stream_request::Payload;
use moorline_modal_proto::router::task_exec_wait_response::ExitStatus as Waited;
use moorline_modal_proto::router::{
    TaskExecPollRequest, TaskExecPollResponse, TaskExecStartRequest, TaskExecStartResponse,
    TaskExecStderrConfig, TaskExecStdinStatusRequest, TaskExecStdinStatusResponse,
    TaskExecStdinWriteRequest, TaskExecStdinWriteResponse, TaskExecStdinWriteStreamRequest,
    TaskExecStdinWriteStreamResponse, TaskExecStdinWriteStreamStart, TaskExecStdoutConfig,
    TaskExecWaitRequest, TaskExecWaitResponse,
};
use tonic::{Status, Streaming};

use super::{Target, target};
use crate::call::{Call, Meta};
use crate::container::{Exec, Exit};
use crate::routes::Rpcs;
use crate::services::sandboxes::command::{Command, Stream, told};
use crate::services::sandboxes::definition;
use crate::services::sandboxes::live::{Silent, Started};
use crate::services::sandboxes::output::{Output, Pieces};
use crate::world::World;

/// SIGKILL: what became of a command whose time was over, or whose container ended.
const KILLED: i32 = 9;

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("TaskExecStart", task_exec_start);
    rpcs.read("TaskExecPoll", task_exec_poll);
    rpcs.read("TaskExecWait", task_exec_wait);
    rpcs.read("TaskExecStdinWrite", task_exec_stdin_write);
    rpcs.read("TaskExecStdinStatus", task_exec_stdin_status);
    rpcs.upload("TaskExecStdinWriteStream", task_exec_stdin_write_stream);
}

async fn task_exec_start(
    world: Arc<World>,
    call: Call<TaskExecStartRequest>,
) -> Result<TaskExecStartResponse, Status> {
    let request = call.message;
    if request.exec_id.is_empty() || request.command_args.is_empty() {
        return Err(Status::invalid_argument(
            "a command needs an id and at least one word",
        ));
    }
    let target = target(&world, &call.meta, &request.task_id, &request.container_id).await?;
    let exec_id = request.exec_id.clone();
    let cell = target.place.commands.cell(&exec_id);
    let mut fresh = false;
    let started = cell
        .get_or_try_init(|| {
            fresh = true;
            start(&world, &target, request)
        })
        .await?;
    if fresh {
        call.meta.effect("exec.start", exec_id);
        let (started, busy) = (Arc::clone(started), target.begin());
        world.tasks.spawn(async move {
            started.command.wait().await;
            drop(busy);
        });
    }
    Ok(TaskExecStartResponse {})
}

async fn start(
    world: &World,
    target: &Target,
    request: TaskExecStartRequest,
) -> Result<Arc<Started>, Status> {
    let silent = Silent {
        stdout: request.stdout_config() == TaskExecStdoutConfig::Devnull,
        stderr: request.stderr_config() == TaskExecStderrConfig::Devnull,
    };
    let merged = request.stderr_config() == TaskExecStderrConfig::Stdout;
    let mut env = target.place.env.clone();
    env.extend(request.env);
    env.extend(definition::variables(
        world,
        &request.secret_ids,
        request.secret_sources,
    )?);
    let workdir = request.workdir.filter(|dir| !dir.is_empty());
    if let Some(dir) = workdir.as_deref().filter(|dir| !dir.starts_with('/')) {
        let text = format!("workdir must be an absolute path, got: {dir}");
        return Err(Status::invalid_argument(text));
    }
    let pty = request.pty_info.as_ref().and_then(definition::pty);
    if let Some(info) = request.pty_info.filter(|info| info.enabled) {
        env.extend(terminal(info));
    }
    let timeout = request.timeout_secs.filter(|secs| *secs > 0);
    let exec = Exec {
        argv: if merged {
            with_one_output(request.command_args)
        } else {
            request.command_args
        },
        env,
        cwd: workdir.or_else(|| target.place.cwd.clone()),
        pty,
        timeout: timeout.map(|secs| Duration::from_secs(secs.into())),
    };
    let command = Command::start(&target.place.container, exec, &world.tasks).await;
    let command = command.map_err(|error| told(&error))?;
    Ok(Arc::new(Started::new(command, silent)))
}

/// What programs ask about their terminal.
fn terminal(info: PtyInfo) -> impl Iterator<Item = (String, String)> {
    let PtyInfo {
        env_colorterm,
        env_term_program,
        ..
    } = info;
    [
        ("COLORTERM", env_colorterm),
        ("TERM_PROGRAM", env_term_program),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| (name.to_owned(), value))
}

/// Sends standard error where standard output goes.
fn with_one_output(argv: Vec<String>) -> Vec<String> {
    let shell = ["/bin/sh", "-c", r#"exec "$@" 2>&1"#, "sh"];
    shell.into_iter().map(str::to_owned).chain(argv).collect()
}

/// A command that was started, with the container it runs in.
async fn started(
    world: &World,
    meta: &Meta,
    task_id: &str,
    exec_id: &str,
) -> Result<(Target, Arc<Started>), Status> {
    let target = find(world, meta, task_id, exec_id).await?;
    let started = target.place.commands.get(exec_id)?;
    Ok((target, started))
}

/// The container of a task in which a command was started: callers name it only when they start one.
async fn find(world: &World, meta: &Meta, task_id: &str, exec_id: &str) -> Result<Target, Status> {
    let first = target(world, meta, task_id, "").await?;
    if first.place.commands.get(exec_id).is_ok() {
        return Ok(first);
    }
    let Some(live) = &first.live else {
        return Ok(first);
    };
    let places = super::containers::places(live);
    let other = places
        .into_iter()
        .find(|place| place.commands.get(exec_id).is_ok());
    Ok(match other {
        Some(place) => Target {
            place,
            live: Some(Arc::clone(live)),
        },
        None => first,
    })
}

/// What one of a command's outputs has from an offset on.
pub(super) async fn pieces(
    world: &World,
    meta: &Meta,
    (task_id, exec_id): (&str, &str),
    (stream, offset): (Stream, u64),
) -> Result<Pieces, Status> {
    let (target, started) = started(world, meta, task_id, exec_id).await?;
    let silent = match stream {
        Stream::Stdout => started.silent.stdout,
        Stream::Stderr => started.silent.stderr,
    };
    let output = if silent {
        Output::Nothing
    } else {
        started.command.output(stream, &target.place.readers)
    };
    let end = futures::stream::poll_fn(move |_| {
        started.was_read(stream);
        Poll::Ready(None)
    });
    Ok(Box::pin(output.read(offset).chain(end)))
}

async fn task_exec_poll(
    world: Arc<World>,
    call: Call<TaskExecPollRequest>,
) -> Result<TaskExecPollResponse, Status> {
    let TaskExecPollRequest { task_id, exec_id } = &call.message;
    let (_, started) = started(&world, &call.meta, task_id, exec_id).await?;
    let exit_status = started.command.exit().map(|exit| match exit {
        Exit::Code(code) => Polled::Code(code),
        Exit::Signal(signal) => Polled::Signal(signal),
        Exit::TimedOut | Exit::ContainerGone => Polled::Signal(KILLED),
    });
    Ok(TaskExecPollResponse { exit_status })
}

async fn task_exec_wait(
    world: Arc<World>,
    call: Call<TaskExecWaitRequest>,
) -> Result<TaskExecWaitResponse, Status> {
    let TaskExecWaitRequest { task_id, exec_id } = &call.message;
    let (_, started) = started(&world, &call.meta, task_id, exec_id).await?;
    let exit = started.command.wait().await;
    started.let_readers_finish().await;
    let exit_status = match exit {
        Exit::Code(code) => Waited::Code(code),
        Exit::Signal(signal) => Waited::Signal(signal),
        Exit::TimedOut | Exit::ContainerGone => Waited::Signal(KILLED),
    };
    Ok(TaskExecWaitResponse {
        exit_status: Some(exit_status),
    })
}

async fn task_exec_stdin_write(
    world: Arc<World>,
    call: Call<TaskExecStdinWriteRequest>,
) -> Result<TaskExecStdinWriteResponse, Status> {
    let TaskExecStdinWriteRequest {
        task_id,
        exec_id,
        offset,
        data,
        eof,
    } = call.message;
    let (_, started) = started(&world, &call.meta, &task_id, &exec_id).await?;
    started.command.stdin.write(offset, data, eof).await?;
    Ok(TaskExecStdinWriteResponse {})
}

/// Who asks wants to go on writing: a writer that hangs is sent away.
async fn task_exec_stdin_status(
    world: Arc<World>,
    call: Call<TaskExecStdinStatusRequest>,
) -> Result<TaskExecStdinStatusResponse, Status> {
    let TaskExecStdinStatusRequest { task_id, exec_id } = &call.message;
    let (_, started) = started(&world, &call.meta, task_id, exec_id).await?;
    started.command.stdin.evict();
    let written = started.command.stdin.written();
    Ok(TaskExecStdinStatusResponse {
        num_bytes_written: written.bytes,
        closed: written.closed,
    })
}

async fn task_exec_stdin_write_stream(
    world: Arc<World>,
    call: Call<Streaming<TaskExecStdinWriteStreamRequest>>,
) -> Result<TaskExecStdinWriteStreamResponse, Status> {
    let Call {
        message: mut stream,
        meta,
    } = call;
    let first = stream.message().await?.and_then(|message| message.payload);
    let Some(Payload::Start(start)) = first else {
        return Err(Status::invalid_argument(
            "the first message must be `start`",
        ));
    };
    let done = write_all(&world, &meta, start, &mut stream).await;
    if done.is_err() {
        // An answer before the end of the request looks to some clients like a broken connection.
        while let Ok(Some(_)) = stream.message().await {}
    }
    done.map(|()| TaskExecStdinWriteStreamResponse {})
}

async fn write_all(
    world: &World,
    meta: &Meta,
    start: TaskExecStdinWriteStreamStart,
    stream: &mut Streaming<TaskExecStdinWriteStreamRequest>,
) -> Result<(), Status> {
    let TaskExecStdinWriteStreamStart {
        task_id,
        exec_id,
        mut offset,
    } = start;
    let (_, started) = started(world, meta, &task_id, &exec_id).await?;
    let stdin = &started.command.stdin;
    while let Some(message) = stream.message().await? {
        match message.payload {
            Some(Payload::Data(data)) => {
                let bytes = data.len() as u64;
                stdin.write(offset, data, false).await?;
                offset += bytes;
            }
            Some(Payload::End(_)) => return stdin.write(offset, bytes::Bytes::new(), true).await,
            Some(Payload::Start(_)) => {
                return Err(Status::invalid_argument("`start` comes once, at first"));
            }
            None => {}
        }
    }
    // Without an end the input stays open: the caller goes on with another stream.
    Ok(())
}
