//! A span for every request, with its id; to the log, and with the feature `otlp` to a collector.
//!
//! Neither headers nor queries are told: both can hold what must not stand in a log.

use axum::extract::MatchedPath;
use http::Request;
use tower_http::classify::{ServerErrorsAsFailures, SharedClassifier};
use tower_http::request_id::RequestId;
use tower_http::trace::{DefaultOnFailure, DefaultOnRequest, DefaultOnResponse, TraceLayer};
use tracing::{Level, Span, info_span};

/// The layer that makes the spans.
pub(crate) fn layer<B>()
-> TraceLayer<SharedClassifier<ServerErrorsAsFailures>, impl Fn(&Request<B>) -> Span + Clone> {
    TraceLayer::new_for_http()
        .make_span_with(span)
        .on_request(DefaultOnRequest::new().level(Level::DEBUG))
        .on_response(DefaultOnResponse::new().level(Level::INFO))
        .on_failure(DefaultOnFailure::new().level(Level::WARN))
}

fn span<B>(request: &Request<B>) -> Span {
    let id = request.extensions().get::<RequestId>();
    let id = id.and_then(|id| id.header_value().to_str().ok());
    let route = request.extensions().get::<MatchedPath>();
    info_span!(
        "request",
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = route.map(MatchedPath::as_str),
        id,
    )
}
