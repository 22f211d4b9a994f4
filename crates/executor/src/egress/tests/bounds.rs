//! Limits, time-outs and the stop.

use super::*;

#[test]
fn an_idle_tunnel_is_closed() {
    let (port, seen) = destination(|mut stream| rest(&mut stream));
    let options = ProxyOptions {
        idle_timeout: Duration::from_millis(50),
        ..options()
    };
    let running = start_with(&[format!("127.0.0.1:{port}")], options);
    let mut client = running.send(&format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n"));
    head(&mut client);
    assert_eq!(rest(&mut client), "");
    assert_eq!(seen.recv().unwrap(), "");
}

#[test]
fn connections_are_bounded_and_places_come_back() {
    let running = start_with(
        &["a.example".to_owned()],
        ProxyOptions {
            max_connections: 1,
            ..options()
        },
    );
    let first = running.connect();
    let mut second = running.connect();
    // Closed without an answer.
    assert_eq!(second.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(running.proxy.stats().turned_away, 1);
    drop(first);
    let request = "CONNECT evil.example:443 HTTP/1.1\r\n\r\n";
    let begin = now();
    let answered = std::iter::repeat_with(|| {
        let mut client = running.connect();
        // A write or read may fail: the place of the first is not free in that instant.
        drop(client.write_all(request.as_bytes()));
        let mut answer = String::new();
        drop(client.read_to_string(&mut answer));
        answer
    })
    .take_while(|_| begin.elapsed() < Duration::from_secs(20))
    .any(|answer| answer.starts_with("HTTP/1.1 403 "));
    assert!(answered);
}

#[test]
fn stopping_ends_every_connection_at_once() {
    let (port, seen) = destination(|mut stream| rest(&mut stream));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = listener.local_addr().unwrap().port();
    let running = start_with(
        &[format!("127.0.0.1:{port}"), format!("127.0.0.1:{busy}")],
        options(),
    );
    let mut tunnel = running.send(&format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n"));
    head(&mut tunnel);
    let mut half_a_head = running.send("CONNECT ");
    let mut unanswered = running.send(&format!("GET http://127.0.0.1:{busy}/ HTTP/1.1\r\n\r\n"));
    // All three have their threads once the last one's request has arrived.
    let (mut request, _) = listener.accept().unwrap();
    head(&mut request);

    let begin = now();
    let Running { proxy, address } = running;
    drop(proxy);
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(seen.recv().unwrap(), "");
    for client in [&mut tunnel, &mut half_a_head, &mut unanswered] {
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    }
    assert!(TcpStream::connect(address).is_err());
}

/// Names that are looked up for ever.
#[derive(Debug)]
struct Stuck(Mutex<mpsc::Receiver<()>>);

impl Resolver for Stuck {
    fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        self.0.lock().unwrap().recv().unwrap_err();
        Err(io::ErrorKind::NotFound.into())
    }
}

#[test]
fn a_stuck_resolver_delays_neither_an_answer_nor_the_stop() {
    let (release, stuck) = mpsc::channel();
    let options = ProxyOptions {
        connect_timeout: Duration::from_millis(50),
        resolver: Arc::new(Stuck(Mutex::new(stuck))),
        ..ProxyOptions::default()
    };
    let running = start_with(&["a.example".to_owned()], options);
    let answer = running.ask("CONNECT a.example:443 HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    drop(running);
    drop(release);
}
