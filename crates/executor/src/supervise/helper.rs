//! The supervisor's view of the helper inside the sandbox: what it reported, and the proxy for its socket.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd};

use moorline_core::attempt::Exit;
use moorline_core::spec::Egress;

use crate::egress::{EgressRules, Proxy};
use crate::sandbox::link::{Ended, Link, Report};

/// One helper.
pub(super) struct Helper<'a> {
    link: Link,
    egress: &'a Egress,
    proxy: Option<Proxy>,
    /// Whether its end of the link is still open.
    open: bool,
    /// Whether everything was in force and the job started.
    pub(super) started: bool,
    /// Why the job was not started.
    failed: Option<String>,
    pub(super) ended: Option<Ended>,
}

impl<'a> Helper<'a> {
    pub(super) const fn new(link: Link, egress: &'a Egress) -> Self {
        Self {
            link,
            egress,
            proxy: None,
            open: true,
            started: false,
            failed: None,
            ended: None,
        }
    }

    /// The link, while there can come something from it.
    pub(super) fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.open.then(|| self.link.as_fd())
    }

    /// Takes what has been reported.
    pub(super) fn receive(&mut self) -> io::Result<()> {
        let (reports, closed) = self.link.receive()?;
        self.open &= !closed;
        for report in reports {
            match report {
                Report::Listening => self.serve()?,
                Report::Failed(reason) => self.failed = Some(reason),
                Report::Started { .. } => self.started = true,
                Report::Ended(ended) => self.ended = Some(ended),
            }
        }
        Ok(())
    }

    /// Wishes the job to end.
    pub(super) fn terminate(&mut self) -> io::Result<()> {
        self.link.terminate()
    }

    /// Starts the filtering proxy on the socket that came out of the sandbox.
    fn serve(&mut self) -> io::Result<()> {
        let Egress::Allow(entries) = self.egress else {
            return Ok(());
        };
        let socket = self.link.take_descriptor();
        let socket = socket.ok_or_else(|| io::Error::other("the proxy's socket did not arrive"))?;
        let rules = EgressRules::parse(entries).map_err(io::Error::other)?;
        self.proxy = Some(Proxy::start(TcpListener::from(socket), rules)?);
        Ok(())
    }

    /// Destinations that were refused.
    pub(super) fn denied(&self) -> Vec<String> {
        self.proxy.as_ref().map(Proxy::denied).unwrap_or_default()
    }

    /// Whether the job was never started, and why; `words` is what was written to standard error instead.
    pub(super) fn not_started(&self, words: &str) -> Option<String> {
        if let Some(reason) = &self.failed {
            return Some(reason.clone());
        }
        if self.started {
            return None;
        }
        let words = words.trim();
        Some(if words.is_empty() {
            "the sandbox ended before the job started".to_owned()
        } else {
            format!("the sandbox could not be made: {words}")
        })
    }

    /// How the job ended, as the helper saw it.
    pub(super) fn exit(&self) -> Option<Exit> {
        let ended = self.ended.as_ref()?;
        match (ended.code, ended.signal) {
            (Some(code), _) => Some(Exit::Exited { code }),
            (None, Some(signal)) => Some(Exit::Signaled { signal }),
            (None, None) => None,
        }
    }
}
