//! The program inside.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use moorline_core::protocol;
use serde_json::json;

use super::{End, Reached, Way, hello};

/// For a connection to be made, and for an answer to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// A proxy's answer is shorter.
const MAX_HEAD: usize = 16 << 10;

/// Tries the destinations of the arguments and tells by the line protocol. The exit code says whether it could.
pub(crate) fn main() -> i32 {
    let targets: Option<Vec<String>> = std::env::args_os()
        .skip(2)
        .map(|target| target.into_string().ok())
        .collect();
    let Some(targets) = targets else {
        return 64;
    };
    let proxy = proxy();
    let mut reached = Vec::new();
    for target in targets {
        let Some((host, port)) = split(&target) else {
            return 64;
        };
        let ways = proxy.as_ref().map(|proxy| {
            let found = through(proxy, host, port);
            (Way::Proxy, found)
        });
        let direct = Some((Way::Direct, directly(host, port)));
        for (way, (end, words)) in ways.into_iter().chain(direct) {
            let target = target.clone();
            reached.push(Reached {
                target,
                way,
                end,
                words,
            });
        }
    }
    let result = json!({"type": "result", "status": "success", "data": reached});
    match writeln!(io::stdout(), "{} {result}", protocol::PREFIX) {
        Ok(()) => 0,
        Err(_) => 74,
    }
}

fn split(target: &str) -> Option<(&str, u16)> {
    let (host, port) = target.rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}

/// The proxy of the environment, as `host:port`.
fn proxy() -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the proxy is told to every process of an attempt by its environment"
    )]
    let named = std::env::var("https_proxy").ok()?;
    let named = named.strip_prefix("http://").unwrap_or(&named);
    Some(named.trim_end_matches('/').to_owned())
}

fn refused(words: impl Into<String>) -> (End, String) {
    (End::Refused, words.into())
}

fn unclear(words: impl Into<String>) -> (End, String) {
    (End::Unclear, words.into())
}

fn connect(to: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in to.to_socket_addrs()?.collect::<Vec<SocketAddr>>() {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn directly(host: &str, port: u16) -> (End, String) {
    match connect(&format!("{host}:{port}")) {
        Ok(stream) => ask(stream, host, port),
        Err(error) => refused(error.to_string()),
    }
}

/// Asks a proxy for a tunnel (RFC 9110, section 9.3.6).
fn through(proxy: &str, host: &str, port: u16) -> (End, String) {
    let asked = || -> io::Result<(TcpStream, String)> {
        let mut stream = connect(proxy)?;
        let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let status = read_status(&mut stream)?;
        Ok((stream, status))
    };
    let (stream, status) = match asked() {
        Ok(answer) => answer,
        // The proxy itself can not be asked, which says nothing about the destination.
        Err(error) => return unclear(format!("the proxy: {error}")),
    };
    match status.split_ascii_whitespace().nth(1) {
        Some("200") => ask(stream, host, port),
        Some("403") => refused(status),
        _ => unclear(status),
    }
}

/// The first line of an answer; its head is read to the end and not beyond.
fn read_status(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Err(ErrorKind::InvalidData.into());
        }
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let text = String::from_utf8_lossy(&head);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// What a connection is good for: on a web port somebody must answer.
fn ask(mut stream: TcpStream, host: &str, port: u16) -> (End, String) {
    let question = match port {
        80 => format!("HEAD / HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes(),
        443 => hello::client_hello(host),
        _ => return (End::Connected, "a connection was made".to_owned()),
    };
    let mut first = [0];
    match stream
        .write_all(&question)
        .and_then(|()| stream.read(&mut first))
    {
        Ok(0) => refused("the connection was closed without an answer"),
        Ok(_) => (End::Answered, "it answered".to_owned()),
        Err(error) => match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => refused(error.to_string()),
            _ => unclear(format!("connected, but: {error}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that reads something and sends `answer`.
    fn server(answer: &'static [u8]) -> (u16, thread::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![0; 4096];
            let read = stream.read(&mut asked).unwrap();
            asked.truncate(read);
            stream.write_all(answer).unwrap();
            asked
        });
        (port, served)
    }

    fn ask_as(port: u16, real: u16) -> (End, String) {
        ask(
            connect(&format!("127.0.0.1:{real}")).unwrap(),
            "example.com",
            port,
        )
    }

    #[test]
    fn a_web_port_is_reached_when_it_answers() {
        for port in [80, 443] {
            let (real, served) = server(b"x");
            assert_eq!(ask_as(port, real).0, End::Answered);
            served.join().unwrap();
            let (real, served) = server(b"");
            assert_eq!(ask_as(port, real).0, End::Refused);
            served.join().unwrap();
        }
    }

    #[test]
    fn another_port_is_reached_when_it_takes_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(directly("127.0.0.1", port).0, End::Connected);
        drop(listener);
        assert_eq!(directly("127.0.0.1", port).0, End::Refused);
    }

    #[test]
    fn only_a_refusal_of_the_proxy_is_one() {
        let by = |answer| {
            let (port, served) = server(answer);
            let found = through(&format!("127.0.0.1:{port}"), "files.example.com", 21);
            let asked = served.join().unwrap();
            assert!(asked.starts_with(b"CONNECT files.example.com:21 HTTP/1.1\r\n"));
            found
        };
        assert_eq!(
            by(b"HTTP/1.1 200 Connection established\r\n\r\n").0,
            End::Connected
        );
        let no = b"HTTP/1.1 403 D-SPEC (egress) refuses files.example.com:21\r\n\r\n";
        let words = "HTTP/1.1 403 D-SPEC (egress) refuses files.example.com:21";
        assert_eq!(by(no), (End::Refused, words.to_owned()));
        // It tried: the rule let it.
        assert_eq!(by(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").0, End::Unclear);
        assert_eq!(by(b"").0, End::Unclear);
    }

    #[test]
    fn a_greeting_names_the_host_and_an_address_has_no_name() {
        let hello = hello::client_hello("api.example.com");
        assert!(hello.windows(15).any(|part| part == b"api.example.com"));
        let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
        assert_eq!(length + 5, hello.len());
        assert!(hello::client_hello("192.0.2.1").len() < hello.len() - 15);
    }
}
