//! What of the network is reached.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::{ContainerError, Network};
use super::*;

/// A server of the machine that answers every HTTP request; its port.
fn server() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4096];
            let asked = stream.read(&mut buffer);
            let answered = stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nworld\n",
            );
            // The client may have gone.
            drop((asked, answered));
        }
    });
    port
}

fn fetch(port: u16) -> String {
    format!(
        "python3 -c \"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}', timeout=5).read().decode(), end='')\""
    )
}

/// A connection that asks nobody.
fn dial(port: u16) -> String {
    format!("python3 -c \"import socket; socket.create_connection(('127.0.0.1', {port}), 5)\"")
}

fn with(network: Network) -> ContainerSpec {
    ContainerSpec {
        network,
        ..spec("network")
    }
}

#[tokio::test]
async fn an_open_network_is_the_machines() {
    let bench = Bench::new();
    let container = bench.bare().await;
    assert_eq!(output(&container, &fetch(server())).await, "world\n");
}

#[tokio::test]
async fn a_blocked_network_reaches_only_itself() {
    let bench = Bench::new();
    let container = bench.start(with(Network::Blocked)).await;
    let port = server();
    for script in [fetch(port), dial(port)] {
        assert_ne!(run(&container, &script).await.2, Exit::Code(0), "{script}");
    }
    assert_eq!(
        output(&container, "cat /proc/net/route | wc -l").await,
        "1\n"
    );
    let local = "python3 -c \"
import socket
server = socket.create_server(('127.0.0.1', 80))
client = socket.create_connection(('localhost', 80), 5)
server.accept()[0].sendall(b'me')
print(client.recv(2).decode())\"";
    assert_eq!(output(&container, local).await, "me\n");
}

#[tokio::test]
async fn a_server_inside_is_reached() {
    let bench = Bench::new();
    for network in [Network::Open, Network::Blocked] {
        let container = bench
            .start(ContainerSpec {
                network: network.clone(),
                ..spec(&format!("{}", matches!(network, Network::Open)))
            })
            .await;
        let script = "python3 -uc \"
import socket
server = socket.create_server(('127.0.0.1', 0))
print(server.getsockname()[1])
while True:
    client = server.accept()[0]
    client.sendall(client.recv(100).upper())
    client.close()\"";
        let process = container.exec(shell(script)).await.unwrap();
        let port = process.stdout().reader(0).next().await.unwrap().unwrap();
        let port: u16 = String::from_utf8_lossy(&port).trim().parse().unwrap();
        let mut stream = container.connect(port).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "HELLO");
        let refused = container.connect(1).await.unwrap_err();
        assert!(matches!(refused, ContainerError::Refused { port: 1 }));
    }
}

fn allow(domains: &[&str], cidrs: &[&str]) -> Network {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    Network::Allow {
        domains: owned(domains),
        cidrs: owned(cidrs),
    }
}

/// Fetches from the machine by a name or address that is not the container's own loopback.
fn fetch_from(host: &str, port: u16) -> String {
    fetch(port).replace("127.0.0.1", host)
}

#[tokio::test]
async fn an_allow_list_is_enforced() {
    let bench = Bench::new();
    let port = server();
    // 127.0.0.2 is the machine's too, and not on the list.
    let listed = allow(&[], &["127.0.0.3/32"]);
    let container = bench.start(with(listed)).await;
    assert_eq!(
        output(&container, &fetch_via_proxy("127.0.0.3", port)).await,
        "world\n"
    );
    let (_, stderr, exit) = run(&container, &fetch_via_proxy("127.0.0.2", port)).await;
    assert_ne!(exit, Exit::Code(0));
    assert!(stderr.contains("403"), "{stderr}");
    assert_ne!(run(&container, &dial(port)).await.2, Exit::Code(0));
}

/// By the proxy, whatever `no_proxy` says of loopback addresses.
fn fetch_via_proxy(host: &str, port: u16) -> String {
    format!(
        "no_proxy= NO_PROXY= http_proxy=http://127.0.0.1:3128 {}",
        fetch_from(host, port)
    )
}

/// An address of this machine that is not its loopback.
fn machine() -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: the kernel is asked for a route.
    socket
        .connect("192.0.2.1:9")
        .expect("this test needs a machine with a route");
    socket.local_addr().unwrap().ip().to_string()
}

