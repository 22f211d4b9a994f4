//! Connections: accepted, served, and brought to an end.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::{debug, warn};

/// How long a client may take over the head of a request (slow loris).
const HEAD: Duration = Duration::from_secs(15);
/// How long to wait after a failed accept, which is mostly for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Serves connections until the server is to end; then lets requests end within `grace`.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    closing: CancellationToken,
    grace: Duration,
) {
    let connections = TaskTracker::new();
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closing.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (tls, router) = (tls.clone(), router.clone());
                let watcher = graceful.watcher();
                connections.spawn(async move {
                    // Answers are small and one waits for each of them.
                    if let Err(error) = stream.set_nodelay(true) {
                        debug!("can not switch Nagle's algorithm off: {error}");
                    }
                    crate::stream::cut_when_stalled(&stream);
                    match tls {
                        None => connection(stream, peer, router, watcher).await,
                        Some(tls) => match tokio::time::timeout(HEAD, tls.accept(stream)).await {
                            Ok(Ok(stream)) => connection(stream, peer, router, watcher).await,
                            Ok(Err(error)) => debug!(%peer, "no TLS: {error}"),
                            Err(_) => debug!(%peer, "no TLS in time"),
                        },
                    }
                });
            }
            Err(error) => {
                warn!("can not accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(grace, graceful.shutdown())
        .await
        .is_err()
    {
        warn!("ended with requests that were not answered yet");
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    graceful: Watcher,
) {
    let service = router.map_request(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request.map(axum::body::Body::new)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD);
    builder.http2().timer(TokioTimer::new());
    let served = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    let served = pin!(graceful.watch(served.into_owned()));
    if let Err(error) = served.await {
        debug!(%peer, "connection ended: {error}");
    }
}
