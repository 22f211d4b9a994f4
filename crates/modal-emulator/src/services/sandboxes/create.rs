//! Making sandboxes.
//!
//! RPCs: `SandboxCreate`, `SandboxCreateV2`.

use std::collections::BTreeMap;
use std::sync::Arc;

use moorline_modal_proto::client::{
    Sandbox, SandboxCreateRequest, SandboxCreateResponse, SandboxCreateV2Request,
    SandboxCreateV2Response, SandboxTag, sandbox,
};
use tonic::Status;

use super::live::Live;
use super::record::Record;
use super::{access, definition, ports, run};
use crate::call::{Call, Meta};
use crate::ids;
use crate::routes::Rpcs;
use crate::services::apps;
use crate::services::named::now;
use crate::world::World;

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("SandboxCreate", sandbox_create);
    rpcs.write("SandboxCreateV2", sandbox_create_v2);
}

/// The two versions of the API tell their sandboxes apart by the form of the ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// A sandbox that is to be.
#[derive(Debug)]
pub(super) struct New {
    pub(super) version: Version,
    pub(super) app_id: String,
    pub(super) definition: Sandbox,
    /// Variables of secrets, and those sent with the call.
    pub(super) env: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
}

async fn sandbox_create(
    world: Arc<World>,
    call: Call<SandboxCreateRequest>,
) -> Result<SandboxCreateResponse, Status> {
    let SandboxCreateRequest {
        app_id,
        definition,
        tags,
        ..
    } = call.message;
    let mut definition = definition.unwrap_or_default();
    let mut env = taken_variables(&mut definition);
    env.extend(definition::variables(
        &world,
        &definition.secret_ids,
        Vec::new(),
    )?);
    let new = New {
        version: Version::V1,
        app_id,
        definition,
        env,
        tags: tag_map(tags),
    };
    let record = create(&world, &call.meta, new).await?;
    Ok(SandboxCreateResponse {
        metadata: Some(record.metadata()),
        sandbox_id: record.id,
    })
}

async fn sandbox_create_v2(
    world: Arc<World>,
    call: Call<SandboxCreateV2Request>,
) -> Result<SandboxCreateV2Response, Status> {
    let SandboxCreateV2Request {
        app_id,
        definition,
        ephemeral_secrets,
        tags,
        secret_sources,
        cloud_bucket_mount_credentials: _, // Buckets of the emulator need none.
    } = call.message;
    let mut definition = definition.unwrap_or_default();
    let mut env = taken_variables(&mut definition);
    env.extend(ephemeral_secrets.unwrap_or_default().contents);
    env.extend(definition::variables(
        &world,
        &definition.secret_ids,
        secret_sources,
    )?);
    let new = New {
        version: Version::V2,
        app_id,
        definition,
        env,
        tags: tag_map(tags),
    };
    let record = create(&world, &call.meta, new).await?;
    Ok(SandboxCreateV2Response {
        command_router_access: Some(access::grant(&world, &call.meta, &record.task_id)),
        metadata: Some(record.metadata()),
        tunnels: record.tunnels,
        task_id: record.task_id,
        sandbox_id: record.id,
        sandbox_token: String::new(),
    })
}

