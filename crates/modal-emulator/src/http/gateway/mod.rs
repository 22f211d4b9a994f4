//! The web gateway: one loopback port a web function, HTTP turned into calls of it.
//!
//! A request is a call whose input is the ASGI scope; its body and the answer are streams beside the call,
//! in both directions at the same time. Any server framework sees a root path of `/`, as on Modal, since
//! each function has an address of its own.
//!
//! Deliberately absent: TLS, custom domains, labels, and Modal's redirect of answers that take over 150 s.

mod cbor;
mod exchange;
mod scope;
mod socket;

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use moorline_modal_proto::client::WebhookConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{pause, status};
use crate::services::{apps, functions, workspace};
use crate::world::World;

/// Ports that are open.
#[derive(Debug, Default)]
pub(crate) struct Gateways {
    /// By function id.
    open: Mutex<HashMap<String, Open>>,
}

#[derive(Debug)]
struct Open {
    app_id: String,
    /// By method; the empty name is the function itself.
    doors: BTreeMap<String, Door>,
}

#[derive(Debug)]
struct Door {
    url: String,
    config: Arc<Mutex<WebhookConfig>>,
    stop: CancellationToken,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What a request is for.
#[derive(Debug, Clone)]
struct Target {
    function_id: String,
    /// Empty for the function itself.
    method: String,
    config: Arc<Mutex<WebhookConfig>>,
    address: SocketAddr,
}

impl Gateways {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a port for everything of a function that answers HTTP, and closes those that nothing answers any
/// more. Ports stay the same for as long as the function is a web function.
///
/// # Errors
/// `NOT_FOUND`, and `UNAVAILABLE` when no port can be had.
pub(crate) async fn open(
    world: &Arc<World>,
    function_id: &str,
    webhooks: &BTreeMap<String, WebhookConfig>,
) -> Result<(), Status> {
    if webhooks.is_empty() && !world.gateways.lock().contains_key(function_id) {
        return Ok(());
    }
    let app_id = functions::app_of(world, function_id)?;
    let before = functions::urls(world, function_id);
    for (method, config) in webhooks {
        let known = {
            let open = world.gateways.lock();
            let door = open
                .get(function_id)
                .and_then(|open| open.doors.get(method));
            door.map(|door| Arc::clone(&door.config))
        };
        if let Some(known) = known {
            known
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone_from(config);
            continue;
        }
        let listener = listen(before.get(method)).await?;
        let address = listener.local_addr().map_err(|error| no_port(&error))?;
        let config = Arc::new(Mutex::new(config.clone()));
        let target = Target {
            function_id: function_id.to_owned(),
            method: method.clone(),
            config: Arc::clone(&config),
            address,
        };
        let stop = world.stop.child_token();
        world
            .tasks
            .spawn(accept(Arc::clone(world), listener, target, stop.clone()));
        let door = Door {
            url: format!("http://{address}"),
            config,
            stop,
        };
        let mut open = world.gateways.lock();
        let entry = open.entry(function_id.to_owned()).or_insert_with(|| Open {
            app_id: app_id.clone(),
            doors: BTreeMap::new(),
        });
        entry.doors.insert(method.clone(), door);
    }
    let urls = {
        let mut open = world.gateways.lock();
        let Some(entry) = open.get_mut(function_id) else {
            return Ok(());
        };
        entry
            .doors
            .retain(|method, _| webhooks.contains_key(method));
        entry
            .doors
            .iter()
            .map(|(method, door)| (method.clone(), door.url.clone()))
            .collect()
    };
    functions::set_urls(world, function_id, urls);
    Ok(())
}

/// The port that the function had, if it is free, or another one.
async fn listen(before: Option<&String>) -> Result<TcpListener, Status> {
    let address = before.and_then(|url| url.strip_prefix("http://")?.parse::<SocketAddr>().ok());
    if let Some(address) = address
        && let Ok(listener) = TcpListener::bind(address).await
    {
        return Ok(listener);
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(|error| no_port(&error))
}

fn no_port(error: &std::io::Error) -> Status {
    Status::unavailable(format!("no port for the web function: {error}"))
}

/// Closes the ports of an app.
pub(crate) fn close_app(world: &World, app_id: &str) {
    world
        .gateways
        .lock()
        .retain(|_, open| open.app_id != app_id);
}

/// Opens the ports of the apps that are there from an earlier run.
pub(crate) fn begin(world: &Arc<World>) {
    let world_then = Arc::clone(world);
    world.tasks.spawn(async move {
        for (function_id, webhooks) in functions::web_functions(&world_then) {
            if let Err(status) = open(&world_then, &function_id, &webhooks).await {
                tracing::warn!(function_id, %status, "a web function can not be reached");
            }
        }
    });
}

async fn accept(world: Arc<World>, listener: TcpListener, target: Target, stop: CancellationToken) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let (io, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause(&error).await;
                continue;
            }
        };
        drop(io.set_nodelay(true));
        let (world_then, target, stop) = (Arc::clone(&world), target.clone(), stop.clone());
        world.tasks.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let (world, target) = (Arc::clone(&world_then), target.clone());
                async move { Ok::<_, Infallible>(answer(world, target, peer, request).await) }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let serving = builder.serve_connection_with_upgrades(TokioIo::new(io), service);
            // A connection that breaks is the caller's business.
            drop(stop.run_until_cancelled(serving).await);
        });
    }
}

async fn answer(
    world: Arc<World>,
    target: Target,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let config = target
        .config
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    if config.requires_proxy_auth && !may_pass(&world, &target, &request) {
        let text = "modal-http: missing credentials for proxy authorization\n";
        return status(StatusCode::UNAUTHORIZED, text);
    }
    if socket::is_wanted(&request) {
        return socket::serve(&world, &target, peer, request).await;
    }
    exchange::serve(&world, &target, peer, request).await
}

/// Whether a request carries a proxy token of the workspace, or a token of `modal curl`.
fn may_pass<B>(world: &World, target: &Target, request: &Request<B>) -> bool {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if let Some(bearer) = header("modal-authorization").and_then(|h| h.strip_prefix("Bearer ")) {
        return workspace::bearer_ok(world, bearer);
    }
    let app = functions::app_of(world, &target.function_id).and_then(|id| apps::get(world, &id));
    // The pair has two headers of its own, or comes as `wk-….ws-…` where clients put bearer tokens.
    let bearer = header("authorization").and_then(|header| header.strip_prefix("Bearer "));
    let pair = header("modal-key").zip(header("modal-secret"));
    let pair = pair.or_else(|| bearer?.split_once('.'));
    let (Some((key, secret)), Ok(app)) = (pair, app) else {
        return false;
    };
    workspace::proxy_token_ok(world, key, secret, &app.environment)
}

/// The answer when no call could be made.
fn refused(error: &Status) -> Response<Body> {
    let code = match error.code() {
        tonic::Code::NotFound => StatusCode::NOT_FOUND,
        tonic::Code::FailedPrecondition => StatusCode::GONE,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    status(code, format!("modal-http: {}\n", error.message()))
}
