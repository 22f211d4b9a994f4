//! What of the network a container reaches.
//!
//! A container with a network of its own has one way out: the filtering proxy of
//! [`moorline_executor::egress`], which listens on the container's loopback and connects here.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use moorline_executor::egress::{EgressRules, Proxy};
use moorline_sandbox_tools::wire::PROXY_PORT;

use super::{ContainerError, Network};

/// What names the proxy to programs.
const VARIABLES: [&str; 6] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
];

/// A container's network.
#[derive(Debug, Default)]
pub(super) struct Net {
    listener: Option<TcpListener>,
    proxy: Option<Proxy>,
    url: String,
}

impl Net {
    /// The rules for a network; `None` for one that is open.
    pub(super) fn check(network: &Network) -> Result<Option<EgressRules>, ContainerError> {
        let (domains, cidrs) = match network {
            Network::Open => return Ok(None),
            Network::Blocked => (&Vec::new(), &Vec::new()),
            Network::Allow { domains, cidrs } => (domains, cidrs),
        };
        let rules = EgressRules::parse(domains).and_then(|rules| rules.with_blocks(cidrs));
        rules.map(Some).map_err(|error| {
            let why = std::error::Error::source(&error);
            ContainerError::Invalid {
                what: format!("`{}`", error.entry),
                why: why.map_or_else(|| error.to_string(), ToString::to_string),
            }
        })
    }

    /// Whether it is the container's own.
    pub(super) fn is_isolated(&self) -> bool {
        self.listener.is_some()
    }

    /// Takes over the sockets of a network that is now the container's own.
    pub(super) fn isolated(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), ContainerError> {
        let listener = descriptors.into_iter().next().map(TcpListener::from);
        self.listener = Some(listener.ok_or(ContainerError::Gone)?);
        self.url = format!("http://127.0.0.1:{PROXY_PORT}");
        Ok(())
    }

    /// Serves by these rules from now on. Connections that were there end.
    pub(super) async fn serve(&mut self, rules: Option<EgressRules>) -> Result<(), ContainerError> {
        let Some(listener) = &self.listener else {
            return Ok(());
        };
        let failed = |source| ContainerError::Io {
            path: PathBuf::from("the egress proxy"),
            source,
        };
        let listener = listener.try_clone().map_err(failed)?;
        let old = self.proxy.take();
        let rules = rules.unwrap_or_else(EgressRules::everything);
        let started = tokio::task::spawn_blocking(move || {
            // Its threads are joined.
            drop(old);
            Proxy::start(listener, rules)
        });
        let started = started.await.map_err(std::io::Error::other);
        self.proxy = Some(started.and_then(|proxy| proxy).map_err(failed)?);
        Ok(())
    }

    /// What programs are told of it.
    pub(super) fn variables(&self) -> Vec<(&'static str, &str)> {
        if !self.is_isolated() {
            return Vec::new();
        }
        let mut all: Vec<_> = VARIABLES
            .iter()
            .map(|name| (*name, self.url.as_str()))
            .collect();
        for name in ["no_proxy", "NO_PROXY"] {
            all.push((name, "localhost,127.0.0.1,::1"));
        }
        all
    }
}
