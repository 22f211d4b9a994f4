//! Traces to an OpenTelemetry collector (OTLP over gRPC), set up by the standard `OTEL_*` variables.
//!
//! Without `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` nothing is sent. A request
//! that comes with `traceparent` (W3C Trace Context) goes on in that trace, and so does the run that it starts,
//! with its attempts, as far as this process carries it.
//!
//! Spans wait in a bounded queue for a thread of their own: a collector that is slow or gone costs spans, and
//! nothing else.

use std::collections::BTreeMap;

use http::HeaderMap;
use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::Registry;

/// Variables that name a collector.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];
/// The variable that names the service.
const SERVICE: &str = "OTEL_SERVICE_NAME";
/// What the service is called when nothing names it.
const NAME: &str = "moorlined";

/// Variables that name a protocol.
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
/// The one protocol that is spoken.
const GRPC: &str = "grpc";

/// What sends spans; none where the environment names no collector.
pub(super) fn provider(
    vars: &BTreeMap<String, String>,
) -> Result<Option<SdkTracerProvider>, ApiError> {
    let given = |name: &str| vars.get(name).is_some_and(|value| !value.is_empty());
    if !ENDPOINTS.into_iter().any(given) {
        return Ok(None);
    }
    let named = PROTOCOLS.into_iter().find(|name| given(name));
    let protocol = named.and_then(|name| Some((name, vars.get(name)?)));
    if let Some((name, protocol)) = protocol.filter(|(_, protocol)| *protocol != GRPC) {
        let message = format!("`{name}` is `{protocol}`, and traces are sent by gRPC alone");
        return Err(ApiError::new(ErrorCode::Config, message)
            .hint("set it to `grpc`, with the gRPC port of the collector (4317 mostly)"));
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .build()
        .map_err(|error| {
            let message = format!("traces can not be sent: {error}");
            ApiError::new(ErrorCode::Config, message)
                .hint("correct or unset `OTEL_EXPORTER_OTLP_ENDPOINT`")
        })?;
    let resource = Resource::builder();
    let resource = if given(SERVICE) {
        resource
    } else {
        resource.with_service_name(NAME)
    };
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build();
    Ok(Some(provider))
}

/// The layer that hands spans over.
pub(super) fn layer(provider: &SdkTracerProvider) -> OpenTelemetryLayer<Registry, SdkTracer> {
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(NAME))
        .with_location(false)
        .with_threads(false)
}

/// Makes a span a part of the trace that the headers name.
pub(super) fn follow(span: &Span, headers: &HeaderMap) {
    if !headers.contains_key("traceparent") {
        return;
    }
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    // Nothing records the span when no collector is set up.
    drop(span.set_parent(parent));
}

/// Makes a new span a part of the trace of the current one.
pub(super) fn join(span: &Span) {
    let current = Span::current().context();
    let current = current.span().span_context().clone();
    if current.is_valid() {
        // By its ids alone: the current one ends before the new one does.
        let parent = Context::new().with_remote_span_context(current);
        drop(span.set_parent(parent));
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
