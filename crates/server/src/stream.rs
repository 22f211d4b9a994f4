//! Operations that answer with documents as they come.
//!
//! # Two forms
//! | `Accept` | form | a document | every 15 s | an error in the middle | the server ends | the end |
//! |---|---|---|---|---|---|---|
//! | anything else | `application/x-ndjson` | a line of JSON | an empty line | `{"problem":{…}}`, the last line | `{"reconnect":{"retry_ms":N}}`, the last line | no more lines |
//! | `text/event-stream` | server-sent events | `id:`, `event:`, `data:` | a comment | `event: problem` | `event: reconnect` | `event: end` |
//!
//! Events carry their own id and kind; a line of a log its number, and `event: line`. A problem is what
//! [`Problem`](crate::problem::Problem) would have answered. Whatever is wrong with a request before the first
//! document has a status of its own, as everywhere.
//!
//! # Going on
//! Events and logs have a cursor, `after`, and `Last-Event-ID`, which browsers send by themselves, wins over it.
//! A cursor means the same at every replica and after every restart: what was not received comes, and nothing
//! comes twice. `retry` is a little different for each connection, so that the clients of a server that was
//! started again do not all come at once.
//!
//! # Slow clients
//! A connection is asked for its next bytes, and nothing is made in advance: a client that does not read holds
//! up nobody, and costs its place in the log and what the socket holds. One that takes nothing for
//! [`STALLED`] is cut off by the kernel ([`cut_when_stalled`]); it may come back with its cursor.
//!
//! Whoever is let in is looked at again every 15 s: a token that is revoked or expires, and a principal who loses
//! the role, end their streams.
//!
//! An emergency goes on when its client is gone. Everything else that streams only reads.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::on;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{FutureExt as _, Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use moorline_api::routes::{Method, Route};
use moorline_api::{
    ApiError, AuditExportLine, ControlPlane as _, EmergencyOperations as _, EmergencyRequest,
    EventsRequest, LogLine, LogsRequest, Operation, OutputChunk, OutputRequest, RunRequest,
    TrailOperations as _,
};
use moorline_core::emergency::Emergency;
use moorline_core::error_code::ErrorCode;
use moorline_core::event::Event;
use moorline_engine::Engine;
use rand::RngExt as _;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::access::Caller;
use crate::app::App;
use crate::call::{filter, known};
use crate::problem::Problem;
use crate::request;

/// Lines of JSON. Never compressed: what waits in a compressor is late.
pub(crate) const LINES: &str = "application/x-ndjson";
/// Between two signs of life, and between two looks at the token.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client may take nothing of what is sent before it is cut off.
pub(crate) const STALLED: Duration = Duration::from_secs(30);
/// Documents that are ready go out together, up to about so many bytes.
const TOGETHER: usize = 32 << 10;
/// The header with which a browser goes on where it was.
const LAST_EVENT_ID: &str = "last-event-id";

macro_rules! mount {
    (stream $router:ident $name:ident(), $method:ident $path:literal) => {
        $router.route(
            $path,
            on(
                filter(Method::$method),
                |State(app): State<Arc<App>>, caller: Caller, request: Request| async move {
                    let route = known(stringify!($name))?;
                    let (parts, _) = request.into_parts();
                    caller.permit(route.operation)?;
                    request::nothing(&parts)?;
                    let documents = caller.project.engine.$name();
                    Ok::<_, Problem>(respond(&app, &caller, route, &parts.headers, documents))
                },
            ),
        )
    };
    (stream $router:ident $name:ident($request:ty), $method:ident $path:literal) => {
        $router.route(
            $path,
            on(
                filter(Method::$method),
                |State(app): State<Arc<App>>, caller: Caller, request: Request| async move {
                    let route = known(stringify!($name))?;
                    let (mut parts, body) = request.into_parts();
                    caller.permit(route.operation)?;
                    let (mut asked, _): ($request, _) =
                        request::read(&app, route, &caller, &mut parts, body, false).await?;
                    if let Some(last) = last_event_id(&parts.headers)? {
                        asked.go_on(last);
                    }
                    asked.check(&caller.project.engine).await?;
                    let documents = caller.project.engine.$name(asked);
                    let documents = <$request as Asked>::ready(&app, documents).await?;
                    Ok::<_, Problem>(respond(&app, &caller, route, &parts.headers, documents))
                },
            ),
        )
    };
    // One document: see `call`.
    ($kind:ident $router:ident $name:ident($($request:ty)?), $method:ident $path:literal) => {
        $router
    };
}

macro_rules! all {
    ($($kind:ident $operation:ident $name:ident($($request:ty)?) -> $answer:ty, $method:ident $path:literal, $status:literal;)+) => {
        /// The routes of all operations that stream.
        pub(crate) fn routes() -> Router<Arc<App>> {
            let router = Router::new();
            $(let router = mount!($kind router $name($($request)?), $method $path);)+
            router
        }
    };
}

moorline_api::for_each_route!(all);

