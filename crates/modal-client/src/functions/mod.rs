//! Functions and classes that are deployed: look them up, call them, start and await calls, map them over
//! inputs, read generators, scale them.
//!
//! Payloads are CBOR both ways, through serde; functions deployed by clients before 1.2 answer in pickle
//! only and are refused. Calls go through the control plane. A [`Draft`] deploys functions that are found in
//! files. Deliberately absent: deploying serialized code, the input plane (an optional faster path), and
//! options that differ from the deployment's.
//!
//! ```no_run
//! # async fn example(client: moorline_modal_client::Client) -> moorline_modal_client::Result<()> {
//! let square = client.functions().lookup("my-app", "square", None).await?;
//! let nine: i64 = square.call((3,)).await?;
//! # Ok(()) }
//! ```

mod args;
mod call;
mod class;
mod deploy;
mod generator;
mod map;
mod params;
mod retry;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use moorline_modal_proto::client as pb;
use pb::function::FunctionType;
use serde::de::DeserializeOwned;

pub use args::{Args, IntoArgs};
pub use call::FunctionCall;
pub use class::{Class, Instance};
pub use deploy::{DeployedFunction, Draft, FileFunction, Schedule, Scheduled};
pub use map::{MapOptions, MapOutput};
pub use params::Parameter;

use crate::error::{Error, ErrorKind, Result};
use crate::rpc::control_plane;
use crate::transport::Client;
use crate::web::{ProxyToken, WebEndpoint};
use crate::wire::{self, some};

control_plane! {
    GET = FunctionGet(FunctionGetRequest) -> FunctionGetResponse, Read;
    GET_BY_ID = FunctionGetById(FunctionGetByIdRequest) -> FunctionGetByIdResponse, Read;
    SCALE = FunctionUpdateSchedulingParams(FunctionUpdateSchedulingParamsRequest) -> FunctionUpdateSchedulingParamsResponse, Keyed;
    STATS = FunctionGetCurrentStats(FunctionGetCurrentStatsRequest) -> FunctionStats, Read;
}

/// Calls about functions and classes.
#[derive(Clone, Debug)]
pub struct Functions {
    client: Client,
}

impl Client {
    /// Functions and classes.
    pub fn functions(&self) -> Functions {
        Functions {
            client: self.clone(),
        }
    }
}

impl Functions {
    /// The function `name` of the deployed app `app`. A method is found through its
    /// [class](Self::lookup_class).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if app or function is not there.
    pub async fn lookup(
        &self,
        app: &str,
        name: &str,
        environment: Option<&str>,
    ) -> Result<Function> {
        let (id, metadata) = self.get(app, name, environment).await?;
        Ok(Function::new(self.client.clone(), id, metadata, None))
    }

    /// The class `name` of the deployed app `app`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if app or class is not there.
    pub async fn lookup_class(
        &self,
        app: &str,
        name: &str,
        environment: Option<&str>,
    ) -> Result<Class> {
        let (id, metadata) = self.get(app, &format!("{name}.*"), environment).await?;
        let environment = self.client.environment_or_default(environment);
        Ok(Class::new(self.client.clone(), id, metadata, environment))
    }

    async fn get(
        &self,
        app: &str,
        tag: &str,
        environment: Option<&str>,
    ) -> Result<(String, pb::FunctionHandleMetadata)> {
        let request = pb::FunctionGetRequest {
            app_name: app.to_owned(),
            object_tag: tag.to_owned(),
            environment_name: self.client.environment_or_default(environment),
            ..pb::FunctionGetRequest::default()
        };
        let reply = self.client.unary(GET, request).await?;
        for warning in reply.server_warnings {
            tracing::warn!(app, tag, "{}", warning.message);
        }
        let id = wire::required(reply.function_id, "function id")?;
        Ok((id, reply.handle_metadata.unwrap_or_default()))
    }

    /// The function of that id, `fu-…`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none.
    pub async fn by_id(&self, function_id: &str) -> Result<Function> {
        let request = pb::FunctionGetByIdRequest {
            function_id: function_id.to_owned(),
        };
        let metadata = self.client.unary(GET_BY_ID, request).await?.handle_metadata;
        let id = function_id.to_owned();
        Ok(Function::new(
            self.client.clone(),
            id,
            metadata.unwrap_or_default(),
            None,
        ))
    }

    /// A call that was started before, here or elsewhere, by its id (`fc-…`), unchecked.
    pub fn call_from_id(&self, function_call_id: impl Into<String>) -> FunctionCall {
        FunctionCall::new(self.client.clone(), function_call_id.into())
    }
}

/// How containers of a function are kept; what is unset stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Autoscaler {
    /// Containers that stay without work.
    pub min_containers: Option<u32>,
    /// The most containers.
    pub max_containers: Option<u32>,
    /// Containers more than the work needs, while there is work.
    pub buffer_containers: Option<u32>,
    /// How long a container stays without work.
    pub scaledown_window: Option<Duration>,
}

/// What a function does now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Inputs that wait for a container.
    pub backlog: u32,
    /// Containers.
    pub containers: u32,
    /// Inputs that run.
    pub running_inputs: u32,
}

/// What is known of a function from its deployment.
#[derive(Debug)]
struct Metadata {
    name: String,
    web_url: Option<String>,
    is_generator: bool,
    takes_cbor: bool,
    max_inline: usize,
    max_inline_spawned: usize,
}

