//! Ways in: tunnels (a port of this machine for a port inside), and HTTP connections with a token.
//!
//! Both listen on loopback. A tunnel passes bytes as they are: where Modal would speak TLS, `host` and
//! `port` are those of a plain TCP port.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::header::{AUTHORIZATION, COOKIE, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use moorline_modal_proto::client::{PortSpec, TunnelData};
use rand::RngExt as _;
use tokio::net::{TcpListener, TcpStream};
use tonic::Status;

use super::live::{Live, Main, lock};
use crate::http::status;
use crate::world::World;

/// The header that tells the server inside what the token was made with.
const USER_DATA: &str = "x-verified-user-data";
/// How a browser or a WebSocket client, which can set no header, sends the token.
const QUERY: &str = "_modal_connect_token";

/// Opens the tunnels of a sandbox. They lead nowhere until its container is there.
pub(crate) async fn tunnels(
    world: &World,
    live: &Arc<Live>,
    ports: &[PortSpec],
) -> Result<Vec<TunnelData>, Status> {
    let refused = |error: io::Error| {
        Status::resource_exhausted(format!("no port for a tunnel can be had: {error}"))
    };
    let mut tunnels = Vec::new();
    for spec in ports {
        let Ok(inside) = u16::try_from(spec.port) else {
            return Err(Status::invalid_argument(format!(
                "Invalid port: {}",
                spec.port
            )));
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        world
            .tasks
            .spawn(forward(listener, inside, Arc::clone(live)));
        let (host, port) = (address.ip().to_string(), u32::from(address.port()));
        let plain = spec.unencrypted;
        tunnels.push(TunnelData {
            unencrypted_host: plain.then(|| host.clone()),
            unencrypted_port: plain.then_some(port),
            host,
            port,
            container_port: spec.port,
        });
    }
    Ok(tunnels)
}

/// Passes every connection on, until the sandbox ends.
async fn forward(listener: TcpListener, port: u16, live: Arc<Live>) {
    let closed = live.closed.clone();
    while let Some(accepted) = closed.run_until_cancelled(listener.accept()).await {
        let Ok((outside, peer)) = accepted else {
            continue;
        };
        if !welcome(peer.ip(), &live.definition.inbound_cidr_allowlist) {
            continue;
        }
        let (live, tasks) = (Arc::clone(&live), live.tasks.clone());
        tasks.spawn(async move {
            let _busy = live.activity.begin();
            let passing = pass(&live, outside, port);
            // A connection that breaks is the business of its two ends.
            drop(live.closed.run_until_cancelled(passing).await);
        });
    }
}

async fn pass(live: &Live, mut outside: TcpStream, port: u16) -> io::Result<()> {
    let main = live.main().await.map_err(io::Error::other)?;
    let mut inside = main
        .place
        .container
        .connect(port)
        .await
        .map_err(io::Error::other)?;
    tokio::io::copy_bidirectional(&mut outside, &mut inside).await?;
    Ok(())
}

/// Whether a caller's address is in one of the blocks; no block at all admits everyone.
fn welcome(peer: IpAddr, blocks: &[String]) -> bool {
    blocks.is_empty() || blocks.iter().any(|block| contains(block, peer))
}

fn contains(block: &str, address: IpAddr) -> bool {
    let Some((network, prefix)) = block.split_once('/') else {
        return false;
    };
    let Ok(prefix) = prefix.parse::<u32>() else {
        return false;
    };
    let same = |a: u128, b: u128, bits: u32| {
        let shift = bits.saturating_sub(prefix);
        a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
    };
    match (network.parse::<IpAddr>(), address) {
        (Ok(IpAddr::V4(a)), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (Ok(IpAddr::V6(a)), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

/// The tokens with which HTTP requests are let in.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    known: Mutex<HashMap<String, Token>>,
    /// Where the proxy of this sandbox listens, once there is a token.
    url: tokio::sync::OnceCell<String>,
}

#[derive(Debug, Clone)]
struct Token {
    port: u16,
    user_data: String,
}

/// Makes a token. Answers with the URL of the sandbox's proxy and the token.
pub(crate) async fn connect_token(
    world: &World,
    live: &Arc<Live>,
    port: Option<u32>,
    user_data: String,
) -> Result<(String, String), Status> {
    let port = port.unwrap_or(8080);
    let inside = u16::try_from(port).ok().filter(|port| *port > 0);
    let inside = inside.ok_or_else(|| Status::invalid_argument(format!("Invalid port: {port}")))?;
    if HeaderValue::from_str(&user_data).is_err() {
        let text = "Invalid user metadata: a header of one line is made of it";
        return Err(Status::invalid_argument(text));
    }
    let url = live
        .tokens
        .url
        .get_or_try_init(|| proxy(world, live))
        .await?
        .clone();
    let token: String = {
        let mut rng = rand::rng();
        (0..32)
            .map(|_| char::from(rng.sample(rand::distr::Alphanumeric)))
            .collect()
    };
    lock(&live.tokens.known).insert(
        token.clone(),
        Token {
            port: inside,
            user_data,
        },
    );
    Ok((url, token))
}

async fn proxy(world: &World, live: &Arc<Live>) -> Result<String, Status> {
    let refused = |error: io::Error| {
        Status::resource_exhausted(format!("no port for connections can be had: {error}"))
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    world.tasks.spawn(serve(listener, Arc::clone(live)));
    Ok(format!("http://{address}"))
}

async fn serve(listener: TcpListener, live: Arc<Live>) {
    let closed = live.closed.clone();
    while let Some(accepted) = closed.run_until_cancelled(listener.accept()).await {
        let Ok((io, _)) = accepted else { continue };
        let (live, tasks) = (Arc::clone(&live), live.tasks.clone());
        tasks.spawn(async move {
            let closed = live.closed.clone();
            let service = service_fn(move |request| {
                let live = Arc::clone(&live);
                async move { Ok::<_, std::convert::Infallible>(enter(&live, request).await) }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let serving = builder.serve_connection_with_upgrades(TokioIo::new(io), service);
            // A connection that breaks is the caller's business.
            drop(closed.run_until_cancelled(serving).await);
        });
    }
}

/// Lets a request in, if its token is known.
async fn enter(live: &Live, request: Request<Incoming>) -> Response<Body> {
    let known = presented(&request).and_then(|token| lock(&live.tokens.known).get(&token).cloned());
    let Some(token) = known else {
        return status(StatusCode::UNAUTHORIZED, "no valid connect token\n");
    };
    let _busy = live.activity.begin();
    match live.main().await {
        Ok(main) => relay(live, &main, request, token).await,
        Err(_) => status(StatusCode::SERVICE_UNAVAILABLE, "the sandbox has ended\n"),
    }
}

/// The token of a request: as bearer, as query parameter or as cookie.
fn presented<B>(request: &Request<B>) -> Option<String> {
    let header = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let named = |pair: &str| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == QUERY).then(|| value.to_owned())
    };
    let bearer = header(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    bearer
        .map(str::to_owned)
        .or_else(|| request.uri().query()?.split('&').find_map(named))
        .or_else(|| header(COOKIE)?.split(';').find_map(named))
}

async fn relay(
    live: &Live,
    main: &Main,
    mut request: Request<Incoming>,
    token: Token,
) -> Response<Body> {
    let unreachable = |what: &dyn std::fmt::Display| {
        status(
            StatusCode::BAD_GATEWAY,
            format!("port {}: {what}\n", token.port),
        )
    };
    let inside = match main.place.container.connect(token.port).await {
        Ok(inside) => inside,
        Err(error) => return unreachable(&error),
    };
    let connected = hyper::client::conn::http1::handshake(TokioIo::new(inside)).await;
    let (mut sender, connection) = match connected {
        Ok(connected) => connected,
        Err(error) => return unreachable(&error),
    };
    let closed = live.closed.clone();
    live.tasks.spawn(async move {
        // A connection that breaks is the caller's business.
        drop(closed.run_until_cancelled(connection.with_upgrades()).await);
    });
    request.headers_mut().remove(AUTHORIZATION);
    if let Ok(user_data) = HeaderValue::from_str(&token.user_data) {
        request.headers_mut().insert(USER_DATA, user_data);
    }
    *request.version_mut() = http::Version::HTTP_11;
    let upgraded = hyper::upgrade::on(&mut request);
    match sender.send_request(request).await {
        Ok(mut response) => {
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                let joined = join(upgraded, hyper::upgrade::on(&mut response));
                let closed = live.closed.clone();
                live.tasks
                    .spawn(async move { closed.run_until_cancelled(joined).await });
            }
            response.map(Body::new)
        }
        Err(error) => unreachable(&error),
    }
}

/// Passes bytes between the two ends of an upgraded connection, e.g. a WebSocket.
async fn join(outside: hyper::upgrade::OnUpgrade, inside: hyper::upgrade::OnUpgrade) {
    if let (Ok(outside), Ok(inside)) = tokio::join!(outside, inside) {
        let (mut outside, mut inside) = (TokioIo::new(outside), TokioIo::new(inside));
        // A connection that breaks is the business of its two ends.
        drop(tokio::io::copy_bidirectional(&mut outside, &mut inside).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_admitted_by_address() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let blocks = |blocks: &[&str]| {
            blocks
                .iter()
                .map(|&block| block.to_owned())
                .collect::<Vec<_>>()
        };
        assert!(welcome(loopback, &[]));
        assert!(welcome(loopback, &blocks(&["10.0.0.0/8", "127.0.0.0/8"])));
        assert!(welcome(loopback, &blocks(&["0.0.0.0/0"])));
        assert!(!welcome(
            loopback,
            &blocks(&["10.0.0.0/8", "::/0", "127.0.0.2/32"])
        ));
    }

    #[test]
    fn a_token_is_found_in_each_of_its_places() {
        let request = |name: &str, value: &str| {
            Request::builder()
                .uri("/x?a=b")
                .header(name, value)
                .body(())
                .unwrap()
        };
        let token = Some("t0".to_owned());
        assert_eq!(presented(&request("authorization", "Bearer t0")), token);
        assert_eq!(
            presented(&request("cookie", "a=b; _modal_connect_token=t0")),
            token
        );
        let query = Request::builder()
            .uri("/x?a=b&_modal_connect_token=t0")
            .body(())
            .unwrap();
        assert_eq!(presented(&query), token);
        assert_eq!(presented(&request("x", "y")), None);
    }
}
