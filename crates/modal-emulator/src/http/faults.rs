//! Faults of transfers: plain requests for the bytes of blobs and volumes.
//!
//! They are named `PUT /blobs`, `GET /blobs`, `POST /blobs`, `PUT /volumes` and `GET /volumes`. A gRPC code
//! of a fault becomes the status that an object store would answer; a throttled request is told to slow down.

use std::pin::Pin;

use axum::body::Body;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tonic::Code;

use super::status;
use crate::faults::{FaultKind, millis};
use crate::world::World;

/// What the plan calls a request.
pub(super) fn name(method: &Method, path: &str) -> String {
    let first = path
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    format!("{method} /{first}")
}

/// Serves a request under what the plan has for it.
pub(super) async fn strike<F, Fut>(
    world: &World,
    request: Request<Body>,
    serve: F,
) -> Response<Body>
where
    F: FnOnce(Request<Body>) -> Fut,
    Fut: Future<Output = Response<Body>>,
{
    let fault = world
        .faults
        .strike(&name(request.method(), request.uri().path()));
    match fault {
        None => serve(request).await,
        Some(FaultKind::Delay { ms }) => {
            tokio::time::sleep(millis(ms)).await;
            serve(request).await
        }
        Some(FaultKind::FailBefore { code }) => status(stated(code), "a fault of the plan\n"),
        Some(FaultKind::FailAfter { code }) => {
            drop(serve(request).await);
            status(stated(code), "a fault of the plan, after the effect\n")
        }
        Some(FaultKind::Throttle { retry_after_secs }) => {
            let mut response = status(StatusCode::SERVICE_UNAVAILABLE, "slow down\n");
            let seconds = retry_after_secs.max(0.0).ceil().to_string();
            if let Ok(seconds) = HeaderValue::try_from(seconds) {
                response.headers_mut().insert(RETRY_AFTER, seconds);
            }
            response
        }
        Some(FaultKind::Reset { after }) => {
            let broken = stream::once(async { Err(axum::Error::new("a fault of the plan")) });
            serve(request)
                .await
                .map(|body| cut(body, after, Box::pin(broken)))
        }
        Some(FaultKind::Stall { after }) => serve(request)
            .await
            .map(|body| cut(body, after, Box::pin(stream::pending()))),
    }
}

/// What follows the part of a body that still comes.
type Rest = Pin<Box<dyn stream::Stream<Item = Result<Bytes, axum::Error>> + Send>>;

/// Lets `after` pieces of a body pass, then goes on with `rest`.
fn cut(body: Body, after: u64, rest: Rest) -> Body {
    let pieces = usize::try_from(after).unwrap_or(usize::MAX);
    Body::from_stream(body.into_data_stream().take(pieces).chain(rest))
}

/// The HTTP status of a gRPC code.
fn stated(code: i32) -> StatusCode {
    match Code::from(code) {
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_by_its_method_and_first_directory() {
        assert_eq!(name(&Method::PUT, "/blobs/bl-1/parts/2"), "PUT /blobs");
        assert_eq!(name(&Method::GET, "/volumes/x"), "GET /volumes");
        assert_eq!(name(&Method::GET, "/"), "GET /");
    }

    #[test]
    fn codes_become_what_an_object_store_would_answer() {
        assert_eq!(stated(14), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(stated(7), StatusCode::FORBIDDEN);
        assert_eq!(stated(13), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