/// A request whose answer is a stream.
trait Asked: Send + Sync {
    /// Goes on behind this cursor. Nothing, where there is none.
    fn go_on(&mut self, _last: u64) {}

    /// Whether there is something to stream, as far as can be said before.
    fn check(&self, _engine: &Engine) -> impl Future<Output = Result<(), ApiError>> + Send {
        async { Ok(()) }
    }

    /// The documents, once it is clear that the answer is no error.
    fn ready<D: Send + 'static>(
        _app: &App,
        documents: BoxStream<'static, Result<D, ApiError>>,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<D, ApiError>>, ApiError>> + Send
    {
        async { Ok(documents) }
    }
}

impl Asked for EventsRequest {
    fn go_on(&mut self, last: u64) {
        self.after = last;
        self.newest = false;
    }

    async fn check(&self, engine: &Engine) -> Result<(), ApiError> {
        if let Some(run) = self.run.clone() {
            return engine.run_get(RunRequest { run }).await.map(drop);
        }
        // Whether the store answers.
        let newest = Self {
            limit: 1,
            newest: true,
            ..Self::default()
        };
        engine.event_list(newest).await.map(drop)
    }
}

impl Asked for LogsRequest {
    fn go_on(&mut self, last: u64) {
        self.after = last;
    }

    async fn check(&self, engine: &Engine) -> Result<(), ApiError> {
        let run = self.run.clone();
        engine.run_get(RunRequest { run }).await.map(drop)
    }
}

impl Asked for OutputRequest {
    /// The first piece says that the output is there, or why it is not given.
    async fn ready<D: Send + 'static>(
        _app: &App,
        mut documents: BoxStream<'static, Result<D, ApiError>>,
    ) -> Result<BoxStream<'static, Result<D, ApiError>>, ApiError> {
        let first = documents.next().await.transpose()?;
        Ok(futures::stream::iter(first.map(Ok))
            .chain(documents)
            .boxed())
    }
}

impl Asked for EmergencyRequest {
    /// The steps of an emergency are taken one after the other as its documents are asked for; here they are
    /// asked for whether or not anybody listens. There are as many documents as steps, so they need no bound.
    async fn ready<D: Send + 'static>(
        app: &App,
        mut documents: BoxStream<'static, Result<D, ApiError>>,
    ) -> Result<BoxStream<'static, Result<D, ApiError>>, ApiError> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        app.tasks.spawn(async move {
            while let Some(document) = documents.next().await {
                // Nobody may be there to hear of it.
                drop(sender.send(document));
            }
        });
        // The first one says that the gate is in force, or why it is not.
        let first = receiver.recv().await.transpose()?;
        let first = futures::stream::iter(first.map(Ok));
        Ok(first.chain(UnboundedReceiverStream::new(receiver)).boxed())
    }
}

/// The cursor of a client that goes on.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| {
        ApiError::new(ErrorCode::Usage, "`Last-Event-ID` is no id of an event")
            .hint("send the `id` of the last event that came, or leave it out")
    })
}

/// A document of a stream.
trait Document: Serialize + Send + 'static {
    /// The cursor behind it, where it has one.
    fn cursor(&self) -> Option<u64> {
        None
    }

    /// What it is.
    fn kind(&self) -> &str;
}

impl Document for Event {
    fn cursor(&self) -> Option<u64> {
        Some(self.id)
    }

    fn kind(&self) -> &str {
        self.kind.as_str()
    }
}

impl Document for LogLine {
    fn cursor(&self) -> Option<u64> {
        Some(self.line)
    }

    fn kind(&self) -> &'static str {
        "line"
    }
}

impl Document for OutputChunk {
    fn kind(&self) -> &'static str {
        "output"
    }
}

impl Document for AuditExportLine {
    fn kind(&self) -> &'static str {
        match self {
            Self::Header(_) => "header",
            Self::Record(_) => "record",
        }
    }
}

impl Document for Emergency {
    fn kind(&self) -> &'static str {
        "emergency"
    }
}

/// How documents are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    Events,
}

