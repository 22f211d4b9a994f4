//! The four kinds of RPC, behind one trait: tonic decodes and encodes, a handler does the work.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use moorline_modal_proto::client::RpcRetryPolicy;
use prost::Message;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::Answers;
use super::once::Once;
use crate::call::{Call, Meta};
use crate::world::World;

/// The size that both sides of Modal's API accept.
const MESSAGE_BYTES: usize = 100 << 20;

/// A decoded RPC.
pub(super) trait Rpc: Send + Sync {
    /// Serves a request; with `fail_after`, the work is done and the caller is told a failure.
    fn serve(
        self: Arc<Self>,
        world: Arc<World>,
        meta: Meta,
        request: http::Request<axum::body::Body>,
        fail_after: Option<i32>,
    ) -> BoxFuture<'static, http::Response<Body>>;
}

fn grpc<Resp, Req>() -> Grpc<ProstCodec<Resp, Req>>
where
    Req: Message + Default + 'static,
    Resp: Message + Default + 'static,
{
    Grpc::new(ProstCodec::default())
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES)
}

/// What a caller is told although the work was done.
fn struck(code: i32) -> Status {
    Status::new(code.into(), "a fault of the plan, after the effect")
}

fn told<T>(result: Result<T, Status>, fail_after: Option<i32>) -> Result<Response<T>, Status> {
    let value = result?;
    match fail_after {
        Some(code) => Err(struck(code)),
        None => Ok(Response::new(value)),
    }
}

macro_rules! kind {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub(super) struct $name<Req, Resp, F> {
            handler: F,
            types: PhantomData<fn(Req) -> Resp>,
        }

        impl<Req, Resp, F> $name<Req, Resp, F> {
            pub(super) fn new(handler: F) -> Self {
                Self { handler, types: PhantomData }
            }
        }
    };
}

kind!(/** Changes nothing. */ Read);
kind!(/** Answers with a stream. */ Stream);
kind!(/** Takes a stream. */ Upload);

impl<Req, Resp, F, Fut> Rpc for Read<Req, Resp, F>
where
    Req: Message + Default + 'static,
    Resp: Message + Default + 'static,
    F: Fn(Arc<World>, Call<Req>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Resp, Status>> + Send + 'static,
{
    fn serve(
        self: Arc<Self>,
        world: Arc<World>,
        meta: Meta,
        request: http::Request<axum::body::Body>,
        fail_after: Option<i32>,
    ) -> BoxFuture<'static, http::Response<Body>> {
        Box::pin(async move {
            let service = service_fn(move |request: Request<Req>| {
                let call = Call {
                    message: request.into_inner(),
                    meta: meta.clone(),
                };
                let work = (self.handler)(Arc::clone(&world), call);
                async move { told(work.await, fail_after) }
            });
            grpc::<Resp, Req>().unary(service, request).await
        })
    }
}

/// Changes the world, once for each idempotency key.
pub(super) struct Write<Req, Resp, F> {
    handler: F,
    once: Once<Resp>,
    types: PhantomData<fn(Req)>,
}

impl<Req, Resp, F> Write<Req, Resp, F> {
    pub(super) fn new(handler: F) -> Self {
        Self {
            handler,
            once: Once::default(),
            types: PhantomData,
        }
    }
}

impl<Req, Resp, F, Fut> Rpc for Write<Req, Resp, F>
where
    Req: Message + Default + 'static,
    Resp: Message + Default + Clone + 'static,
    F: Fn(Arc<World>, Call<Req>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Resp, Status>> + Send + 'static,
{
    fn serve(
        self: Arc<Self>,
        world: Arc<World>,
        meta: Meta,
        request: http::Request<axum::body::Body>,
        fail_after: Option<i32>,
    ) -> BoxFuture<'static, http::Response<Body>> {
        Box::pin(async move {
            let service = service_fn(move |request: Request<Req>| {
                let key = meta.idempotency_key().map(str::to_owned);
                let call = Call {
                    message: request.into_inner(),
                    meta: meta.clone(),
                };
                let (rpc, world) = (Arc::clone(&self), Arc::clone(&world));
                // A task of its own: what was begun is finished, also when the caller hangs up.
                let tasks = world.tasks.clone();
                let work = tasks
                    .spawn(async move { rpc.once.get(key, || (rpc.handler)(world, call)).await });
                async move {
                    let done = work.await;
                    let done = done.unwrap_or_else(|error| {
                        Err(Status::internal(format!("the emulator failed: {error}")))
                    });
                    told(done, fail_after)
                }
            });
            grpc::<Resp, Req>().unary(service, request).await
        })
    }
}

impl<Req, Resp, F, Fut> Rpc for Stream<Req, Resp, F>
where
    Req: Message + Default + 'static,
    Resp: Message + Default + 'static,
    F: Fn(Arc<World>, Call<Req>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Answers<Resp>, Status>> + Send + 'static,
{
    fn serve(
        self: Arc<Self>,
        world: Arc<World>,
        meta: Meta,
        request: http::Request<axum::body::Body>,
        fail_after: Option<i32>,
    ) -> BoxFuture<'static, http::Response<Body>> {
        Box::pin(async move {
            let service = service_fn(move |request: Request<Req>| {
                let call = Call {
                    message: request.into_inner(),
                    meta: meta.clone(),
                };
                let work = (self.handler)(Arc::clone(&world), call);
                async move {
                    let answers = work.await?;
                    let last = fail_after.map(|code| Err(struck(code)));
                    let answers: Answers<Resp> =
                        Box::pin(answers.chain(futures::stream::iter(last)));
                    Ok::<_, Status>(Response::new(answers))
                }
            });
            grpc::<Resp, Req>().server_streaming(service, request).await
        })
    }
}

impl<Req, Resp, F, Fut> Rpc for Upload<Req, Resp, F>
where
    Req: Message + Default + 'static,
    Resp: Message + Default + 'static,
    F: Fn(Arc<World>, Call<Streaming<Req>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Resp, Status>> + Send + 'static,
{
    fn serve(
        self: Arc<Self>,
        world: Arc<World>,
        meta: Meta,
        request: http::Request<axum::body::Body>,
        fail_after: Option<i32>,
    ) -> BoxFuture<'static, http::Response<Body>> {
        Box::pin(async move {
            let service = service_fn(move |request: Request<Streaming<Req>>| {
                let call = Call {
                    message: request.into_inner(),
                    meta: meta.clone(),
                };
                let work = (self.handler)(Arc::clone(&world), call);
                async move { told(work.await, fail_after) }
            });
            grpc::<Resp, Req>().client_streaming(service, request).await
        })
    }
}

/// `google.rpc.Status`, as it travels in `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    more: Vec<prost_types::Any>,
}

/// The refusal with which a server says when to come again.
pub(super) fn throttled(retry_after_secs: f32) -> Status {
    let policy = RpcRetryPolicy { retry_after_secs };
    let code = Code::ResourceExhausted;
    let details = Details {
        code: code as i32,
        message: "throttled".to_owned(),
        more: vec![prost_types::Any {
            type_url: "type.modal.com/modal.client.RPCRetryPolicy".to_owned(),
            value: policy.encode_to_vec(),
        }],
    };
    Status::with_details(code, "throttled", details.encode_to_vec().into())
}
