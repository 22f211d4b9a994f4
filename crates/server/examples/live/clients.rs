//! Clients of server-sent events, over plain sockets: what is measured is the server.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::{Result, now, spawn};

/// When a client had which message.
pub(crate) type Arrival = (u64, Instant);

/// Opens so many streams, and tells when each message came to each client: by the number in its `id:`.
pub(crate) async fn follow(
    address: SocketAddr,
    path: &str,
    token: &str,
    clients: usize,
) -> Result<mpsc::UnboundedReceiver<Arrival>> {
    let (sender, arrivals) = mpsc::unbounded_channel();
    for _ in 0..clients {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             accept: text/event-stream\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next_line().await?.unwrap_or_default();
        if !status.ends_with("200 OK") {
            return Err(format!("{path} is answered with {status}").into());
        }
        // The first bytes of the body: from here on it follows.
        while let Some(line) = lines.next_line().await? {
            if line.starts_with("retry:") {
                break;
            }
        }
        let sender = sender.clone();
        spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(id) = line.strip_prefix("id: ").and_then(|id| id.parse().ok())
                    && sender.send((id, now())).is_err()
                {
                    return;
                }
            }
        });
    }
    Ok(arrivals)
}
