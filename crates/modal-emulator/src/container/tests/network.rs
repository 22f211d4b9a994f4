//! What of the network is reached.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::{ContainerError, Network};
use super::*;

/// A server of the machine that answers every HTTP request; its port.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nworld\n",
            );
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
    assert_eq!(output(&container, "cat /proc/net/dev | wc -l").await, "3\n");
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
