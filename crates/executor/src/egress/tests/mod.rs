//! The proxy over real sockets on loopback.
//!
//! `a.example` and its like are names of a resolver of the tests; their destination is a listener on
//! 127.0.0.1, which is why most rules here also list that address: without it, a name may not lead there.

mod bounds;
mod refusals;
mod requests;
mod tunnels;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown};
use std::sync::mpsc;
use std::time::Instant;

use super::*;

/// A resolver that knows these names.
#[derive(Debug, Default)]
struct Names(BTreeMap<&'static str, Vec<IpAddr>>);

impl Resolver for Names {
    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.0
            .get(name)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn options() -> ProxyOptions {
    let names = [
        ("a.example", vec!["127.0.0.1"]),
        (
            "rebound.example",
            vec!["10.0.0.1", "127.0.0.1", "::ffff:127.0.0.1", "::1"],
        ),
        ("mixed.example", vec!["169.254.169.254", "127.0.0.1"]),
    ];
    let parse = |(name, addresses): (_, Vec<&str>)| {
        (
            name,
            addresses
                .iter()
                .map(|address| address.parse().unwrap())
                .collect(),
        )
    };
    ProxyOptions {
        resolver: Arc::new(Names(names.into_iter().map(parse).collect())),
        ..ProxyOptions::default()
    }
}

struct Running {
    proxy: Proxy,
    address: std::net::SocketAddr,
}

fn start_with(rules: &[String], options: ProxyOptions) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let rules = EgressRules::parse(rules).unwrap();
    Running {
        proxy: Proxy::start_with(listener, rules, options).unwrap(),
        address,
    }
}

/// A proxy that allows `entries`, each on `port`.
fn start(entries: &[&str], port: u16) -> Running {
    let rules: Vec<String> = entries
        .iter()
        .map(|entry| format!("{entry}:{port}"))
        .collect();
    start_with(&rules, options())
}

impl Running {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    fn send(&self, request: &str) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// The whole answer to a request.
    fn ask(&self, request: &str) -> String {
        rest(&mut self.send(request))
    }
}

fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Reads up to and with the end of a head.
fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.extend(byte);
    }
    String::from_utf8(bytes).unwrap()
}

/// A destination that serves its one connection by `serve`; the result comes when it is done.
fn destination<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (u16, mpsc::Receiver<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        sender.send(serve(stream)).unwrap();
    });
    (port, receiver)
}

/// A port on which nobody may be reached: its listener tells whether somebody was.
fn forbidden() -> (u16, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    (listener.local_addr().unwrap().port(), listener)
}

#[expect(clippy::disallowed_methods, reason = "tests measure real time")]
fn now() -> Instant {
    Instant::now()
}
