//! Executors around an executor: [`WithTimeout`], [`Limited`], [`Traced`], [`Chaos`].
//!
//! Each wraps an `Arc<dyn Executor>`, keeps its [contract](crate::Executor#contract) and is proven by the
//! same [conformance suite](crate::conformance) as the back ends. They go around each other in any order;
//! the usual one is tracing outside, so that it sees what the caller sees:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use moorline_executor::Executor;
//! use moorline_executor::decorators::{Limited, Traced, WithTimeout};
//!
//! fn dress(back_end: Arc<dyn Executor>) -> Arc<dyn Executor> {
//!     let bounded = Arc::new(WithTimeout::new(back_end, Duration::from_secs(30)));
//!     let limited = Arc::new(Limited::new(bounded, 10));
//!     Arc::new(Traced::new(limited))
//! }
//! ```
//!
//! Deliberately absent: retries. Which operation may be repeated, and for how long, is the caller's to
//! know; here each call is made once.

mod chaos;
mod limited;
mod timeout;
mod traced;

#[cfg(test)]
mod double;

pub use chaos::{Chaos, Fault, Injected, Operation, Plan};
pub use limited::Limited;
pub use timeout::WithTimeout;
pub use traced::Traced;
