//! Where attempts run: the [`Executor`] seam and its back ends.

pub mod conformance;
pub mod decorators;
pub mod egress;
pub mod executor;
pub mod local;
pub mod prelude;
mod proc;
mod sandbox;
mod supervise;

pub use executor::{
    Capabilities, CollectedFile, Executor, ExecutorError, LogChunk, LogCursor, LogStream,
};
