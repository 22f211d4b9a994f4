//! What of the network a container reaches.
//!
//! A container with a network of its own has no way out but sockets on its loopback, which were bound
//! there and are served here, by one set of rules:
//! * the filtering proxy of [`moorline_executor::egress`];
//! * where the kernel can redirect, the connections of programs that know of no proxy: to addresses in
//!   allowed blocks, and to those that stand for names ([`names`]). Everything else has no route.
//!
//! Only where the kernel can not are programs told of the proxy by variables.

use std::net::{IpAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moorline_executor::egress::{EgressRules, Proxy};
use moorline_sandbox_tools::wire::PROXY_PORT;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use super::names::{self, Names};
use super::process::spawn;
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

/// What resolv.conf(5) says in a network of the container's own.
const RESOLVER: &str = "nameserver 127.0.0.1\noptions timeout:5 attempts:2\n";

/// A container's network.
#[derive(Debug, Default)]
pub(super) struct Net {
    own: Option<Own>,
    proxy: Option<Proxy>,
    url: String,
}

/// The sockets in a network of the container's own.
#[derive(Debug)]
struct Own {
    proxy: TcpListener,
    redirected: Option<Redirected>,
}

#[derive(Debug)]
struct Redirected {
    listener: TcpListener,
    socket: Arc<UdpSocket>,
    names: Arc<Names>,
    /// The task that answers questions for names.
    server: Option<AbortHandle>,
}

impl Drop for Redirected {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }
}

impl Net {
    /// The rules for a network; `None` for one that is open.
    pub(super) fn check(network: &Network) -> Result<Option<EgressRules>, ContainerError> {
        let (domains, cidrs) = match network {
            Network::Open => return Ok(None),
            Network::Separate => return Ok(Some(EgressRules::everything())),
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
        self.own.is_some()
    }

    /// Takes over the sockets of a network that is now the container's own. `resolver` is its resolv.conf.
    pub(super) fn isolated(
        &mut self,
        sockets: Vec<OwnedFd>,
        resolver: &Path,
    ) -> Result<(), ContainerError> {
        let failed = |source| ContainerError::Io {
            path: resolver.to_path_buf(),
            source,
        };
        let mut sockets = sockets.into_iter();
        let proxy = sockets.next().map(TcpListener::from);
        let proxy = proxy.ok_or(ContainerError::Gone)?;
        let redirected = match (sockets.next(), sockets.next()) {
            (Some(listener), Some(socket)) => {
                // In place, for it is mounted.
                std::fs::write(resolver, RESOLVER).map_err(failed)?;
                let socket = std::net::UdpSocket::from(socket);
                socket.set_nonblocking(true).map_err(failed)?;
                Some(Redirected {
                    listener: listener.into(),
                    socket: Arc::new(UdpSocket::from_std(socket).map_err(failed)?),
                    names: Arc::default(),
                    server: None,
                })
            }
            _ => None,
        };
        self.own = Some(Own { proxy, redirected });
        self.url = format!("http://127.0.0.1:{PROXY_PORT}");
        Ok(())
    }

    /// The blocks that are to have a route under these rules.
    pub(super) fn routes(&self, rules: &EgressRules) -> Vec<(IpAddr, u8)> {
        let redirected = self.own.as_ref().and_then(|own| own.redirected.as_ref());
        if redirected.is_none() || rules.is_empty() {
            return Vec::new();
        }
        let mut blocks = rules.blocks();
        blocks.push((names::BLOCK.0.into(), names::BLOCK.1));
        blocks
    }

    /// Serves by these rules from now on. Connections that were there end.
    pub(super) async fn serve(&mut self, rules: EgressRules) -> Result<(), ContainerError> {
        let failed = |source| ContainerError::Io {
            path: PathBuf::from("the egress proxy"),
            source,
        };
        let Some(own) = &mut self.own else {
            return Ok(());
        };
        let old = self.proxy.take();
        let listener = own.proxy.try_clone().map_err(failed)?;
        let mut redirected = None;
        if let Some(own) = &mut own.redirected {
            if let Some(server) = own.server.take() {
                server.abort();
            }
            let (socket, names) = (Arc::clone(&own.socket), Arc::clone(&own.names));
            let server = names::serve(socket, Arc::clone(&names), Arc::new(rules.clone()));
            own.server = Some(spawn(server).abort_handle());
            redirected = Some((own.listener.try_clone().map_err(failed)?, names));
        }
        let started = tokio::task::spawn_blocking(move || {
            // Its threads are joined.
            drop(old);
            let proxy = Proxy::start(listener, rules)?;
            if let Some((listener, names)) = redirected {
                proxy.redirect(listener, names)?;
            }
            Ok(proxy)
        });
        let started = started.await.map_err(std::io::Error::other);
        self.proxy = Some(started.and_then(|proxy| proxy).map_err(failed)?);
        Ok(())
    }

    /// What programs are told of it.
    pub(super) fn variables(&self) -> Vec<(&'static str, &str)> {
        let needs_proxy = self
            .own
            .as_ref()
            .is_some_and(|own| own.redirected.is_none());
        if !needs_proxy {
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
