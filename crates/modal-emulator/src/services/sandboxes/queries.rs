//! Questions about sandboxes, and what changes no container: both versions of the API answer alike.
//!
//! RPCs, each with its `V2`: `SandboxWait`, `SandboxGetTaskId`, `SandboxTerminate`, `SandboxTagsGet`,
//! `SandboxTagsSet`, `SandboxList`, `SandboxGetFromName`, `SandboxGetTunnels`, `SandboxCreateConnectToken`,
//! `SandboxGetExitSnapshot`, `SandboxSetOutboundPolicy`; and `SandboxSetName`,
//! `SandboxGetCommandRouterAccess`, `TaskGetCommandRouterAccess`, `SandboxWaitUntilReady`.

use std::sync::Arc;

use moorline_modal_proto::client::sandbox_get_exit_snapshot_response::{
    Error, ErrorCode, Outcome as Shot, Pending, Success,
};
use moorline_modal_proto::client::{
    SandboxCreateConnectTokenRequest, SandboxCreateConnectTokenResponse,
    SandboxGetCommandRouterAccessRequest, SandboxGetCommandRouterAccessResponse,
    SandboxGetExitSnapshotRequest, SandboxGetExitSnapshotResponse, SandboxGetFromNameRequest,
    SandboxGetFromNameResponse, SandboxGetTaskIdRequest, SandboxGetTaskIdResponse,
    SandboxGetTunnelsRequest, SandboxGetTunnelsResponse, SandboxListRequest, SandboxListResponse,
    SandboxSetNameRequest, SandboxSetNameResponse, SandboxTagsGetRequest, SandboxTagsGetResponse,
    SandboxTagsSetRequest, SandboxTerminateRequest, SandboxTerminateResponse, SandboxWaitRequest,
    SandboxWaitResponse, SandboxWaitUntilReadyRequest, SandboxWaitUntilReadyResponse,
    TaskGetCommandRouterAccessRequest, TaskGetCommandRouterAccessResponse,
    sandbox_get_command_router_access_request as access_request,
};
use tonic::Status;

use super::create::{is_v2, tag_map};
use super::live::{ended, seconds};
use super::record::{ExitSnapshot, Wanted};
use super::{access, ports, ready, unknown};
use crate::call::Call;
use crate::routes::Rpcs;
use crate::services::{apps, environments};
use crate::world::World;

/// Sandboxes of one page of a list.
const PAGE: usize = 100;

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    for suffix in ["", "V2"] {
        rpcs.read(&format!("SandboxWait{suffix}"), sandbox_wait);
        rpcs.read(&format!("SandboxGetTaskId{suffix}"), sandbox_get_task_id);
        rpcs.write(&format!("SandboxTerminate{suffix}"), sandbox_terminate);
        rpcs.read(&format!("SandboxTagsGet{suffix}"), sandbox_tags_get);
        rpcs.write(&format!("SandboxTagsSet{suffix}"), sandbox_tags_set);
        rpcs.read(&format!("SandboxGetTunnels{suffix}"), sandbox_get_tunnels);
        rpcs.write(
            &format!("SandboxCreateConnectToken{suffix}"),
            sandbox_create_connect_token,
        );
        rpcs.read(
            &format!("SandboxGetExitSnapshot{suffix}"),
            sandbox_get_exit_snapshot,
        );
        rpcs.read(&format!("SandboxList{suffix}"), sandbox_list);
    }
    rpcs.read("SandboxGetFromName", sandbox_get_from_name);
    rpcs.read("SandboxGetFromNameV2", sandbox_get_from_name_v2);
    rpcs.write("SandboxSetName", sandbox_set_name);
    rpcs.read(
        "SandboxGetCommandRouterAccess",
        sandbox_get_command_router_access,
    );
    rpcs.read("TaskGetCommandRouterAccess", task_get_command_router_access);
    rpcs.read("SandboxWaitUntilReady", sandbox_wait_until_ready);
}

async fn sandbox_wait(
    world: Arc<World>,
    call: Call<SandboxWaitRequest>,
) -> Result<SandboxWaitResponse, Status> {
    let SandboxWaitRequest {
        sandbox_id,
        timeout,
    } = call.message;
    if let Some(live) = world.sandboxes.live(&sandbox_id)
        && timeout > 0.0
    {
        live.ended_within(seconds(timeout)).await;
    }
    world
        .sandboxes
        .record(&sandbox_id, |record| SandboxWaitResponse {
            result: record.result(),
            metadata: Some(record.metadata()),
        })
}

