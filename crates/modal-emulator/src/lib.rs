//! Modal on this machine: a server that speaks Modal's gRPC protocol on loopback.
//!
//! The official SDKs run against it unmodified. Sandboxes and functions run as real processes in
//! sandboxes of this machine; nothing leaves it. State lives in memory and in one directory.
//!
//! ```no_run
//! # async fn start() -> Result<(), moorline_modal_emulator::EmulatorError> {
//! use moorline_modal_emulator::{Emulator, EmulatorOptions};
//!
//! let emulator = Emulator::start(EmulatorOptions::default()).await?;
//! for (name, value) in emulator.environment() {
//!     println!("export {name}={value}");
//! }
//! emulator.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Map
//! * `routes`: one table of RPCs; idempotency, faults, counting and the journal are applied there, once.
//! * `world`: the state, one part a resource; `kept` writes it to the state directory.
//! * `services`: the handlers, one file (or directory) a resource.
//! * `container`: what runs user code.
//! * `http`: what is not gRPC: blobs, volume blocks, the web gateway.
//!
//! Deliberately absent: Modal's quotas, billing truth, regions, and its real scheduler.

mod call;
mod clock;
mod container;
mod control;
mod emulator;
mod engine;
mod faults;
mod http;
mod ids;
mod journal;
mod kept;
mod routes;
mod services;
mod world;

pub use control::{Control, ControlError};
pub use emulator::{Emulator, EmulatorError, EmulatorOptions};
pub use faults::{Fault, FaultKind, FaultPlan, GpuStock, PlanLimits, Preemption, Rates};
pub use journal::{Effect, Journal};
pub use routes::{Coverage, RpcCount};
