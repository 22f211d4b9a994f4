//! Connections: accepted, served, and brought to an end.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::{debug, warn};

/// How long a client may take over the head of a request (slow loris).
const HEAD: Duration = Duration::from_secs(15);
/// How long to wait after a failed accept, which is mostly for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The most that is read of a client that speaks HTTP where TLS is spoken.
const MOST: u64 = 1 << 20;
/// What such a client is told.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: application/problem+json\r\n\
    content-length: 167\r\n\
    connection: close\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"code\":\"ERR_USAGE\",\
    \"detail\":\"this port speaks TLS\",\"hint\":\"ask again with `https://` in front of the address\"}";

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Serves connections until the server is to end; then lets requests end within `grace`.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<watch::Receiver<TlsAcceptor>>,
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
                let tls = tls.as_ref().map(|tls| tls.borrow().clone());
                let router = router.clone();
                let watcher = graceful.watcher();
                connections.spawn(async move {
                    // Answers are small and one waits for each of them.
                    if let Err(error) = stream.set_nodelay(true) {
                        debug!("can not switch Nagle's algorithm off: {error}");
                    }
                    crate::stream::cut_when_stalled(&stream);
                    match tls {
                        None => connection(stream, peer, router, watcher).await,
                        Some(tls) => match tokio::time::timeout(HEAD, secured(tls, stream)).await {
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

/// The handshake. A client that begins with HTTP is told that it has to begin with TLS.
async fn secured(tls: TlsAcceptor, mut stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    // Every method of HTTP begins with a capital letter, and no message of TLS does (RFC 8446, section 5.1).
    if stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() {
        stream.write_all(PLAIN).await?;
        stream.shutdown().await?;
        // What it still sends is read: a connection that is closed before is reset, and the answer lost.
        let mut rest = stream.take(MOST);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
        return Err(io::Error::other("HTTP where TLS is spoken"));
    }
    tls.accept(stream).await
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
