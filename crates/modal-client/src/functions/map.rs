//! One call with many inputs: inputs go out in chunks while there is room, outputs come back in any order,
//! failed inputs are sent again when they are due. One stream drives it all; nothing runs without it.

mod table;

use std::time::Duration;

use async_stream::try_stream;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _};
use moorline_modal_proto::client as pb;
use serde::de::DeserializeOwned;

use self::table::{Order, Table};
use super::args::{self, Args, IntoArgs, decode};
use super::call::{
    FIRST_ENTRY, GET_OUTPUTS, HOLD, MAP, PUT_INPUTS, RETRY_INPUTS, SLACK, outputs_request,
};
use super::{Function, retry::InputRetries};
use crate::error::{Error, ErrorKind, Result};
use crate::rpc::CallOptions;
use crate::transport::{Client, instant};
use crate::wire;

/// Inputs of one request, as the official clients have it.
const CHUNK: usize = 49;
/// Inputs under way when the server names no limit.
const OUTSTANDING: usize = 1000;
/// Inputs that are encoded, or stored as blobs, at once.
const ENCODERS: usize = 10;
/// How often a chunk is offered to a full queue, and the longest wait between.
const FULL_RETRIES: u32 = 8;
const FULL_WAIT: Duration = Duration::from_secs(15);
/// The server finds lost inputs by the tokens of those that are waited for. They are many, so they go
/// with one poll in this time and not with each.
const JWT_INTERVAL: Duration = Duration::from_secs(10);

/// How a map gives its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapOptions {
    /// In the order of the inputs (the default), or as they come.
    pub ordered: bool,
    /// Inputs under way at once; what the server allows when unset.
    pub max_outstanding: Option<usize>,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self {
            ordered: true,
            max_outstanding: None,
        }
    }
}

impl MapOptions {
    /// In the order of the inputs.
    pub fn new() -> Self {
        Self::default()
    }

    /// As they come.
    #[must_use]
    pub fn unordered(mut self) -> Self {
        self.ordered = false;
        self
    }

    /// Limits the inputs under way.
    #[must_use]
    pub fn max_outstanding(mut self, inputs: usize) -> Self {
        self.max_outstanding = Some(inputs);
        self
    }
}

/// The output of one input.
#[derive(Debug)]
#[non_exhaustive]
pub struct MapOutput<R> {
    /// The input's number, from 0.
    pub index: usize,
    /// Its result, after retries.
    pub result: Result<R>,
}

/// What a request about inputs gave.
enum Sent {
    /// Inputs that the server has, with their tokens.
    Put(Vec<(i32, pb::FunctionInput, String)>),
    /// New tokens of inputs that were sent again.
    Retried(Vec<(i32, String)>),
}

/// What happens next to a map.
enum Event {
    Sent(Result<Sent>),
    Outputs(Result<pb::FunctionGetOutputsResponse>),
    Payload(i32, Payload),
    Inputs(Option<Vec<(usize, Args)>>),
    /// A retry is due.
    Due,
}

/// Format and bytes of a final output.
type Payload = Result<(i32, Bytes)>;

/// Payloads that are being fetched, by their input's number.
type Fetching = FuturesUnordered<BoxFuture<'static, (i32, Payload)>>;

/// What every request of the map needs.
#[derive(Clone)]
struct Call {
    client: Client,
    function_id: String,
    id: String,
    jwt: String,
}

