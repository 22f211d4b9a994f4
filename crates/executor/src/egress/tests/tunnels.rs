//! `CONNECT`.

use super::super::hello::ACCESS_DENIED_ALERT;
use super::super::hello::tests::client_hello;
use super::*;

#[test]
fn a_tunnel_carries_both_ways_and_each_close_for_itself() {
    let (port, seen) = destination(|mut stream| {
        stream.write_all(b"banner first").unwrap();
        let request = rest(&mut stream);
        stream.write_all(b"; answer after the end").unwrap();
        request
    });
    let running = start(&["a.example", "127.0.0.1"], port);
    let mut client = running.send(&format!("CONNECT A.Example.:{port} HTTP/1.1\r\n\r\nearly "));
    assert_eq!(
        head(&mut client),
        "HTTP/1.1 200 Connection established\r\n\r\n"
    );
    client.write_all(b"and late").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), "banner first; answer after the end");
    assert_eq!(seen.recv().unwrap(), "early and late");
    assert_eq!(running.proxy.denied(), [""; 0]);
    let expected = ProxyStats {
        allowed: 1,
        bytes_up: 14,
        bytes_down: 34,
        ..ProxyStats::default()
    };
    assert_eq!(running.proxy.stats(), expected);
}

#[test]
fn a_tunnel_carries_megabytes_against_a_slow_reader() {
    const BYTES: usize = 8 << 20;
    let (port, seen) = destination(|mut stream| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let sum: u64 = bytes.iter().map(|&byte| u64::from(byte)).sum();
        stream.write_all(&bytes).unwrap();
        (bytes.len(), sum)
    });
    let running = start(&["127.0.0.1"], port);
    let mut client = running.send(&format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n"));
    head(&mut client);
    let data: Vec<u8> = (0..BYTES).map(|i| u8::try_from(i % 251).unwrap()).collect();
    client.write_all(&data).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    assert!(back == data);
    assert_eq!(
        seen.recv().unwrap(),
        (BYTES, data.iter().map(|&byte| u64::from(byte)).sum())
    );
}

#[test]
fn a_tls_greeting_for_another_host_ends_the_tunnel_with_an_alert() {
    let (port, seen) = destination(|mut stream| rest(&mut stream));
    let rules = [format!("a.example:{port}"), format!("127.0.0.1:{port}")];
    let running = start_with(
        &rules,
        ProxyOptions {
            tls_port: port,
            ..options()
        },
    );
    let mut client = running.send(&format!("CONNECT a.example:{port} HTTP/1.1\r\n\r\n"));
    head(&mut client);
    client
        .write_all(&client_hello(&["evil.example"], 40))
        .unwrap();
    let mut alert = Vec::new();
    client.read_to_end(&mut alert).unwrap();
    assert_eq!(alert, ACCESS_DENIED_ALERT);
    assert_eq!(seen.recv().unwrap(), "");
    assert_eq!(running.proxy.denied(), [format!("evil.example:{port}")]);
}

#[test]
fn a_tls_greeting_for_the_tunnels_host_arrives_unchanged() {
    let hello = client_hello(&["A.example"], 40);
    let length = hello.len();
    let (port, seen) = destination(move |mut stream| {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).unwrap();
        bytes
    });
    let rules = [format!("a.example:{port}"), format!("127.0.0.1:{port}")];
    let running = start_with(
        &rules,
        ProxyOptions {
            tls_port: port,
            ..options()
        },
    );
    let mut client = running.send(&format!("CONNECT a.example:{port} HTTP/1.1\r\n\r\n"));
    head(&mut client);
    for piece in hello.chunks(7) {
        client.write_all(piece).unwrap();
    }
    assert_eq!(seen.recv().unwrap(), hello);
    assert_eq!(running.proxy.denied(), [""; 0]);
}
