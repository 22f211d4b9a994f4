//! An HTTP/1.1 server that receives requests.
//!
//! ```
//! use moorline_testkit::receivers::http::{Answer, Receiver};
//!
//! let receiver = Receiver::start()?;
//! receiver.answer([Answer::status(500), Answer::status(204)]);
//! assert!(receiver.url("/hook").starts_with("http://127.0.0.1:"));
//! assert_eq!(receiver.requests(), []);
//! # Ok::<(), std::io::Error>(())
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Listener;

/// How often a hanging connection looks whether the receiver is over.
const LOOK: Duration = Duration::from_millis(5);

/// How a request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    hangs: bool,
}

impl Answer {
    /// This status, at once, without a body.
    pub const fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            hangs: false,
        }
    }

    /// Takes the request and never answers it.
    pub const fn never() -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            hangs: true,
        }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `POST` and so on.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, as its `Content-Length` says.
    pub body: Vec<u8>,
}

impl Request {
    /// A header, empty when it was not sent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<Answer>,
    requests: Vec<Request>,
}

/// The server. Without answers it answers 200.
#[derive(Debug)]
pub struct Receiver {
    state: Arc<Mutex<State>>,
    listener: Listener,
}

impl Receiver {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub fn start() -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let listener = Listener::start(move |stream, closing| {
            // A peer that goes away has its own reasons.
            drop(serve(stream, &shared, closing));
        })?;
        Ok(Self { state, listener })
    }

    /// The URL of a path, which begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listener.address)
    }

    /// Answers the next requests so, in this order; then 200 again.
    pub fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.state).answers.extend(answers);
    }

    /// Every request that came, in the order of their arrival.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state).requests.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request; the connection is closed behind the answer.
fn serve(stream: TcpStream, state: &Mutex<State>, closing: &AtomicBool) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let request = read(&mut reader)?;
    let answer = {
        let mut state = lock(state);
        state.requests.push(request);
        state.answers.pop_front()
    };
    let answer = answer.unwrap_or_else(|| Answer::status(200));
    if answer.hangs {
        return hang(&stream, closing);
    }
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {} Answer\r\n", answer.status)?;
    for (name, value) in &answer.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    write!(stream, "content-length: 0\r\nconnection: close\r\n\r\n")?;
    stream.flush()
}

/// Holds the connection until the peer closes it or the receiver is over.
fn hang(stream: &TcpStream, closing: &AtomicBool) -> io::Result<()> {
    stream.set_read_timeout(Some(LOOK))?;
    let mut byte = [0];
    while !closing.load(Ordering::SeqCst) {
        match (&*stream).read(&mut byte) {
            Ok(0) => break,
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                break;
            }
            _ => {}
        }
    }
    Ok(())
}

fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Request> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_ascii_whitespace();
    let (method, path) = (
        words.next().unwrap_or_default().to_owned(),
        words.next().unwrap_or_default().to_owned(),
    );
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|n| n.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(Request {
        method,
        path,
        headers,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(receiver: &Receiver, body: &str) -> String {
        let address = receiver.listener.address;
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "POST /a HTTP/1.1\r\nX-One: 1\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn it_answers_as_told_and_remembers_what_came() {
        let receiver = Receiver::start().unwrap();
        receiver.answer([Answer::status(503)]);
        assert_eq!(post(&receiver, "one"), "HTTP/1.1 503 Answer");
        assert_eq!(post(&receiver, "two"), "HTTP/1.1 200 Answer");
        let requests = receiver.requests();
        let bodies: Vec<&[u8]> = requests.iter().map(|r| r.body.as_slice()).collect();
        assert_eq!(bodies, [b"one", b"two"]);
        let first = requests.first().unwrap();
        assert_eq!((first.method.as_str(), first.path.as_str()), ("POST", "/a"));
        assert_eq!((first.header("x-one"), first.header("x-two")), ("1", ""));
    }
}
