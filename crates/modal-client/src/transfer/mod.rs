//! Bytes over plain HTTP, beside gRPC: blobs and the blocks of volumes.
//!
//! * Nothing large is in memory as a whole: uploads read a file in pieces of 256 KiB while they send it,
//!   downloads write what arrives, and a bounded number of transfers is in flight
//!   ([`TransferOptions::in_flight`]).
//! * What was sent or received is checked against a hash wherever the server gives one: the entity tag of an
//!   upload, the `Repr-Digest` or entity tag of a download. A file that changes while it is sent is an error.
//! * A failed transfer is repeated within a budget of attempts and time ([`TransferOptions`]); a 503 is a
//!   request to slow down, and waited for. Transfers are idempotent, so none of this can apply anything twice.
//! * URLs are signed, hence secrets: errors name the host only.
//!
//! Deliberately absent: any knowledge of what the bytes are ([`crate::blob`], [`crate::volume`],
//! [`crate::mount`]).

pub mod blocks;
mod digest;
mod download;
mod files;
mod retry;
mod source;
mod stats;
mod upload;

use std::sync::Arc;
use std::time::Duration;

pub use digest::Digests;
pub(crate) use digest::{etag_of_parts, hex};
pub(crate) use download::{Fetch, TempFile};
pub use files::Files;
pub(crate) use files::Upload;
pub use source::Source;
pub use stats::TransferStats;
pub(crate) use upload::Put;

use crate::{Error, ErrorKind, Result};
use stats::Counters;

/// How transfers behave; the defaults suit files of any size on any network.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TransferOptions {
    /// Blocks or parts of one call that are in flight at once; each holds about 1 MiB while it is sent to or
    /// from a file, and up to 8 MiB where a download is read as a stream.
    pub in_flight: usize,
    /// Attempts per block or part, the first included.
    pub attempts: u32,
    /// The wait before the second attempt; it doubles from there.
    pub base_delay: Duration,
    /// The longest wait between two attempts.
    pub max_delay: Duration,
    /// The wait after "slow down" (503) when the server does not say how long.
    pub slow_down: Duration,
    /// How long a transfer may stand still.
    pub stall: Duration,
    /// Longest time of all attempts of one block or part.
    pub total: Duration,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self {
            in_flight: 8,
            attempts: 8,
            base_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
            slow_down: Duration::from_secs(1),
            stall: Duration::from_mins(1),
            total: Duration::from_mins(15),
        }
    }
}

/// Sends and fetches bytes; cheap to clone, all clones share connections and counters.
#[derive(Clone, Debug)]
pub struct Transfers {
    http: reqwest::Client,
    options: Arc<TransferOptions>,
    counters: Arc<Counters>,
}

impl Transfers {
    /// Connections of its own, with the proxies that the process's environment names.
    pub fn new(options: TransferOptions) -> Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .tcp_keepalive(Duration::from_secs(30))
            .pool_max_idle_per_host(options.in_flight.max(1))
            .redirect(reqwest::redirect::Policy::limited(3))
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Config, "no HTTP client can be made").with_source(error)
            })?;
        Ok(Self::with_http(http, options))
    }

    /// On connections that exist.
    pub fn with_http(http: reqwest::Client, options: TransferOptions) -> Self {
        Self {
            http,
            options: Arc::new(options),
            counters: Arc::default(),
        }
    }

    /// The same connections and counters with other options.
    #[must_use]
    pub fn with_options(&self, options: TransferOptions) -> Self {
        Self {
            options: Arc::new(options),
            ..self.clone()
        }
    }

    /// What it was made with.
    pub fn options(&self) -> &TransferOptions {
        &self.options
    }

    /// Traffic so far.
    pub fn stats(&self) -> TransferStats {
        self.counters.snapshot()
    }
}