impl Metadata {
    fn of(metadata: pb::FunctionHandleMetadata) -> Self {
        let limit = |told: Option<u64>, default| {
            told.and_then(|limit| usize::try_from(limit).ok())
                .filter(|limit| *limit > 0)
                .unwrap_or(default)
        };
        Self {
            is_generator: metadata.function_type() == FunctionType::Generator,
            takes_cbor: metadata
                .supported_input_formats
                .contains(&pb::DataFormat::Cbor.into()),
            max_inline: limit(metadata.max_object_size_bytes, args::MAX_INLINE),
            max_inline_spawned: limit(
                metadata.max_async_object_size_bytes,
                args::MAX_INLINE_SPAWNED,
            ),
            web_url: some(metadata.web_url),
            name: metadata.function_name,
        }
    }
}

/// A deployed function, or a method of an instance of a class. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Function {
    client: Client,
    id: String,
    /// The name that inputs carry when the function serves a whole class.
    method: Option<String>,
    metadata: Arc<Metadata>,
}

impl Function {
    fn new(
        client: Client,
        id: String,
        metadata: pb::FunctionHandleMetadata,
        method: Option<String>,
    ) -> Self {
        Self {
            client,
            id,
            method,
            metadata: Arc::new(Metadata::of(metadata)),
        }
    }

    /// `fu-…`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its name in the app.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Whether it yields items; then [`call_generator`](Self::call_generator) reads them.
    pub fn is_generator(&self) -> bool {
        self.metadata.is_generator
    }

    /// The address of a web endpoint.
    pub fn web_url(&self) -> Option<&str> {
        self.metadata.web_url.as_deref()
    }

    /// The web endpoint, with proxy authentication if a token is given.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the function is none.
    pub fn web_endpoint(&self, token: Option<&ProxyToken>) -> Result<WebEndpoint> {
        let url = self.web_url().ok_or_else(|| {
            let text = format!("function `{}` is no web endpoint", self.name());
            Error::new(ErrorKind::InvalidArgument, text)
        })?;
        self.client.web_endpoint(url, token)
    }

    /// Calls it and waits for the result, with the retries of its deployment. The call goes on when the
    /// future is dropped: [`spawn`](Self::spawn) what is to be cancelled.
    ///
    /// # Errors
    /// [`ErrorKind::Remote`] with the exception; [`ErrorKind::Timeout`] if it ran into its own timeout;
    /// [`ErrorKind::Protocol`] if the result is of another type.
    pub async fn call<R: DeserializeOwned>(&self, args: impl IntoArgs) -> Result<R> {
        call::call(self, args.into_args()).await
    }

    /// Starts a call and returns at once. Its result is kept for seven days.
    ///
    /// # Errors
    /// What the server says.
    pub async fn spawn(&self, args: impl IntoArgs) -> Result<FunctionCall> {
        call::spawn(self, args.into_args()).await
    }

    /// Calls a generator: its items as they come, without gap or repeat across lost connections. The call
    /// goes on when the stream is dropped.
    pub fn call_generator<R, A>(&self, args: A) -> impl Stream<Item = Result<R>> + Send + use<R, A>
    where
        R: DeserializeOwned + Send,
        A: IntoArgs,
    {
        generator::items(self.clone(), args.into_args())
    }

    /// Calls it for every input: as many at once as the server allows, with the retries of its deployment.
    /// Inputs are taken from the stream as there is room. An input that fails is an output with an error;
    /// an error of the stream itself ends the map.
    pub fn map<R, A, S>(
        &self,
        inputs: S,
        options: MapOptions,
    ) -> impl Stream<Item = Result<MapOutput<R>>> + Send + use<R, A, S>
    where
        R: DeserializeOwned + Send,
        A: IntoArgs + Send,
        S: Stream<Item = A> + Send,
    {
        map::outputs(self.clone(), inputs, options)
    }

    /// Changes how its containers are kept, until the next deployment.
    ///
    /// # Errors
    /// What the server says.
    pub async fn update_autoscaler(&self, settings: Autoscaler) -> Result<()> {
        let window = |window: Duration| u32::try_from(window.as_secs()).unwrap_or(u32::MAX);
        let settings = pb::AutoscalerSettings {
            min_containers: settings.min_containers,
            max_containers: settings.max_containers,
            buffer_containers: settings.buffer_containers,
            scaledown_window: settings.scaledown_window.map(window),
            ..pb::AutoscalerSettings::default()
        };
        let request = pb::FunctionUpdateSchedulingParamsRequest {
            function_id: self.id.clone(),
            settings: Some(settings),
            ..Default::default()
        };
        self.client.unary(SCALE, request).await.map(drop)
    }

    /// What it does now.
    ///
    /// # Errors
    /// What the server says.
    pub async fn stats(&self) -> Result<Stats> {
        let request = pb::FunctionGetCurrentStatsRequest {
            function_id: self.id.clone(),
        };
        let reply = self.client.unary(STATS, request).await?;
        Ok(Stats {
            backlog: reply.backlog,
            containers: reply.num_total_tasks,
            running_inputs: reply.num_running_inputs,
        })
    }

    /// Refuses what this client can not call.
    fn check(&self, generator: bool) -> Result<()> {
        let bad = |text| Err(Error::new(ErrorKind::InvalidArgument, text));
        let name = self.name();
        if !self.metadata.takes_cbor {
            return bad(format!(
                "function `{name}` takes no CBOR: deploy it with a client of 1.2 or newer"
            ));
        }
        match (self.metadata.is_generator, generator) {
            (true, false) => bad(format!(
                "function `{name}` is a generator; use call_generator"
            )),
            (false, true) => bad(format!("function `{name}` is no generator; use call")),
            _ => Ok(()),
        }
    }
}

/// Methods by name, from a class's metadata.
type Methods = BTreeMap<String, pb::FunctionHandleMetadata>;
