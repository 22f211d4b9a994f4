//! Environments: each object of the emulator lives in one. `main` is there from the start.
//!
//! Budgets are per environment, as they are with Modal; usage comes from [`workspace::billing`].
//! Deliberately absent: enforcement of roles. The emulator has one user, who may do everything.

use std::sync::Arc;

use moorline_modal_proto::client::{
    EnvironmentBlockUnauthenticatedResources as Block, EnvironmentCreateRequest,
    EnvironmentDeleteRequest, EnvironmentGetBudgetRequest, EnvironmentGetBudgetResponse,
    EnvironmentGetOrCreateRequest, EnvironmentGetOrCreateResponse, EnvironmentListItem,
    EnvironmentListResponse, EnvironmentMetadata, EnvironmentSetBudgetRequest, EnvironmentSettings,
    EnvironmentUpdateRequest, ObjectCreationType,
};
use serde::{Deserialize, Serialize};
use tonic::Status;

use super::storage::Storage;
use super::workspace::billing;
use super::{apps, secrets, workspace};
use crate::call::Call;
use crate::routes::Rpcs;
use crate::world::World;
use crate::{clock, ids};

/// All environments, in the order of their creation.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Environments {
    all: Vec<Environment>,
    /// Id of the one that an empty name means.
    default: String,
}

/// One environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Environment {
    /// `en-…`.
    pub(crate) id: String,
    /// Unique.
    pub(crate) name: String,
    /// Part of the host names of web endpoints.
    pub(crate) web_suffix: String,
    created_at: f64,
    managed: bool,
    kind: i32,
    image_builder_version: Option<String>,
    max_concurrent_tasks: Option<i32>,
    max_concurrent_gpus: Option<i32>,
    block_unauthenticated: Option<bool>,
    /// US dollars a month.
    pub(crate) budget: Option<f64>,
}

impl Environment {
    fn new(name: &str) -> Self {
        Self {
            id: ids::new("en"),
            name: name.to_owned(),
            web_suffix: String::new(),
            created_at: clock::seconds(),
            managed: false,
            kind: 0,
            image_builder_version: None,
            max_concurrent_tasks: None,
            max_concurrent_gpus: None,
            block_unauthenticated: None,
            budget: None,
        }
    }
}

impl Default for Environments {
    fn default() -> Self {
        let main = Environment::new("main");
        Self {
            default: main.id.clone(),
            all: vec![main],
        }
    }
}

impl Environments {
    /// By name; the empty name is the default.
    fn find(&self, name: &str) -> Option<&Environment> {
        self.all.iter().find(|one| match name {
            "" => one.id == self.default,
            name => one.name == name,
        })
    }

    fn find_mut(&mut self, name: &str) -> Result<&mut Environment, Status> {
        self.all
            .iter_mut()
            .find(|one| one.name == name)
            .ok_or_else(|| unknown(name))
    }

    fn by_id(&mut self, id: &str) -> Result<&mut Environment, Status> {
        self.all
            .iter_mut()
            .find(|one| one.id == id)
            .ok_or_else(|| unknown(id))
    }
}

fn unknown(name: &str) -> Status {
    Status::not_found(format!("Environment '{name}' not found"))
}

/// The name that is meant: itself, or that of the default environment for an empty one.
///
/// # Errors
/// `NOT_FOUND`.
pub(crate) fn resolve(world: &World, name: &str) -> Result<String, Status> {
    get(world, name).map(|one| one.name)
}

/// The environment of a name.
///
/// # Errors
/// `NOT_FOUND`.
pub(crate) fn get(world: &World, name: &str) -> Result<Environment, Status> {
    world
        .environments
        .read()
        .find(name)
        .cloned()
        .ok_or_else(|| unknown(name))
}

/// All of them.
pub(super) fn all(world: &World) -> Vec<Environment> {
    world.environments.read().all.clone()
}

/// Makes a name the default one.
pub(super) fn set_default(world: &World, name: &str) -> Result<(), Status> {
    let mut environments = world.environments.write();
    let id = environments.find_mut(name)?.id.clone();
    environments.default = id;
    Ok(())
}

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("EnvironmentGetOrCreate", get_or_create);
    rpcs.read("EnvironmentList", list);
    rpcs.write("EnvironmentCreate", create);
    rpcs.write("EnvironmentUpdate", update);
    rpcs.write("EnvironmentDelete", delete);
    rpcs.read("EnvironmentGetBudget", get_budget);
    rpcs.write("EnvironmentSetBudget", set_budget);
}

