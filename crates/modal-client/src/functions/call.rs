//! One call: start it, wait for its output, retry it, cancel it.

use std::time::Duration;

use bytes::Bytes;
use moorline_modal_proto::client as pb;
use serde::de::DeserializeOwned;

use super::args::{self, Args};
use super::retry::{InputRetries, Verdict};
use super::{Function, args::decode};
use crate::error::{Error, ErrorKind, Result};
use crate::rpc::{CallOptions, control_plane};
use crate::transport::{Client, instant, wall};
use crate::wire;

control_plane! {
    CANCEL = FunctionCallCancel(FunctionCallCancelRequest) -> Empty, Keyed;
    GET_OUTPUTS = FunctionGetOutputs(FunctionGetOutputsRequest) -> FunctionGetOutputsResponse, Read;
    MAP = FunctionMap(FunctionMapRequest) -> FunctionMapResponse, Keyed;
    PUT_INPUTS = FunctionPutInputs(FunctionPutInputsRequest) -> FunctionPutInputsResponse, Keyed;
    RETRY_INPUTS = FunctionRetryInputs(FunctionRetryInputsRequest) -> FunctionRetryInputsResponse, Keyed;
}

/// The longest hold of one `FunctionGetOutputs`.
pub(super) const HOLD: Duration = Duration::from_secs(55);
/// The position before the first output.
pub(super) const FIRST_ENTRY: &str = "0-0";
/// What an attempt may take beyond its hold.
pub(super) const SLACK: Duration = Duration::from_secs(15);

/// A call that was started.
#[derive(Clone, Debug)]
pub struct FunctionCall {
    client: Client,
    id: String,
}

impl FunctionCall {
    pub(super) fn new(client: Client, id: String) -> Self {
        Self { client, id }
    }

    /// `fc-…`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Waits for the result as long as `timeout`; `None` is forever. Asking again gives it again.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if it is not there yet; [`ErrorKind::NotFound`] if it is no longer kept; as
    /// for [`Function::call`].
    pub async fn get<R: DeserializeOwned>(&self, timeout: Option<Duration>) -> Result<R> {
        let item = self
            .output(&mut FIRST_ENTRY.to_owned(), &[], timeout)
            .await?;
        let result = item.result.unwrap_or_default();
        decode(
            item.data_format,
            &args::payload(&self.client, result).await?,
        )
    }

    /// Cancels it: what runs gets an exception, what waits never runs. With `terminate_containers` the
    /// containers that work on it are ended as well.
    ///
    /// # Errors
    /// What the server says.
    pub async fn cancel(&self, terminate_containers: bool) -> Result<()> {
        let request = pb::FunctionCallCancelRequest {
            function_call_id: self.id.clone(),
            terminate_containers,
            ..Default::default()
        };
        self.client.unary(CANCEL, request).await
    }

    /// The next output behind a position, which moves on.
    async fn output(
        &self,
        last_entry_id: &mut String,
        input_jwts: &[String],
        timeout: Option<Duration>,
    ) -> Result<pb::FunctionGetOutputsItem> {
        let began = instant();
        loop {
            let left = timeout.map_or(HOLD, |timeout| timeout.saturating_sub(began.elapsed()));
            let hold = left.min(HOLD);
            let request = outputs_request(&self.id, last_entry_id, hold, input_jwts);
            let options = CallOptions::new().attempt_timeout(hold + SLACK);
            let reply = self.client.call(GET_OUTPUTS, request, &options).await?;
            if !reply.last_entry_id.is_empty() {
                *last_entry_id = reply.last_entry_id;
            }
            if let Some(item) = reply.outputs.into_iter().next() {
                return Ok(item);
            }
            // Nothing runs and nothing is there: it was there, and its time is over. Between the retries of
            // an input that may be so for a moment; a caller that only asks sends no token.
            let expired = reply.num_unfinished_inputs == 0 && hold == HOLD && input_jwts.is_empty();
            if expired || timeout.is_some_and(|timeout| began.elapsed() >= timeout) {
                return Err(match reply.num_unfinished_inputs {
                    0 => Error::new(ErrorKind::NotFound, "the result is no longer kept"),
                    _ => Error::new(ErrorKind::Timeout, "the call has not ended yet"),
                }
                .with_rpc(GET_OUTPUTS.name()));
            }
        }
    }
}

/// Outputs are left where they are: a reply that is lost on the way must not take a result with it.
pub(super) fn outputs_request(
    function_call_id: &str,
    last_entry_id: &str,
    hold: Duration,
    input_jwts: &[String],
) -> pb::FunctionGetOutputsRequest {
    pb::FunctionGetOutputsRequest {
        function_call_id: function_call_id.to_owned(),
        timeout: hold.as_secs_f32(),
        last_entry_id: last_entry_id.to_owned(),
        clear_on_success: false,
        requested_at: wall().as_secs_f64(),
        input_jwts: input_jwts.to_vec(),
        ..pb::FunctionGetOutputsRequest::default()
    }
}

