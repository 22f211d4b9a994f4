//! All routes, and what is around them.
//!
//! From the outside in: an id for the request, its trace, its numbers, what a panic is answered with, the
//! form of errors, the headers of every answer, whose pages may call, how often, and from where.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use moorline_api::ApiError;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate as _};
use tower_http::request_id::{
    MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::sensitive_headers::SetSensitiveHeadersLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use uuid::Uuid;

use crate::app::App;
use crate::limits::{self, Rates};
use crate::{
    call, dashboard, hooks, links, metrics, openapi, probes, problem, seed, session, stream, trace,
    uploads, ws,
};

/// The header with the id of a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A body of at most so many bytes is read before anything is answered.
const SMALL_BODY: usize = 64 << 10;
/// How long such a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(10);
/// The longest id of a request that a client may give.
const LONGEST_ID: usize = 128;

/// The whole server.
///
/// # Errors
/// [`moorline_core::error_code::ErrorCode::Config`] for settings that no layer can be made from.
pub(crate) fn router(app: Arc<App>) -> Result<Router, ApiError> {
    let api = Router::new()
        .merge(call::routes())
        .route_layer(from_fn(only_json));
    let rates = Arc::new(Rates::new(app.server()));
    let governed = Router::new()
        .merge(api)
        .merge(stream::routes())
        .merge(ws::routes())
        .merge(seed::routes())
        .merge(session::routes())
        .merge(hooks::routes())
        .merge(links::routes())
        .merge(dashboard::routes())
        .merge(uploads::routes())
        .layer(limits::csrf(&app)?)
        .layer(from_fn_with_state((Arc::clone(&app), rates), limits::rate));
    // Probes come often, from machines that have no token and must not be kept waiting.
    let router = Router::new()
        .merge(governed)
        .merge(probes::routes())
        .merge(openapi::routes())
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(limits::cors(app.server()))
        // Inside of the compression, which is of what is really sent.
        .layer(from_fn(problem::complete))
        .layer(CompressionLayer::new().compress_when(
            DefaultPredicate::new().and(NotForContentType::const_new(stream::LINES)),
        ))
        .layer(fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(fixed(header::REFERRER_POLICY, "same-origin"))
        .layer(fixed(header::X_FRAME_OPTIONS, "DENY"))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        ));
    let router = if app.is_secure() {
        router.layer(fixed(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"))
    } else {
        router
    };
    Ok(router
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn_with_state(Arc::clone(&app), metrics::count))
        .layer(trace::layer())
        .layer(SetSensitiveHeadersLayer::new([
            header::AUTHORIZATION,
            header::COOKIE,
            header::SET_COOKIE,
        ]))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, NewId))
        .layer(from_fn(own_id))
        .layer(from_fn(with_its_body))
        .with_state(app))
}

fn fixed(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

/// New ids of requests.
#[derive(Debug, Clone, Copy)]
struct NewId;

impl MakeRequestId for NewId {
    fn make_request_id<B>(&mut self, _: &http::Request<B>) -> Option<RequestId> {
        let id = HeaderValue::try_from(Uuid::now_v7().to_string()).ok()?;
        Some(RequestId::new(id))
    }
}

/// A middleware: an id that a client gives counts only where it can stand in a log.
async fn own_id(mut request: Request, next: Next) -> Response {
    let given = request.headers().get(&REQUEST_ID);
    let fits = |id: &HeaderValue| {
        let bytes = id.as_bytes();
        (1..=LONGEST_ID).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    };
    if given.is_some_and(|id| !fits(id)) {
        request.headers_mut().remove(&REQUEST_ID);
    }
    next.run(request).await
}

/// A middleware: a small body is there before the request is looked at. An answer that comes before the body
/// was read makes the connection be closed, and a client that is still sending would see that instead of the
/// answer.
async fn with_its_body(request: Request, next: Next) -> Result<Response, StatusCode> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if !length.is_some_and(|length| (1..=SMALL_BODY).contains(&length)) {
        return Ok(next.run(request).await);
    }
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, SMALL_BODY);
    let body = tokio::time::timeout(BODY_TIME, body).await;
    let body = body.map_err(|_| StatusCode::REQUEST_TIMEOUT)?;
    let body = body.map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(next.run(Request::from_parts(parts, Body::from(body))).await)
}

/// A middleware: a body is JSON.
async fn only_json(request: Request, next: Next) -> Result<Response, StatusCode> {
    let headers = request.headers();
    let none = |length: &HeaderValue| length == "0";
    let empty = match headers.get(header::CONTENT_LENGTH) {
        Some(length) => none(length),
        None => !headers.contains_key(header::TRANSFER_ENCODING),
    };
    let json = headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes();
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
    });
    if request.method() == Method::GET || empty || json {
        Ok(next.run(request).await)
    } else {
        Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    }
}