fn check_name(name: &str) -> Result<(), Status> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    let good = !name.is_empty()
        && name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(allowed)
        && !name.to_ascii_lowercase().starts_with("en-");
    if good {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "Invalid Environment name: '{name}'. It must have 1 to 64 letters, digits, dashes and \
         underscores, begin with a letter or digit, and not begin with 'en-'"
    )))
}

async fn get_or_create(
    world: Arc<World>,
    call: Call<EnvironmentGetOrCreateRequest>,
) -> Result<EnvironmentGetOrCreateResponse, Status> {
    let name = &call.message.deployment_name;
    let kind = ObjectCreationType::try_from(call.message.object_creation_type);
    let mut environments = world.environments.write();
    let found = environments.find(name).cloned();
    let environment = match (found, kind) {
        (Some(_), Ok(ObjectCreationType::CreateFailIfExists)) => return Err(exists(name)),
        (Some(found), _) => found,
        (
            None,
            Ok(ObjectCreationType::CreateIfMissing | ObjectCreationType::CreateFailIfExists),
        ) => {
            check_name(name)?;
            let new = Environment::new(name);
            environments.all.push(new.clone());
            call.meta.effect("environment.create", &new.id);
            new
        }
        (None, _) => return Err(unknown(name)),
    };
    let version = environment.image_builder_version.clone();
    Ok(EnvironmentGetOrCreateResponse {
        environment_id: environment.id,
        metadata: Some(EnvironmentMetadata {
            name: environment.name,
            environment_type: environment.kind,
            settings: Some(EnvironmentSettings {
                image_builder_version: version
                    .unwrap_or_else(|| workspace::image_builder_version(&world)),
                webhook_suffix: environment.web_suffix,
                max_concurrent_gpus: environment.max_concurrent_gpus,
                max_concurrent_tasks: environment.max_concurrent_tasks,
                block_unauthenticated_resources: environment.block_unauthenticated,
            }),
        }),
    })
}

fn exists(name: &str) -> Status {
    Status::already_exists(format!("Environment '{name}' already exists"))
}

fn item(world: &World, one: &Environment) -> EnvironmentListItem {
    let usage = billing::month_of_environment(world, &one.name);
    let default = world.environments.read().default == one.id;
    EnvironmentListItem {
        name: one.name.clone(),
        webhook_suffix: one.web_suffix.clone(),
        created_at: one.created_at,
        default,
        is_managed: one.managed,
        environment_id: one.id.clone(),
        max_concurrent_tasks: one.max_concurrent_tasks,
        max_concurrent_gpus: one.max_concurrent_gpus,
        current_concurrent_tasks: i32::try_from(billing::running(world, Some(&one.name)))
            .unwrap_or(i32::MAX),
        cycle_budget_dollars: one.budget,
        effective_cycle_spend_limit: one.budget.unwrap_or_default(),
        current_cycle_usage: usage,
        spend_limit_reached: one.budget.is_some_and(|budget| usage >= budget),
        environment_type: one.kind,
        block_unauthenticated_resources: one.block_unauthenticated,
        image_builder_version: one.image_builder_version.clone(),
        ..EnvironmentListItem::default()
    }
}

async fn list(world: Arc<World>, _: Call<()>) -> Result<EnvironmentListResponse, Status> {
    let all = all(&world);
    Ok(EnvironmentListResponse {
        items: all.iter().map(|one| item(&world, one)).collect(),
    })
}

async fn create(world: Arc<World>, call: Call<EnvironmentCreateRequest>) -> Result<(), Status> {
    let request = call.message;
    check_name(&request.name)?;
    let mut environments = world.environments.write();
    if environments.find(&request.name).is_some() {
        return Err(exists(&request.name));
    }
    let mut new = Environment::new(&request.name);
    new.managed = request.is_managed;
    new.kind = request.environment_type;
    if let Some(settings) = request.settings {
        new.image_builder_version =
            Some(settings.image_builder_version).filter(|version| !version.is_empty());
        new.web_suffix = settings.webhook_suffix;
        new.max_concurrent_gpus = settings.max_concurrent_gpus;
        new.max_concurrent_tasks = settings.max_concurrent_tasks;
        new.block_unauthenticated = settings.block_unauthenticated_resources;
    }
    // A suffix keeps the host names of two environments apart.
    if new.web_suffix.is_empty() {
        new.web_suffix.clone_from(&new.name);
    }
    call.meta.effect("environment.create", &new.id);
    environments.all.push(new);
    Ok(())
}

