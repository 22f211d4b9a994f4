//! One HTTP request and its answer.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use moorline_modal_proto::client::asgi::{
    HttpDisconnect, HttpRequest, HttpResponseStart, Type as Event,
};
use moorline_modal_proto::client::data_chunk::DataOneof;
use moorline_modal_proto::client::generic_result::GenericStatus;
use moorline_modal_proto::client::{
    Asgi, DataChunk, DataFormat, FunctionCallInvocationType, FunctionGetOutputsItem, GenericResult,
};
use prost::Message as _;

use super::super::status;
use super::scope::{self, Kind};
use super::{Target, refused};
use crate::services::blobs;
use crate::services::functions::{self, Asked, DataStream};
use crate::world::World;

/// Headers that belong to one connection, not to the answer.
const HOP_BY_HOP: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// Answers a request by a call of the function.
pub(super) async fn serve(
    world: &Arc<World>,
    target: &Target,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let input = scope::input(Kind::Http, &parts, peer, target.address, &target.method);
    let invocation = FunctionCallInvocationType::SyncLegacy;
    let asked = match functions::begin_call(world, &target.function_id, input, invocation) {
        Ok(asked) => asked,
        Err(error) => return refused(&error),
    };
    world
        .tasks
        .spawn(send(Arc::clone(world), body, Arc::clone(&asked.data_in)));
    let mut reader = Reader::new(world, asked);
    loop {
        match reader.next().await {
            Ok(Some(Event::HttpResponseStart(start))) => return respond(&start, reader),
            // Nothing else is allowed before it.
            Ok(Some(_)) => {}
            Ok(None) => return refusal(StatusCode::INTERNAL_SERVER_ERROR, "no answer"),
            Err(output) => return failure(&output),
        }
    }
}

/// An event for the function.
pub(super) fn tell(data_in: &DataStream, event: Event) {
    let asgi = Asgi {
        r#type: Some(event),
    };
    data_in.push(DataChunk {
        data_format: DataFormat::Asgi.into(),
        index: 0,
        data_oneof: Some(DataOneof::Data(asgi.encode_to_vec().into())),
    });
}

/// Sends the body as it comes. The function waits for the first event only a few seconds, so that one is
/// sent at once.
async fn send(world: Arc<World>, mut body: Incoming, data_in: Arc<DataStream>) {
    let part = |body: Bytes, more_body| Event::HttpRequest(HttpRequest { body, more_body });
    if body.is_end_stream() {
        tell(&data_in, part(Bytes::new(), false));
        return;
    }
    tell(&data_in, part(Bytes::new(), true));
    loop {
        match world.stop.run_until_cancelled(body.frame()).await {
            Some(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    tell(&data_in, part(data, true));
                }
            }
            Some(None) => break,
            Some(Some(Err(_))) | None => {
                tell(&data_in, Event::HttpDisconnect(HttpDisconnect {}));
                return;
            }
        }
    }
    tell(&data_in, part(Bytes::new(), false));
}

/// Reads the function's events. Dropped before the last of them, it gives the call up.
pub(super) struct Reader {
    world: Arc<World>,
    asked: Asked,
    read: u64,
    done: bool,
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.done {
            tell(
                &self.asked.data_in,
                Event::HttpDisconnect(HttpDisconnect {}),
            );
            functions::cancel(&self.world, &self.asked.call_id);
        }
    }
}

impl Reader {
    pub(super) fn new(world: &Arc<World>, asked: Asked) -> Self {
        Self {
            world: Arc::clone(world),
            asked,
            read: 0,
            done: false,
        }
    }

    /// What the function reads.
    pub(super) fn data_in(&self) -> &Arc<DataStream> {
        &self.asked.data_in
    }

    /// The next event; none after the last one. An error is the output of a call that failed.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Box<FunctionGetOutputsItem>> {
        let data_out = Arc::clone(&self.asked.data_out);
        let chunk = tokio::select! {
            biased;
            chunk = data_out.next(self.read) => chunk,
            output = functions::output(&self.world, &self.asked.call_id) => {
                // All events are there before the output; the last ones may not have been read yet.
                if data_out.has(self.read) {
                    data_out.next(self.read).await
                } else {
                    self.done = true;
                    return match output {
                        Ok(output) if succeeded(&output) => Ok(None),
                        Ok(output) => Err(Box::new(output)),
                        Err(_) => Ok(None),
                    };
                }
            }
        };
        self.read = chunk.index;
        data_out.forget(self.read);
        let data = match chunk.data_oneof {
            Some(DataOneof::Data(data)) => data,
            Some(DataOneof::DataBlobId(id)) => blobs::read(&self.world, &id)
                .await
                .map(Bytes::from)
                .unwrap_or_default(),
            None => Bytes::new(),
        };
        Ok(Asgi::decode(data).ok().and_then(|asgi| asgi.r#type))
    }

    /// The call has said all it had to say.
    pub(super) fn finish(&mut self) {
        self.done = true;
    }
}

fn succeeded(output: &FunctionGetOutputsItem) -> bool {
    output
        .result
        .as_ref()
        .is_some_and(|result| result.status() == GenericStatus::Success)
}

fn respond(start: &HttpResponseStart, reader: Reader) -> Response<Body> {
    let code = u16::try_from(start.status)
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok());
    let Some(code) = code else {
        return refusal(StatusCode::BAD_GATEWAY, "the status is no HTTP status");
    };
    let mut response = Response::new(Body::from_stream(events(reader)));
    *response.status_mut() = code;
    for pair in start.headers.chunks_exact(2) {
        let [name, value] = pair else { continue };
        let parsed = (
            HeaderName::from_bytes(name),
            HeaderValue::from_maybe_shared(value.clone()),
        );
        if let (Ok(name), Ok(value)) = parsed
            && !HOP_BY_HOP.contains(&name.as_str())
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// The body: the function's events to the last one. A call that fails in between breaks the answer off.
fn events(reader: Reader) -> impl futures::Stream<Item = std::io::Result<Bytes>> {
    let next = |reader: Option<Reader>| async move {
        let mut reader = reader?;
        loop {
            match reader.next().await {
                Ok(Some(Event::HttpResponseBody(part))) => {
                    if part.more_body {
                        return Some((Ok(part.body), Some(reader)));
                    }
                    reader.finish();
                    return Some((Ok(part.body), None));
                }
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(_) => {
                    let error = std::io::Error::other("the function failed");
                    return Some((Err(error), None));
                }
            }
        }
    };
    stream::unfold(Some(reader), next).boxed()
}

fn refusal(code: StatusCode, text: &str) -> Response<Body> {
    status(code, format!("modal-http: {text}\n"))
}

/// The answer for a call that failed before it answered.
pub(super) fn failure(output: &FunctionGetOutputsItem) -> Response<Body> {
    let result = output.result.as_ref();
    let text = result
        .map(|result| result.exception.clone())
        .unwrap_or_default();
    match result.map(GenericResult::status) {
        Some(GenericStatus::Timeout) => refusal(StatusCode::REQUEST_TIMEOUT, &text),
        Some(GenericStatus::Terminated) => refusal(StatusCode::SERVICE_UNAVAILABLE, &text),
        _ => refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("internal error: {text}"),
        ),
    }
}
