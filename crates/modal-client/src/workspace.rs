//! Who calls: the workspace and the token in use.

use std::time::Duration;

use jiff::Timestamp;
use moorline_modal_proto::client as pb;
use pb::token_info_get_response::Identity as WireIdentity;
use secrecy::SecretString;

use crate::error::{Error, ErrorKind, Result};
use crate::rpc::{CallOptions, control_plane};
use crate::transport::Client;
use crate::wire::{some, timestamp};

control_plane! {
    FLOW_CREATE = TokenFlowCreate(TokenFlowCreateRequest) -> TokenFlowCreateResponse, Keyed;
    FLOW_WAIT = TokenFlowWait(TokenFlowWaitRequest) -> TokenFlowWaitResponse, Keyed;
    HELLO = ClientHello(Empty) -> ClientHelloResponse, Read;
    TOKEN_INFO = TokenInfoGet(TokenInfoGetRequest) -> TokenInfoGetResponse, Read;
    WORKSPACE = WorkspaceNameLookup(Empty) -> WorkspaceNameLookupResponse, Read;
}

/// How long one wait for the user's consent is held.
const FLOW_HOLD: Duration = Duration::from_secs(15);

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// A person's.
    User {
        /// The user's name.
        name: String,
    },
    /// A service user's.
    ServiceUser {
        /// The service user's name.
        name: String,
    },
}

/// The token of this client.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TokenInfo {
    /// `ak-…`.
    pub id: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The workspace's id.
    pub workspace_id: String,
    /// The workspace's name.
    pub workspace: String,
    /// Whose it is.
    pub identity: Option<Identity>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it ends; never when unset.
    pub expires_at: Option<Timestamp>,
}

/// What the server has to say to this client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hello {
    /// Warnings, about deprecated clients for instance.
    pub warnings: Vec<String>,
    /// The newest image builder version.
    pub image_builder_version: Option<String>,
}

/// A consent that is asked for in a browser.
#[derive(Debug)]
#[non_exhaustive]
pub struct TokenFlow {
    /// The page to open.
    pub url: String,
    /// What the page shows, for comparison.
    pub code: String,
    id: String,
    wait_secret: SecretString,
}

/// A new token pair.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewToken {
    /// `ak-…`.
    pub id: String,
    /// `as-…`.
    pub secret: SecretString,
    /// The workspace it is for.
    pub workspace: String,
}

/// Calls about the workspace and the token.
#[derive(Clone, Debug)]
pub struct Workspace {
    client: Client,
}

impl Client {
    /// The workspace and the token in use.
    pub fn workspace(&self) -> Workspace {
        Workspace {
            client: self.clone(),
        }
    }
}

impl Workspace {
    /// Says hello: whether this client is welcome, with these credentials.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthenticated`] for a wrong token, [`ErrorKind::Conflict`] for a client that is too
    /// old.
    pub async fn hello(&self) -> Result<Hello> {
        let reply = self.client.unary(HELLO, ()).await?;
        let warnings = reply
            .server_warnings
            .into_iter()
            .map(|warning| warning.message);
        Ok(Hello {
            warnings: some(reply.warning).into_iter().chain(warnings).collect(),
            image_builder_version: some(reply.image_builder_version),
        })
    }

    /// The workspace's name.
    ///
    /// # Errors
    /// What the server says.
    pub async fn name(&self) -> Result<String> {
        Ok(self.client.unary(WORKSPACE, ()).await?.workspace_name)
    }

    /// The token in use.
    ///
    /// # Errors
    /// What the server says.
    pub async fn token_info(&self) -> Result<TokenInfo> {
        let reply = self
            .client
            .unary(TOKEN_INFO, pb::TokenInfoGetRequest {})
            .await?;
        Ok(TokenInfo {
            id: reply.token_id,
            name: some(reply.token_name),
            workspace_id: reply.workspace_id,
            workspace: reply.workspace_name,
            identity: reply.identity.map(|identity| match identity {
                WireIdentity::UserIdentity(user) => Identity::User {
                    name: user.username,
                },
                WireIdentity::ServiceUserIdentity(user) => Identity::ServiceUser {
                    name: user.service_user_name,
                },
            }),
            created_at: reply.created_at.as_ref().and_then(timestamp),
            expires_at: reply.expires_at.as_ref().and_then(timestamp),
        })
    }

    /// Begins to ask the user for a new token. Works with an anonymous client.
    ///
    /// # Errors
    /// What the server says.
    pub async fn begin_token_flow(&self, source: &str) -> Result<TokenFlow> {
        let request = pb::TokenFlowCreateRequest {
            utm_source: source.to_owned(),
            ..Default::default()
        };
        let reply = self.client.unary(FLOW_CREATE, request).await?;
        Ok(TokenFlow {
            url: reply.web_url,
            code: reply.code,
            id: reply.token_flow_id,
            wait_secret: reply.wait_secret.into(),
        })
    }

    /// Waits until the user has agreed.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if that took too long.
    pub async fn finish_token_flow(&self, flow: &TokenFlow, timeout: Duration) -> Result<NewToken> {
        use secrecy::ExposeSecret as _;
        let began = crate::transport::instant();
        loop {
            let left = timeout.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    "the user has not agreed in time",
                ));
            }
            let hold = left.min(FLOW_HOLD);
            let request = pb::TokenFlowWaitRequest {
                timeout: hold.as_secs_f32(),
                token_flow_id: flow.id.clone(),
                wait_secret: flow.wait_secret.expose_secret().to_owned(),
            };
            let options = CallOptions::new().attempt_timeout(hold + Duration::from_secs(15));
            let reply = self.client.call(FLOW_WAIT, request, &options).await?;
            if !reply.timeout {
                return Ok(NewToken {
                    id: reply.token_id,
                    secret: reply.token_secret.into(),
                    workspace: reply.workspace_username,
                });
            }
        }
    }
}
