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

mod children;
pub(crate) mod collect;
pub(crate) mod config;
pub(crate) mod executor;
pub(crate) mod handle;
mod isolation;
pub(crate) mod launch;
pub(crate) mod layout;
pub(crate) mod log_format;
pub(crate) mod logs;
mod plan;
mod probe;
mod readiness;
mod records;
mod sweep;

use crate::{sandbox, supervise};

pub use config::{DefaultLimits, LocalConfig};
pub use executor::LocalExecutor;

/// First argument of a process that is to be a supervisor.
pub(crate) const SUPERVISE: &str = "__moorline-supervise";

/// First argument of a process that is to be the helper inside a sandbox.
pub(crate) const INIT: &str = "__moorline-init";

/// First argument of a process that is to find out what this machine gives.
pub(crate) const TRY: &str = "__moorline-try";

/// The variable of the process contract that tells of every process of an attempt whose it is.
pub(crate) const ATTEMPT_VARIABLE: &str = "MOORLINE_ATTEMPT_ID";

/// Becomes a supervisor, and never returns, when the process was started as one; else does nothing.
///
/// It must be called before any thread is started and before anything is read from standard input.
pub fn helper_main() {
    let first = std::env::args_os().nth(1);
    let become_helper: fn() -> i32 = match first.as_ref().and_then(|first| first.to_str()) {
        Some(SUPERVISE) => supervise::main,
        Some(INIT) => sandbox::init::main,
        Some(TRY) => sandbox::trial::main,
        Some(crate::reach::PROBE) => crate::reach::main,
        Some(supervise::guest::GUEST) => supervise::guest::main,
        _ => return,
    };
    // Whoever could not close them shall start nothing.
    let code = crate::proc::close_inherited().map_or(1, |()| become_helper());
    #[expect(
        clippy::exit,
        reason = "the process was started for this and nothing else"
    )]
    std::process::exit(code);
}
