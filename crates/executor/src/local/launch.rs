//! Starting a supervisor and hearing from it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;

use super::SUPERVISE;
use crate::supervise::claim::Ack;
use crate::supervise::request::Request;

/// How a launch went on the supervisor's side.
pub(crate) enum Launched {
    /// It told.
    Acknowledged(Ack),
    /// It ended without a word; whether it took the attempt is in the attempt's directory.
    Silent,
}

/// Starts a supervisor, gives it the request and waits for its word.
///
/// When this future is dropped before the request is complete, the supervisor exits without having started
/// anything. The second value is the supervisor, to be reaped when it has ended.
pub(crate) async fn launch(helper: &Path, request: &Request) -> io::Result<(Launched, Child)> {
    let bytes = request.encode()?;
    let mut child = start(helper)?;
    let told = converse(&mut child, &bytes).await;
    Ok((told?, child))
}

fn start(helper: &Path) -> io::Result<Child> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the executor starts its supervisors here"
    )]
    let mut command = Command::new(helper);
    // Nothing but the three standard descriptors is handed down: all others are closed on exec. No hook
    // and no new group, so that the standard library uses posix_spawn, whose cost does not depend on
    // how much memory this process has.
    command
        .arg(SUPERVISE)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
}

async fn converse(child: &mut Child, request: &[u8]) -> io::Result<Launched> {
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Ok(Launched::Silent);
    };
    let mut to = pipe::Sender::from_owned_fd(OwnedFd::from(stdin))?;
    let mut from = pipe::Receiver::from_owned_fd(OwnedFd::from(stdout))?;
    if let Err(error) = to.write_all(request).await
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        return Err(error);
    }
    let mut line = Vec::new();
    let mut chunk = [0; 512];
    while !line.ends_with(b"\n") {
        let length = from.read(&mut chunk).await?;
        if length == 0 {
            return Ok(Launched::Silent);
        }
        line.extend_from_slice(chunk.get(..length).unwrap_or_default());
    }
    Ok(Launched::Acknowledged(serde_json::from_slice(&line)?))
}
