//! One client connection, from its request to its end.

use std::error::Error as _;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;
use super::body::Body;
use super::dial::{DialError, dial};
use super::hello::{ACCESS_DENIED_ALERT, Inspector};
use super::message::{Request, RequestError, read_request, read_response};
use super::relay::{End, Fault, Filter, Flow, Side, relay};
use super::rules::Permit;
use super::slots::Slot;
use super::target::{Target, shown};
use super::wait::deadline;

/// For the client to take the answer and close, once this side is done.
const LINGER: Duration = Duration::from_secs(1);

/// An answer of the proxy's own.
struct Answer {
    status: u16,
    /// The reason phrase: some clients show nothing else of a failed `CONNECT`.
    phrase: String,
    /// One line for people.
    text: String,
    /// What goes on the record of refused destinations.
    denied: Option<String>,
}

impl Answer {
    fn new(status: u16, phrase: &str, text: String) -> Self {
        Self {
            status,
            phrase: phrase.to_owned(),
            text,
            denied: None,
        }
    }

    fn refused(destination: String, why: &str) -> Self {
        Self {
            status: 403,
            phrase: format!("D-SPEC (egress) refuses {destination}"),
            text: format!("D-SPEC (egress): {destination} is refused: {why}"),
            denied: Some(destination),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Self {
            status,
            phrase,
            text,
            ..
        } = self;
        let length = text.len() + 1;
        format!(
            "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{text}\n"
        )
        .into_bytes()
    }
}

impl From<RequestError> for Answer {
    fn from(error: RequestError) -> Self {
        let text = error.to_string();
        match error {
            RequestError::Malformed(_) => Self::new(400, "Bad Request", text),
            RequestError::TooLarge => Self::new(431, "Request Header Fields Too Large", text),
            RequestError::Unsupported(_) => Self::new(501, "Not Implemented", text),
            RequestError::Target { asked, reason } => Self::refused(asked, &reason.to_string()),
        }
    }
}

/// Serves a client until its one request is done, one side gives up, or the proxy stops.
pub(super) fn serve(shared: &Shared, client: &TcpStream, slot: &Arc<Slot>) {
    let served = match read_head(shared, client) {
        Ok(None) => Ok(()),
        Ok(Some((Request::Tunnel(target), early))) => tunnel(shared, client, slot, &target, &early),
        Ok(Some((
            Request::Forward {
                target,
                head,
                body,
                is_head,
            },
            early,
        ))) => {
            let answer = ResponseFilter::new(is_head);
            forward(
                shared,
                client,
                slot,
                &target,
                (&head, Body::new(body), answer),
                &early,
            )
        }
        Err(answer) => Err(answer),
    };
    if let Err(answer) = served {
        reply(shared, client, answer);
    }
}

/// Reads up to the end of the request's head, and what came with it. `None` when the client closed
/// before, or the proxy stopped.
fn read_head(shared: &Shared, client: &TcpStream) -> Result<Option<(Request, Vec<u8>)>, Answer> {
    let at = deadline(shared.options.head_timeout);
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match shared.waiter.read(client, &mut buffer, at) {
            Ok(0) => return Ok(None),
            Ok(count) => bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let text = "the request head did not arrive in time".to_owned();
                return Err(Answer::new(408, "Request Timeout", text));
            }
            Err(_) => return Ok(None),
        }
        if let Some((request, length)) = read_request(&bytes)? {
            return Ok(Some((request, bytes.split_off(length))));
        }
    }
}

