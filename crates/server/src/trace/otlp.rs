//! Traces to an OpenTelemetry collector (OTLP over gRPC), set up by the standard `OTEL_*` variables.
//!
//! Without `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` nothing is sent. A request
//! that comes with `traceparent` (W3C Trace Context) goes on in that trace.

use std::collections::BTreeMap;

use http::HeaderMap;
use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
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

/// What sends spans; none where the environment names no collector.
pub(super) fn provider(
    vars: &BTreeMap<String, String>,
) -> Result<Option<SdkTracerProvider>, ApiError> {
    let given = |name: &str| vars.get(name).is_some_and(|value| !value.is_empty());
    if !ENDPOINTS.into_iter().any(given) {
        return Ok(None);
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
    tracing_opentelemetry::layer().with_tracer(provider.tracer(NAME))
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

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