/// Makes a sandbox, whose container then starts in the background.
///
/// # Errors
/// `INVALID_ARGUMENT` and `NOT_FOUND` for what the definition says, `ALREADY_EXISTS` for its name,
/// `RESOURCE_EXHAUSTED` for the plan's limit, `FAILED_PRECONDITION` for an app that has stopped.
pub(super) async fn create(world: &Arc<World>, meta: &Meta, new: New) -> Result<Record, Status> {
    let New {
        version,
        app_id,
        definition,
        env,
        tags,
    } = new;
    let app = apps::may_run(world, &app_id)?;
    let (id, task_id) = new_ids(version);
    let mut inside = BTreeMap::from([
        ("MODAL_SANDBOX_ID".to_owned(), id.clone()),
        ("MODAL_TASK_ID".to_owned(), task_id.clone()),
        ("MODAL_IMAGE_ID".to_owned(), definition.image_id.clone()),
        ("MODAL_ENVIRONMENT".to_owned(), app.environment.clone()),
        ("MODAL_IS_REMOTE".to_owned(), "1".to_owned()),
        (
            "MODAL_CLOUD_PROVIDER".to_owned(),
            "CLOUD_PROVIDER_LOCAL".to_owned(),
        ),
        ("MODAL_REGION".to_owned(), "local".to_owned()),
    ]);
    inside.extend(env);
    let plan = definition::plan(world, &task_id, &definition, &inside)?;
    let name = definition.name.clone().filter(|name| !name.is_empty());
    let live = Arc::new(Live::new(
        [&id, &task_id, &app_id],
        definition.clone(),
        inside,
        world.tasks.clone(),
    ));
    let tunnels = match &definition.open_ports_oneof {
        Some(sandbox::OpenPortsOneof::OpenPorts(specs)) => {
            ports::tunnels(world, &live, &specs.ports).await?
        }
        None => Vec::new(),
    };
    let record = {
        let mut kept = world.sandboxes.kept.write();
        let refused = taken(&kept.table, &app_id, name.as_deref())
            .or_else(|| too_many(world, kept.table.running()));
        if let Some(refused) = refused {
            // The tunnels are open already.
            live.closed.cancel();
            return Err(refused);
        }
        let record = Record {
            id: id.clone(),
            task_id,
            app_id,
            environment: app.environment,
            created: kept.table.next_created(now()),
            name,
            tags,
            definition,
            started_at: None,
            ready_at: None,
            finished_at: None,
            outcome: None,
            exit_snapshot: None,
            tunnels,
        };
        kept.table.insert(record.clone());
        record
    };
    world.sandboxes.remember(&live);
    meta.effect("sandbox.create", &id);
    run::spawn(world, live, plan);
    Ok(record)
}

fn taken(table: &super::Table, app_id: &str, name: Option<&str>) -> Option<Status> {
    let name = name?;
    let holder = table.named(app_id, name)?;
    let text = format!("Sandbox with name '{name}' already exists: {}", holder.id);
    Some(Status::already_exists(text))
}

fn too_many(world: &World, running: usize) -> Option<Status> {
    let limit = world.faults.limits().sandboxes?;
    let text = || format!("the plan of this workspace allows {limit} running sandboxes");
    (running >= limit).then(|| Status::resource_exhausted(text()))
}

/// Ids in the forms by which clients tell the versions apart.
fn new_ids(version: Version) -> (String, String) {
    match version {
        // 22 letters and digits are a sandbox of version 1, a `V` at the end a task of version 2.
        Version::V1 => {
            let task = std::iter::repeat_with(|| ids::new("ta")).find(|id| !id.ends_with('V'));
            (ids::new("sb"), task.unwrap_or_default())
        }
        Version::V2 => (
            format!("{}V2", ids::new("sb")),
            format!("{}V", ids::new("ta")),
        ),
    }
}

/// Whether an id is one of version 2.
pub(super) fn is_v2(sandbox_id: &str) -> bool {
    sandbox_id.len() != "sb-".len() + 22
}

/// Variables that were sent in the definition, which are not to be written to disk with it.
fn taken_variables(definition: &mut Sandbox) -> BTreeMap<String, String> {
    let variables = definition.environment_variables.take().unwrap_or_default();
    variables.contents.into_iter().collect()
}

pub(super) fn tag_map(tags: Vec<SandboxTag>) -> BTreeMap<String, String> {
    tags.into_iter()
        .map(|tag| (tag.tag_name, tag.tag_value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_the_version() {
        for _ in 0..200 {
            let (sandbox, task) = new_ids(Version::V1);
            assert!(!is_v2(&sandbox) && !task.ends_with('V'), "{sandbox} {task}");
            let (sandbox, task) = new_ids(Version::V2);
            assert!(is_v2(&sandbox) && task.ends_with('V'), "{sandbox} {task}");
        }
    }
}