/// Connects to a target, if the rules permit it. Also tells what else they say.
fn open(shared: &Shared, slot: &Arc<Slot>, target: &Target) -> Result<(TcpStream, Permit), Answer> {
    let Some(permit) = shared.rules.check(target) else {
        return Err(Answer::refused(
            target.to_string(),
            "it is not on the allow-list of this step; to allow it, add it to `egress.allow` in the job spec",
        ));
    };
    let timeout = shared.options.connect_timeout;
    match dial(
        target,
        &shared.rules,
        &shared.options.resolver,
        &shared.waiter,
        slot,
        timeout,
    ) {
        Ok(upstream) => {
            shared.counters.allowed.fetch_add(1, Ordering::Relaxed);
            Ok((upstream, permit))
        }
        Err(error @ DialError::NotPublic(_)) => {
            Err(Answer::refused(target.to_string(), &error.to_string()))
        }
        Err(error @ (DialError::Resolve(_) | DialError::Connect(_))) => {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            let text = format!("{target}: {error}: {cause}");
            Err(if error.is_timeout() {
                Answer::new(504, "Gateway Timeout", text)
            } else {
                Answer::new(502, "Bad Gateway", text)
            })
        }
    }
}

fn tunnel(
    shared: &Shared,
    client: &TcpStream,
    slot: &Arc<Slot>,
    target: &Target,
    early: &[u8],
) -> Result<(), Answer> {
    let (upstream, permit) = open(shared, slot, target)?;
    let accepted = b"HTTP/1.1 200 Connection established\r\n\r\n";
    let at = deadline(shared.options.idle_timeout);
    if shared.waiter.write_all(client, accepted, at).is_ok() {
        pass(shared, client, &upstream, (target, permit), early);
    }
    Ok(())
}

/// Serves a client that did not ask for the proxy: its connection was turned over to it on the way to
/// `destination`, as `host:port`. What is refused ends without a word, as no word was asked for.
pub(super) fn serve_redirected(
    shared: &Shared,
    client: &TcpStream,
    slot: &Arc<Slot>,
    destination: &str,
) {
    let opened = Target::parse(destination, None)
        .map_err(|reason| Answer::refused(destination.to_owned(), &reason.to_string()))
        .and_then(|target| open(shared, slot, &target).map(|opened| (target, opened)));
    match opened {
        Ok((target, (upstream, permit))) => {
            pass(shared, client, &upstream, (&target, permit), b"");
        }
        Err(answer) => record(shared, answer.denied),
    }
}

/// Passes bytes both ways, as long as they may be what the target is for.
fn pass(
    shared: &Shared,
    client: &TcpStream,
    upstream: &TcpStream,
    (target, permit): (&Target, Permit),
    early: &[u8],
) {
    let idle = shared.options.idle_timeout;
    let mut inspector = Inspector::new(target, permit.explicit_port);
    let mut unseen = PassAll;
    let inspected = target.port == shared.options.tls_port && !permit.any_greeting;
    let up: &mut dyn Filter = if inspected {
        &mut inspector
    } else {
        &mut unseen
    };
    let traffic = &shared.counters.traffic;
    let ways: (_, &mut dyn Filter) = (up, &mut PassAll);
    match relay(
        &shared.waiter,
        (client, upstream),
        ways,
        early,
        idle,
        traffic,
    ) {
        End::Complete | End::Broken(_) => {}
        End::Fault(_, fault) => {
            shared.deny(match fault {
                Fault::OtherHost(name) => format!("{}:{}", shown(&name), target.port),
                Fault::NotTls | Fault::Malformed(_) => target.to_string(),
            });
            close(shared, client, &ACCESS_DENIED_ALERT);
        }
    }
}

