//! A span for every request, with its id; to the log, and with the feature `otlp` to a collector.
//!
//! Neither headers nor queries are told: both can hold what must not stand in a log.

#[cfg(feature = "otlp")]
mod otlp;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::MatchedPath;
use axum::response::Response;
use http::Request;
use moorline_api::ApiError;
use tower_http::classify::{ServerErrorsAsFailures, SharedClassifier};
use tower_http::request_id::RequestId;
use tower_http::trace::{
    DefaultOnFailure, DefaultOnRequest, DefaultOnResponse, OnResponse as _, TraceLayer,
};
use tracing::{Level, Span, field, info_span};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt};

use crate::args::{Global, LogFormat};

/// What has to be told to the collector before the program ends.
pub(crate) struct Telling {
    #[cfg(feature = "otlp")]
    provider: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

impl Telling {
    /// Tells what is left. It waits for the collector, at most some seconds.
    pub(crate) fn end(self) {
        #[cfg(feature = "otlp")]
        if let Some(Err(error)) = self.provider.map(|provider| provider.shutdown()) {
            tracing::warn!("traces were lost: {error}");
        }
    }
}

/// Sets the log up, and the way to a collector where the environment names one. Needs a runtime.
///
/// # Errors
/// [`moorline_core::error_code::ErrorCode::Config`] when the collector can not be set up.
pub(crate) fn init(global: &Global, vars: &BTreeMap<String, String>) -> Result<Telling, ApiError> {
    let level = match global.verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::TRACE,
    };
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = match global.log_format {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Text => lines.with_ansi(false).boxed(),
    };
    let mut layers = vec![lines.with_filter(level).boxed()];
    #[cfg(feature = "otlp")]
    let provider = otlp::provider(vars)?;
    #[cfg(feature = "otlp")]
    if let Some(provider) = &provider {
        layers.push(otlp::layer(provider).with_filter(LevelFilter::INFO).boxed());
    }
    #[cfg(not(feature = "otlp"))]
    let _ = vars;
    // Only a program that embeds the server can have set one before; then that one stays.
    drop(Registry::default().with(layers).try_init());
    Ok(Telling {
        #[cfg(feature = "otlp")]
        provider,
    })
}

/// Makes the span of a run a part of the trace of the request that asked for it, which is the current one.
pub(crate) fn join(span: &Span) {
    #[cfg(feature = "otlp")]
    otlp::join(span);
    #[cfg(not(feature = "otlp"))]
    let _ = span;
}

/// The layer that makes the spans.
#[expect(
    clippy::type_complexity,
    reason = "the functions in it have no names, so that no alias can name it"
)]
pub(crate) fn layer<B>() -> TraceLayer<
    SharedClassifier<ServerErrorsAsFailures>,
    impl Fn(&Request<B>) -> Span + Clone,
    DefaultOnRequest,
    impl Fn(&Response, Duration, &Span) + Clone,
> {
    TraceLayer::new_for_http()
        .make_span_with(span)
        .on_request(DefaultOnRequest::new().level(Level::DEBUG))
        .on_response(answered)
        .on_failure(DefaultOnFailure::new().level(Level::WARN))
}

/// Tells the span what came of it, and the log.
fn answered(response: &Response, latency: Duration, span: &Span) {
    span.record("http.response.status_code", response.status().as_u16());
    DefaultOnResponse::new()
        .level(Level::INFO)
        .on_response(response, latency, span);
}

fn span<B>(request: &Request<B>) -> Span {
    let id = request.extensions().get::<RequestId>();
    let id = id.and_then(|id| id.header_value().to_str().ok());
    let route = request.extensions().get::<MatchedPath>();
    let span = info_span!(
        "request",
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = route.map(MatchedPath::as_str),
        http.response.status_code = field::Empty,
        id,
    );
    #[cfg(feature = "otlp")]
    otlp::follow(&span, request.headers());
    span
}
