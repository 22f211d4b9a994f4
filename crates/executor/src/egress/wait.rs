//! Waiting on sockets with a deadline, until the proxy is stopped.
//!
//! Every blocking point of the proxy is a `poll(2)` of this module on non-blocking sockets, and each
//! also watches the read end of one pipe. Closing the write end wakes all of them at once: that is how
//! [`Proxy`](super::Proxy) stops within milliseconds, with no timer that ticks and no signal.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

/// What a thread waits for on one socket.
pub(super) type Interest<'a> = (BorrowedFd<'a>, PollFlags);

/// Wakes every [`Waiter`] when it is dropped.
#[derive(Debug)]
pub(super) struct Stopper(#[expect(dead_code, reason = "held for its drop")] OwnedFd);

/// Waits for sockets on behalf of one proxy.
#[derive(Debug, Clone)]
pub(super) struct Waiter {
    stop: Arc<OwnedFd>,
}

impl Waiter {
    /// A waiter, and what stops it.
    pub(super) fn new() -> io::Result<(Stopper, Self)> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok((
            Stopper(writer),
            Self {
                stop: Arc::new(reader),
            },
        ))
    }

    /// Blocks until one of `interests` is ready, in whatever way (errors and hang-ups included).
    ///
    /// # Errors
    /// `TimedOut` at the deadline, `ConnectionAborted` once the proxy is stopped.
    pub(super) fn wait(
        &self,
        interests: &[Interest<'_>],
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN)];
        fds.extend(
            interests
                .iter()
                .map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)),
        );
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let ready = match poll(&mut fds, timeout.as_ref()) {
                Err(rustix::io::Errno::INTR) => continue,
                answer => answer?,
            };
            if fds.first().is_some_and(|stop| !stop.revents().is_empty()) {
                return Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "the proxy was stopped",
                ));
            }
            if ready > 0 {
                return Ok(());
            }
            if left == Some(Duration::ZERO) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    /// Reads what is there, waiting for the first byte; 0 at the end of the stream.
    pub(super) fn read(
        &self,
        mut stream: &TcpStream,
        buffer: &mut [u8],
        deadline: Instant,
    ) -> io::Result<usize> {
        loop {
            match stream.read(buffer) {
                Err(error) if is_retry(&error) => {
                    self.wait(&[(stream.as_fd(), PollFlags::IN)], Some(deadline))?;
                }
                answer => return answer,
            }
        }
    }

    /// Writes all of `bytes`.
    pub(super) fn write_all(
        &self,
        mut stream: &TcpStream,
        mut bytes: &[u8],
        deadline: Instant,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            match stream.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if is_retry(&error) => {
                    self.wait(&[(stream.as_fd(), PollFlags::OUT)], Some(deadline))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether a non-blocking call should be made again later.
pub(super) fn is_retry(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// The moment `after` from now.
pub(super) fn deadline(after: Duration) -> Instant {
    now() + after
}

#[expect(
    clippy::disallowed_methods,
    reason = "socket deadlines are in real, monotonic time"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        (near, far)
    }

    #[test]
    fn a_deadline_ends_a_wait() {
        let (near, _far) = pair();
        let (_stopper, waiter) = Waiter::new().unwrap();
        let error = waiter
            .read(&near, &mut [0], deadline(Duration::from_millis(5)))
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_stop_ends_a_wait_that_began_before_it() {
        let (near, _far) = pair();
        let (stopper, waiter) = Waiter::new().unwrap();
        let reader = thread::spawn(move || {
            waiter
                .read(&near, &mut [0], deadline(Duration::from_mins(1)))
                .unwrap_err()
                .kind()
        });
        drop(stopper);
        assert_eq!(reader.join().unwrap(), io::ErrorKind::ConnectionAborted);
    }
}
