//! The command router of a running sandbox: the server beside it that runs commands, carries standard
//! streams and takes snapshots.
//!
//! * Its address and token come from the control plane; the token is renewed half a minute before it ends,
//!   and once more when the router refuses it. One renewal serves all calls that wait for it.
//! * Calls are retried up to 10 times from 10 ms on: a router is one process, and comes back or is gone.
//! * Output streams go on by offset ([`Output`]), input is written by offset, so that nothing is lost or
//!   applied twice.
//!
//! Deliberately absent: sidecar containers and the rewriting of requests by policy.

mod access;
mod output;
mod stdin;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use moorline_modal_proto::client::CommandRouterAccess;
use prost::Message;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::transport::{Link, Peer, client_stream, server_stream, unary};
use crate::{CallOptions, Client, Error, ErrorKind, Result, RetryPolicy, Rpc, ServerUrl};
use access::Access;
pub(crate) use access::Owner;
pub use output::{Chunk, Output};
pub(crate) use output::{Descriptor, head, output};
pub(crate) use stdin::{Feed, write_all};

/// Declares RPCs of the command router: `NAME = Method(Request) -> Response, Effect;`. The message `Empty`
/// is `()`.
macro_rules! command_router {
    ($($name:ident = $method:ident($req:ident) -> $res:ident, $effect:ident;)+) => {
        $(
            pub(crate) const $name: $crate::rpc::Rpc<
                $crate::router::message!($req),
                $crate::router::message!($res),
            > = $crate::rpc::Rpc::new(
                concat!("/modal.task_command_router.TaskCommandRouter/", stringify!($method)),
                $crate::rpc::Effect::$effect,
            );
        )+
    };
}
macro_rules! message {
    (Empty) => {
        ()
    };
    ($name:ident) => {
        moorline_modal_proto::router::$name
    };
}
pub(crate) use command_router;
pub(crate) use message;

/// Longest time of one attempt: longer holds are asked for in pieces, so that one that nobody answers is
/// noticed.
pub(crate) const ATTEMPT: Duration = Duration::from_mins(1);

/// How long a router may be unreachable: a sandbox can take minutes to be placed on a machine.
const CONNECT: Duration = Duration::from_secs(310);

/// A connection to the command router of one task; cheap to clone.
#[derive(Clone, Debug)]
pub struct CommandRouter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    task_id: String,
    owner: Owner,
    policy: RetryPolicy,
    current: Mutex<Option<Arc<Connection>>>,
    renewing: tokio::sync::Mutex<()>,
}

/// What calls use until the token is renewed.
#[derive(Debug)]
struct Connection {
    access: Access,
    link: Arc<Link>,
}

impl CommandRouter {
    /// `first` is access that the caller holds already.
    pub(crate) fn new(
        client: &Client,
        task_id: String,
        owner: Owner,
        first: Option<&CommandRouterAccess>,
    ) -> Result<Self> {
        let policy = policy(&client.config().retry);
        let inner = Inner {
            client: client.clone(),
            task_id,
            owner,
            policy,
            current: Mutex::default(),
            renewing: tokio::sync::Mutex::default(),
        };
        if let Some(access) = first {
            inner.set(access, None)?;
        }
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The task that it belongs to (`ta-…`).
    pub fn task_id(&self) -> &str {
        &self.inner.task_id
    }

    /// Calls an RPC of the router, with retries. For what this crate has no method for.
    ///
    /// # Errors
    /// What the router said, or what stands between it and this client.
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
        unary(&self.peer(), rpc, request, options).await
    }

