//! One sandbox: its life, its output, its end.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::HeaderValue;
use moorline_modal_proto::client::{
    CommandRouterAccess, SandboxGetTaskIdRequest, SandboxTerminateRequest, SandboxWaitRequest,
};
use prost::Message;
use tokio::sync::OnceCell;

use super::network::Tunnel;
use super::stdin::Stdin;
use super::{Api, Outcome, rpc, v1};
use crate::router::{CommandRouter, Descriptor, Output, Owner, output};
use crate::transport::instant;
use crate::wire::some;
use crate::{CallOptions, Client, Error, ErrorKind, Result, Rpc};

/// How long the server holds a question for the end.
const HOLD: Duration = Duration::from_secs(10);

/// What an answer may take beyond the hold.
const MARGIN: Duration = Duration::from_secs(5);

/// The time between two questions whether a sandbox has been placed.
const PLACED_POLL: Duration = Duration::from_millis(500);

/// How long it may take until a sandbox is placed on a machine, as the official client has it: 21 minutes.
pub const SCHEDULING_TIMEOUT: Duration = Duration::from_mins(21);

/// A handle of one sandbox; cheap to clone. Dropping it ends nothing.
#[derive(Clone, Debug)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    api: Api,
    id: String,
    app_id: Option<String>,
    token: Option<HeaderValue>,
    access: Option<CommandRouterAccess>,
    task_id: OnceCell<String>,
    router: OnceCell<CommandRouter>,
    tunnels: OnceCell<Vec<Tunnel>>,
    outcome: OnceLock<Outcome>,
}

/// What is known of a sandbox when its handle is made.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) id: String,
    pub(super) app_id: Option<String>,
    pub(super) task_id: Option<String>,
    pub(super) token: Option<HeaderValue>,
    pub(super) access: Option<CommandRouterAccess>,
    pub(super) tunnels: Option<Vec<Tunnel>>,
    pub(super) outcome: Option<Outcome>,
}

