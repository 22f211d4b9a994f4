//! The least that a server can do: every gRPC call is answered with an empty message, and a file is taken
//! by PUT and given by GET.

use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::TryStreamExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncWriteExt as _, BufWriter};
use tokio::net::TcpListener;
use tokio_util::io::ReaderStream;

use crate::Result;

/// An uncompressed message of no bytes.
const EMPTY: &[u8] = &[0; 5];

/// Serves until standard input ends.
#[expect(
    clippy::disallowed_methods,
    reason = "its tasks end with the process, which serves nothing but figures"
)]
pub(crate) async fn serve(file: PathBuf) -> Result {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    #[expect(clippy::print_stdout, reason = "the caller needs the address")]
    {
        println!("url http://{}", listener.local_addr()?);
    }
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            let file = file.clone();
            tokio::spawn(async move {
                io.set_nodelay(true)?;
                let service = service_fn(|request| answer(file.clone(), request));
                auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(io), service)
                    .await
            });
        }
    });
    let wait = || std::io::stdin().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(wait).await??;
    Ok(())
}

type Body = BoxBody<Bytes, std::io::Error>;

async fn answer(file: PathBuf, request: Request<Incoming>) -> Result<Response<Body>> {
    match *request.method() {
        Method::PUT => take(&file, request).await,
        Method::GET => give(&file).await,
        _ => call(request).await,
    }
}

async fn take(file: &Path, request: Request<Incoming>) -> Result<Response<Body>> {
    let mut body = request.into_body();
    // A write of tokio is a task of its own; a frame is too little for one.
    let file = tokio::fs::File::create(file).await?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            file.write_all(&data).await?;
        }
    }
    file.flush().await?;
    Ok(Response::new(
        Empty::new().map_err(|never| match never {}).boxed(),
    ))
}

async fn give(file: &Path) -> Result<Response<Body>> {
    let file = tokio::fs::File::open(file).await?;
    let size = file.metadata().await?.len();
    let chunks = ReaderStream::with_capacity(file, 1 << 20).map_ok(Frame::data);
    let mut response = Response::new(StreamBody::new(chunks).boxed());
    response.headers_mut().insert("content-length", size.into());
    Ok(response)
}

async fn call(request: Request<Incoming>) -> Result<Response<Body>> {
    request.into_body().collect().await?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from_static(EMPTY)).map_err(|never| match never {});
    let mut response = Response::new(body.with_trailers(async { Some(Ok(trailers)) }).boxed());
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    Ok(response)
}
