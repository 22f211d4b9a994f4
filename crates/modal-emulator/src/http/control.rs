//! The emulator's own endpoints, below `/emulator/`: what an operator or a test asks of the emulator itself,
//! which no client of Modal ever does.
//!
//! | request | answer |
//! |---|---|
//! | `GET /emulator/coverage` | [`Coverage`] as JSON |
//! | `GET /emulator/journal`, `?what=NAME` | the [`Effect`]s so far as a JSON list |
//! | `PUT /emulator/faults`, a [`FaultPlan`] as JSON | 204; the plan is in force and counts from 1 |
//! | `DELETE /emulator/faults` | 204; no fault strikes any more |
//! | `POST /emulator/preempt/{task}` | 204; the function's container is lost as if its machine had been taken away |
//!
//! Errors are one line of text. There is no authentication: the emulator listens on loopback only.
//!
//! [`Coverage`]: crate::Coverage
//! [`Effect`]: crate::Effect

use std::sync::Arc;

use axum::body::Body;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use serde::Serialize;

use super::status;
use crate::faults::FaultPlan;
use crate::world::World;

/// A longer fault plan is a mistake.
const LONGEST_PLAN: usize = 1 << 20;

/// Serves one request whose path begins with `/emulator/`.
pub(crate) async fn serve(world: Arc<World>, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let Some(what) = path.strip_prefix("/emulator/") else {
        return missing(&path);
    };
    match (request.method(), what) {
        (&Method::GET, "coverage") => match world.server() {
            Some(server) => json(&server.coverage()),
            None => status(
                StatusCode::SERVICE_UNAVAILABLE,
                "the emulator is stopping\n",
            ),
        },
        (&Method::GET, "journal") => {
            let only = request.uri().query().and_then(wanted);
            json(&world.journal.effects(only))
        }
        (&Method::PUT, "faults") => set_faults(&world, request.into_body()).await,
        (&Method::DELETE, "faults") => {
            world.faults.set(FaultPlan::default());
            status(StatusCode::NO_CONTENT, Body::empty())
        }
        (&Method::POST, what) => match what.strip_prefix("preempt/") {
            Some(task) => preempt(&world, task),
            None => missing(&path),
        },
        _ => missing(&path),
    }
}

fn preempt(world: &World, task: &str) -> Response<Body> {
    match crate::services::functions::preempt(world, Some(task)) {
        Some(_) => status(StatusCode::NO_CONTENT, Body::empty()),
        None => status(
            StatusCode::NOT_FOUND,
            format!("no function runs as task `{task}`\n"),
        ),
    }
}

/// The value of `what=` in a query. Names of effects hold no character that is escaped in one.
fn wanted(query: &str) -> Option<&str> {
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("what="))
        .filter(|what| !what.is_empty())
}

async fn set_faults(world: &World, body: Body) -> Response<Body> {
    let bytes = match axum::body::to_bytes(body, LONGEST_PLAN).await {
        Ok(bytes) => bytes,
        Err(error) => {
            return status(
                StatusCode::BAD_REQUEST,
                format!("the fault plan was not read: {error}\n"),
            );
        }
    };
    match serde_json::from_slice::<FaultPlan>(&bytes) {
        Ok(plan) => {
            world.faults.set(plan);
            status(StatusCode::NO_CONTENT, Body::empty())
        }
        Err(error) => status(
            StatusCode::BAD_REQUEST,
            format!(
                "not a fault plan: {error}; write a list of faults such as \
                 [{{\"rpc\": \"AppList\", \"nth\": 1, \"kind\": \"fail_before\", \"code\": 14}}]\n"
            ),
        ),
    }
}

fn json<T: Serialize>(document: &T) -> Response<Body> {
    match serde_json::to_vec(document) {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            let value = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, value);
            response
        }
        Err(error) => status(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn missing(path: &str) -> Response<Body> {
    status(StatusCode::NOT_FOUND, format!("no {path} here\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_one_kind_of_effect() {
        assert_eq!(wanted("what=sandbox.create"), Some("sandbox.create"));
        assert_eq!(wanted("x=1&what=volume.put"), Some("volume.put"));
        assert_eq!(wanted("what="), None);
        assert_eq!(wanted("whatever=1"), None);
    }
}