#[tokio::test]
async fn programs_that_know_of_no_proxy_reach_what_is_allowed_and_nothing_else() {
    let bench = Bench::new();
    let (machine, port) = (machine(), server());
    let container = bench
        .start(with(allow(&[], &[&format!("{machine}/32")])))
        .await;
    assert_eq!(
        output(&container, "env | grep -ci proxy || true").await,
        "0\n"
    );
    assert_eq!(
        output(&container, &fetch_from(&machine, port)).await,
        "world\n"
    );
    let other = "python3 -c \"import socket; socket.create_connection(('198.51.100.1', 80), 5)\"";
    let (_, stderr, _) = run(&container, other).await;
    assert!(stderr.contains("Network is unreachable"), "{stderr}");
    container.set_network(Network::Blocked).await.unwrap();
    let (_, stderr, _) = run(&container, &fetch_from(&machine, port)).await;
    assert!(stderr.contains("Network is unreachable"), "{stderr}");
    container.set_network(Network::Open).await.unwrap();
    assert_eq!(
        output(&container, &fetch_from(&machine, port)).await,
        "world\n"
    );
}

#[tokio::test]
async fn a_name_is_reached_by_its_rule_alone() {
    let bench = Bench::new();
    let port = server();
    // A name of this machine's that the container does not know from a file: by the name server alone.
    let listed = allow(&[&format!("localhost:{port}")], &[]);
    let container = bench.start(with(listed)).await;
    output(&container, "echo > /etc/hosts").await;
    let names = "getent ahostsv4 localhost | head -1; getent hosts other.example";
    let (seen, _, _) = run(&container, names).await;
    let words: Vec<_> = seen.split_ascii_whitespace().collect();
    assert_eq!(words, ["198.18.0.1", "STREAM", "localhost"]);
    let script = fetch_from("localhost", port);
    assert_eq!(output(&container, &script).await, "world\n");
    // The port is part of the rule.
    let other = "python3 -c \"import socket; s = socket.create_connection(('localhost', 1), 5); \
        print(s.recv(1))\"";
    assert_ne!(run(&container, other).await.0, "b'w'\n");
}

#[tokio::test]
async fn a_change_takes_effect_at_once() {
    let bench = Bench::new();
    let port = server();
    let script = fetch_via_proxy("127.0.0.3", port);
    let container = bench.start(with(Network::Blocked)).await;
    assert_ne!(run(&container, &script).await.2, Exit::Code(0));
    let listed = allow(&[], &["127.0.0.0/8"]);
    container.set_network(listed).await.unwrap();
    assert_eq!(output(&container, &script).await, "world\n");
    container.set_network(Network::Blocked).await.unwrap();
    assert_ne!(run(&container, &script).await.2, Exit::Code(0));
    container.set_network(Network::Open).await.unwrap();
    assert_eq!(output(&container, &script).await, "world\n");
}

#[tokio::test]
async fn an_open_network_can_be_closed() {
    let bench = Bench::new();
    let port = server();
    let container = bench.bare().await;
    assert_eq!(output(&container, &fetch(port)).await, "world\n");
    container.set_network(Network::Blocked).await.unwrap();
    for script in [fetch(port), dial(port)] {
        assert_ne!(run(&container, &script).await.2, Exit::Code(0), "{script}");
    }
}

#[tokio::test]
async fn a_network_apart_has_ports_of_its_own_and_reaches_everything() {
    let bench = Bench::new();
    let (machine, port) = (machine(), server());
    let container = bench.start(with(Network::Separate)).await;
    assert_eq!(
        output(&container, &fetch_from(&machine, port)).await,
        "world\n"
    );
    // The same port, and the address of an interface that Modal's runtime looks for.
    let script = format!(
        "python3 -c \"
import fcntl, socket, struct
probe = socket.socket()
asked = fcntl.ioctl(probe, 0x8915, struct.pack('256s', b'eth0'))
address = socket.inet_ntoa(asked[20:24])
server = socket.create_server(('', {port}))
client = socket.create_connection((address, {port}), 5)
server.accept()[0].sendall(b'me')
print(address, client.recv(2).decode())\""
    );
    assert_eq!(output(&container, &script).await, "198.19.255.254 me\n");
}

#[tokio::test]
async fn a_wrong_list_says_what_to_write() {
    let bench = Bench::new();
    for (network, expected) in [
        (
            allow(&[], &["10.0.0.1/8"]),
            "`10.0.0.1/8`: its address has bits behind the prefix; the block that holds it is `10.0.0.0/8`",
        ),
        (
            allow(&["https://a.example"], &[]),
            "`https://a.example`: give the host alone, without scheme, path or user",
        ),
    ] {
        let error = bench.runtime.start(with(network)).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}
