//! Waiting for a descriptor (a pidfd, an inotify) to become readable.
#![expect(
    unsafe_code,
    reason = "tokio can not know that a descriptor stays open; here it is owned"
)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor whose readability can be awaited. Made and used within a tokio runtime with I/O.
#[derive(Debug)]
pub(crate) struct Readiness(AsyncFd<OwnedFd>);

impl Readiness {
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the `AsyncFd` owns the descriptor and never gives it out, so the number stays open and
        // stays this very file until it is deregistered.
        let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        registered.map(Self).map_err(io::Error::from)
    }

    /// Returns when there is something to read, and goes on returning while nobody takes it.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.0
            .readable()
            .await
            .map(|mut guard| guard.retain_ready())
    }

    /// Waits for readability, takes everything there is to read out with `take`, and is then not readable
    /// any more.
    pub(crate) async fn take(
        &self,
        take: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut guard = self.0.readable().await?;
        // Before reading: what comes in between makes it readable again.
        guard.clear_ready();
        take(self.0.get_ref().as_fd())
    }
}

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}