    pub(crate) async fn unary<Req, Res>(&self, rpc: Rpc<Req, Res>, request: Req) -> Result<Res>
    where
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        self.call(rpc, request, &CallOptions::default()).await
    }

    /// Calls within a deadline of the caller's. The router holds its answer, so no attempt is cut short
    /// before.
    pub(crate) async fn unary_within<Req, Res>(
        &self,
        rpc: Rpc<Req, Res>,
        request: Req,
        deadline: Duration,
    ) -> Result<Res>
    where
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        let options = CallOptions::new()
            .attempt_timeout(deadline)
            .total_timeout(deadline);
        self.call(rpc, request, &options).await
    }

    async fn server_stream<Req, Res>(
        &self,
        rpc: Rpc<Req, Res>,
        request: Req,
    ) -> Result<Streaming<Res>>
    where
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        server_stream(
            &self.peer(),
            rpc,
            request,
            &CallOptions::new().max_retries(0),
        )
        .await
    }

    async fn client_stream<S, Req, Res>(
        &self,
        rpc: Rpc<Req, Res>,
        requests: S,
        options: &CallOptions,
    ) -> Result<Res>
    where
        S: futures::Stream<Item = Req> + Send + 'static,
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        client_stream(&self.peer(), rpc, requests, options).await
    }

    /// How its calls and streams are repeated.
    pub(crate) fn policy(&self) -> &RetryPolicy {
        &self.inner.policy
    }

    /// Gets another token because the router refused the present one in the middle of a stream.
    async fn renew(&self) -> Result<()> {
        let refused = self.inner.current();
        self.inner.renew(refused.as_ref()).await.map(|_| ())
    }

    fn peer(&self) -> RouterPeer<'_> {
        RouterPeer {
            inner: &self.inner,
            used: Mutex::default(),
        }
    }
}

/// The official clients' policy for routers, within the client's own limits.
fn policy(base: &RetryPolicy) -> RetryPolicy {
    let mut policy = base.clone();
    policy.max_retries = 10;
    policy.base_delay = Duration::from_millis(10);
    policy.max_delay = Duration::from_secs(10);
    policy.attempt_timeout = base.attempt_timeout.min(ATTEMPT);
    policy.max_connect_wait = CONNECT;
    policy
}

impl Inner {
    fn current(&self) -> Option<Arc<Connection>> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes new access; the connection stays if the address does.
    fn set(
        &self,
        access: &CommandRouterAccess,
        old: Option<&Connection>,
    ) -> Result<Arc<Connection>> {
        let local = self.client.config().servers.iter().any(ServerUrl::is_local);
        let access = Access::new(access, local)?;
        let link = match old.filter(|old| old.access.url == access.url) {
            Some(old) => Arc::clone(&old.link),
            None => Arc::new(Link::new(std::slice::from_ref(&access.url))?),
        };
        let connection = Arc::new(Connection { access, link });
        let current = Arc::clone(&connection);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(current);
        Ok(connection)
    }

    /// The connection with a token that is good for a while.
    async fn fresh(&self) -> Result<Arc<Connection>> {
        match self.current() {
            Some(connection) if connection.access.is_fresh() => Ok(connection),
            stale => self.renew(stale.as_ref()).await,
        }
    }

    /// Fetches access unless somebody else replaced `stale` meanwhile.
    async fn renew(&self, stale: Option<&Arc<Connection>>) -> Result<Arc<Connection>> {
        let _one = self.renewing.lock().await;
        let current = self.current();
        match (&current, stale) {
            (Some(current), None) => return Ok(Arc::clone(current)),
            (Some(current), Some(stale)) if !Arc::ptr_eq(current, stale) => {
                return Ok(Arc::clone(current));
            }
            _ => {}
        }
        let access = self.owner.fetch(&self.client).await?;
        self.set(&access, current.as_deref())
    }
}

/// One call's view of the router: it remembers which token it used.
struct RouterPeer<'a> {
    inner: &'a Inner,
    used: Mutex<Option<Arc<Connection>>>,
}

impl Peer for RouterPeer<'_> {
    fn policy(&self) -> &RetryPolicy {
        &self.inner.policy
    }

    async fn prepare(&self) -> Result<(Channel, HeaderMap)> {
        let connection = self.inner.fresh().await?;
        let channel = connection.link.channel().await.map_err(|error| {
            let message = format!(
                "the command router {} does not answer",
                connection.access.url
            );
            Error::new(ErrorKind::Unavailable, message).with_source(error)
        })?;
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(AUTHORIZATION, connection.access.authorization.clone());
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        Ok((channel, headers))
    }

    async fn renew(&self) -> Result<bool> {
        let used = self
            .used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        self.inner.renew(used.as_ref()).await.map(|_| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routers_are_asked_ten_times_from_ten_milliseconds_on() {
        let policy = policy(&RetryPolicy::default());
        assert_eq!(
            (policy.max_retries, policy.base_delay),
            (10, Duration::from_millis(10))
        );
        assert_eq!(policy.attempt_timeout, ATTEMPT);
    }
}