/// Runs the map.
pub(super) fn outputs<R, A, S>(
    function: Function,
    inputs: S,
    options: MapOptions,
) -> impl Stream<Item = Result<MapOutput<R>>> + Send
where
    R: DeserializeOwned + Send,
    A: IntoArgs + Send,
    S: Stream<Item = A> + Send,
{
    try_stream! {
        function.check(false)?;
        let (call, started) = Call::start(&function).await?;
        let allowed = usize::try_from(started.max_inputs_outstanding).unwrap_or(0);
        let allowed = if allowed == 0 { OUTSTANDING } else { allowed };
        let most = options.max_outstanding.unwrap_or(allowed).clamp(1, allowed);
        let chunk = CHUNK.min(most);
        let retries = InputRetries::new(started.retry_policy, started.sync_client_retries_enabled);

        let inputs = inputs.map(IntoArgs::into_args).enumerate().ready_chunks(chunk).fuse();
        let mut inputs = std::pin::pin!(inputs);
        let mut more = true;
        let mut table = Table::new(retries);
        let mut order = Order::new(options.ordered);
        let mut sending: Option<BoxFuture<'static, Result<Sent>>> = None;
        let mut polling: Option<BoxFuture<'static, Result<pb::FunctionGetOutputsResponse>>> = None;
        let mut fetching = Fetching::new();
        let mut last_entry_id = FIRST_ENTRY.to_owned();
        let mut jwts_at = instant();

        loop {
            while let Some((index, payload)) = order.next() {
                let result = payload.and_then(|(format, bytes)| decode(format, &bytes));
                yield MapOutput { index: usize::try_from(index).unwrap_or_default(), result };
            }
            if !more && sending.is_none() && table.is_empty() && fetching.is_empty() {
                break;
            }
            if sending.is_none() {
                let due = table.take_due(instant(), CHUNK);
                if !due.is_empty() {
                    sending = Some(call.clone().retry(due).boxed());
                }
            }
            if polling.is_none() && table.waiting() > 0 {
                let jwts = if jwts_at.elapsed() >= JWT_INTERVAL {
                    jwts_at = instant();
                    table.jwts()
                } else {
                    Vec::new()
                };
                polling = Some(call.clone().poll(last_entry_id.clone(), jwts).boxed());
            }
            let room = more && sending.is_none() && table.len() + order.held() + chunk <= most.max(chunk);
            let due = table.next_due();
            let event = tokio::select! {
                sent = slot(&mut sending), if sending.is_some() => Event::Sent(sent),
                reply = slot(&mut polling), if polling.is_some() => Event::Outputs(reply),
                Some((idx, payload)) = fetching.next(), if !fetching.is_empty() => Event::Payload(idx, payload),
                inputs = inputs.next(), if room => Event::Inputs(inputs),
                () = until(due), if due.is_some() && sending.is_none() => Event::Due,
            };
            match event {
                Event::Sent(sent) => {
                    sending = None;
                    for item in table.sent(sent?) {
                        finish(&call.client, &mut table, item, &fetching);
                    }
                }
                Event::Outputs(reply) => {
                    polling = None;
                    let reply = reply?;
                    if !reply.last_entry_id.is_empty() {
                        last_entry_id = reply.last_entry_id;
                    }
                    for item in reply.outputs {
                        finish(&call.client, &mut table, item, &fetching);
                    }
                }
                Event::Payload(idx, payload) => order.push(idx, payload),
                Event::Inputs(Some(inputs)) => {
                    sending = Some(call.clone().put(function.clone(), inputs).boxed());
                }
                Event::Inputs(None) => more = false,
                Event::Due => {}
            }
        }
        call.clear().await;
    }
}

/// Takes an output: fetches its payload if it is final.
fn finish(
    client: &Client,
    table: &mut Table,
    item: pb::FunctionGetOutputsItem,
    fetching: &Fetching,
) {
    let (idx, format) = (item.idx, item.data_format);
    if let Some(result) = table.take_output(item, instant()) {
        let client = client.clone();
        let payload = async move {
            (
                idx,
                args::payload(&client, result)
                    .await
                    .map(|bytes| (format, bytes)),
            )
        };
        fetching.push(payload.boxed());
    }
}

