//! Signed requests from outside that start a job: `POST /hooks/{project}/{name}`, as `[server.incoming.NAME]` says,
//! and `POST /hooks/{name}` for the project that is always there.
//!
//! A request carries `Moorline-Signature: t=<seconds>,v1=<hex>`
//! as our own webhooks do, or the two parts apart: `Moorline-Timestamp: <seconds>` and
//! `Moorline-Signature: v1=<hex>`. There is no token: the signature is who it is from.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode, header};
use moorline_api::{ApiError, RunRow};
use moorline_core::error_code::ErrorCode;
use moorline_engine::{Engine, HookRequest, signature};
use serde_json::json;
use tracing::Instrument as _;

use crate::app::{App, DEFAULT_PROJECT};
use crate::problem::Problem;
use crate::request::{mebibytes, whole};

/// Unix time of the request, in seconds, where it is not in the signature.
const TIMESTAMP: &str = "moorline-timestamp";

/// `/hooks/{name}` and `/hooks/{project}/{name}`.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/hooks/{name}", post(of_default))
        .route("/hooks/{project}/{name}", post(of_project))
}

async fn of_default(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    start(&app, DEFAULT_PROJECT, name, request).await
}

async fn of_project(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    start(&app, &project, name, request).await
}

async fn start(
    app: &App,
    project: &str,
    name: String,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let signature = signed(&parts.headers).unwrap_or_default();
    let body = whole(body, mebibytes(app.server().body_limit_mb)).await?;
    let project = app.projects.get(project);
    let project = project.ok_or_else(Engine::hook_refused)?;
    let engine = project.engine.clone();
    let starting = async move {
        let request = HookRequest {
            name: &name,
            signature: &signature,
            body: &body,
        };
        engine.hook(request).await
    };
    // Done to its end, whether or not the sender waits; in the span of the request, so that a run is of its trace.
    let starting = app.tasks.spawn(starting.in_current_span());
    let run = starting.await.map_err(|error| {
        ApiError::new(ErrorCode::Internal, "starting the job of a hook broke").because(error)
    })??;
    Ok(accepted(&run))
}

/// Whoever sent it hears which run it started, and no more: they may not see it.
fn accepted(run: &RunRow) -> Response {
    let body = json!({"run_id": run.run_id, "status": run.status});
    let json = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::ACCEPTED, json, body.to_string()).into_response()
}

/// The signature, in one piece.
fn signed(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let given = text(signature::SIGNATURE)?;
    match text(TIMESTAMP) {
        Some(seconds) if given.starts_with("v1=") => Some(format!("t={seconds},{given}")),
        _ => Some(given.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_signature_comes_in_one_piece_or_in_two() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (name.parse().unwrap(), HeaderValue::from_static(value))
            };
            pairs.iter().map(pair).collect()
        };
        let one = headers(&[("moorline-signature", "t=1,v1=00")]);
        let two = headers(&[("moorline-signature", "v1=00"), ("moorline-timestamp", "1")]);
        for given in [one, two] {
            assert_eq!(signed(&given).as_deref(), Some("t=1,v1=00"));
        }
        assert_eq!(signed(&headers(&[("moorline-timestamp", "1")])), None);
    }
}
