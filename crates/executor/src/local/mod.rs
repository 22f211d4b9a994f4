//! Attempts on this machine: [`LocalExecutor`].
//!
//! Each attempt runs under a supervisor process of its own, which outlives whoever started it and leaves
//! the outcome in the attempt's directory. So this side holds no state that matters: everything can be read
//! back from the directory and from `/proc`, by any process with the same [`LocalConfig`].
//!
//! # Shipping the supervisor
//! The supervisor is the binary `moorline-supervisor` of this crate; its path is [`LocalConfig::helper`].
//! A service that wants to be one binary calls [`helper_main`] first in its `main` and gives its own path:
//!
//! ```no_run
//! moorline_executor::local::helper_main();
//! // the service's own main goes on here
//! ```
//!
//! Deliberately absent: polling, a daemon, and any use of `/proc/self/exe`.

pub(crate) mod collect;
pub(crate) mod config;
pub(crate) mod executor;
pub(crate) mod handle;
pub(crate) mod launch;
pub(crate) mod layout;
pub(crate) mod log_format;
pub(crate) mod logs;
mod readiness;

use crate::supervise;

pub use config::LocalConfig;
pub use executor::LocalExecutor;

/// First argument of a process that is to be a supervisor.
pub(crate) const SUPERVISE: &str = "__moorline-supervise";

/// Becomes a supervisor, and never returns, when the process was started as one; else does nothing.
///
/// It must be called before any thread is started and before anything is read from standard input.
pub fn helper_main() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == SUPERVISE) {
        let code = supervise::main();
        #[expect(clippy::exit, reason = "the process was started to be a supervisor and nothing else")]
        std::process::exit(code);
    }
}