/// The future in the slot.
async fn slot<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    match slot {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn until(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl Call {
    async fn start(function: &Function) -> Result<(Self, pb::FunctionMapResponse)> {
        let request = pb::FunctionMapRequest {
            function_id: function.id.clone(),
            function_call_type: pb::FunctionCallType::Map.into(),
            function_call_invocation_type: pb::FunctionCallInvocationType::Sync.into(),
            ..pb::FunctionMapRequest::default()
        };
        let reply = function.client.unary(MAP, request).await?;
        let call = Self {
            client: function.client.clone(),
            function_id: function.id.clone(),
            id: wire::required(reply.function_call_id.clone(), "function call id")?,
            jwt: reply.function_call_jwt.clone(),
        };
        Ok((call, reply))
    }

    /// Sends a chunk; a full queue is offered it again.
    async fn put(self, function: Function, inputs: Vec<(usize, Args)>) -> Result<Sent> {
        let encode = |(index, args): (usize, Args)| {
            let function = &function;
            async move {
                let idx = i32::try_from(index).map_err(|_| {
                    Error::new(
                        ErrorKind::InvalidArgument,
                        "a map takes at most 2^31 inputs",
                    )
                })?;
                let limit = function.metadata.max_inline;
                let input =
                    args::input(&function.client, args, function.method.as_deref(), limit).await?;
                Ok::<_, Error>((idx, input))
            }
        };
        let mut inputs: Vec<(i32, pb::FunctionInput)> =
            futures::stream::iter(inputs.into_iter().map(encode))
                .buffered(ENCODERS)
                .try_collect()
                .await?;
        let items = inputs.iter().map(|(idx, input)| pb::FunctionPutInputsItem {
            idx: *idx,
            input: Some(input.clone()),
            ..Default::default()
        });
        let request = pb::FunctionPutInputsRequest {
            function_id: self.function_id.clone(),
            function_call_id: self.id.clone(),
            inputs: items.collect(),
        };
        let mut wait = Duration::from_millis(200);
        let mut full = 0;
        let reply = loop {
            match self.client.unary(PUT_INPUTS, request.clone()).await {
                Err(error)
                    if error.kind() == ErrorKind::ResourceExhausted && full < FULL_RETRIES =>
                {
                    full += 1;
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(FULL_WAIT);
                }
                reply => break reply?,
            }
        };
        let mut sent = Vec::with_capacity(inputs.len());
        for told in reply.inputs {
            if let Some(at) = inputs.iter().position(|(idx, _)| *idx == told.idx) {
                let (idx, input) = inputs.swap_remove(at);
                sent.push((idx, input, told.input_jwt));
            }
        }
        match inputs.first() {
            None => Ok(Sent::Put(sent)),
            Some((idx, _)) => {
                let text = format!("the server did not take input {idx}");
                Err(Error::new(ErrorKind::Protocol, text).with_rpc(PUT_INPUTS.name()))
            }
        }
    }

    async fn retry(self, items: Vec<(i32, pb::FunctionRetryInputsItem)>) -> Result<Sent> {
        let (indexes, inputs): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        let request = pb::FunctionRetryInputsRequest {
            function_call_jwt: self.jwt,
            inputs,
        };
        let reply = self.client.unary(RETRY_INPUTS, request).await?;
        Ok(Sent::Retried(
            indexes.into_iter().zip(reply.input_jwts).collect(),
        ))
    }

    async fn poll(
        self,
        last_entry_id: String,
        jwts: Vec<String>,
    ) -> Result<pb::FunctionGetOutputsResponse> {
        let request = outputs_request(&self.id, &last_entry_id, HOLD, &jwts);
        let options = CallOptions::new()
            .attempt_timeout(HOLD + SLACK)
            .max_retries(20);
        self.client.call(GET_OUTPUTS, request, &options).await
    }

    /// Lets the server forget the outputs, which were all given.
    async fn clear(self) {
        let mut request = outputs_request(&self.id, FIRST_ENTRY, Duration::ZERO, &[]);
        request.clear_on_success = true;
        if let Err(error) = self.client.unary(GET_OUTPUTS, request).await {
            tracing::debug!(%error, "the outputs of a map stay at the server until they expire");
        }
    }
}
