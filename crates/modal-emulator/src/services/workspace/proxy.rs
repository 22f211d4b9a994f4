//! Tokens for web endpoints with proxy authentication: the pairs of `Modal-Key` and `Modal-Secret`, and the
//! bearer tokens of `modal curl`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use moorline_modal_proto::client::{
    CurlAuthTokenRequest, CurlAuthTokenResponse, TokenCreateResponse, TokenDeleteRequest,
    WebhookToken, WebhookTokenCreateRequest, WebhookTokenEnvironmentAddRequest,
    WebhookTokenEnvironmentRemoveRequest, WebhookTokenListForEnvironmentRequest,
    WebhookTokenListResponse, WebhookTokenUpdateRequest,
};
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::call::Call;
use crate::routes::Rpcs;
use crate::services::environments;
use crate::world::World;
use crate::{clock, ids};

/// Life of a bearer token, in seconds.
const BEARER: f64 = 300.0;

/// All tokens.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Tokens {
    /// By id (`wk-…`).
    pairs: BTreeMap<String, Token>,
    /// Bearer tokens, with the end of their lives in seconds since 1970.
    #[serde(skip)]
    bearers: HashMap<String, f64>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Token {
    secret: String,
    created_at: f64,
    /// Opens only the environments that it was added to.
    scoped: bool,
    name: String,
    /// Ids.
    environments: BTreeSet<String>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Token {
    fn message(&self, id: &str) -> WebhookToken {
        WebhookToken {
            token_id: id.to_owned(),
            created_at: self.created_at,
            scoped: self.scoped,
            name: self.name.clone(),
            created_by: Some(super::user()),
        }
    }

    fn opens(&self, environment_id: &str) -> bool {
        !self.scoped || self.environments.contains(environment_id)
    }
}

/// Whether a pair of `Modal-Key` and `Modal-Secret` opens the endpoints of an environment (by name).
pub(crate) fn proxy_token_ok(world: &World, key: &str, secret: &str, environment: &str) -> bool {
    let Ok(environment) = environments::get(world, environment) else {
        return false;
    };
    let workspace = world.workspace.read();
    let token = workspace.proxy.pairs.get(key);
    token.is_some_and(|token| token.secret == secret && token.opens(&environment.id))
}

/// Whether a bearer token of `modal curl` is good. Without the word `Bearer`.
pub(crate) fn bearer_ok(world: &World, token: &str) -> bool {
    let workspace = world.workspace.read();
    workspace
        .proxy
        .bearers
        .get(token)
        .is_some_and(|end| *end > clock::seconds())
}

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("WebhookTokenCreate", create);
    rpcs.read("WebhookTokenList", list);
    rpcs.read("WebhookTokenListForEnvironment", list_for_environment);
    rpcs.write("WebhookTokenEnvironmentAdd", add);
    rpcs.write("WebhookTokenEnvironmentRemove", remove);
    rpcs.write("WebhookTokenUpdate", update);
    rpcs.write("WebhookTokenDelete", delete);
    rpcs.write("CurlGetAuthToken", curl_token);
}

fn unknown(id: &str) -> Status {
    Status::not_found(format!("Proxy token '{id}' not found"))
}

async fn create(
    world: Arc<World>,
    call: Call<WebhookTokenCreateRequest>,
) -> Result<TokenCreateResponse, Status> {
    let WebhookTokenCreateRequest { scoped, name } = call.message;
    let (token_id, token_secret) = (ids::new("wk"), ids::new("ws"));
    let token = Token {
        secret: token_secret.clone(),
        created_at: clock::seconds(),
        scoped,
        name,
        environments: BTreeSet::new(),
    };
    world
        .workspace
        .write()
        .proxy
        .pairs
        .insert(token_id.clone(), token);
    call.meta.effect("proxy_token.create", &token_id);
    Ok(TokenCreateResponse {
        token_id,
        token_secret,
    })
}

fn listed(world: &World, wanted: impl Fn(&Token) -> bool) -> WebhookTokenListResponse {
    let workspace = world.workspace.read();
    let tokens = workspace
        .proxy
        .pairs
        .iter()
        .filter(|(_, token)| wanted(token));
    WebhookTokenListResponse {
        tokens: tokens.map(|(id, token)| token.message(id)).collect(),
    }
}

async fn list(world: Arc<World>, _: Call<()>) -> Result<WebhookTokenListResponse, Status> {
    Ok(listed(&world, |_| true))
}

async fn list_for_environment(
    world: Arc<World>,
    call: Call<WebhookTokenListForEnvironmentRequest>,
) -> Result<WebhookTokenListResponse, Status> {
    let environment = environments::get(&world, &call.message.environment_name)?;
    Ok(listed(&world, |token| token.opens(&environment.id)))
}

/// Changes a token, if there is one of that id.
fn change(world: &World, id: &str, how: impl FnOnce(&mut Token)) -> Result<WebhookToken, Status> {
    let mut workspace = world.workspace.write();
    let token = workspace
        .proxy
        .pairs
        .get_mut(id)
        .ok_or_else(|| unknown(id))?;
    how(token);
    Ok(token.message(id))
}

async fn add(
    world: Arc<World>,
    call: Call<WebhookTokenEnvironmentAddRequest>,
) -> Result<(), Status> {
    let WebhookTokenEnvironmentAddRequest {
        token_id,
        environment_id,
    } = call.message;
    environments::name_of(&world, &environment_id)?;
    change(&world, &token_id, |token| {
        token.environments.insert(environment_id);
    })?;
    call.meta.effect("proxy_token.update", &token_id);
    Ok(())
}

async fn remove(
    world: Arc<World>,
    call: Call<WebhookTokenEnvironmentRemoveRequest>,
) -> Result<(), Status> {
    let WebhookTokenEnvironmentRemoveRequest {
        token_id,
        environment_id,
    } = call.message;
    change(&world, &token_id, |token| {
        token.environments.remove(&environment_id);
    })?;
    call.meta.effect("proxy_token.update", &token_id);
    Ok(())
}

async fn update(
    world: Arc<World>,
    call: Call<WebhookTokenUpdateRequest>,
) -> Result<WebhookToken, Status> {
    let WebhookTokenUpdateRequest { token_id, name } = call.message;
    let token = change(&world, &token_id, |token| {
        if let Some(name) = name {
            token.name = name;
        }
    })?;
    call.meta.effect("proxy_token.update", &token_id);
    Ok(token)
}

async fn delete(world: Arc<World>, call: Call<TokenDeleteRequest>) -> Result<(), Status> {
    let id = call.message.token_id;
    world
        .workspace
        .write()
        .proxy
        .pairs
        .remove(&id)
        .ok_or_else(|| unknown(&id))?;
    call.meta.effect("proxy_token.delete", &id);
    Ok(())
}

async fn curl_token(
    world: Arc<World>,
    _: Call<CurlAuthTokenRequest>,
) -> Result<CurlAuthTokenResponse, Status> {
    let token = super::unsigned_jwt(BEARER);
    let now = clock::seconds();
    let bearers = &mut world.workspace.write().proxy.bearers;
    bearers.retain(|_, end| *end > now);
    bearers.insert(token.clone(), now + BEARER);
    Ok(CurlAuthTokenResponse { token })
}
