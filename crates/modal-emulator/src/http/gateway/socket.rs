//! One WebSocket (RFC 6455): messages of the caller become events of the call, and the other way round.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use moorline_modal_proto::client::FunctionCallInvocationType;
use moorline_modal_proto::client::asgi::{
    Type as Event, WebsocketAccept, WebsocketClose, WebsocketConnect, WebsocketDisconnect,
    WebsocketReceive, websocket_receive, websocket_send,
};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role};

use super::exchange::{self, Reader};
use super::scope::{self, Kind};
use super::{Target, refused, status};
use crate::services::functions;
use crate::world::World;

/// The close code when a side went away without one.
const NO_STATUS: u32 = 1005;
const ABNORMAL: u32 = 1006;

/// Whether a request asks for a WebSocket.
pub(super) fn is_wanted<B>(request: &Request<B>) -> bool {
    let upgrade = request
        .headers()
        .get(UPGRADE)
        .and_then(|value| value.to_str().ok());
    let named = upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    named && request.headers().contains_key(SEC_WEBSOCKET_KEY)
}

/// Opens a WebSocket, if the function accepts it.
pub(super) async fn serve(
    world: &Arc<World>,
    target: &Target,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let key = parts
        .headers
        .get(SEC_WEBSOCKET_KEY)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let accept = derive_accept_key(key);
    let input = scope::input(
        Kind::WebSocket,
        &parts,
        peer,
        target.address,
        &target.method,
    );
    let invocation = FunctionCallInvocationType::SyncLegacy;
    let asked = match functions::begin_call(world, &target.function_id, input, invocation) {
        Ok(asked) => asked,
        Err(error) => return refused(&error),
    };
    exchange::tell(&asked.data_in, Event::WebsocketConnect(WebsocketConnect {}));
    let mut reader = Reader::new(world, asked);
    loop {
        match reader.next().await {
            Ok(Some(Event::WebsocketAccept(accepted))) => {
                let response = switch(&accept, &accepted);
                world.tasks.spawn(carry(Arc::clone(world), upgrade, reader));
                return response;
            }
            Ok(Some(Event::WebsocketClose(_)) | None) => {
                reader.finish();
                return status(
                    StatusCode::FORBIDDEN,
                    "modal-http: the function refused it\n",
                );
            }
            Ok(Some(_)) => {}
            Err(output) => return exchange::failure(&output),
        }
    }
}

fn switch(accept: &str, accepted: &WebsocketAccept) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    let protocol = accepted.subprotocol.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(protocol)) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    for pair in accepted.headers.chunks_exact(2) {
        let [name, value] = pair else { continue };
        let parsed = (
            HeaderName::from_bytes(name),
            HeaderValue::from_maybe_shared(value.clone()),
        );
        if let (Ok(name), Ok(value)) = parsed {
            headers.append(name, value);
        }
    }
    response
}

/// Carries messages both ways until one side closes.
async fn carry(world: Arc<World>, upgrade: OnUpgrade, mut reader: Reader) {
    let Ok(io) = upgrade.await else { return };
    let io = TokioIo::new(io);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    let disconnect = |code| Event::WebsocketDisconnect(WebsocketDisconnect { code: Some(code) });
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let text = websocket_receive::Content::Text(text.to_string());
                    exchange::tell(reader.data_in(), received(text));
                }
                Some(Ok(Message::Binary(bytes))) => {
                    let bytes = websocket_receive::Content::Bytes(bytes);
                    exchange::tell(reader.data_in(), received(bytes));
                }
                // Pings are answered by the stream itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(NO_STATUS, |frame| u32::from(u16::from(frame.code)));
                    exchange::tell(reader.data_in(), disconnect(code));
                    reader.finish();
                    return;
                }
                Some(Err(_)) | None => {
                    exchange::tell(reader.data_in(), disconnect(ABNORMAL));
                    reader.finish();
                    return;
                }
            },
            event = reader.next() => match event {
                Ok(Some(Event::WebsocketSend(sent))) => {
                    let message = match sent.content {
                        Some(websocket_send::Content::Text(text)) => Message::Text(text.into()),
                        Some(websocket_send::Content::Bytes(bytes)) => Message::Binary(bytes),
                        None => Message::Binary(Bytes::new()),
                    };
                    if socket.send(message).await.is_err() {
                        exchange::tell(reader.data_in(), disconnect(ABNORMAL));
                        reader.finish();
                        return;
                    }
                }
                Ok(Some(Event::WebsocketClose(close))) => {
                    reader.finish();
                    drop(socket.close(Some(frame(&close))).await);
                    return;
                }
                Ok(Some(_)) => {}
                // The function ended without a word.
                Ok(None) => {
                    drop(socket.close(None).await);
                    return;
                }
                Err(_) => {
                    let frame = CloseFrame { code: CloseCode::Error, reason: "".into() };
                    drop(socket.close(Some(frame)).await);
                    return;
                }
            },
            () = world.stop.cancelled() => return,
        }
    }
}

fn received(content: websocket_receive::Content) -> Event {
    Event::WebsocketReceive(WebsocketReceive {
        content: Some(content),
    })
}

fn frame(close: &WebsocketClose) -> CloseFrame {
    let code = close
        .code
        .and_then(|code| u16::try_from(code).ok())
        .unwrap_or(1000);
    CloseFrame {
        code: code.into(),
        reason: close.reason.clone().into(),
    }
}
