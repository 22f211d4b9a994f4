//! The public conformance suite: whether an [`Executor`] keeps its *Contract*.
//!
//! Give the suite a way to open the executor, and run it:
//!
//! ```
//! use std::sync::Arc;
//!
//! use moorline_executor::conformance::{self, Harness};
//! use moorline_executor::{Executor, ExecutorError};
//!
//! struct Mine;
//!
//! impl Harness for Mine {
//!     fn open(&self) -> Result<Arc<dyn Executor>, ExecutorError> {
//!         // A new instance over the same state, each time.
//! #       Err(ExecutorError::Start { reason: "there is none".to_owned() })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let report = conformance::run(&Mine).await;
//! println!("{report}");
//! # assert!(!report.is_passed());
//! # }
//! ```
//!
//! Each case of [`CASES`] tests one clause of the contract with real attempts and says, when it fails,
//! which clause and what was seen. Cases are independent: each has an owner and attempts of its own, so
//! they can run in any order, at once, and over one state. A case ends every attempt that it started.
//!
//! What an adapter can not have at all it [declares](Harness::lacks), with the reason; the cases that need
//! it are then listed as skipped. Nothing is skipped for any other cause: a case that can not do its work
//! fails.
//!
//! The suite runs on the caller's tokio runtime (with time enabled) and waits for events, never for a
//! fixed time; [`Harness::patience`] bounds what hangs. Deliberately absent: how strong a sandbox is, which
//! is not part of the contract but of what an executor says it has.

mod bench;
mod cases;
mod program;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use moorline_core::attempt::IsolationNeed;
use moorline_core::spec::Arg;

use crate::executor::{Executor, ExecutorError};

use self::bench::Bench;
pub use self::cases::CASES;
pub use self::program::Program;
pub use self::report::{CaseReport, Failure, Report, Verdict};

/// The executor under test, as the suite needs to know it.
pub trait Harness: Send + Sync {
    /// Opens an instance of the executor over the harness's state.
    ///
    /// The suite calls this several times. Each instance must find what the others launched, as another
    /// process would after the one that launched has died; so keep nothing that matters in memory.
    ///
    /// # Errors
    /// Fails every case, with this error.
    fn open(&self) -> Result<Arc<dyn Executor>, ExecutorError>;

    /// The name in the report. The executor's own by default.
    fn name(&self) -> Option<String> {
        None
    }

    /// What this executor can not have, each with the reason. The suite skips what needs it.
    fn lacks(&self) -> Vec<Lack> {
        Vec::new()
    }

    /// The isolation that the suite's attempts ask for. None by default: a plain process.
    fn isolation(&self) -> IsolationNeed {
        IsolationNeed::Off
    }

    /// The command that does what `program` says, where attempts run. A POSIX shell by default.
    fn argv(&self, program: &Program) -> Vec<Arg> {
        program.posix_argv()
    }

    /// Directories in which the executor keeps what it knows; they are searched for secrets. None by
    /// default.
    fn state_directories(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// How long a case waits for something that must happen before it calls it missing. 20 seconds by
    /// default; raise it for executors that start slowly.
    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }
}

/// Something that an executor can not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lack {
    /// What.
    pub feature: Feature,
    /// Why, for the report.
    pub why: &'static str,
}

/// What not every executor can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// Attempts can use a directory of this machine, mounted at its own path. Without it, what
    /// processes are left is not looked at.
    HostDirectories,
    /// Secrets can be given to an attempt. Without it, a launch with secrets is refused.
    Secrets,
    /// The signal that ended a process is told.
    Signals,
}

impl std::fmt::Display for Feature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::HostDirectories => "host directories",
            Self::Secrets => "secrets",
            Self::Signals => "signals",
        })
    }
}

/// One test of one clause of the contract.
#[derive(Debug)]
pub struct Case {
    /// Its name, unique in [`CASES`].
    pub name: &'static str,
    /// The clause, in the words of the contract of [`Executor`].
    pub clause: &'static str,
    /// What it can not do without.
    pub needs: &'static [Feature],
    run: for<'a> fn(&'a Bench<'a>) -> BoxFuture<'a, Result<(), Failure>>,
}

/// Runs every case, one after the other.
pub async fn run(harness: &dyn Harness) -> Report {
    let mut cases = Vec::with_capacity(CASES.len());
    for case in CASES {
        cases.push(run_case(harness, case).await);
    }
    let own_name = || harness.open().map(|executor| executor.capabilities().name);
    let name = harness.name().map_or_else(own_name, Ok);
    Report {
        executor: name.unwrap_or_else(|_| "unknown".to_owned()),
        cases,
    }
}

/// Runs one case.
pub async fn run_case(harness: &dyn Harness, case: &'static Case) -> CaseReport {
    let lacks = harness.lacks();
    let lacking = lacks
        .into_iter()
        .find(|lack| case.needs.contains(&lack.feature));
    let verdict = match lacking {
        Some(lack) => Verdict::Skipped(lack),
        None => match bench::with_bench(harness, case.run).await {
            Ok(()) => Verdict::Passed,
            Err(failure) => Verdict::Failed(failure),
        },
    };
    CaseReport { case, verdict }
}
