//! Secrets: sets of environment variables, by name in an environment or owned by an app.
//!
//! Values are in memory, and in the state file (readable by its owner alone) of an emulator that keeps its
//! state. They are in no answer, no log line and no effect of the journal.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use moorline_modal_proto::client::{
    CreationInfo, ObjectCreationType, SecretDeleteRequest, SecretGetInfoRequest,
    SecretGetInfoResponse, SecretGetOrCreateRequest, SecretGetOrCreateResponse, SecretListItem,
    SecretListRequest, SecretListResponse, SecretMetadata, SecretUpdateRequest,
};
use serde::{Deserialize, Serialize};
use tonic::Status;

use super::{environments, workspace};
use crate::call::Call;
use crate::routes::Rpcs;
use crate::world::World;
use crate::{clock, ids};

/// The most that one page of a list holds.
const PAGE: usize = 100;

/// All secrets, by id.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Secrets {
    secrets: BTreeMap<String, Secret>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Secret {
    /// None for one that an app owns or that was made for one session.
    name: Option<String>,
    environment: String,
    app_id: Option<String>,
    created_at: f64,
    last_used_at: f64,
    variables: BTreeMap<String, String>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.variables.keys().collect();
        f.debug_struct("Secret")
            .field("name", &self.name)
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

impl Secret {
    fn metadata(&self) -> SecretMetadata {
        SecretMetadata {
            name: self.name.clone().unwrap_or_default(),
            creation_info: Some(CreationInfo {
                created_at: self.created_at,
                created_by: workspace::USER.to_owned(),
            }),
            keys: self.variables.keys().cloned().collect(),
            environment_name: self.environment.clone(),
            last_used_at: self.last_used_at,
            ..SecretMetadata::default()
        }
    }
}

impl Secrets {
    fn by_name(&self, environment: &str, name: &str) -> Option<&str> {
        let named = |(_, secret): &(&String, &Secret)| {
            secret.environment == environment && secret.name.as_deref() == Some(name)
        };
        self.secrets.iter().find(named).map(|(id, _)| id.as_str())
    }

    fn get(&self, id: &str) -> Result<&Secret, Status> {
        self.secrets.get(id).ok_or_else(|| unknown(id))
    }
}

fn unknown(id: &str) -> Status {
    Status::not_found(format!("Secret '{id}' not found"))
}

/// The variables of several secrets; a later one wins.
///
/// # Errors
/// `NOT_FOUND` for an id that does not exist.
pub(crate) fn env(world: &World, ids: &[String]) -> Result<BTreeMap<String, String>, Status> {
    let mut env = BTreeMap::new();
    if ids.is_empty() {
        return Ok(env);
    }
    let mut secrets = world.secrets.write();
    for id in ids {
        let secret = secrets.secrets.get_mut(id).ok_or_else(|| unknown(id))?;
        secret.last_used_at = clock::seconds();
        env.extend(
            secret
                .variables
                .iter()
                .map(|(key, value)| (key.clone(), value.clone())),
        );
    }
    Ok(env)
}

/// Removes what an app owned.
pub(super) fn remove_of_app(world: &World, app_id: &str) {
    world
        .secrets
        .write()
        .secrets
        .retain(|_, secret| secret.app_id.as_deref() != Some(app_id));
}

/// Removes what is in an environment.
pub(super) fn remove_of_environment(world: &World, environment: &str) {
    world
        .secrets
        .write()
        .secrets
        .retain(|_, secret| secret.environment != environment);
}

/// Follows a new name of an environment.
pub(super) fn rename_environment(world: &World, old: &str, new: &str) {
    for secret in world.secrets.write().secrets.values_mut() {
        if secret.environment == old {
            new.clone_into(&mut secret.environment);
        }
    }
}

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("SecretGetOrCreate", get_or_create);
    rpcs.read("SecretList", list);
    rpcs.write("SecretDelete", delete);
    rpcs.read("SecretGetInfo", get_info);
    rpcs.write("SecretUpdate", update);
}

