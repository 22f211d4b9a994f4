//! The connection: one HTTP/2 channel, to the first server of the list that answers.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::headers::USER_AGENT;
use crate::config::{Scheme, ServerUrl};
use crate::error::{Error, ErrorKind, Result};

/// Idle connections are probed this often, also between calls.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// A probe without an answer for this long closes the connection.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Flow-control windows: large enough for 100 MiB messages and logs at full speed.
const WINDOW: u32 = 64 * 1024 * 1024;
/// One TCP and TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A fallback server is tried when the ones before it did not answer for this long.
const STAGGER: Duration = Duration::from_secs(3);
/// Largest message in either direction.
pub(crate) const MAX_MESSAGE: usize = 100 * 1024 * 1024;

/// The settings of a channel to `url`; nothing connects yet.
pub(crate) fn endpoint(url: &ServerUrl) -> Result<Endpoint> {
    let bad = |error: tonic::transport::Error| {
        Error::new(
            ErrorKind::Config,
            format!("server url {url}: can not be used"),
        )
        .with_source(error)
    };
    let mut endpoint = Endpoint::from_shared(url.to_string()).map_err(bad)?;
    if url.scheme() == Scheme::Https {
        endpoint = endpoint
            .tls_config(ClientTlsConfig::new().with_enabled_roots())
            .map_err(bad)?;
    }
    Ok(endpoint
        .user_agent(USER_AGENT)
        .map_err(bad)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW))
}

/// The channel in use, made on first need. It belongs to the runtime that made it.
#[derive(Debug)]
pub(crate) struct Link {
    endpoints: Vec<Endpoint>,
    current: RwLock<Option<Channel>>,
    choosing: tokio::sync::Mutex<()>,
}

impl Link {
    pub(crate) fn new(urls: &[ServerUrl]) -> Result<Self> {
        let endpoints = urls.iter().map(endpoint).collect::<Result<Vec<_>>>()?;
        if endpoints.is_empty() {
            return Err(Error::new(
                ErrorKind::Config,
                "server url: none; give at least one address",
            ));
        }
        Ok(Self {
            endpoints,
            current: RwLock::default(),
            choosing: tokio::sync::Mutex::default(),
        })
    }

    fn current(&self) -> Option<Channel> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, channel: Option<Channel>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = channel;
    }

    /// The channel; with several servers, the first that answers.
    ///
    /// # Errors
    /// The connection error of the last server, when none of several answers.
    pub(crate) async fn channel(&self) -> Result<Channel, tonic::transport::Error> {
        if let Some(channel) = self.current() {
            return Ok(channel);
        }
        let _one = self.choosing.lock().await;
        if let Some(channel) = self.current() {
            return Ok(channel);
        }
        let channel = match &self.endpoints[..] {
            [only] => only.connect_lazy(),
            several => race(several).await?,
        };
        self.set(Some(channel.clone()));
        Ok(channel)
    }

    /// The server in use was not to be reached: with several, the next call chooses anew. A single one is
    /// reconnected by its own channel.
    pub(crate) fn lost(&self) {
        if self.endpoints.len() > 1 {
            self.set(None);
        }
    }
}

/// Connects to the servers in order, each `STAGGER` after the one before it or as soon as that failed.
async fn race(endpoints: &[Endpoint]) -> Result<Channel, tonic::transport::Error> {
    let mut waiting = endpoints.iter();
    let mut running = FuturesUnordered::new();
    if let Some(first) = waiting.next() {
        running.push(first.connect());
    }
    loop {
        tokio::select! {
            Some(result) = running.next() => match (result, waiting.next()) {
                (Ok(channel), _) => return Ok(channel),
                (Err(_), Some(next)) => running.push(next.connect()),
                (Err(error), None) if running.is_empty() => return Err(error),
                (Err(_), None) => {}
            },
            () = tokio::time::sleep(STAGGER), if waiting.len() > 0 => {
                if let Some(next) = waiting.next() {
                    running.push(next.connect());
                }
            }
        }
    }
}