async fn sandbox_get_task_id(
    world: Arc<World>,
    call: Call<SandboxGetTaskIdRequest>,
) -> Result<SandboxGetTaskIdResponse, Status> {
    let SandboxGetTaskIdRequest {
        sandbox_id,
        timeout,
        wait_until_ready,
    } = call.message;
    if let Some(live) = world.sandboxes.live(&sandbox_id) {
        let limit = seconds(timeout.unwrap_or(0.0));
        if wait_until_ready {
            // Neither is an error here: the answer says what is known.
            drop(ready::wait(&live, limit).await);
        } else {
            live.left_pending(limit).await;
        }
    }
    world
        .sandboxes
        .record(&sandbox_id, |record| SandboxGetTaskIdResponse {
            task_id: record.started_at.is_some().then(|| record.task_id.clone()),
            task_result: record.result(),
        })
}

async fn sandbox_terminate(
    world: Arc<World>,
    call: Call<SandboxTerminateRequest>,
) -> Result<SandboxTerminateResponse, Status> {
    let id = &call.message.sandbox_id;
    let existing_result = world.sandboxes.record(id, super::Record::result)?;
    if let Some(live) = world.sandboxes.live(id) {
        live.terminate("terminated by its owner");
        call.meta.effect("sandbox.terminate", &live.id);
    }
    Ok(SandboxTerminateResponse { existing_result })
}

async fn sandbox_tags_get(
    world: Arc<World>,
    call: Call<SandboxTagsGetRequest>,
) -> Result<SandboxTagsGetResponse, Status> {
    let tags = world
        .sandboxes
        .record(&call.message.sandbox_id, super::Record::tags)?;
    Ok(SandboxTagsGetResponse { tags })
}

async fn sandbox_tags_set(
    world: Arc<World>,
    call: Call<SandboxTagsSetRequest>,
) -> Result<(), Status> {
    let SandboxTagsSetRequest {
        sandbox_id, tags, ..
    } = call.message;
    let mut kept = world.sandboxes.kept.write();
    let record = kept
        .table
        .get_mut(&sandbox_id)
        .ok_or_else(|| unknown(&sandbox_id))?;
    record.tags = tag_map(tags);
    call.meta.effect("sandbox.tag", sandbox_id);
    Ok(())
}

async fn sandbox_list(
    world: Arc<World>,
    call: Call<SandboxListRequest>,
) -> Result<SandboxListResponse, Status> {
    let SandboxListRequest {
        app_id,
        before_timestamp,
        environment_name,
        include_finished,
        tags,
    } = call.message;
    // An app is in one environment: the name says nothing more.
    let environment = if app_id.is_empty() {
        environments::resolve(&world, &environment_name)?
    } else {
        String::new()
    };
    let wanted = Wanted {
        app_id: &app_id,
        environment: &environment,
        before: before_timestamp,
        finished: include_finished,
        tags: &tags,
    };
    let sandboxes = world.sandboxes.kept.read().table.page(&wanted, PAGE);
    Ok(SandboxListResponse { sandboxes })
}

async fn sandbox_get_from_name(
    world: Arc<World>,
    call: Call<SandboxGetFromNameRequest>,
) -> Result<SandboxGetFromNameResponse, Status> {
    from_name(&world, &call.message, false)
}

async fn sandbox_get_from_name_v2(
    world: Arc<World>,
    call: Call<SandboxGetFromNameRequest>,
) -> Result<SandboxGetFromNameResponse, Status> {
    from_name(&world, &call.message, true)
}

/// Clients ask for version 2 first, and for version 1 when that is not found.
fn from_name(
    world: &World,
    request: &SandboxGetFromNameRequest,
    v2: bool,
) -> Result<SandboxGetFromNameResponse, Status> {
    let SandboxGetFromNameRequest {
        sandbox_name,
        environment_name,
        app_name,
        include_terminated,
    } = request;
    let app = apps::deployed(world, app_name, environment_name)?;
    let kept = world.sandboxes.kept.read();
    let found = if *include_terminated {
        kept.table.last_named(&app.id, sandbox_name)
    } else {
        kept.table.named(&app.id, sandbox_name)
    };
    let found = found
        .filter(|record| is_v2(&record.id) == v2)
        .ok_or_else(|| {
            let text = format!("Sandbox with name '{sandbox_name}' not found in app '{app_name}'");
            Status::not_found(text)
        })?;
    Ok(SandboxGetFromNameResponse {
        sandbox_id: found.id.clone(),
        metadata: Some(found.metadata()),
    })
}

async fn sandbox_set_name(
    world: Arc<World>,
    call: Call<SandboxSetNameRequest>,
) -> Result<SandboxSetNameResponse, Status> {
    let SandboxSetNameRequest { sandbox_id, name } = call.message;
    if name.is_empty() {
        return Err(Status::invalid_argument(
            "the name of a sandbox can not be empty",
        ));
    }
    let mut kept = world.sandboxes.kept.write();
    let record = kept
        .table
        .get(&sandbox_id)
        .ok_or_else(|| unknown(&sandbox_id))?;
    if record.outcome.is_some() {
        let text = format!("Sandbox '{sandbox_id}' has already finished");
        return Err(Status::failed_precondition(text));
    }
    if let Some(old) = record.name.as_ref().filter(|old| **old != name) {
        let text = format!("Sandbox '{sandbox_id}' already has the name '{old}'");
        return Err(Status::failed_precondition(text));
    }
    if !kept.table.name(&sandbox_id, &name) {
        let text = format!("Sandbox with name '{name}' already exists");
        return Err(Status::already_exists(text));
    }
    call.meta.effect("sandbox.name", sandbox_id);
    Ok(SandboxSetNameResponse {})
}

