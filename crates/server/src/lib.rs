//! `moorlined`: the control plane of Moorline over HTTP, with live updates and a dashboard.
//!
//! Handlers are thin: they read a request, ask the one [`ControlPlane`](moorline_api::ControlPlane) of the
//! caller's project, and write the answer. The routes of the operations come from one list
//! ([`moorline_api::routes`]), of which the OpenAPI document and the client are made too.
//!
//! | module | what |
//! |---|---|
//! | [`app`] | what every handler has: projects, settings |
//! | [`access`] | who calls: tokens, sessions, and what they permit |
//! | `session`, `links`, `hooks` | sessions of browsers; links that decide; signed requests that start a job |
//! | `limits` | how much one caller may ask for; who may listen to the world |
//! | [`problem`] | errors as `application/problem+json` (RFC 9457) |
//! | [`args`] | arguments of the program |
//! | `serve` | from the configuration to a server that ends well |
//! | `listen` | connections, with TLS or without |
//! | `routes` | all routes and what is around them |
//! | `call`, `request`, `answer` | the operations, dispatched from their one list |
//! | `wait`, `precondition` | waiting for the end of a run; `If-Match` |
//! | `uploads` | files on their way here and back |
//! | `probes`, `metrics`, `trace` | what orchestrators and operators ask |
//! | [`openapi`] | all of it as a document |
//! | `dashboard` | the pages |
//! | `stream`, `ws` | what comes as it happens: lines, server-sent events, WebSocket |

pub mod access;
mod answer;
pub mod app;
pub mod args;
mod call;
mod dashboard;
mod env;
mod hooks;
mod limits;
mod links;
mod listen;
mod metrics;
pub mod openapi;
mod precondition;
mod probes;
pub mod problem;
mod report;
mod request;
mod routes;
mod seed;
mod serve;
mod session;
mod shape;
mod stream;
mod tls;
mod trace;
mod uploads;
mod wait;
mod ws;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use moorline_api::ApiError;
use tokio::net::TcpListener;

pub use env::Env;

/// Serves an application on a listener, for programs that embed the server: until
/// [`App::closing`](app::App::closing) is cancelled, and then until requests are answered.
///
/// # Errors
/// As of the settings of the server.
pub fn embed(
    app: &Arc<app::App>,
    listener: TcpListener,
) -> Result<impl Future<Output = ()> + Send + use<>, ApiError> {
    let router = routes::router(Arc::clone(app))?;
    let closing = app.closing.clone();
    Ok(listen::serve(listener, None, router, closing, serve::GRACE))
}

/// Parses the arguments, serves, and says how that went.
pub fn dispatch(env: &Env) -> ExitCode {
    let args = match args::Cli::try_parse_from(&env.args) {
        Ok(args) => args,
        Err(error) => return report::usage(&error),
    };
    match serve::run(env, &args) {
        Ok(code) => code,
        Err(error) => report::failure(&error),
    }
}
