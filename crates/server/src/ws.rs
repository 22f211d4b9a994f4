//! Live events over a WebSocket, `GET /v1/ws`: for browsers that want both ways on one connection.
//!
//! Messages are JSON objects in text frames, at most 64 KiB.
//!
//! | from the client | |
//! |---|---|
//! | `{"op":"subscribe","id":"a","events":{…},"window":100}` | events as in `GET /v1/events/stream`, with its members; `id` is the client's own name for them; `window`, if given, is how many may be on their way without an `ack` |
//! | `{"op":"unsubscribe","id":"a"}` | no more of them |
//! | `{"op":"ack","id":"a","event":17}` | everything up to that event was dealt with |
//! | `{"op":"ping","n":1}` | answered with `pong` and the same `n` |
//!
//! | from the server | |
//! |---|---|
//! | `{"op":"subscribed","id":"a"}`, `{"op":"unsubscribed","id":"a"}` | done |
//! | `{"op":"event","id":"a","event":{…}}` | an event; its `id` is the cursor to go on from |
//! | `{"op":"pong","n":1}` | |
//! | `{"op":"problem","id":"a","problem":{…}}` | that message or subscription came to nothing; the connection stays |
//! | `{"op":"reconnect","retry_ms":700}` | the server ends; so does the connection |
//!
//! A page of another site can open a WebSocket with the cookies of this one, so a browser is let in only from
//! the server's own origin and those that `server.cors_origins` names. A client that takes nothing, or says
//! nothing (not even the pong that its library sends), for as long as [`stream`](crate::stream) allows is
//! cut off and may come back with its cursors.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use axum::routing::get;
use futures::stream::{BoxStream, SplitSink};
use futures::{SinkExt as _, Stream, StreamExt as _};
use http::{HeaderMap, header};
use moorline_api::{ApiError, ControlPlane as _, EventsRequest, Operation, RunRequest};
use moorline_core::error_code::ErrorCode;
use moorline_core::event::Event;
use moorline_core::token::TokenKind;
use moorline_engine::Engine;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::MissedTickBehavior;
use tokio_stream::StreamMap;

use crate::access::Caller;
use crate::app::App;
use crate::problem::Problem;
use crate::stream::{HEARTBEAT, STALLED, retry_ms, still_permitted};

/// Bytes of one message of a client.
const LARGEST: usize = 64 << 10;
/// Subscriptions of one connection.
const MOST: usize = 32;
/// Bytes of the name of a subscription.
const LONGEST_NAME: usize = 64;

/// The route.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/v1/ws", get(open))
}

async fn open(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    caller.permit(Operation::EventWatch)?;
    check_origin(&app, &caller, &headers)?;
    let upgrade = upgrade.max_message_size(LARGEST).max_frame_size(LARGEST);
    let tracker = app.tasks.clone();
    Ok(upgrade.on_upgrade(move |socket| {
        tracker.track_future(async move {
            let connection = Connection::new(app, caller, socket);
            connection.serve().await;
        })
    }))
}

/// Refuses browsers that are on another site's page.
fn check_origin(app: &App, caller: &Caller, headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &http::HeaderValue| value.to_str().ok())
    };
    let allowed = match text(header::ORIGIN) {
        // No browser; those alone have sessions.
        None => caller.identity.token.kind != TokenKind::Session,
        Some(origin) => {
            let configured = &app.server().cors_origins;
            let host = origin.split_once("://").map(|(_, host)| host);
            origin == app.origin
                || configured.iter().any(|known| known == origin)
                || host.is_some_and(|host| text(header::HOST) == Some(host))
        }
    };
    if allowed {
        return Ok(());
    }
    let message = "a WebSocket may not be opened from the page of another site";
    Err(ApiError::new(ErrorCode::Forbidden, message)
        .hint("add the site to `server.cors_origins` when it is yours"))
}

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Asked {
    Subscribe {
        id: String,
        #[serde(default)]
        events: EventsRequest,
        window: Option<usize>,
    },
    Unsubscribe {
        id: String,
    },
    Ack {
        id: String,
        event: u64,
    },
    Ping {
        n: Option<Value>,
    },
}

