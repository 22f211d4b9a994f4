//! The least that a gRPC server can do: every call is answered with an empty message.

use std::convert::Infallible;
use std::io::Read as _;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use crate::Result;

/// An uncompressed message of no bytes.
const EMPTY: &[u8] = &[0; 5];

/// Serves until standard input ends.
pub(crate) async fn serve() -> Result {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    #[expect(clippy::print_stdout, reason = "the caller needs the address")]
    {
        println!("url http://{}", listener.local_addr()?);
    }
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            tokio::spawn(async move {
                io.set_nodelay(true)?;
                let serving = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(io), service_fn(answer))
                    .await;
                serving.map_err(std::io::Error::other)
            });
        }
    });
    let wait = || std::io::stdin().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(wait).await??;
    Ok(())
}

async fn answer(
    request: Request<Incoming>,
) -> std::result::Result<Response<impl http_body::Body<Data = Bytes, Error = Infallible>>, hyper::Error>
{
    request.into_body().collect().await?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from_static(EMPTY));
    let body = body.with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    Ok(response)
}
