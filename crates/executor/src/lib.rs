//! Where attempts run: the [`Executor`] seam, its back ends, and the suite that holds each to its contract.
//!
//! An [`Attempt`](moorline_core::attempt::Attempt) is one launch of one step of a job, as plain data. An
//! executor starts it once, lets any process find it again by its
//! [`Handle`](moorline_core::attempt::Handle), and ends its whole process tree when asked. The crate is
//! meant to be embedded: it keeps no global state, reads no environment, starts no runtime and prints
//! nothing.
//!
//! # Map
//!
//! | to | use |
//! |---|---|
//! | run attempts on this machine, sandboxed | [`local::LocalExecutor`], [`local::LocalConfig`]; ship the supervisor: [`local::helper_main`] |
//! | run them in Modal's sandboxes | feature `modal`: `modal::ModalExecutor`, `modal::ModalConfig` |
//! | write an executor of one's own | [`Executor`], whose *Contract* says everything; [`prelude`] |
//! | show that it keeps the contract | [`conformance::run`] |
//! | bound, limit, trace, or break one on purpose | [`decorators`] |
//! | let a job reach listed hosts only | [`egress`] |
//! | find out what an attempt reaches | [`reach`] |
//! | have a platform keep schedules | [`deployer`] |
//! | limit a tree of processes of one's own | [`cgroup`] |
//!
//! # Example
//!
//! ```no_run
//! use moorline_core::attempt::{Attempt, Exit};
//! use moorline_executor::local::{LocalConfig, LocalExecutor};
//! use moorline_executor::Executor;
//! use moorline_secrets::SecretEnv;
//!
//! # async fn example(attempt: Attempt) -> Result<(), moorline_executor::ExecutorError> {
//! let config = LocalConfig::new("/var/lib/service/attempts", "/usr/libexec/moorline-supervisor");
//! let executor = LocalExecutor::new(config)?;
//!
//! // What this machine can not give is known before anything runs.
//! for missing in executor.capabilities().missing {
//!     eprintln!("without {:?}: {}", missing.protection, missing.why);
//! }
//!
//! let handle = executor.launch(&attempt, &SecretEnv::new()).await?;
//! let outcome = executor.wait(&handle).await?;
//! assert_eq!(outcome.exit, Exit::Exited { code: 0 });
//! for file in executor.collect(&handle).await? {
//!     println!("{} has {} bytes", file.path, file.size);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Deliberately absent: what an outcome means for a run, retries, and storage: those are the engine's.

pub mod cgroup;
pub mod conformance;
pub mod decorators;
pub mod deployer;
pub mod egress;
pub mod executor;
mod handle;
pub mod local;
#[cfg(feature = "modal")]
pub mod modal;
pub mod prelude;
mod proc;
pub mod reach;
mod sandbox;
mod supervise;

pub use deployer::{Deployable, Deployed, DeployedCadence, Deployer};
pub use executor::{
    Capabilities, CollectedFile, Executor, ExecutorError, LogChunk, LogCursor, LogStream,
};
