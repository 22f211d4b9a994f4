//! A client of HTTP/1.1 over plain sockets: one connection that is kept, one request after the other. The bare
//! route and the server meet the same one, so that a ratio is about the servers.

use std::fmt::Display;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::super::super::floors::in_milliseconds;
use super::super::super::row::Figure;
use crate::clock;
use crate::error::{Error, Result};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Requests of each connection before the first that counts.
const WARM_UP: u32 = 20;

/// A request as it goes over the wire, and the status that it is to be answered with.
#[derive(Debug, Clone)]
pub(super) struct Message {
    bytes: Vec<u8>,
    expected: u16,
}

impl Message {
    /// A question with a token (empty for none) and further header lines, each with its end of line.
    pub(super) fn get(path: impl Display, token: &str, headers: &str) -> Self {
        let bytes = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{headers}\r\n"
        );
        Self {
            bytes: bytes.into_bytes(),
            expected: 200,
        }
    }

    /// JSON that is to be answered with a status.
    pub(super) fn post(path: &str, token: &str, body: &str, expected: u16) -> Self {
        let length = body.len();
        let bytes = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        Self {
            bytes: bytes.into_bytes(),
            expected,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects to `HOST:PORT`.
    pub(super) fn connect(address: &str) -> Result<Self> {
        let failed = || Error::io(format!("connect to {address}"));
        let stream = TcpStream::connect(address).map_err(failed())?;
        stream.set_nodelay(true).map_err(failed())?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed())?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a request: the body of its answer.
    pub(super) fn call(&mut self, message: &Message) -> Result<String> {
        let failed = || Error::io("speak with a server");
        let stream = self.0.get_mut();
        stream.write_all(&message.bytes).map_err(failed())?;
        let mut line = String::new();
        self.0.read_line(&mut line).map_err(failed())?;
        let status: Option<u16> = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut length = None;
        loop {
            line.clear();
            let read = self.0.read_line(&mut line).map_err(failed())?;
            if read <= "\r\n".len() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok();
            }
        }
        let unmeasured = || {
            let text = format!("an answer without a length: {status:?}");
            Error::Refused(text)
        };
        let length: usize = length.ok_or_else(unmeasured)?;
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).map_err(failed())?;
        let body = String::from_utf8_lossy(&body).into_owned();
        if status != Some(message.expected) {
            let status = status.map_or_else(String::new, |status| status.to_string());
            let text = format!("a measured request is answered with `{status}`: {body}");
            return Err(Error::Refused(text));
        }
        Ok(body)
    }
}

/// Requests of one kind in a second, from so many connections at once, each on a thread of its own.
pub(super) fn rate(
    address: &str,
    connections: u32,
    count: u32,
    message: &Message,
) -> Result<Figure> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        let mut client = Client::connect(address)?;
        for _ in 0..WARM_UP {
            client.call(message)?;
        }
        clients.push(client);
    }
    let each = count / connections;
    let begun = clock::now();
    std::thread::scope(|scope| {
        let start = |mut client: Client| {
            scope.spawn(move || (0..each).try_for_each(|_| client.call(message).map(drop)))
        };
        let threads: Vec<_> = clients.into_iter().map(start).collect();
        threads.into_iter().try_for_each(|thread| {
            let panicked = |_| Error::Refused("a client panicked".to_owned());
            thread.join().map_err(panicked)?
        })
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Figure::of_rate(each * connections, seconds))
}

/// Milliseconds of requests over one connection, one after the other. What has to happen between two of them,
/// from the answer to the first, is done by `settle`, and takes no part in the time.
pub(super) fn times(
    address: &str,
    count: u32,
    message: &Message,
    settle: impl Fn(&mut Client, &str) -> Result,
) -> Result<Figure> {
    let mut client = Client::connect(address)?;
    let mut milliseconds = Vec::new();
    for n in 0..WARM_UP + count {
        let begun = clock::now();
        let answer = client.call(message)?;
        let took = in_milliseconds(begun.elapsed());
        if n >= WARM_UP {
            milliseconds.push(took);
        }
        settle(&mut client, &answer)?;
    }
    Ok(Figure::of_times(milliseconds))
}
