//! The workspace: who is calling, its settings, its tokens and its bills.
//!
//! There is one workspace with one user; any token pair is taken. Deliberately absent: members, roles, service
//! users, audit logs.

pub(crate) mod billing;
mod proxy;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moorline_modal_proto::client::token_info_get_response::Identity;
use moorline_modal_proto::client::{
    AuthTokenGetRequest, AuthTokenGetResponse, ClientHelloResponse, TokenFlowCreateRequest,
    TokenFlowCreateResponse, TokenFlowWaitRequest, TokenFlowWaitResponse, TokenInfoGetRequest,
    TokenInfoGetResponse, UserIdentity, WorkspaceNameLookupResponse,
    WorkspaceSetDefaultEnvironmentRequest, WorkspaceSetImageBuilderVersionRequest,
    WorkspaceSetImageBuilderVersionResponse, WorkspaceSettingsResponse,
};
use serde::{Deserialize, Serialize};
use tonic::Status;

pub(crate) use self::proxy::{bearer_ok, proxy_token_ok};
use super::environments;
use crate::call::Call;
use crate::routes::Rpcs;
use crate::world::World;
use crate::{clock, ids};

/// Name of the only user.
pub(crate) const USER: &str = "emulator";
/// Name of the only workspace.
const WORKSPACE: &str = "emulator";
const WORKSPACE_ID: &str = "wo-0000000000000000emulator";
/// Life of the token for other servers, in seconds.
const AUTH_TOKEN: f64 = 20.0 * 60.0;
/// What Modal gives new workspaces that ask for nothing else.
const BUILDER: &str = "2025.06";
/// What can be chosen.
const BUILDERS: [&str; 6] = [
    "2023.12", "2024.04", "2024.10", "2025.06", "2026.10", "PREVIEW",
];

/// The workspace's part of the world.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Workspace {
    builder: Option<String>,
    proxy: proxy::Tokens,
    billing: billing::Ledger,
    /// Token flows that wait for their client, by id: the secret that it must show.
    #[serde(skip)]
    flows: std::collections::HashMap<String, String>,
}

/// The image builder version of environments that have none of their own.
pub(crate) fn image_builder_version(world: &World) -> String {
    world
        .workspace
        .read()
        .builder
        .clone()
        .unwrap_or_else(|| BUILDER.to_owned())
}

/// A JWT that no one signed: its readers look at the time alone.
pub(super) fn unsigned_jwt(life: f64) -> String {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds")]
    let expires = (clock::seconds() + life) as i64;
    let head = part(&serde_json::json!({ "alg": "none", "typ": "JWT" }));
    let body = part(&serde_json::json!({ "exp": expires, "jti": ids::new("jw") }));
    format!("{head}.{body}.emulator")
}

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.read("ClientHello", hello);
    rpcs.read("AuthTokenGet", auth_token);
    rpcs.read("TokenInfoGet", token_info);
    rpcs.write("TokenFlowCreate", token_flow_create);
    rpcs.write("TokenFlowWait", token_flow_wait);
    rpcs.read("WorkspaceNameLookup", name_lookup);
    rpcs.read("WorkspaceSettings", settings);
    rpcs.write("WorkspaceSetDefaultEnvironment", set_default_environment);
    rpcs.write("WorkspaceSetImageBuilderVersion", set_builder);
    proxy::register(rpcs);
    billing::register(rpcs);
}

async fn hello(world: Arc<World>, _: Call<()>) -> Result<ClientHelloResponse, Status> {
    let image_builder_version = image_builder_version(&world);
    Ok(ClientHelloResponse {
        image_builder_version,
        ..ClientHelloResponse::default()
    })
}

async fn auth_token(
    _: Arc<World>,
    _: Call<AuthTokenGetRequest>,
) -> Result<AuthTokenGetResponse, Status> {
    Ok(AuthTokenGetResponse {
        token: unsigned_jwt(AUTH_TOKEN),
    })
}

async fn token_info(
    _: Arc<World>,
    call: Call<TokenInfoGetRequest>,
) -> Result<TokenInfoGetResponse, Status> {
    Ok(TokenInfoGetResponse {
        token_id: call
            .meta
            .header("x-modal-token-id")
            .unwrap_or_default()
            .to_owned(),
        workspace_id: WORKSPACE_ID.to_owned(),
        workspace_name: WORKSPACE.to_owned(),
        identity: Some(Identity::UserIdentity(user())),
        ..TokenInfoGetResponse::default()
    })
}

/// The only user.
pub(super) fn user() -> UserIdentity {
    UserIdentity {
        user_id: "us-0000000000000000emulator".to_owned(),
        username: USER.to_owned(),
    }
}

async fn token_flow_create(
    world: Arc<World>,
    _: Call<TokenFlowCreateRequest>,
) -> Result<TokenFlowCreateResponse, Status> {
    let (id, secret) = (ids::new("tf"), ids::new("ws"));
    world
        .workspace
        .write()
        .flows
        .insert(id.clone(), secret.clone());
    Ok(TokenFlowCreateResponse {
        web_url: world.url(&format!("/token-flow/{id}")),
        token_flow_id: id,
        code: "emulator".to_owned(),
        wait_secret: secret,
    })
}

/// There is nobody to ask: the user has agreed.
async fn token_flow_wait(
    world: Arc<World>,
    call: Call<TokenFlowWaitRequest>,
) -> Result<TokenFlowWaitResponse, Status> {
    let TokenFlowWaitRequest {
        token_flow_id,
        wait_secret,
        ..
    } = call.message;
    let mut workspace = world.workspace.write();
    if workspace.flows.get(&token_flow_id) != Some(&wait_secret) {
        return Err(Status::not_found(format!(
            "Token flow '{token_flow_id}' not found"
        )));
    }
    workspace.flows.remove(&token_flow_id);
    let token_id = ids::new("ak");
    call.meta.effect("token.create", &token_id);
    Ok(TokenFlowWaitResponse {
        token_id,
        token_secret: ids::new("as"),
        timeout: false,
        workspace_username: USER.to_owned(),
    })
}

async fn name_lookup(_: Arc<World>, _: Call<()>) -> Result<WorkspaceNameLookupResponse, Status> {
    Ok(WorkspaceNameLookupResponse {
        workspace_name: WORKSPACE.to_owned(),
        username: USER.to_owned(),
    })
}

async fn settings(world: Arc<World>, _: Call<()>) -> Result<WorkspaceSettingsResponse, Status> {
    Ok(WorkspaceSettingsResponse {
        default_environment_name: environments::resolve(&world, "")?,
        image_builder_version: image_builder_version(&world),
    })
}

async fn set_default_environment(
    world: Arc<World>,
    call: Call<WorkspaceSetDefaultEnvironmentRequest>,
) -> Result<(), Status> {
    environments::set_default(&world, &call.message.environment_name)?;
    call.meta.effect("workspace.update", WORKSPACE_ID);
    Ok(())
}

async fn set_builder(
    world: Arc<World>,
    call: Call<WorkspaceSetImageBuilderVersionRequest>,
) -> Result<WorkspaceSetImageBuilderVersionResponse, Status> {
    let version = call.message.new_image_builder_version;
    if !BUILDERS.contains(&version.as_str()) {
        return Err(Status::invalid_argument(format!(
            "'{version}' is no image builder version: use one of {}",
            BUILDERS.join(", ")
        )));
    }
    world.workspace.write().builder = Some(version.clone());
    call.meta.effect("workspace.update", WORKSPACE_ID);
    Ok(WorkspaceSetImageBuilderVersionResponse {
        image_builder_version: version,
    })
}