async fn sandbox_get_tunnels(
    world: Arc<World>,
    call: Call<SandboxGetTunnelsRequest>,
) -> Result<SandboxGetTunnelsResponse, Status> {
    // They are open from the first moment on.
    world.sandboxes.record(&call.message.sandbox_id, |record| {
        SandboxGetTunnelsResponse {
            result: record.result(),
            tunnels: record.tunnels.clone(),
        }
    })
}

async fn sandbox_create_connect_token(
    world: Arc<World>,
    call: Call<SandboxCreateConnectTokenRequest>,
) -> Result<SandboxCreateConnectTokenResponse, Status> {
    let SandboxCreateConnectTokenRequest {
        sandbox_id,
        user_metadata,
        port,
    } = call.message;
    world.sandboxes.record(&sandbox_id, |_| ())?;
    let live = world
        .sandboxes
        .live(&sandbox_id)
        .ok_or_else(|| ended(&sandbox_id))?;
    let (url, token) = ports::connect_token(&world, &live, port, user_metadata).await?;
    call.meta.effect("sandbox.connect_token", sandbox_id);
    Ok(SandboxCreateConnectTokenResponse { url, token })
}

async fn sandbox_get_exit_snapshot(
    world: Arc<World>,
    call: Call<SandboxGetExitSnapshotRequest>,
) -> Result<SandboxGetExitSnapshotResponse, Status> {
    let SandboxGetExitSnapshotRequest {
        sandbox_id,
        timeout,
    } = call.message;
    if let Some(live) = world.sandboxes.live(&sandbox_id) {
        live.ended_within(seconds(timeout)).await;
    }
    world.sandboxes.record(&sandbox_id, |record| {
        let outcome = match (&record.exit_snapshot, &record.outcome) {
            (Some(ExitSnapshot::Image(image_id)), _) => Shot::Success(Success {
                image_id: image_id.clone(),
            }),
            (Some(ExitSnapshot::Failed(why)), _) => no_shot(why),
            (None, None) => Shot::Pending(Pending {}),
            (None, Some(_)) => no_shot("the sandbox was made without `enable_exit_snapshot`"),
        };
        SandboxGetExitSnapshotResponse {
            outcome: Some(outcome),
        }
    })
}

fn no_shot(why: &str) -> Shot {
    Shot::Error(Error {
        error_code: ErrorCode::FilesystemInconsistent.into(),
        message: why.to_owned(),
    })
}

async fn sandbox_get_command_router_access(
    world: Arc<World>,
    call: Call<SandboxGetCommandRouterAccessRequest>,
) -> Result<SandboxGetCommandRouterAccessResponse, Status> {
    let Some(access_request::Target::SandboxId(id) | access_request::Target::TaskId(id)) =
        call.message.target
    else {
        return Err(Status::invalid_argument(
            "a sandbox id or a task id is needed",
        ));
    };
    let task_id = world
        .sandboxes
        .record(&id, |record| record.task_id.clone())?;
    let access = access::grant(&world, &call.meta, &task_id);
    Ok(SandboxGetCommandRouterAccessResponse {
        jwt: access.jwt,
        url: access.url,
    })
}

async fn task_get_command_router_access(
    world: Arc<World>,
    call: Call<TaskGetCommandRouterAccessRequest>,
) -> Result<TaskGetCommandRouterAccessResponse, Status> {
    let id = &call.message.task_id;
    let sandbox = world.sandboxes.record(id, |record| record.task_id.clone());
    let task_id = match sandbox {
        Ok(task_id) => task_id,
        // The container of a function.
        Err(_) if world.running.leave(id).is_some() => id.clone(),
        Err(_) => return Err(Status::not_found(format!("Container '{id}' not found"))),
    };
    let access = access::grant(&world, &call.meta, &task_id);
    Ok(TaskGetCommandRouterAccessResponse {
        jwt: access.jwt,
        url: access.url,
    })
}

async fn sandbox_wait_until_ready(
    world: Arc<World>,
    call: Call<SandboxWaitUntilReadyRequest>,
) -> Result<SandboxWaitUntilReadyResponse, Status> {
    let SandboxWaitUntilReadyRequest {
        sandbox_id,
        timeout,
    } = call.message;
    world.sandboxes.record(&sandbox_id, |_| ())?;
    let live = world
        .sandboxes
        .live(&sandbox_id)
        .ok_or_else(|| ended(&sandbox_id))?;
    let ready_at = ready::wait(&live, seconds(timeout)).await?;
    Ok(SandboxWaitUntilReadyResponse { ready_at })
}
