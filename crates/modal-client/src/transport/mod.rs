//! The connection to the control plane and the calls over it.
//!
//! [`Client`] holds one HTTP/2 channel, the fixed headers, the short-lived token and the retry policy.
//! Resources ([`crate::apps`] and its siblings) are functions over it. Deliberately absent: proxies for
//! gRPC (transfers over HTTP honour them), and a pool: HTTP/2 carries all calls over one connection.

mod auth;
mod call;
mod clock;
mod codec;
mod headers;
mod link;
pub mod retry;

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderValue};
use prost::Message;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::config::{Config, Credentials};
use crate::error::{Error, ErrorKind, Result};
use crate::rpc::{CallOptions, Rpc, control_plane};
use crate::transfer::{TransferOptions, Transfers};
use retry::RetryPolicy;

pub(crate) use auth::expiry as jwt_expiry;
pub(crate) use call::{Peer, client_stream, server_stream, unary};
pub(crate) use clock::{instant, wall};
pub(crate) use headers::{random_uuid, token_value};
pub(crate) use link::{Link, MAX_MESSAGE};

control_plane! {
    AUTH_TOKEN_GET = AuthTokenGet(AuthTokenGetRequest) -> AuthTokenGetResponse, Read;
}

/// A client of one Modal workspace.
///
/// Cloning is cheap and shares the connection. It connects on the first call, in the tokio runtime of
/// that call, and belongs to that runtime from then on.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    link: Link,
    base: HeaderMap,
    tokens: auth::TokenManager,
    http: OnceLock<reqwest::Client>,
    transfers: OnceLock<Transfers>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("servers", &self.inner.config.servers)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client with these settings. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for settings that can not be used.
    pub fn new(config: Config) -> Result<Self> {
        let link = Link::new(&config.servers)?;
        let base = headers::base(&config)?;
        let (tokens, http) = (auth::TokenManager::default(), OnceLock::new());
        let transfers = OnceLock::new();
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                link,
                base,
                tokens,
                http,
                transfers,
            }),
        })
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Calls an RPC of the control plane, with retries. For what this crate has no method for; see
    /// [`crate::proto`].
    ///
    /// # Errors
    /// What the server said, or what stands between it and this client.
    pub async fn call<Req, Res>(
        &self,
        rpc: Rpc<Req, Res>,
        request: Req,
        options: &CallOptions,
    ) -> Result<Res>
    where
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        unary(&ControlPlane(&self.inner), rpc, request, options).await
    }

    /// [`call`](Self::call) with the defaults.
    pub(crate) async fn unary<Req, Res>(&self, rpc: Rpc<Req, Res>, request: Req) -> Result<Res>
    where
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        self.call(rpc, request, &CallOptions::default()).await
    }

    /// Opens a stream of the control plane; see [`crate::stream`] for one that resumes.
    pub(crate) async fn server_stream<Req, Res>(
        &self,
        rpc: Rpc<Req, Res>,
        request: Req,
        options: &CallOptions,
    ) -> Result<Streaming<Res>>
    where
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        server_stream(&ControlPlane(&self.inner), rpc, request, options).await
    }

    /// The client of plain HTTP transfers (blobs, blocks, web endpoints). Honours the proxies of the
    /// system unless the settings disable that.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when TLS can not be set up.
    pub fn http(&self) -> Result<&reqwest::Client> {
        if let Some(client) = self.inner.http.get() {
            return Ok(client);
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(headers::USER_AGENT)
            .connect_timeout(std::time::Duration::from_secs(10));
        if self.inner.config.disable_proxy {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| {
            Error::new(ErrorKind::Config, "the HTTP client can not be set up").with_source(error)
        })?;
        Ok(self.inner.http.get_or_init(|| client))
    }

    /// The transfers of bytes over HTTP, counted together for all clones of this client.
    ///
    /// # Errors
    /// As [`http`](Self::http).
    pub fn transfers(&self) -> Result<&Transfers> {
        if let Some(transfers) = self.inner.transfers.get() {
            return Ok(transfers);
        }
        // A transfer may stand still for as long as a call may stay unanswered.
        let stall = self.inner.config.retry.attempt_timeout;
        let options = TransferOptions {
            stall,
            ..TransferOptions::default()
        };
        let transfers = Transfers::with_http(self.http()?.clone(), options);
        Ok(self.inner.transfers.get_or_init(|| transfers))
    }

    /// The environment of a call: the one named, the settings' one, or "" for the workspace's default.
    pub(crate) fn environment_or_default(&self, named: Option<&str>) -> String {
        named
            .or(self.inner.config.environment.as_deref())
            .unwrap_or_default()
            .to_owned()
    }
}

impl Inner {
    async fn auth_token(&self) -> Result<Option<HeaderValue>> {
        self.tokens
            .get(|| async {
                let request = moorline_modal_proto::client::AuthTokenGetRequest {};
                let options = CallOptions::default();
                match unary(&Bare(self), AUTH_TOKEN_GET, request, &options).await {
                    Ok(reply) => Ok(reply.token),
                    // A server without such tokens wants none.
                    Err(error) if error.kind() == ErrorKind::Unimplemented => Ok(String::new()),
                    Err(error) => Err(error),
                }
            })
            .await
    }

    async fn channel(&self) -> Result<Channel> {
        self.link.channel().await.map_err(|error| {
            let servers: Vec<_> = self
                .config
                .servers
                .iter()
                .map(ToString::to_string)
                .collect();
            let text = format!("none of the servers answers: {}", servers.join(", "));
            Error::new(ErrorKind::Unavailable, text).with_source(error)
        })
    }
}

/// The control plane, with the short-lived token on every call.
struct ControlPlane<'a>(&'a Inner);

impl Peer for ControlPlane<'_> {
    fn policy(&self) -> &RetryPolicy {
        &self.0.config.retry
    }

    async fn prepare(&self) -> Result<(Channel, HeaderMap)> {
        let (channel, mut headers) = Bare(self.0).prepare().await?;
        if !matches!(self.0.config.credentials, Credentials::Anonymous)
            && let Some(token) = self.0.auth_token().await?
        {
            headers::set_auth_token(&mut headers, token);
        }
        Ok((channel, headers))
    }

    async fn renew(&self) -> Result<bool> {
        // The pair itself may be wrong: then fetching another token says so.
        let had_one = !matches!(self.0.config.credentials, Credentials::Anonymous);
        self.0.tokens.forget();
        Ok(had_one)
    }

    fn lost(&self) {
        self.0.link.lost();
    }
}

/// The control plane without that token: for fetching it.
struct Bare<'a>(&'a Inner);

impl Peer for Bare<'_> {
    fn policy(&self) -> &RetryPolicy {
        &self.0.config.retry
    }

    async fn prepare(&self) -> Result<(Channel, HeaderMap)> {
        Ok((self.0.channel().await?, self.0.base.clone()))
    }

    async fn renew(&self) -> Result<bool> {
        Ok(false)
    }

    fn lost(&self) {
        self.0.link.lost();
    }
}
