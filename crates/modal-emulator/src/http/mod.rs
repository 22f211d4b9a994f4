//! The server: HTTP/1.1 and HTTP/2 without TLS on one port, gRPC and plain requests told apart by their
//! content type.

mod blobs;
mod control;
mod faults;
pub(crate) mod gateway;
pub(crate) mod refusal;
pub(crate) mod transfer;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::call::{Meta, TaskId};
use crate::routes::{Coverage, Routes};
use crate::services;
use crate::world::World;

/// Receive windows as wide as the official clients': a stream is not held up by small ones.
const WINDOW: u32 = 16 << 20;

/// The routes over a world.
#[derive(Debug)]
pub(crate) struct Server {
    routes: Routes,
    world: Arc<World>,
}

impl Server {
    pub(crate) fn new(world: Arc<World>) -> Arc<Self> {
        let routes = services::routes();
        let server = Arc::new(Self { routes, world });
        server.world.set_server(&server);
        server
    }

    pub(crate) fn world(&self) -> &Arc<World> {
        &self.world
    }

    pub(crate) fn coverage(&self) -> Coverage {
        self.routes.coverage()
    }

    /// Serves a TCP port until `stop`.
    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((io, _)) => {
                    // Slower without, and no reason to refuse a caller.
                    io.set_nodelay(true).ok();
                    self.connection(io, None, stop.clone());
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    /// Serves a unix socket on which one container calls, until `stop`. Its calls carry that task id.
    pub(crate) async fn accept_container(
        self: Arc<Self>,
        listener: UnixListener,
        task: TaskId,
        stop: CancellationToken,
    ) {
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((io, _)) => self.connection(io, Some(task.clone()), stop.clone()),
                Err(error) => pause(&error).await,
            }
        }
    }

    fn connection<I>(self: &Arc<Self>, io: I, task: Option<TaskId>, stop: CancellationToken)
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let server = Arc::clone(self);
        self.world.tasks.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let (server, task) = (Arc::clone(&server), task.clone());
                async move { Ok::<_, Infallible>(server.request(request, task).await) }
            });
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder
                .http2()
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .max_concurrent_streams(None)
                .max_header_list_size(1 << 20);
            let serving = builder.serve_connection_with_upgrades(TokioIo::new(io), service);
            // A connection that breaks is the caller's business.
            drop(stop.run_until_cancelled(serving).await);
        });
    }

    async fn request(&self, request: Request<Incoming>, task: Option<TaskId>) -> Response<Body> {
        let request = request.map(Body::new);
        let world = Arc::clone(&self.world);
        if is_grpc(request.headers()) {
            let meta = Meta {
                headers: request.headers().clone(),
                task,
                journal: Arc::clone(&world.journal),
            };
            return self.routes.serve(world, meta, request).await.map(Body::new);
        }
        plain(world, request).await
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// What is not gRPC.
async fn plain(world: Arc<World>, request: Request<Body>) -> Response<Body> {
    if request.uri().path().starts_with("/emulator/") {
        return control::serve(world, request).await;
    }
    let path = request.uri().path().to_owned();
    if let Some(rest) = path.strip_prefix("/blobs/") {
        let world = &world;
        let serve = async |request| blobs::serve(Arc::clone(world), rest, request).await;
        return faults::strike(world, request, serve).await;
    }
    if let Some(rest) = path.strip_prefix("/volumes/") {
        let world = &world;
        let serve =
            async |request| services::volumes::serve(Arc::clone(world), rest, request).await;
        return faults::strike(world, request, serve).await;
    }
    let text = format!("no {path} here\n");
    status(StatusCode::NOT_FOUND, text)
}

/// An answer of one line.
pub(crate) fn status(code: StatusCode, text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    *response.status_mut() = code;
    response
}

/// Out of descriptors, mostly: others need time to end.
async fn pause(error: &std::io::Error) {
    tracing::warn!(%error, "a connection was not accepted");
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
}
