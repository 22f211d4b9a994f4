//! The control plane over HTTP: what the command line is against a server.
//!
//! [`Client`] implements [`ControlPlane`](crate::ControlPlane) with the routes of [`routes`](crate::routes), so
//! whoever is written against the trait works in process and over a network alike, with the same errors.
//!
//! | module | what |
//! |---|---|
//! | `endpoint` | the routes, each with the types of its request and answer |
//! | `spread` | a request becomes path, query and body |
//! | `wire` | one exchange: deadlines, repetition, errors, lines of a stream |
//! | `operations`, `runs` | the trait |
//! | `follow` | streams that go on where they broke off |
//! | `patience` | waiting for a server that was reached before |
//! | `upload`, `download` | directories on their way to a server and back |
//! | `secret` | bodies with values of secrets |
//! | `sign` | decisions that a person signs here |
//!
//! # Contract
//! * A request is repeated only where that can do nothing twice: when it reads, or carries an idempotency key,
//!   which every submission and every decision at a gate gets. Refusals are never repeated (L46).
//! * A server that does not answer is [`ErrorCode::Unreachable`]; whether a change was made is then not known,
//!   which the message says.
//! * Whoever follows or waits for the end of a run goes on asking a server that was reached before, for
//!   [`Options::patience`].
//! * The token goes to the one server that it is for: redirections are not followed.
//! * `actor` is not sent: the server knows whom the token is of.
//!
//! ```no_run
//! use moorline_api::client::{Client, Options};
//! use moorline_api::ControlPlane as _;
//!
//! # async fn example() -> Result<(), moorline_api::ApiError> {
//! let client = Client::new(Options::new("http://127.0.0.1:7420", "mlt_…"))?;
//! println!("{:?}", client.stop_list().await?);
//! # Ok(())
//! # }
//! ```
//!
//! Deliberately absent: where server and token come from, and private keys ([`Signer`] has them).

mod download;
mod endpoint;
mod follow;
mod operations;
mod patience;
mod runs;
mod secret;
mod sign;
mod spread;
mod upload;
mod wire;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline_core::clock::{Ids, SystemIds};
#[cfg(doc)]
use moorline_core::error_code::ErrorCode;
use tempfile::TempDir;

pub use self::patience::Notice;
pub use self::sign::Signer;
use self::wire::Wire;
use crate::error::ApiError;
use crate::secrets::SecretInput;

/// What a client is made from.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the server is: `http://` or `https://`, host, port, and the path below which it answers.
    pub server: String,
    /// The text of the token.
    pub token: SecretInput,
    /// Who signs decisions here; without one they are sent unsigned, and a server refuses those that need it.
    pub signer: Option<Arc<dyn Signer>>,
    /// Where idempotency keys come from.
    pub ids: Arc<dyn Ids>,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long the answer to a question may take.
    pub read_timeout: Duration,
    /// How long a change may take; some wait for processes to end.
    pub change_timeout: Duration,
    /// How often something is tried at most, where it may be repeated at all.
    pub tries: u32,
    /// The pause before it is tried again; it doubles each time.
    pub pause: Duration,
    /// How long whoever follows or waits asks a server again that was reached before.
    pub patience: Duration,
    /// Who hears of a server that is waited for.
    pub notice: Option<Arc<dyn Notice>>,
}

impl Options {
    /// A server and a token; everything else as the command line has it.
    pub fn new(server: impl Into<String>, token: impl Into<SecretInput>) -> Self {
        Self {
            server: server.into(),
            token: token.into(),
            signer: None,
            ids: Arc::new(SystemIds),
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_mins(1),
            change_timeout: Duration::from_mins(10),
            tries: 4,
            pause: Duration::from_millis(200),
            patience: Duration::from_mins(10),
            notice: None,
        }
    }
}

/// The control plane of a server. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    wire: Arc<Wire>,
    signer: Option<Arc<dyn Signer>>,
    ids: Arc<dyn Ids>,
    /// What was fetched and is still in use: job directories of re-authentications.
    fetched: Arc<Mutex<Vec<TempDir>>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.wire.base())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of a server. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorCode::Usage`] when the address is none, or the token has characters that no token has.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a client is made of its options, which nobody else needs then"
    )]
    pub fn new(options: Options) -> Result<Self, ApiError> {
        Ok(Self {
            signer: options.signer.clone(),
            ids: Arc::clone(&options.ids),
            fetched: Arc::default(),
            wire: Arc::new(Wire::new(&options)?),
        })
    }

    /// The address of the server, without a slash at its end.
    pub fn server(&self) -> &str {
        self.wire.base()
    }
}
