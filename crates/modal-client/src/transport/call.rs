//! One logical call: attempts under one key until an answer, a verdict, or the end of a budget.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue};
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Extensions, Request, Response, Status, Streaming};

use super::clock;
use super::codec::SharedCodec;
use super::headers;
use super::link::MAX_MESSAGE;
use super::retry::{Decision, Failure, RetryPolicy, Tally};
use crate::error::{Error, ErrorKind, Result};
use crate::rpc::{CallOptions, Effect, Rpc};

/// A server that calls go to: the control plane, or the command router of one sandbox.
pub(crate) trait Peer: Send + Sync {
    /// How calls to it are repeated.
    fn policy(&self) -> &RetryPolicy;

    /// The channel and the headers of the next attempt, without those that count attempts.
    fn prepare(&self) -> impl Future<Output = Result<(Channel, HeaderMap)>> + Send;

    /// It said UNAUTHENTICATED: get other credentials. `false` if there are none; asked once in a call.
    fn renew(&self) -> impl Future<Output = Result<bool>> + Send;

    /// It was not to be reached.
    fn lost(&self) {}
}

/// Calls `rpc` until it has an answer.
pub(crate) async fn unary<P, Req, Res>(
    peer: &P,
    rpc: Rpc<Req, Res>,
    request: Req,
    options: &CallOptions,
) -> Result<Res>
where
    P: Peer,
    Req: Message + 'static,
    Res: Message + Default + 'static,
{
    let name = rpc.name();
    let request = Arc::new(request);
    let len = request.encoded_len();
    if len > MAX_MESSAGE {
        let text = format!("the request has {len} bytes; the most is {MAX_MESSAGE}");
        return Err(Error::new(ErrorKind::InvalidArgument, text).with_rpc(name));
    }
    let mut state = Attempts::new(peer.policy(), rpc.effect(), options, name)?;
    loop {
        let failed = match state.prepare(peer).await? {
            Ok((channel, headers)) => {
                let request = state.request(Arc::clone(&request), headers);
                let codec = SharedCodec::<Req, Res>::new(len);
                let path = PathAndQuery::from_static(rpc.path());
                let mut grpc = grpc(channel);
                let attempt = async {
                    ready(&mut grpc).await?;
                    grpc.unary(request, path, codec).await
                };
                match tokio::time::timeout(state.timeout(), attempt).await {
                    Ok(Ok(response)) => {
                        warn_of(name, response.metadata());
                        return Ok(response.into_inner());
                    }
                    Ok(Err(status)) => Failed::Status(status),
                    Err(_) => Failed::Timeout,
                }
            }
            Err(failed) => failed,
        };
        state.after(peer, failed).await?;
    }
}

/// Opens a stream of answers, with the same retries until the first headers are there. Reading it, and
/// resuming it, is the caller's ([`crate::stream`]).
pub(crate) async fn server_stream<P, Req, Res>(
    peer: &P,
    rpc: Rpc<Req, Res>,
    request: Req,
    options: &CallOptions,
) -> Result<Streaming<Res>>
where
    P: Peer,
    Req: Message + 'static,
    Res: Message + Default + 'static,
{
    let name = rpc.name();
    let request = Arc::new(request);
    let len = request.encoded_len();
    let mut state = Attempts::new(peer.policy(), rpc.effect(), options, name)?;
    loop {
        let failed = match state.prepare(peer).await? {
            Ok((channel, headers)) => {
                let request = state.request(Arc::clone(&request), headers);
                let codec = SharedCodec::<Req, Res>::new(len);
                let path = PathAndQuery::from_static(rpc.path());
                let mut grpc = grpc(channel);
                let attempt = async {
                    ready(&mut grpc).await?;
                    grpc.server_streaming(request, path, codec).await
                };
                match tokio::time::timeout(state.timeout(), attempt).await {
                    Ok(Ok(response)) => return Ok(response.into_inner()),
                    Ok(Err(status)) => Failed::Status(status),
                    Err(_) => Failed::Timeout,
                }
            }
            Err(failed) => failed,
        };
        state.after(peer, failed).await?;
    }
}

/// Sends a stream of requests, once: a stream can not be replayed here, so the caller resumes it.
pub(crate) async fn client_stream<P, S, Req, Res>(
    peer: &P,
    rpc: Rpc<Req, Res>,
    requests: S,
    options: &CallOptions,
) -> Result<Res>
where
    P: Peer,
    S: Stream<Item = Req> + Send + 'static,
    Req: Message + 'static,
    Res: Message + Default + 'static,
{
    use futures::StreamExt as _;
    let name = rpc.name();
    let state = Attempts::new(peer.policy(), rpc.effect(), options, name)?;
    let (channel, headers) = peer.prepare().await?;
    let request = state.request(requests.map(Arc::new), headers);
    let codec = SharedCodec::<Req, Res>::new(8 * 1024);
    let path = PathAndQuery::from_static(rpc.path());
    let mut grpc = grpc(channel);
    let attempt = async {
        ready(&mut grpc).await?;
        grpc.client_streaming(request, path, codec).await
    };
    let failed = match tokio::time::timeout(state.timeout(), attempt).await {
        Ok(Ok(response)) => return Ok(Response::into_inner(response)),
        Ok(Err(status)) => Failed::Status(status),
        Err(_) => Failed::Timeout,
    };
    let sent = !matches!(failed.class(), Failure::Connect);
    if !sent {
        peer.lost();
    }
    let error = failed.into_error(name, state.attempt_timeout);
    Err(if sent {
        error.with_effect_unknown()
    } else {
        error
    })
}

type Grpc = tonic::client::Grpc<Channel>;