/// What the server says.
#[derive(Debug, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Told<'a> {
    Subscribed {
        id: &'a str,
    },
    Unsubscribed {
        id: &'a str,
    },
    Event {
        id: &'a str,
        event: &'a Event,
    },
    Pong {
        n: Option<Value>,
    },
    Problem {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        problem: Value,
    },
    Reconnect {
        retry_ms: u64,
    },
}

/// Events on their way to a client.
struct Subscription {
    events: BoxStream<'static, Result<Event, ApiError>>,
    /// How many may be there that the client has not dealt with.
    window: Option<usize>,
    /// Those that it has not dealt with, with a window.
    unanswered: VecDeque<u64>,
}

impl Stream for Subscription {
    type Item = Result<Event, ApiError>;

    /// With a full window nothing is ready: whoever polls does so again after each message of the client.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self
            .window
            .is_some_and(|most| self.unanswered.len() >= most)
        {
            return Poll::Pending;
        }
        let next = self.events.poll_next_unpin(context);
        if let (Some(_), Poll::Ready(Some(Ok(event)))) = (self.window, &next) {
            let id = event.id;
            self.unanswered.push_back(id);
        }
        next
    }
}

impl Subscription {
    fn acknowledge(&mut self, upto: u64) {
        while self.unanswered.front().is_some_and(|id| *id <= upto) {
            self.unanswered.pop_front();
        }
    }
}

/// The connection is over, however that came about.
struct Over;

struct Connection {
    app: Arc<App>,
    caller: Caller,
    sink: SplitSink<WebSocket, Message>,
    source: futures::stream::SplitStream<WebSocket>,
    subscriptions: StreamMap<String, Subscription>,
}

impl Connection {
    fn new(app: Arc<App>, caller: Caller, socket: WebSocket) -> Self {
        let (sink, source) = socket.split();
        Self {
            app,
            caller,
            sink,
            source,
            subscriptions: StreamMap::new(),
        }
    }

