//! An async client of Modal's gRPC API.
//!
//! * [`Client`] is `Clone + Send + Sync`: one connection, one set of credentials, as many concurrent calls
//!   as wanted. It holds no global state, starts no runtime and reads no environment: [`Config`] is
//!   resolved by the caller, from [`Config::from_process_env`] or from values of its own. (The proxies of
//!   HTTP transfers are the one thing that the HTTP library looks up by itself, unless
//!   [`Config::disable_proxy`] is set.)
//! * Every call is retried by what it does and how it failed ([`RetryPolicy`], [`Effect`]), under one
//!   idempotency key; throttling that the server directs is honoured and bounded.
//! * Streams resume where they broke off and end only when the server says so. They are cancel-safe:
//!   a dropped `next()` loses nothing.
//! * An [`Error`] is a [`kind`](ErrorKind), the RPC, and a source; it says whether the effect
//!   [may have happened](Error::may_have_happened).
//!
//! Each resource is a method of [`Client`] and a module: [`apps`], [`environments`], [`secrets`],
//! [`images`], [`volume`]s, [`mount`]s, [`blob`]s, [`sandbox`]es, [`functions`], [`dicts`], [`queues`],
//! [`web`] endpoints, [`workspace`], [`billing`]. What has no method goes through [`Client::call`].
//!
//! A program that calls a deployed Python function; one that runs a sandbox is on the page of [`sandbox`]:
//!
//! ```no_run
//! use futures::{StreamExt as _, TryStreamExt as _, stream};
//! use moorline_modal_client::functions::{Args, MapOptions};
//! use moorline_modal_client::{Client, Config, Result};
//!
//! #[tokio::main]
//! async fn main() -> Result<()> {
//!     let client = Client::new(Config::from_process_env()?)?;
//!     let embed = client.functions().lookup("my-app", "embed", None).await?;
//!
//!     let vector: Vec<f64> = embed.call(("a sentence",)).await?;
//!     println!("{} dimensions", vector.len());
//!
//!     let call = embed.spawn(Args::new().arg("later").kwarg("model", "small")).await?;
//!     println!("started {}", call.id());
//!     let _later: Vec<f64> = call.get(None).await?;
//!
//!     let inputs = stream::iter(["one", "two", "three"]).map(|text| (text,));
//!     let mut outputs = std::pin::pin!(embed.map::<Vec<f64>, _, _>(inputs, MapOptions::new()));
//!     while let Some(output) = outputs.try_next().await? {
//!         println!("{}: {} dimensions", output.index, output.result?.len());
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Deliberately absent: publishing code (the official client deploys), the input plane, NFS, and pickle.

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