async fn update(
    world: Arc<World>,
    call: Call<EnvironmentUpdateRequest>,
) -> Result<EnvironmentListItem, Status> {
    let request = call.message;
    let old = request.current_name;
    let new = request.name.filter(|name| !name.is_empty() && *name != old);
    let updated = {
        let mut environments = world.environments.write();
        environments.find_mut(&old)?;
        if let Some(new) = &new {
            check_name(new)?;
            if environments.find(new).is_some() {
                return Err(exists(new));
            }
        }
        let one = environments.find_mut(&old)?;
        if let Some(new) = &new {
            one.name.clone_from(new);
        }
        if let Some(suffix) = request.web_suffix {
            one.web_suffix = suffix;
        }
        if let Some(version) = request.image_builder_version {
            one.image_builder_version = Some(version).filter(|version| !version.is_empty());
        }
        one.max_concurrent_tasks = request.max_concurrent_tasks.or(one.max_concurrent_tasks);
        one.max_concurrent_gpus = request.max_concurrent_gpus.or(one.max_concurrent_gpus);
        let block = request.block_unauthenticated_resources.map(Block::try_from);
        match block {
            Some(Ok(Block::Block)) => one.block_unauthenticated = Some(true),
            Some(Ok(Block::Allow)) => one.block_unauthenticated = Some(false),
            Some(Ok(Block::Inherit)) => one.block_unauthenticated = None,
            _ => {}
        }
        one.clone()
    };
    if let Some(new) = &new {
        apps::rename_environment(&world, &old, new);
        secrets::rename_environment(&world, &old, new);
        billing::rename_environment(&world, &old, new);
        Storage::environment_changed(&world, &old, Some(new));
    }
    call.meta.effect("environment.update", &updated.id);
    Ok(item(&world, &updated))
}

async fn delete(world: Arc<World>, call: Call<EnvironmentDeleteRequest>) -> Result<(), Status> {
    let name = &call.message.name;
    let id = {
        let mut environments = world.environments.write();
        let id = environments.find_mut(name)?.id.clone();
        if environments.default == id {
            return Err(Status::failed_precondition(format!(
                "Environment '{name}' is the default one: make another the default first"
            )));
        }
        environments.all.retain(|one| one.id != id);
        id
    };
    apps::stop_environment(&world, name).await;
    secrets::remove_of_environment(&world, name);
    Storage::environment_changed(&world, name, None);
    call.meta.effect("environment.delete", &id);
    Ok(())
}

async fn get_budget(
    world: Arc<World>,
    call: Call<EnvironmentGetBudgetRequest>,
) -> Result<EnvironmentGetBudgetResponse, Status> {
    let name = name_of(&world, &call.message.environment_id)?;
    let one = get(&world, &name)?;
    let usage = billing::month_of_environment(&world, &one.name);
    Ok(EnvironmentGetBudgetResponse {
        cycle_budget_dollars: one.budget,
        effective_cycle_spend_limit: one.budget.unwrap_or_default(),
        current_cycle_usage: usage,
        spend_limit_reached: one.budget.is_some_and(|budget| usage >= budget),
    })
}

async fn set_budget(
    world: Arc<World>,
    call: Call<EnvironmentSetBudgetRequest>,
) -> Result<(), Status> {
    let EnvironmentSetBudgetRequest {
        environment_id,
        cycle_budget_dollars,
        clear_budget,
    } = call.message;
    if cycle_budget_dollars.is_some_and(|budget| budget.is_nan() || budget < 0.0) {
        return Err(Status::invalid_argument(
            "a budget is a number of dollars, 0 or more",
        ));
    }
    let mut environments = world.environments.write();
    let one = environments.by_id(&environment_id)?;
    match (clear_budget, cycle_budget_dollars) {
        (true, _) => one.budget = None,
        (false, Some(budget)) => one.budget = Some(budget),
        (false, None) => {
            return Err(Status::invalid_argument(
                "give `cycle_budget_dollars` or `clear_budget`",
            ));
        }
    }
    call.meta.effect("environment.budget", &environment_id);
    Ok(())
}

/// The name of an environment by its id.
///
/// # Errors
/// `NOT_FOUND`.
pub(super) fn name_of(world: &World, id: &str) -> Result<String, Status> {
    let environments = world.environments.read();
    let found = environments.all.iter().find(|one| one.id == id);
    found.map(|one| one.name.clone()).ok_or_else(|| unknown(id))
}