fn grpc(channel: Channel) -> Grpc {
    Grpc::new(channel)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE)
}

async fn ready(grpc: &mut Grpc) -> Result<(), Status> {
    grpc.ready()
        .await
        .map_err(|error| Status::from_error(Box::new(error)))
}

/// Why an attempt has no answer.
enum Failed {
    Status(Status),
    Timeout,
    /// No server of the list answers.
    Unreachable(Error),
}

impl Failed {
    fn class(&self) -> Failure {
        match self {
            Self::Status(status) => Failure::of(status),
            Self::Timeout => Failure::Timeout,
            Self::Unreachable(_) => Failure::Connect,
        }
    }

    fn into_error(self, rpc: &'static str, limit: Duration) -> Error {
        match self {
            Self::Status(status) => Error::from_status(rpc, status),
            Self::Timeout => {
                let text = format!("no answer within {} s", limit.as_secs_f32());
                Error::new(ErrorKind::Timeout, text).with_rpc(rpc)
            }
            Self::Unreachable(error) => error.with_rpc(rpc),
        }
    }
}

/// The state of a call between its attempts.
struct Attempts<'a> {
    policy: std::borrow::Cow<'a, RetryPolicy>,
    effect: Effect,
    name: &'static str,
    key: HeaderValue,
    sandbox_token: Option<HeaderValue>,
    began: tokio::time::Instant,
    tally: Tally,
    attempt_timeout: Duration,
    /// An attempt may have taken effect.
    ambiguous: bool,
    renewed: bool,
}

impl<'a> Attempts<'a> {
    fn new(
        policy: &'a RetryPolicy,
        effect: Effect,
        options: &CallOptions,
        name: &'static str,
    ) -> Result<Self> {
        let key = match &options.idempotency_key {
            None => headers::new_key(),
            Some(key) => HeaderValue::from_str(key).map_err(|_| {
                Error::new(
                    ErrorKind::InvalidArgument,
                    "the idempotency key must be visible ASCII",
                )
                .with_rpc(name)
            })?,
        };
        let mut policy = std::borrow::Cow::Borrowed(policy);
        if let Some(retries) = options.max_retries {
            policy.to_mut().max_retries = retries;
        }
        if let Some(total) = options.total_timeout {
            policy.to_mut().total_timeout = Some(total);
        }
        Ok(Self {
            attempt_timeout: options.attempt_timeout.unwrap_or(policy.attempt_timeout),
            policy,
            effect,
            name,
            key,
            sandbox_token: options.sandbox_token.clone(),
            began: clock::instant(),
            tally: Tally::default(),
            ambiguous: false,
            renewed: false,
        })
    }

    /// Channel and headers; an unreachable server is a failed attempt, a refusal of credentials is final.
    async fn prepare<P: Peer>(&self, peer: &P) -> Result<Result<(Channel, HeaderMap), Failed>> {
        let prepared = match self.policy.total_timeout {
            // The budget holds while the token is fetched or a fallback is chosen, too.
            Some(_) => match tokio::time::timeout(self.timeout(), peer.prepare()).await {
                Ok(prepared) => prepared,
                Err(_) => return Ok(Err(Failed::Timeout)),
            },
            None => peer.prepare().await,
        };
        match prepared {
            Ok(ready) => Ok(Ok(ready)),
            // A failed RPC on the way (for the token) had its own attempts; a failed connection has not.
            Err(error) if error.kind() == ErrorKind::Unavailable && error.rpc().is_none() => {
                Ok(Err(Failed::Unreachable(error)))
            }
            Err(error) => Err(error),
        }
    }

    /// The time left for the next attempt.
    fn timeout(&self) -> Duration {
        let left = self.policy.total_timeout.map_or(Duration::MAX, |total| {
            total.saturating_sub(self.began.elapsed())
        });
        self.attempt_timeout.min(left)
    }

    fn request<M>(&self, message: M, mut headers: HeaderMap) -> Request<M> {
        if let Some(token) = &self.sandbox_token {
            headers.insert("x-modal-sandbox-token", token.clone());
        }
        headers::set_attempt(&mut headers, &self.key, &self.tally, self.began.elapsed());
        Request::from_parts(
            MetadataMap::from_headers(headers),
            Extensions::default(),
            message,
        )
    }

    /// Waits before the next attempt, or fails.
    async fn after<P: Peer>(&mut self, peer: &P, failed: Failed) -> Result<()> {
        let failure = failed.class();
        self.ambiguous |= failure.is_ambiguous();
        if failure == Failure::Connect {
            peer.lost();
        }
        if failure == Failure::Status(Code::Unauthenticated) && !self.renewed {
            self.renewed = true;
            if peer.renew().await? {
                return Ok(());
            }
        }
        let elapsed = self.began.elapsed();
        let jitter = rand::random();
        match self
            .policy
            .decide(failure, self.effect, &mut self.tally, elapsed, jitter)
        {
            Decision::Again(wait) => {
                tracing::debug!(rpc = self.name, ?failure, ?wait, "the call is repeated");
                tokio::time::sleep(wait).await;
                Ok(())
            }
            Decision::GiveUp => {
                let error = failed.into_error(self.name, self.attempt_timeout);
                Err(if self.ambiguous && self.effect != Effect::Read {
                    error.with_effect_unknown()
                } else {
                    error
                })
            }
        }
    }
}

/// Passes on what the server wants the user to know.
fn warn_of(rpc: &'static str, metadata: &MetadataMap) {
    if let Some(text) = metadata
        .get(headers::WARNING)
        .and_then(|value| value.to_str().ok())
    {
        let text = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
        tracing::warn!(rpc, "{text}");
    }
}
