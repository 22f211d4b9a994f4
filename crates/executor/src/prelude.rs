//! What the file of an adapter needs, in one line: the [`Executor`] trait with the types of its signatures,
//! wherever they come from.
//!
//! ```
//! use moorline_executor::prelude::*;
//!
//! async fn is_over(executor: &dyn Executor, handle: &Handle) -> Result<bool, ExecutorError> {
//!     Ok(matches!(executor.observe(handle).await?, Observation::Over(_)))
//! }
//! ```

pub use async_trait::async_trait;
pub use moorline_core::attempt::{Attempt, Handle, Observation, Outcome};
pub use moorline_secrets::SecretEnv;

pub use crate::executor::{
    Capabilities, CollectedFile, Executor, ExecutorError, LogChunk, LogChunks, LogCursor, LogStream,
};