impl Form {
    /// The one that a client asks for.
    fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter();
        let events = accepted
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|range| {
                let range = range.split(';').next().unwrap_or_default().trim();
                range.eq_ignore_ascii_case("text/event-stream")
            });
        if events { Self::Events } else { Self::Lines }
    }

    const fn content_type(self) -> HeaderValue {
        match self {
            Self::Lines => HeaderValue::from_static(LINES),
            Self::Events => HeaderValue::from_static("text/event-stream"),
        }
    }

    /// What comes first.
    fn begin(self, retry: u64) -> Option<Bytes> {
        (self == Self::Events).then(|| Bytes::from(format!("retry: {retry}\n\n")))
    }

    const fn heartbeat(self) -> Bytes {
        match self {
            Self::Lines => Bytes::from_static(b"\n"),
            Self::Events => Bytes::from_static(b":\n\n"),
        }
    }

    /// Appends a document. JSON has no line end, so it is one line in either form.
    fn document<D: Document>(self, document: &D, out: &mut BytesMut) -> Result<(), ApiError> {
        if self == Self::Events {
            if let Some(cursor) = document.cursor() {
                out.extend_from_slice(format!("id: {cursor}\n").as_bytes());
            }
            out.extend_from_slice(format!("event: {}\ndata: ", document.kind()).as_bytes());
        }
        let json = serde_json::to_vec(document).map_err(|error| {
            let message = "a document of the answer can not be written as JSON";
            ApiError::new(ErrorCode::Internal, message).because(error)
        })?;
        out.extend_from_slice(&json);
        out.extend_from_slice(self.document_end());
        Ok(())
    }

    const fn document_end(self) -> &'static [u8] {
        match self {
            Self::Lines => b"\n",
            Self::Events => b"\n\n",
        }
    }

    /// A last word of the server's own.
    fn word(self, name: &str, said: &Value, out: &mut BytesMut) {
        let text = match self {
            Self::Lines => format!("{}\n", json!({ name: said })),
            Self::Events => format!("event: {name}\ndata: {said}\n\n"),
        };
        out.extend_from_slice(text.as_bytes());
    }

    fn end(self, out: &mut BytesMut) {
        if self == Self::Events {
            // Browsers would ask again and again for what is complete.
            self.word("end", &json!({}), out);
        }
    }
}

/// Answers with documents as they come.
fn respond<D: Document>(
    app: &App,
    caller: &Caller,
    route: &Route,
    headers: &HeaderMap,
    documents: BoxStream<'static, Result<D, ApiError>>,
) -> Response {
    let form = Form::of(headers);
    let body = written(
        form,
        documents,
        app.closing.clone(),
        caller.clone(),
        route.operation,
    );
    let mut response = Response::new(Body::from_stream(body));
    *response.status_mut() = StatusCode::from_u16(route.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, form.content_type());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect an answer before they hand it on would make it late.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Documents, written as they come, and what is said between and after them.
fn written<D: Document>(
    form: Form,
    mut documents: BoxStream<'static, Result<D, ApiError>>,
    closing: CancellationToken,
    caller: Caller,
    operation: Operation,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    async_stream::stream! {
        let retry = retry_ms();
        if let Some(first) = form.begin(retry) {
            yield Ok(first);
        }
        let mut ticks = tokio::time::interval(HEARTBEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        loop {
            let mut out = BytesMut::new();
            let next = tokio::select! {
                biased;
                () = closing.cancelled() => {
                    form.word("reconnect", &json!({"retry_ms": retry}), &mut out);
                    yield Ok(out.freeze());
                    return;
                }
                _ = ticks.tick() => {
                    if let Err(error) = still_permitted(&caller, operation).await {
                        form.word("problem", &Problem(error).document(), &mut out);
                        yield Ok(out.freeze());
                        return;
                    }
                    yield Ok(form.heartbeat());
                    continue;
                }
                next = documents.next() => next,
            };
            let mut last = collect(form, next, &mut out);
            while last.is_none() && out.len() < TOGETHER {
                let Some(next) = documents.next().now_or_never() else { break };
                last = collect(form, next, &mut out);
            }
            yield Ok(out.freeze());
            if last.is_some() {
                return;
            }
        }
    }
}

/// Writes the next thing that a stream gave; says when it was the last.
fn collect<D: Document>(
    form: Form,
    next: Option<Result<D, ApiError>>,
    out: &mut BytesMut,
) -> Option<()> {
    let failed = match next {
        Some(Ok(document)) => form.document(&document, out).err(),
        Some(Err(error)) => Some(error),
        None => {
            form.end(out);
            return Some(());
        }
    }?;
    form.word("problem", &Problem(failed).document(), out);
    Some(())
}

/// How long a client is to wait before it comes back, in milliseconds.
pub(crate) fn retry_ms() -> u64 {
    rand::rng().random_range(500..2_000)
}

/// Whether whoever opened a stream may still have it: the token may have ended since, or its principal lost a
/// role. While the store does not answer, they may.
///
/// # Errors
/// [`ErrorCode::Unauthenticated`] and [`ErrorCode::Forbidden`].
pub(crate) async fn still_permitted(caller: &Caller, operation: Operation) -> Result<(), ApiError> {
    let token = caller.identity.token.id;
    let identity = match caller.project.engine.identify(token).await {
        Ok(identity) => identity,
        Err(error) if error.code == ErrorCode::Unauthenticated => return Err(error),
        Err(error) => {
            debug!("whether a stream is still permitted is not known: {error}");
            return Ok(());
        }
    };
    let project = Arc::clone(&caller.project);
    Caller { project, identity }.permit(operation)
}

/// Lets the kernel cut a connection off whose client takes nothing for [`STALLED`], however alive it is.
pub(crate) fn cut_when_stalled(stream: &TcpStream) {
    let limit = u32::try_from(STALLED.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, limit) {
        debug!("can not bound how long a client may stall: {error}");
    }
}

#[cfg(test)]
#[path = "stream/tests.rs"]
mod tests;
