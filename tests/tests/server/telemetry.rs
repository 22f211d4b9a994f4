//! Traces: what a collector gets of a request and of what it sets off, and that nothing depends on the collector.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use moorline_testkit::canary;
use moorline_testkit::moorline::{Moorline, binary};
use moorline_testkit::moorlined::ServerOptions;
use moorline_testkit::receivers::closed_port;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use reqwest::Method;
use serde_json::{Value, json};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::support::{Api, packed, uploaded};

/// A collector that keeps what it gets, for as long as the test's runtime lives.
#[derive(Clone, Default)]
struct Collector {
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.requests.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    fn start() -> (Self, SocketAddr) {
        let collector = Self::default();
        let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = incoming.local_addr().unwrap();
        let service = TraceServiceServer::new(collector.clone());
        let serving = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(serving.serve_with_incoming(incoming));
        (collector, address)
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        self.requests.lock().unwrap().clone()
    }

    fn spans(&self) -> Vec<Span> {
        let of = |request: ExportTraceServiceRequest| request.resource_spans;
        let all = self.requests().into_iter().flat_map(of);
        all.flat_map(|of_resource| of_resource.scope_spans)
            .flat_map(|of_scope| of_scope.spans)
            .collect()
    }

    /// The one span of this name with this attribute.
    fn span(&self, name: &str, key: &str, value: &str) -> Span {
        let all = self.spans();
        let has = |span: &&Span| span.name == name && text(&span.attributes, key) == value;
        let found: Vec<&Span> = all.iter().filter(has).collect();
        assert_eq!(found.len(), 1, "{name} with {key} {value}: {all:#?}");
        found[0].clone()
    }
}

/// An attribute as text; nothing where there is none.
fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.clone()?.value);
    match value {
        Some(Attribute::StringValue(text)) => text,
        Some(Attribute::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn at(address: SocketAddr) -> ServerOptions {
    let options = ServerOptions::new().unwrap();
    options.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
}

/// From the request of somebody who traces on their own, through the run that it starts, to its attempt; the rest
/// of them is told when the server ends. Nothing secret is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_followed_to_the_attempt_that_it_starts() {
    let (collector, address) = Collector::start();
    // So late that what comes last comes because of the end.
    let options = at(address).env("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    let mut server = options.start().unwrap();
    let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
    let api = Api::new(server.url(), Some(&token));
    let secret = canary::random_hex(16);
    let job = uploaded(&api, packed("traced", &format!("echo {secret}\n"))).await;
    let (trace, parent) = (canary::random_hex(16), canary::random_hex(8));
    let request = api
        .request(Method::POST, "/v1/runs")
        .header("traceparent", format!("00-{trace}-{parent}-01"))
        .header("cookie", format!("moorline_session={secret}"))
        .header("x-moorline-anything", &secret)
        .json(&json!({"job": job, "idempotency_key": secret}));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let run: Value = answer.json().await.unwrap();
    let run = run["run_id"].as_str().unwrap();
    let ended = |seen: &Value| seen["summary"]["ended_at"].is_string();
    let path = format!("/v1/runs/{run}");
    let view = api.until(&path, "the run to end", ended).await;
    let (status, listed) = api.get(&format!("/v1/runs?job_id={secret}")).await;
    assert_eq!(status, 200, "{listed}");
    let output = server.end().unwrap();
    assert_eq!(output.code, Some(0), "{output}");

    let asked = collector.spans();
    let asked: Vec<&Span> = asked
        .iter()
        .filter(|span| hex(&span.parent_span_id) == parent)
        .collect();
    let [asked] = asked.as_slice() else {
        panic!("{asked:#?}");
    };
    assert_eq!(hex(&asked.trace_id), trace);
    let said = [
        "http.request.method",
        "http.route",
        "http.response.status_code",
    ]
    .map(|key| text(&asked.attributes, key));
    assert_eq!(said, ["POST", "/v1/runs", "202"]);
    let carried = collector.span("run", "run_id", run);
    assert_eq!(carried.parent_span_id, asked.span_id);
    let attempt = view["attempts"][0]["attempt_id"].as_str();
    let attempt = attempt.or_else(|| view["attempts"][0]["id"].as_str());
    let attempt = collector.span("attempt", "attempt_id", attempt.unwrap());
    assert_eq!(attempt.parent_span_id, carried.span_id);
    assert_eq!(text(&attempt.attributes, "status"), "success");
    for span in [&carried, &attempt] {
        assert_eq!(hex(&span.trace_id), trace, "{span:#?}");
    }

    for request in collector.requests() {
        for of in &request.resource_spans {
            let resource = of.resource.as_ref().unwrap();
            assert_eq!(text(&resource.attributes, "service.name"), "moorlined");
        }
        let all = format!("{request:?}");
        for hidden in [&token, &secret] {
            assert!(!all.contains(hidden.as_str()), "{all}");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A collector that is not there, and one that takes connections and never says a word: every request is answered,
/// and the server ends as it should.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_depends_on_the_collector() {
    let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for address in [closed_port().unwrap(), mute.local_addr().unwrap()] {
        // Small, so that it is full all the time, and sent without a pause.
        let options = at(address)
            .env("OTEL_BSP_SCHEDULE_DELAY", "1")
            .env("OTEL_BSP_MAX_QUEUE_SIZE", "8")
            .env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8");
        let config = "[server]\nrate_per_second = 100000\n";
        let mut server = options.config(config).unwrap().start().unwrap();
        let token = server.token("ada", ["--principal", "human:ada"]).unwrap();
        let api = Api::new(server.url(), Some(&token));
        let clients = (0..8).map(|_| async {
            for _ in 0..25 {
                assert_eq!(api.get("/v1/runs").await.0, 200);
            }
        });
        futures::future::join_all(clients).await;
        let output = server.end().unwrap();
        assert_eq!(output.code, Some(0), "{output}");
        assert!(!output.stderr.contains("panicked"), "{output}");
    }
}

/// What it can not speak is said at the start, instead of traces that never come.
#[test]
fn another_protocol_is_refused() {
    let server = Moorline::of_binary(binary("moorlined").unwrap()).unwrap();
    let server = server
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let output = server.run(["--bind", "127.0.0.1:0"]).unwrap();
    assert_eq!(output.code, Some(78), "{output}");
    assert!(
        output.stderr.contains("OTEL_EXPORTER_OTLP_PROTOCOL"),
        "{output}"
    );
}