impl Sandbox {
    pub(super) fn new(client: &Client, api: Api, parts: Parts) -> Self {
        let outcome = OnceLock::new();
        if let Some(known) = parts.outcome {
            outcome.get_or_init(|| known);
        }
        let inner = Inner {
            client: client.clone(),
            api,
            id: parts.id,
            app_id: parts.app_id,
            token: parts.token,
            access: parts.access,
            task_id: OnceCell::new_with(parts.task_id),
            router: OnceCell::new(),
            tunnels: OnceCell::new_with(parts.tunnels),
            outcome,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// `sb-…`.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The app that it belongs to, if that was told.
    pub fn app_id(&self) -> Option<&str> {
        self.inner.app_id.as_deref()
    }

    /// Which API it is of.
    pub fn api(&self) -> Api {
        self.inner.api
    }

    /// What its calls go through.
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// How it ended, as far as this handle has seen.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.inner.outcome.get()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// What the server says; the wait itself has no end. A sandbox that failed is no error.
    pub async fn wait(&self) -> Result<Outcome> {
        let options = CallOptions::new().attempt_timeout(HOLD + MARGIN);
        loop {
            if let Some(outcome) = self.ask_outcome(HOLD, options.clone()).await? {
                return Ok(outcome);
            }
        }
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// What the server says.
    pub async fn poll(&self) -> Result<Option<Outcome>> {
        self.ask_outcome(Duration::ZERO, CallOptions::default())
            .await
    }

    async fn ask_outcome(&self, hold: Duration, options: CallOptions) -> Result<Option<Outcome>> {
        if let Some(outcome) = self.outcome() {
            return Ok(Some(outcome.clone()));
        }
        let began = instant();
        let request = SandboxWaitRequest {
            sandbox_id: self.id().to_owned(),
            timeout: hold.as_secs_f32(),
        };
        let response = self
            .call_with(rpc::WAIT, rpc::WAIT_V2, request, options)
            .await?;
        let outcome = Outcome::of(response.result.as_ref());
        match &outcome {
            Some(outcome) => {
                self.inner.outcome.get_or_init(|| outcome.clone());
            }
            // A server that does not hold would be asked in a busy loop.
            None if !hold.is_zero() && began.elapsed() < PLACED_POLL => {
                tokio::time::sleep(PLACED_POLL).await;
            }
            None => {}
        }
        Ok(outcome)
    }

    /// Ends it. Ending what has ended is no error.
    ///
    /// # Errors
    /// What the server says.
    pub async fn terminate(&self) -> Result<()> {
        let request = SandboxTerminateRequest {
            sandbox_id: self.id().to_owned(),
        };
        self.call(rpc::TERMINATE, rpc::TERMINATE_V2, request)
            .await
            .map(|_| ())
    }

    /// Waits until it has a place on a machine: at once in the second API, when there is room in the first.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceExhausted`] if it has none within `timeout`: then it still waits for one, so
    /// [`terminate`](Self::terminate) it. [`ErrorKind::Conflict`] if it ended before.
    pub async fn wait_until_scheduled(&self, timeout: Duration) -> Result<()> {
        tokio::time::timeout(timeout, self.task_id())
            .await
            .unwrap_or_else(|_| {
                let message = format!(
                    "no place for sandbox {} within {} s",
                    self.id(),
                    timeout.as_secs()
                );
                Err(Error::new(ErrorKind::ResourceExhausted, message))
            })?;
        Ok(())
    }

    /// The id of the task that runs it (`ta-…`); waits until there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if it ended without one.
    pub async fn task_id(&self) -> Result<&str> {
        let found = self.inner.task_id.get_or_try_init(async || {
            loop {
                let sandbox_id = self.id().to_owned();
                let request = SandboxGetTaskIdRequest {
                    sandbox_id,
                    ..SandboxGetTaskIdRequest::default()
                };
                let response = self.call(rpc::TASK_ID, rpc::TASK_ID_V2, request).await?;
                if let Some(task_id) = response.task_id.and_then(some) {
                    return Ok(task_id);
                }
                if let Some(outcome) = Outcome::of(response.task_result.as_ref()) {
                    let message = format!("sandbox {} {outcome}", self.id());
                    return Err(Error::new(ErrorKind::Conflict, message));
                }
                tokio::time::sleep(PLACED_POLL).await;
            }
        });
        found.await.map(String::as_str)
    }

    /// The server beside it that runs commands; waits until it is placed.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if it has ended.
    pub async fn router(&self) -> Result<&CommandRouter> {
        let router = self.inner.router.get_or_try_init(async || {
            let task_id = self.task_id().await?.to_owned();
            let owner = match self.api() {
                Api::V1 => Owner::Task {
                    task_id: task_id.clone(),
                },
                Api::V2 => Owner::SandboxV2 {
                    sandbox_id: self.id().to_owned(),
                    token: self.inner.token.clone(),
                },
            };
            CommandRouter::new(self.client(), task_id, owner, self.inner.access.as_ref())
        });
        router.await
    }

    /// What its process writes to standard output, from `offset` on; it can be read again and after the end.
    ///
    /// # Errors
    /// As [`router`](Self::router).
    pub async fn stdout_from(&self, offset: u64) -> Result<Output> {
        self.output(Descriptor::Stdout, offset).await
    }

    /// What its process writes to standard output.
    ///
    /// # Errors
    /// As [`router`](Self::router).
    pub async fn stdout(&self) -> Result<Output> {
        self.stdout_from(0).await
    }

    /// What its process writes to standard error, from `offset` on.
    ///
    /// # Errors
    /// As [`router`](Self::router).
    pub async fn stderr_from(&self, offset: u64) -> Result<Output> {
        self.output(Descriptor::Stderr, offset).await
    }

    /// What its process writes to standard error.
    ///
    /// # Errors
    /// As [`router`](Self::router).
    pub async fn stderr(&self) -> Result<Output> {
        self.stderr_from(0).await
    }

    async fn output(&self, descriptor: Descriptor, offset: u64) -> Result<Output> {
        match self.api() {
            Api::V1 => Ok(v1::output(self.clone(), descriptor, offset)),
            Api::V2 => Ok(output(
                self.router().await?.clone(),
                None,
                descriptor,
                offset,
            )),
        }
    }

    /// The standard input of its process. There is one writer: a second one would write over the first.
    ///
    /// # Errors
    /// As [`router`](Self::router).
    pub async fn stdin(&self) -> Result<Stdin> {
        match self.api() {
            Api::V1 => Ok(Stdin::of_v1(self.clone())),
            Api::V2 => Ok(Stdin::new(self.router().await?.clone(), None, 0)),
        }
    }

    pub(super) fn known_tunnels(&self) -> &OnceCell<Vec<Tunnel>> {
        &self.inner.tunnels
    }

    /// Calls the RPC of its API.
    pub(super) async fn call<Req, Res>(
        &self,
        first: Rpc<Req, Res>,
        second: Rpc<Req, Res>,
        request: Req,
    ) -> Result<Res>
    where
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        self.call_with(first, second, request, CallOptions::default())
            .await
    }

    pub(super) async fn call_with<Req, Res>(
        &self,
        first: Rpc<Req, Res>,
        second: Rpc<Req, Res>,
        request: Req,
        mut options: CallOptions,
    ) -> Result<Res>
    where
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        let rpc = match self.api() {
            Api::V1 => first,
            Api::V2 => second,
        };
        options.sandbox_token.clone_from(&self.inner.token);
        self.client().call(rpc, request, &options).await
    }
}