fn forward(
    shared: &Shared,
    client: &TcpStream,
    slot: &Arc<Slot>,
    target: &Target,
    (head, mut body, mut answer): (&[u8], Body, ResponseFilter),
    early: &[u8],
) -> Result<(), Answer> {
    let (upstream, _) = open(shared, slot, target)?;
    let idle = shared.options.idle_timeout;
    let bad_gateway = |why: &str| Answer::new(502, "Bad Gateway", format!("{target}: {why}"));
    shared
        .waiter
        .write_all(&upstream, head, deadline(idle))
        .map_err(|error| bad_gateway(&error.to_string()))?;
    let traffic = &shared.counters.traffic;
    let ways: (&mut dyn Filter, &mut dyn Filter) = (&mut body, &mut answer);
    let end = relay(
        &shared.waiter,
        (client, &upstream),
        ways,
        early,
        idle,
        traffic,
    );
    match end {
        // An answer that has begun can only be cut off.
        _ if answer.has_begun() => Ok(()),
        End::Complete | End::Broken(io::ErrorKind::ConnectionAborted) => Ok(()),
        End::Fault(Side::Up, Fault::Malformed(why)) => {
            Err(Answer::new(400, "Bad Request", why.to_owned()))
        }
        End::Fault(_, Fault::Malformed(why)) => Err(bad_gateway(&format!("no answer, {why}"))),
        End::Broken(io::ErrorKind::TimedOut) => Err(Answer::new(
            504,
            "Gateway Timeout",
            format!("{target}: no answer in time"),
        )),
        End::Broken(kind) => Err(bad_gateway(&kind.to_string())),
        End::Fault(_, Fault::OtherHost(_) | Fault::NotTls) => Ok(()),
    }
}

fn reply(shared: &Shared, client: &TcpStream, answer: Answer) {
    let bytes = answer.to_bytes();
    record(shared, answer.denied);
    close(shared, client, &bytes);
}

/// Counts a request that led to nothing.
fn record(shared: &Shared, denied: Option<String>) {
    match denied {
        Some(destination) => shared.deny(destination),
        None => {
            shared.counters.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes the last words and closes so that they arrive: unread input at the time of the close would
/// make the kernel take them back.
fn close(shared: &Shared, client: &TcpStream, words: &[u8]) {
    let at = deadline(LINGER);
    let sent = shared.waiter.write_all(client, words, at);
    if sent.and_then(|()| client.shutdown(Shutdown::Write)).is_ok() {
        let mut buffer = [0; 4096];
        while shared
            .waiter
            .read(client, &mut buffer, at)
            .is_ok_and(|count| count > 0)
        {}
    }
}

/// Lets everything pass, and the end too.
struct PassAll;

impl Filter for PassAll {
    fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Flow, Fault> {
        out.extend_from_slice(input);
        Ok(Flow::Open)
    }

    fn end(&mut self) -> Result<Flow, Fault> {
        Ok(Flow::Open)
    }
}

/// The body of a request: exactly one.
impl Filter for Body {
    fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Flow, Fault> {
        Self::push(self, input, out)
    }

    fn end(&mut self) -> Result<Flow, Fault> {
        Self::end(self).map(|()| Flow::Complete)
    }
}

/// A response: interim ones, the final head, its body.
struct ResponseFilter {
    to_head_request: bool,
    head: Vec<u8>,
    body: Option<Body>,
    has_begun: bool,
}

impl ResponseFilter {
    fn new(to_head_request: bool) -> Self {
        Self {
            to_head_request,
            head: Vec::new(),
            body: None,
            has_begun: false,
        }
    }

    /// Whether the client was sent anything of it.
    fn has_begun(&self) -> bool {
        self.has_begun
    }
}

impl Filter for ResponseFilter {
    fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Flow, Fault> {
        if let Some(body) = &mut self.body {
            return body.push(input, out);
        }
        self.head.extend_from_slice(input);
        while let Some(read) =
            read_response(&self.head, self.to_head_request).map_err(Fault::Malformed)?
        {
            self.has_begun = true;
            out.extend_from_slice(&read.head);
            let rest = self.head.split_off(read.length);
            if let Some(framing) = read.body {
                return self.body.insert(Body::new(framing)).push(&rest, out);
            }
            self.head = rest;
        }
        Ok(Flow::Open)
    }

    fn end(&mut self) -> Result<Flow, Fault> {
        match &self.body {
            Some(body) => body.end().map(|()| Flow::Complete),
            None => Err(Fault::Malformed("it closed the connection first")),
        }
    }
}
