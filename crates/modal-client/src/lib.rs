//! An async client of Modal's gRPC API.
//!
//! * [`Client`] is `Clone + Send + Sync`: one connection, one set of credentials, as many concurrent calls
//!   as wanted. It holds no global state, starts no runtime and reads no environment: [`Config`] is
//!   resolved by the caller, from [`Config::from_process_env`] or from values of its own.
//! * Every call is retried by what it does and how it failed ([`RetryPolicy`], [`Effect`]), under one
//!   idempotency key; throttling that the server directs is honoured and bounded.
//! * Streams resume where they broke off and end only when the server says so.
//! * An [`Error`] is a [`kind`](ErrorKind), the RPC, and a source; it says whether the effect
//!   [may have happened](Error::may_have_happened).

pub mod apps;
pub mod billing;
pub mod blob;
pub mod cbor;
pub mod config;
pub mod dicts;
pub mod environments;
mod error;
pub mod functions;
pub mod images;
mod keepalive;
pub mod mount;
pub mod queues;
pub mod router;
mod rpc;
pub mod sandbox;
pub mod secrets;
mod stream;
pub mod transfer;
pub mod transport;
pub mod volume;
pub mod web;
mod wire;
pub mod workspace;

pub use config::{ClientKind, Config, Credentials, ServerUrl};
pub use error::{Error, ErrorKind, RemoteException, Result};
pub use rpc::{CallOptions, Effect, Rpc};
pub use transport::Client;
pub use transport::retry::RetryPolicy;
pub use wire::Existence;

/// The messages of the wire, for calls that this crate has no method for (see [`Client::call`]).
pub use moorline_modal_proto::client as proto;
