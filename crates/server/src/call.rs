//! The operations, dispatched from their one list: read, permit, do, answer.
//!
//! What changes something is done to its end, whether or not the client is still there to hear of it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, on};
use http::request::Parts;
use moorline_api::routes::{Method, Route};
use moorline_api::{
    AlertOperations as _, ApiError, ApprovalOperations as _, ArtifactOperations as _,
    ControlPlane as _, DeploymentOperations as _, EmergencyOperations as _,
    PrincipalOperations as _, ReauthOperations as _, ScheduleOperations as _,
    SecretOperations as _, SourceOperations as _, TokenOperations as _, TrailOperations as _,
};
use moorline_core::error_code::ErrorCode;
use serde::Serialize;
use tracing::Instrument as _;

use crate::access::Caller;
use crate::answer;
use crate::app::App;
use crate::problem::Problem;
use crate::request;

/// The operation of a route for one caller, once its request is read.
macro_rules! handler {
    (call, $name:ident, $request:ty, $secret:expr) => {
        |State(app): State<Arc<App>>, caller: Caller, request: Request| async move {
            let route = known(stringify!($name))?;
            let (mut parts, body) = request.into_parts();
            let engine = caller.project.engine.clone();
            let doing = async {
                caller.admit(route.operation, route.path).await?;
                let (asked, seen): ($request, _) =
                    request::read(&app, route, &caller, &mut parts, body, $secret).await?;
                let engine = match seen {
                    Some(seen) => engine.expecting(seen),
                    None => engine,
                };
                finish(&app, route, async move { engine.$name(asked).await }).await
            };
            let done = in_time(&app, doing).await;
            answered(route, &parts, done)
        }
    };
    (bare, $name:ident) => {
        |State(app): State<Arc<App>>, caller: Caller, request: Request| async move {
            let route = known(stringify!($name))?;
            let (parts, _) = request.into_parts();
            let engine = caller.project.engine.clone();
            let doing = async {
                caller.admit(route.operation, route.path).await?;
                request::nothing(&parts)?;
                finish(&app, route, async move { engine.$name().await }).await
            };
            let done = in_time(&app, doing).await;
            answered(route, &parts, done)
        }
    };
}

/// One row of the list as a route.
macro_rules! mount {
    // Live: see `stream`.
    (stream $router:ident $name:ident($($request:ty)?), $method:ident $path:literal) => {
        $router
    };
    (bare $router:ident $name:ident(), $method:ident $path:literal) => {
        $router.route($path, on(filter(Method::$method), handler!(bare, $name)))
    };
    // Waits as long as the request says.
    (call $router:ident run_wait($request:ty), $method:ident $path:literal) => {
        $router.route($path, on(filter(Method::$method), crate::wait::run_wait))
    };
    (call $router:ident $name:ident($request:ty), $method:ident $path:literal) => {
        $router.route(
            $path,
            on(
                filter(Method::$method),
                handler!(call, $name, $request, false),
            ),
        )
    };
    (secret $router:ident $name:ident($request:ty), $method:ident $path:literal) => {
        $router.route(
            $path,
            on(
                filter(Method::$method),
                handler!(call, $name, $request, true),
            ),
        )
    };
}

macro_rules! all {
    ($($kind:ident $operation:ident $name:ident($($request:ty)?) -> $answer:ty, $method:ident $path:literal, $status:literal;)+) => {
        /// The routes of all operations that answer with one document.
        pub(crate) fn routes() -> Router<Arc<App>> {
            let router = Router::new();
            $(let router = mount!($kind router $name($($request)?), $method $path);)+
            router
        }
    };
}

moorline_api::for_each_route!(all);

/// A method, as axum routes by it.
pub(crate) const fn filter(method: Method) -> MethodFilter {
    match method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
    }
}

/// The route of an operation of the list.
pub(crate) fn known(name: &str) -> Result<&'static Route, Problem> {
    moorline_api::routes::route(name).ok_or_else(|| {
        let message = format!("`{name}` is not in the list of routes");
        Problem(ApiError::new(ErrorCode::Internal, message))
    })
}

/// Does something within the time that a request may take.
pub(crate) async fn in_time<A>(
    app: &App,
    doing: impl Future<Output = Result<A, ApiError>>,
) -> Result<A, ApiError> {
    let limit = Duration::from_secs(app.server().request_timeout_seconds.into());
    tokio::time::timeout(limit, doing)
        .await
        .unwrap_or_else(|_| {
            let message = format!("the request took longer than {} s", limit.as_secs());
            Err(ApiError::new(ErrorCode::Timeout, message)
                .hint("what it changes goes on; look at the present state before asking again"))
        })
}

/// Does an operation; one that changes something goes on when the client is gone.
pub(crate) async fn finish<A: Send + 'static>(
    app: &App,
    route: &Route,
    doing: impl Future<Output = Result<A, ApiError>> + Send + 'static,
) -> Result<A, ApiError> {
    if route.method == Method::Get {
        return doing.await;
    }
    // In the span of the request, so that a run that it starts is of its trace.
    let doing = app.tasks.spawn(doing.in_current_span());
    doing.await.unwrap_or_else(|error| {
        let message = format!("`{}` broke", route.name);
        Err(ApiError::new(ErrorCode::Internal, message).because(error))
    })
}

fn answered<A: Serialize>(
    route: &Route,
    parts: &Parts,
    done: Result<A, ApiError>,
) -> Result<Response, Problem> {
    Ok(answer::document(route, parts, &done?)?.into_response())
}