    async fn serve(mut self) {
        let closing = self.app.closing.clone();
        let mut ticks = tokio::time::interval(HEARTBEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        let mut heard = true;
        loop {
            let subscribed = !self.subscriptions.is_empty();
            let done = tokio::select! {
                biased;
                () = closing.cancelled() => self.leave().await,
                _ = ticks.tick() => {
                    // A ping was sent a while ago, and nothing came since.
                    if heard { self.look_again().await } else { Err(Over) }
                        .inspect(|()| heard = false)
                }
                message = self.source.next() => {
                    heard = true;
                    match message {
                        Some(Ok(message)) => self.take(message).await,
                        Some(Err(_)) | None => Err(Over),
                    }
                }
                Some((id, event)) = self.subscriptions.next(), if subscribed => {
                    self.hand_on(&id, event).await
                }
            };
            if done.is_err() {
                return;
            }
        }
    }

    /// The server ends.
    async fn leave(&mut self) -> Result<(), Over> {
        let retry_ms = retry_ms();
        self.say(&Told::Reconnect { retry_ms }).await?;
        self.close(close_code::AWAY, "the server ends").await
    }

    /// A sign of life, and a look whether the client may still be here.
    async fn look_again(&mut self) -> Result<(), Over> {
        if let Err(error) = still_permitted(&self.caller, Operation::EventWatch).await {
            let problem = Problem(error).document();
            self.say(&Told::Problem { id: None, problem }).await?;
            return self.close(close_code::POLICY, "not let in any more").await;
        }
        self.send(Message::Ping(bytes::Bytes::new())).await
    }

    async fn take(&mut self, message: Message) -> Result<(), Over> {
        let text = match message {
            Message::Text(text) => text,
            // The library answers pings by itself.
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Binary(_) => return self.refuse(None, usage("messages are text")).await,
            Message::Close(_) => return Err(Over),
        };
        match serde_json::from_str(&text) {
            Ok(asked) => self.answer(asked).await,
            Err(error) => {
                let error = usage(&format!("this is no message: {error}"));
                self.refuse(None, error).await
            }
        }
    }

    async fn answer(&mut self, asked: Asked) -> Result<(), Over> {
        match asked {
            Asked::Subscribe { id, events, window } => {
                if let Err(error) = self.may_subscribe(&id, window) {
                    return self.refuse(Some(&id), error).await;
                }
                if let Err(error) =
                    known(self.caller.project.engine.clone(), events.run.clone()).await
                {
                    return self.refuse(Some(&id), error).await;
                }
                self.say(&Told::Subscribed { id: &id }).await?;
                let subscription = Subscription {
                    events: self.caller.project.engine.event_watch(events),
                    window,
                    unanswered: VecDeque::new(),
                };
                self.subscriptions.insert(id, subscription);
                Ok(())
            }
            Asked::Unsubscribe { id } => {
                self.subscriptions.remove(&id);
                self.say(&Told::Unsubscribed { id: &id }).await
            }
            Asked::Ack { id, event } => {
                let known = self.subscriptions.iter_mut().find(|(name, _)| *name == id);
                if let Some((_, subscription)) = known {
                    subscription.acknowledge(event);
                }
                Ok(())
            }
            Asked::Ping { n } => self.say(&Told::Pong { n }).await,
        }
    }

    fn may_subscribe(&self, id: &str, window: Option<usize>) -> Result<(), ApiError> {
        if id.is_empty() || id.len() > LONGEST_NAME {
            return Err(usage("the `id` of a subscription has 1 to 64 bytes"));
        }
        if window == Some(0) {
            return Err(usage("a `window` of 0 lets nothing through"));
        }
        if self.subscriptions.contains_key(id) {
            return Err(usage("there is a subscription of this `id`; end it first"));
        }
        if self.subscriptions.len() >= MOST {
            return Err(usage("a connection has at most 32 subscriptions"));
        }
        Ok(())
    }

    async fn hand_on(&mut self, id: &str, event: Result<Event, ApiError>) -> Result<(), Over> {
        match event {
            Ok(event) => self.say(&Told::Event { id, event: &event }).await,
            Err(error) => {
                self.subscriptions.remove(id);
                self.refuse(Some(id), error).await
            }
        }
    }

    async fn refuse(&mut self, id: Option<&str>, error: ApiError) -> Result<(), Over> {
        let problem = Problem(error).document();
        self.say(&Told::Problem { id, problem }).await
    }

    async fn say(&mut self, told: &Told<'_>) -> Result<(), Over> {
        let text = serde_json::to_string(told).map_err(|_| Over)?;
        self.send(Message::text(text)).await
    }

    async fn close(&mut self, code: u16, reason: &'static str) -> Result<(), Over> {
        let reason = reason.into();
        let frame = CloseFrame { code, reason };
        drop(self.send(Message::Close(Some(frame))).await);
        Err(Over)
    }

    /// Sends, unless the client takes nothing for too long.
    async fn send(&mut self, message: Message) -> Result<(), Over> {
        match tokio::time::timeout(STALLED, self.sink.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Over),
        }
    }
}

/// A run that is not there has no events, now or ever: as with the stream over HTTP, that is said.
async fn known(engine: Engine, run: Option<String>) -> Result<(), ApiError> {
    match run {
        Some(run) => engine.run_get(RunRequest { run }).await.map(drop),
        None => Ok(()),
    }
}

fn usage(message: &str) -> ApiError {
    ApiError::new(ErrorCode::Usage, message).hint("see the documentation of `/v1/ws`")
}
