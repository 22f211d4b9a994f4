//! From a commit to every client that follows; beside a bare axum route that does nothing else.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use futures::StreamExt as _;
use http::header::CONTENT_TYPE;
use moorline_api::{TokenCreateRequest, TokenOperations as _};
use moorline_core::clock::SystemClock;
use moorline_core::config::DEFAULT_PROJECT;
use moorline_core::event::{Event, EventKind, Level};
use moorline_core::principal::{Principal, PrincipalKind};
use moorline_core::stop::{Stop, StopScope};
use moorline_server::app::{App, Project};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::BroadcastStream;

use crate::clients::{Arrival, follow};
use crate::{Result, Stage, now, say, spawn};

/// Clients at the same time.
const CLIENTS: usize = 200;
/// Messages before the first that counts.
const WARM_UP: usize = 10;

pub(crate) async fn measure(stage: &Stage, count: usize) -> Result {
    let (address, sender) = bare().await?;
    let mut at_bare = follow(address, "/bare", "", CLIENTS).await?;
    let (address, token) = serve(stage).await?;
    let mut at_server = follow(address, "/v1/events/stream?level=warn", &token, CLIENTS).await?;
    let (mut bare, mut events) = (Vec::new(), Vec::new());
    for n in 0..WARM_UP + count {
        let sent = now();
        sender.send(message(n))?;
        let of_bare = arrived(&mut at_bare, sent).await?;
        let committed = change(stage, n).await?;
        let of_server = arrived(&mut at_server, committed).await?;
        if n >= WARM_UP {
            bare.extend(of_bare);
            events.extend(of_server);
        }
    }
    say("bare", &bare);
    say("events", &events);
    Ok(())
}

/// A change that leaves one event of the level that is followed: when it was durable.
async fn change(stage: &Stage, n: usize) -> Result<Instant> {
    let stop = Stop {
        scope: StopScope::Job(format!("none-{n}")),
        actor: "system:bench".to_owned(),
        reason: "measured".to_owned(),
        since: stage.engine.clock().now(),
    };
    stage.engine.store().stop_engage(stop).await?;
    Ok(now())
}

/// Milliseconds until each client had the one message that is on its way. One that came before the commit was
/// seen to be done took no time.
async fn arrived(
    arrivals: &mut mpsc::UnboundedReceiver<Arrival>,
    since: Instant,
) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(CLIENTS);
    let mut of_all = None;
    while times.len() < CLIENTS {
        let (id, at) = arrivals.recv().await.ok_or("the clients have ended")?;
        if *of_all.get_or_insert(id) != id {
            return Err(
                "the clients have different messages: there is more than one on its way".into(),
            );
        }
        times.push(at.saturating_duration_since(since).as_secs_f64() * 1_000.0);
    }
    Ok(times)
}

/// The whole server, and a token for it.
async fn serve(stage: &Stage) -> Result<(SocketAddr, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let project = Project {
        name: DEFAULT_PROJECT.to_owned(),
        engine: stage.engine.clone(),
    };
    let app = Arc::new(App::new(
        vec![project],
        Arc::clone(&stage.settings),
        stage.state.clone(),
        Arc::new(SystemClock),
        format!("http://{address}"),
    )?);
    let principal = Principal::named(PrincipalKind::Human, "local");
    let token = stage
        .engine
        .token_create(TokenCreateRequest {
            name: "bench".to_owned(),
            principal: principal.clone(),
            actor: principal,
            reason: "measured".to_owned(),
            ..TokenCreateRequest::default()
        })
        .await?;
    let serving = moorline_server::embed(&app, listener)?;
    spawn(serving);
    Ok((address, token.token))
}

/// What an event of the server looks like on the wire.
fn message(n: usize) -> Bytes {
    let event = Event {
        id: n as u64,
        at: jiff::Timestamp::UNIX_EPOCH,
        kind: EventKind::StopEngaged.into(),
        level: Level::Warn,
        run_id: None,
        job_id: Some(format!("none-{n}")),
        data: serde_json::json!({"actor": "system:bench", "reason": "measured", "scope": "job:none"}),
    };
    let data = serde_json::to_string(&event).unwrap_or_default();
    Bytes::from(format!("id: {n}\nevent: stop.engaged\ndata: {data}\n\n"))
}

/// A route that hands what is sent to everyone who listens.
async fn bare() -> Result<(SocketAddr, broadcast::Sender<Bytes>)> {
    let (sender, _) = broadcast::channel::<Bytes>(64);
    let feed = sender.clone();
    let route = get(move || {
        let messages = BroadcastStream::new(feed.subscribe());
        let messages = messages.filter_map(async |message| message.ok());
        let first = futures::stream::iter([Bytes::from_static(b"retry: 1000\n\n")]);
        let body = Body::from_stream(first.chain(messages).map(Ok::<_, Infallible>));
        async move { ([(CONTENT_TYPE, "text/event-stream")], body) }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/bare", route);
    spawn(async move {
        // It ends with the process.
        drop(axum::serve(listener, app).await);
    });
    Ok((address, sender))
}
