//! Persistent sandboxes: a row of sandboxes, its sessions, of which each goes on with the files of the one
//! before it.
//!
//! RPCs: `PersistentSandboxCreate`, `PersistentSandboxGet`, `PersistentSandboxResume`,
//! `PersistentSandboxTerminate`, `PersistentSandboxTunnelsList`.

use std::collections::BTreeMap;
use std::sync::Arc;

use moorline_modal_proto::client::persistent_sandbox_get_request::Lookup;
use moorline_modal_proto::client::{
    PersistentSandboxCreateRequest, PersistentSandboxCreateResponse, PersistentSandboxGetRequest,
    PersistentSandboxGetResponse, PersistentSandboxResumeRequest, PersistentSandboxResumeResponse,
    PersistentSandboxTerminateRequest, PersistentSandboxTerminateResponse,
    PersistentSandboxTunnelsListRequest, PersistentSandboxTunnelsListResponse, Sandbox,
};
use serde::{Deserialize, Serialize};
use tonic::Status;

use super::create::{New, Version, create};
use super::definition;
use super::record::{ExitSnapshot, from_base64, to_base64};
use crate::call::{Call, Meta};
use crate::ids;
use crate::routes::Rpcs;
use crate::world::World;

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("PersistentSandboxCreate", persistent_sandbox_create);
    rpcs.read("PersistentSandboxGet", persistent_sandbox_get);
    rpcs.write("PersistentSandboxResume", persistent_sandbox_resume);
    rpcs.write("PersistentSandboxTerminate", persistent_sandbox_terminate);
    rpcs.read(
        "PersistentSandboxTunnelsList",
        persistent_sandbox_tunnels_list,
    );
}

/// One persistent sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Persistent {
    app_id: String,
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    definition: Sandbox,
    /// Its sandbox at present, or the last one.
    session: String,
    terminated: bool,
}

fn known(world: &World, id: &str) -> Result<Persistent, Status> {
    let known = world.sandboxes.kept.read().persistent.get(id).cloned();
    known.ok_or_else(|| Status::not_found(format!("Persistent sandbox '{id}' not found")))
}

/// Starts a session.
async fn session(
    world: &Arc<World>,
    meta: &Meta,
    app_id: &str,
    definition: &Sandbox,
) -> Result<String, Status> {
    let mut definition = definition.clone();
    // Its exit snapshot is what the next session begins with.
    definition
        .experimental_options
        .insert("enable_exit_snapshot".to_owned(), true);
    let env = definition::variables(world, &definition.secret_ids, Vec::new())?;
    let new = New {
        version: Version::V2,
        app_id: app_id.to_owned(),
        definition,
        env,
        tags: BTreeMap::new(),
    };
    Ok(create(world, meta, new).await?.id)
}

async fn persistent_sandbox_create(
    world: Arc<World>,
    call: Call<PersistentSandboxCreateRequest>,
) -> Result<PersistentSandboxCreateResponse, Status> {
    let PersistentSandboxCreateRequest { app_id, definition } = call.message;
    let mut definition = definition.unwrap_or_default();
    definition.environment_variables = None;
    let sandbox_id = session(&world, &call.meta, &app_id, &definition).await?;
    let id = ids::new("ps");
    let new = Persistent {
        app_id,
        definition,
        session: sandbox_id.clone(),
        terminated: false,
    };
    world
        .sandboxes
        .kept
        .write()
        .persistent
        .insert(id.clone(), new);
    call.meta.effect("persistent_sandbox.create", &id);
    Ok(PersistentSandboxCreateResponse {
        persistent_sandbox_id: id,
        sandbox_id,
    })
}

/// Empty when no session runs.
fn running_session(world: &World, persistent: &Persistent) -> String {
    let runs = world.sandboxes.live(&persistent.session).is_some();
    if runs {
        persistent.session.clone()
    } else {
        String::new()
    }
}

async fn persistent_sandbox_get(
    world: Arc<World>,
    call: Call<PersistentSandboxGetRequest>,
) -> Result<PersistentSandboxGetResponse, Status> {
    let id = match call.message.lookup {
        Some(Lookup::PersistentSandboxId(id)) => id,
        // No client can give one a name yet.
        Some(Lookup::Name(name)) => {
            let text = format!("Persistent sandbox with name '{}' not found", name.name);
            return Err(Status::not_found(text));
        }
        None => return Err(Status::invalid_argument("an id or a name is needed")),
    };
    let sandbox_id = running_session(&world, &known(&world, &id)?);
    Ok(PersistentSandboxGetResponse {
        persistent_sandbox_id: id,
        sandbox_id,
    })
}

async fn persistent_sandbox_resume(
    world: Arc<World>,
    call: Call<PersistentSandboxResumeRequest>,
) -> Result<PersistentSandboxResumeResponse, Status> {
    let id = call.message.persistent_sandbox_id;
    let mut persistent = known(&world, &id)?;
    if persistent.terminated {
        let text = format!("Persistent sandbox '{id}' has been terminated");
        return Err(Status::failed_precondition(text));
    }
    let running = running_session(&world, &persistent);
    if !running.is_empty() {
        return Ok(PersistentSandboxResumeResponse {
            sandbox_id: running,
        });
    }
    let last = world
        .sandboxes
        .record(&persistent.session, |record| record.exit_snapshot.clone())?;
    if let Some(ExitSnapshot::Image(image_id)) = last {
        persistent.definition.image_id = image_id;
        // They are part of that image.
        persistent.definition.mount_ids.clear();
    }
    let sandbox_id = session(
        &world,
        &call.meta,
        &persistent.app_id,
        &persistent.definition,
    )
    .await?;
    sandbox_id.clone_into(&mut persistent.session);
    world
        .sandboxes
        .kept
        .write()
        .persistent
        .insert(id.clone(), persistent);
    call.meta.effect("persistent_sandbox.resume", id);
    Ok(PersistentSandboxResumeResponse { sandbox_id })
}

async fn persistent_sandbox_terminate(
    world: Arc<World>,
    call: Call<PersistentSandboxTerminateRequest>,
) -> Result<PersistentSandboxTerminateResponse, Status> {
    let id = call.message.persistent_sandbox_id;
    let persistent = known(&world, &id)?;
    if let Some(live) = world.sandboxes.live(&persistent.session) {
        live.terminate("terminated by its owner");
    }
    if let Some(kept) = world.sandboxes.kept.write().persistent.get_mut(&id) {
        kept.terminated = true;
    }
    call.meta.effect("persistent_sandbox.terminate", id);
    Ok(PersistentSandboxTerminateResponse {})
}

async fn persistent_sandbox_tunnels_list(
    world: Arc<World>,
    call: Call<PersistentSandboxTunnelsListRequest>,
) -> Result<PersistentSandboxTunnelsListResponse, Status> {
    let persistent = known(&world, &call.message.persistent_sandbox_id)?;
    let tunnels = world
        .sandboxes
        .record(&persistent.session, |record| record.tunnels.clone())?;
    Ok(PersistentSandboxTunnelsListResponse { tunnels })
}