/// A call of one input that is waited for.
pub(super) struct Invocation {
    call: FunctionCall,
    input: pb::FunctionInput,
    input_jwt: String,
    call_jwt: String,
    retries: InputRetries,
}

impl Invocation {
    /// Starts it.
    pub(super) async fn start(
        function: &Function,
        args: Args,
        kind: pb::FunctionCallInvocationType,
    ) -> Result<Self> {
        let client = &function.client;
        let limit = match kind {
            pb::FunctionCallInvocationType::Async => function.metadata.max_inline_spawned,
            _ => function.metadata.max_inline,
        };
        let input = args::input(client, args, function.method.as_deref(), limit).await?;
        let item = pb::FunctionPutInputsItem {
            input: Some(input.clone()),
            ..Default::default()
        };
        let request = pb::FunctionMapRequest {
            function_id: function.id.clone(),
            function_call_type: pb::FunctionCallType::Unary.into(),
            function_call_invocation_type: kind.into(),
            pipelined_inputs: vec![item.clone()],
            ..pb::FunctionMapRequest::default()
        };
        let reply = client.unary(MAP, request).await?;
        let id = wire::required(reply.function_call_id, "function call id")?;
        let accepted = match reply.pipelined_inputs.into_iter().next() {
            Some(accepted) => accepted,
            None => put_one(client, &function.id, &id, item).await?,
        };
        Ok(Self {
            call: FunctionCall::new(client.clone(), id),
            input,
            input_jwt: accepted.input_jwt,
            call_jwt: reply.function_call_jwt,
            retries: InputRetries::new(reply.retry_policy, reply.sync_client_retries_enabled),
        })
    }

    /// The call.
    pub(super) fn call(&self) -> &FunctionCall {
        &self.call
    }

    /// The format and bytes of the final output, after retries.
    pub(super) async fn finish(mut self) -> Result<(i32, Bytes)> {
        let client = self.call.client.clone();
        let mut position = FIRST_ENTRY.to_owned();
        loop {
            let jwts = std::slice::from_ref(&self.input_jwt);
            let item = self.call.output(&mut position, jwts, None).await?;
            let result = item.result.unwrap_or_default();
            match self.retries.judge(result.status()) {
                Verdict::Final => {
                    return Ok((item.data_format, args::payload(&client, result).await?));
                }
                Verdict::Again(wait) => {
                    tokio::time::sleep(wait).await;
                    self.retry().await?;
                }
            }
        }
    }

    async fn retry(&mut self) -> Result<()> {
        let item = pb::FunctionRetryInputsItem {
            input_jwt: self.input_jwt.clone(),
            input: Some(self.input.clone()),
            retry_count: self.retries.count(),
        };
        let request = pb::FunctionRetryInputsRequest {
            function_call_jwt: self.call_jwt.clone(),
            inputs: vec![item],
        };
        let reply = self.call.client.unary(RETRY_INPUTS, request).await?;
        if let Some(jwt) = reply.input_jwts.into_iter().next() {
            self.input_jwt = jwt;
        }
        Ok(())
    }
}

async fn put_one(
    client: &Client,
    function_id: &str,
    function_call_id: &str,
    item: pb::FunctionPutInputsItem,
) -> Result<pb::FunctionPutInputsResponseItem> {
    let request = pb::FunctionPutInputsRequest {
        function_id: function_id.to_owned(),
        function_call_id: function_call_id.to_owned(),
        inputs: vec![item],
    };
    client
        .unary(PUT_INPUTS, request)
        .await?
        .inputs
        .into_iter()
        .next()
        .ok_or_else(|| {
            Error::new(
                ErrorKind::ResourceExhausted,
                "the function's queue of inputs is full",
            )
            .with_rpc(PUT_INPUTS.name())
        })
}

pub(super) async fn call<R: DeserializeOwned>(function: &Function, args: Args) -> Result<R> {
    function.check(false)?;
    let kind = pb::FunctionCallInvocationType::Sync;
    let (format, bytes) = Invocation::start(function, args, kind)
        .await?
        .finish()
        .await?;
    decode(format, &bytes)
}

pub(super) async fn spawn(function: &Function, args: Args) -> Result<FunctionCall> {
    function.check(false)?;
    let kind = pb::FunctionCallInvocationType::Async;
    Ok(Invocation::start(function, args, kind).await?.call)
}
