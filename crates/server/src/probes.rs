//! What orchestrators ask: is it alive, may it get requests, how does it do. No token, and no secrets either; but
//! beyond loopback `/metrics` asks for one (see [`metrics`](crate::metrics)).
//!
//! `/healthz` answers whenever the process does. `/readyz` asks every project's store and says what it found;
//! a replica that is not ready, or that is ending, gets no requests. Deliberately absent: whether executors
//! work, which `GET /v1/health` tells to whoever has a token.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::future::join_all;
use http::{HeaderValue, StatusCode, header};
use jiff::SignedDuration;
use moorline_api::{ApiError, ControlPlane as _, EventsRequest, Operation};
use moorline_core::clock::Clock;
use moorline_engine::Engine;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::app::{App, Project};
use crate::metrics::Metrics;
use crate::problem::Problem;

/// How long a store may take to answer a probe.
const PATIENCE: Duration = Duration::from_secs(3);
/// How far a clock may be behind what is on record.
const SKEW: SignedDuration = SignedDuration::from_secs(60);
/// The media type of the text form of Prometheus.
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// Whether a server may get requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Readiness {
    /// Whether every check is as it should be.
    pub(crate) ready: bool,
    /// The version of the program.
    pub(crate) version: String,
    /// Every check.
    pub(crate) checks: Vec<ReadinessCheck>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ReadinessCheck {
    /// The project; none for what is the server's.
    pub(crate) project: Option<String>,
    /// `serving`, `store`, `clock` or `stop_gate`.
    pub(crate) name: String,
    /// Whether it is as it should be.
    pub(crate) ok: bool,
    /// What was found.
    pub(crate) found: String,
}

/// `/healthz`, `/readyz` and `/metrics`.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

async fn metrics(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let server = app.server();
    let text = if server.metrics_public || server.bind.ip().is_loopback() {
        Metrics::render(&app, None).await
    } else {
        let (mut parts, _) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, &app).await?;
        caller.admit(Operation::Health, "/metrics").await?;
        Metrics::render(&app, Some(&caller.project.name)).await
    };
    Ok(([(header::CONTENT_TYPE, PROMETHEUS)], text).into_response())
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let readiness = look(&app).await;
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}

async fn look(app: &App) -> Readiness {
    let ending = app.closing.is_cancelled();
    let mut checks = vec![ReadinessCheck {
        project: None,
        name: "serving".to_owned(),
        ok: !ending,
        found: if ending { "it is ending" } else { "it serves" }.to_owned(),
    }];
    // Beside each other: whoever asks has little patience, and one store that is silent takes all of its time.
    let looks = app.projects.values().map(|project| look_at(project, app));
    checks.extend(join_all(looks).await.into_iter().flatten());
    Readiness {
        ready: checks.iter().all(|check| check.ok),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        checks,
    }
}

/// The checks of one project.
async fn look_at(project: &Project, app: &App) -> [ReadinessCheck; 3] {
    let engine = &project.engine;
    let (store, clock, stop_gate) = tokio::join!(
        in_time(store(engine)),
        in_time(clock(engine, app.clock.as_ref())),
        in_time(stop_gate(engine))
    );
    [("store", store), ("clock", clock), ("stop_gate", stop_gate)].map(|(name, found)| {
        let ok = found.is_ok();
        // Whoever asks has shown no token: where the store is stays in the log.
        let found = found.unwrap_or_else(|error| match error {
            Unready::Failed(error) => {
                tracing::warn!(project = project.name, check = name, "{error}");
                error.code.info().meaning.to_owned()
            }
            Unready::Says(text) => text,
        });
        ReadinessCheck {
            project: Some(project.name.clone()),
            name: name.to_owned(),
            ok,
            found,
        }
    })
}

/// Why something is not as it should be.
enum Unready {
    /// It could not be looked at.
    Failed(ApiError),
    /// What was found.
    Says(String),
}

impl From<ApiError> for Unready {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

async fn in_time(look: impl Future<Output = Result<String, Unready>>) -> Result<String, Unready> {
    tokio::time::timeout(PATIENCE, look)
        .await
        .unwrap_or_else(|_| {
            let seconds = PATIENCE.as_secs();
            Err(Unready::Says(format!("no answer within {seconds} s")))
        })
}

/// That the store answers, and at which version of the schema it is. Opening it brought that up to date.
async fn store(engine: &Engine) -> Result<String, Unready> {
    let health = engine.store_health().await?;
    Ok(format!(
        "{} {}, schema {}, {}",
        health.engine, health.version, health.schema, health.durability
    ))
}

/// That this machine's clock is not behind what other machines have recorded: leases and expiry go by it.
async fn clock(engine: &Engine, clock: &dyn Clock) -> Result<String, Unready> {
    let newest = EventsRequest {
        newest: true,
        limit: 1,
        ..EventsRequest::default()
    };
    let events = engine.event_list(newest).await?;
    let Some(newest) = events.last() else {
        return Ok("nothing is on record yet".to_owned());
    };
    let ahead = newest.at.duration_since(clock.now());
    if ahead > SKEW {
        let seconds = ahead.as_secs();
        return Err(Unready::Says(format!(
            "the newest event is {seconds} s ahead of this machine's clock"
        )));
    }
    Ok("not behind what is on record".to_owned())
}

/// That what may not start can be read: nothing would start otherwise (D-STOP-2).
async fn stop_gate(engine: &Engine) -> Result<String, Unready> {
    match engine.stop_list().await?.len() {
        0 => Ok("no stop is in force".to_owned()),
        1 => Ok("1 stop is in force".to_owned()),
        count => Ok(format!("{count} stops are in force")),
    }
}