async fn get_or_create(
    world: Arc<World>,
    call: Call<SecretGetOrCreateRequest>,
) -> Result<SecretGetOrCreateResponse, Status> {
    use ObjectCreationType as Kind;

    let request = call.message;
    let kind = Kind::try_from(request.object_creation_type).unwrap_or(Kind::Unspecified);
    let environment = environments::resolve(&world, &request.environment_name)?;
    let name = request.deployment_name;
    let anonymous = matches!(kind, Kind::AnonymousOwnedByApp | Kind::Ephemeral);
    if name.is_empty() && !anonymous {
        return Err(Status::invalid_argument("a secret needs a name"));
    }
    if kind == Kind::AnonymousOwnedByApp {
        super::apps::get(&world, &request.app_id)?;
    }
    if kind != Kind::Unspecified {
        for key in request.env_dict.keys() {
            check_key(key)?;
        }
    }

    let mut secrets = world.secrets.write();
    let existing = secrets
        .by_name(&environment, &name)
        .filter(|_| !anonymous)
        .map(str::to_owned);
    let variables = request.env_dict.into_iter().collect();
    let id = match (kind, existing) {
        (Kind::Unspecified, None) => {
            return Err(Status::not_found(format!(
                "Secret '{name}' not found in environment '{environment}'"
            )));
        }
        (Kind::CreateFailIfExists, Some(_)) => {
            return Err(Status::already_exists(format!(
                "Secret '{name}' already exists in environment '{environment}'"
            )));
        }
        (Kind::CreateOverwriteIfExists, Some(id)) => {
            if let Some(secret) = secrets.secrets.get_mut(&id) {
                secret.variables = variables;
            }
            call.meta.effect("secret.update", &id);
            id
        }
        (_, Some(id)) => id,
        (_, None) => {
            let id = ids::new("st");
            let owned = kind == Kind::AnonymousOwnedByApp;
            secrets.secrets.insert(
                id.clone(),
                Secret {
                    name: (!anonymous).then_some(name),
                    environment,
                    app_id: owned.then_some(request.app_id),
                    created_at: clock::seconds(),
                    last_used_at: 0.0,
                    variables,
                },
            );
            call.meta.effect("secret.create", &id);
            id
        }
    };
    let secret = secrets.get(&id)?;
    let absent: Vec<&str> = request
        .required_keys
        .iter()
        .filter(|key| !secret.variables.contains_key(*key))
        .map(String::as_str)
        .collect();
    if !absent.is_empty() {
        let text = format!("Secret is missing key(s): {}", absent.join(", "));
        return Err(Status::failed_precondition(text));
    }
    Ok(SecretGetOrCreateResponse {
        metadata: Some(secret.metadata()),
        secret_id: id,
    })
}

async fn list(
    world: Arc<World>,
    call: Call<SecretListRequest>,
) -> Result<SecretListResponse, Status> {
    let environment_name = environments::resolve(&world, &call.message.environment_name)?;
    let page = call.message.pagination.unwrap_or_default();
    let most = usize::try_from(page.max_objects)
        .ok()
        .filter(|most| *most > 0)
        .unwrap_or(PAGE);
    let before = match page.created_before {
        0.0 => f64::INFINITY,
        before => before,
    };
    let secrets = world.secrets.read();
    let mut items: Vec<SecretListItem> = secrets
        .secrets
        .iter()
        .filter(|(_, secret)| secret.environment == environment_name && secret.created_at < before)
        .filter_map(|(id, secret)| {
            Some(SecretListItem {
                label: secret.name.clone()?,
                created_at: secret.created_at,
                last_used_at: secret.last_used_at,
                environment_name: secret.environment.clone(),
                secret_id: id.clone(),
                metadata: Some(secret.metadata()),
            })
        })
        .collect();
    items.sort_by(|a, b| b.created_at.total_cmp(&a.created_at));
    items.truncate(most.min(PAGE));
    Ok(SecretListResponse {
        items,
        environment_name,
    })
}

async fn delete(world: Arc<World>, call: Call<SecretDeleteRequest>) -> Result<(), Status> {
    let id = &call.message.secret_id;
    world
        .secrets
        .write()
        .secrets
        .remove(id)
        .ok_or_else(|| unknown(id))?;
    call.meta.effect("secret.delete", id);
    Ok(())
}

async fn get_info(
    world: Arc<World>,
    call: Call<SecretGetInfoRequest>,
) -> Result<SecretGetInfoResponse, Status> {
    let metadata = world
        .secrets
        .read()
        .get(&call.message.secret_id)?
        .metadata();
    Ok(SecretGetInfoResponse {
        metadata: Some(metadata),
    })
}

async fn update(world: Arc<World>, call: Call<SecretUpdateRequest>) -> Result<(), Status> {
    let SecretUpdateRequest { secret_id, updates } = call.message;
    for update in &updates {
        check_key(&update.key)?;
    }
    let mut secrets = world.secrets.write();
    let secret = secrets
        .secrets
        .get_mut(&secret_id)
        .ok_or_else(|| unknown(&secret_id))?;
    for update in updates {
        match update.value {
            Some(value) => secret.variables.insert(update.key, value),
            None => secret.variables.remove(&update.key),
        };
    }
    call.meta.effect("secret.update", &secret_id);
    Ok(())
}

/// A name that a process can have in its environment.
fn check_key(key: &str) -> Result<(), Status> {
    if key.is_empty() || key.contains(['=', '\0']) {
        return Err(Status::invalid_argument(format!(
            "{key:?} is no name of an environment variable: it must not be empty nor hold `=`"
        )));
    }
    Ok(())
}
