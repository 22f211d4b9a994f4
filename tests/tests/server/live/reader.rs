//! Clients of server-sent events: one connection, and a reader that comes back like a browser.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use reqwest::Method;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::support::{Api, PATIENCE};

/// One message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    pub(crate) id: Option<u64>,
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// An open connection.
pub(crate) struct Sse {
    bytes: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    buffer: Vec<u8>,
}

impl Sse {
    /// Opens a stream, behind an event when one is given.
    pub(crate) async fn open(api: &Api, path: &str, last: Option<u64>) -> reqwest::Result<Self> {
        let mut request = api
            .request(Method::GET, path)
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await?.error_for_status()?;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let bytes = response.bytes_stream();
        Ok(Self {
            bytes: bytes.map(|piece| piece.map(|piece| piece.to_vec())).boxed(),
            buffer: Vec::new(),
        })
    }

    /// The next message; none when the connection ended, however it did.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let rest = self.buffer.split_off(end + 2);
                let block = std::mem::replace(&mut self.buffer, rest);
                let message = parse(&String::from_utf8(block).unwrap());
                // Comments and the time to come back are no messages.
                if !message.event.is_empty() {
                    return Some(message);
                }
                continue;
            }
            let piece = tokio::time::timeout(PATIENCE, self.bytes.next()).await;
            match piece.expect("a sign of life in time")? {
                Ok(piece) => self.buffer.extend(piece),
                Err(_) => return None,
            }
        }
    }

    /// The next message, which must come.
    pub(crate) async fn next_event(&mut self) -> Message {
        self.next().await.expect("the stream goes on")
    }
}

fn parse(block: &str) -> Message {
    let mut message = Message::default();
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => message.id = Some(id.parse().unwrap()),
            Some(("event", event)) => event.clone_into(&mut message.event),
            Some(("data", data)) => message.data = serde_json::from_str(data).unwrap(),
            _ => {}
        }
    }
    message
}

/// A reader that comes back, to the next of its servers, with the id of the last event it has.
pub(crate) struct Reader {
    seen: watch::Receiver<Vec<u64>>,
    task: JoinHandle<()>,
}

impl Reader {
    /// Starts reading the events of these servers behind `last`, one server at a time.
    pub(crate) fn start(api: &Api, servers: &[&str], mut last: Option<u64>) -> Self {
        let servers: Vec<Api> = servers.iter().map(|url| api.at(url)).collect();
        let (sender, seen) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            for server in servers.iter().cycle() {
                let Ok(mut stream) = Sse::open(server, "/v1/events/stream", last).await else {
                    tokio::time::sleep(Duration::from_millis(50)).await; // L77: as a browser, before it comes back
                    continue;
                };
                while let Some(message) = stream.next().await {
                    let Some(id) = message.id else { continue };
                    assert_eq!(message.data["id"], id);
                    last = Some(id);
                    sender.send_modify(|seen: &mut Vec<u64>| seen.push(id));
                }
            }
        });
        Self { seen, task }
    }

    /// Everything that it got, once it has this event.
    pub(crate) async fn until(mut self, last: u64) -> Vec<u64> {
        let wait = self
            .seen
            .wait_for(|seen| seen.last().is_some_and(|id| *id >= last));
        let seen = match tokio::time::timeout(PATIENCE, wait).await {
            Ok(Ok(seen)) => seen.clone(),
            other => panic!("no event {last}: {:?}", other.map(|seen| seen.is_ok())),
        };
        self.task.abort();
        seen
    }
}
