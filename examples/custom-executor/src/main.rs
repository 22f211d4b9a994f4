//! An executor of one's own, and the conformance suite run on it.
//!
//! ```text
//! cargo run -p moorline-example-custom-executor
//! ```
//!
//! prints a line for each clause of the contract and exits 1 when one does not hold. [`agent`] is the
//! executor; `agent.py` beside it is its back end, the part that an organisation has already.

mod agent;

use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;

use moorline_executor::conformance::{self, Feature, Harness, Lack};
use moorline_executor::prelude::*;

use crate::agent::Agent;

/// A daemon over a directory of its own, for as long as this value lives.
struct Daemon {
    directory: tempfile::TempDir,
    process: Child,
}

impl Daemon {
    fn start() -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let process = serve(directory.path())?;
        Ok(Self { directory, process })
    }

    fn agent(&self) -> Agent {
        Agent(self.directory.path().join("socket"))
    }
}

/// Starts a daemon and waits until it listens.
#[expect(
    clippy::disallowed_methods,
    reason = "the example brings its own back end"
)]
fn serve(directory: &Path) -> io::Result<Child> {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/agent.py");
    let mut command = Command::new("python3");
    command
        .args(["-IS", program, "serve"])
        .arg(directory)
        .stdin(Stdio::null());
    let mut process = command.stdout(Stdio::piped()).spawn()?;
    if let Some(output) = process.stdout.take() {
        BufReader::new(output).read_line(&mut String::new())?;
    }
    Ok(process)
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Neither can fail for a child that was not waited for, and there is nothing to do about it.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Harness for Daemon {
    fn open(&self) -> Result<Arc<dyn Executor>, ExecutorError> {
        Ok(Arc::new(self.agent()))
    }

    fn lacks(&self) -> Vec<Lack> {
        vec![Lack {
            feature: Feature::Secrets,
            why: "the agent does not redact its log",
        }]
    }
}

#[tokio::main]
#[expect(
    clippy::print_stdout,
    reason = "the report is what this program is for"
)]
async fn main() -> io::Result<ExitCode> {
    let report = conformance::run(&Daemon::start()?).await;
    print!("{report}");
    Ok(if report.is_passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use moorline_executor::conformance::{CASES, Verdict};

    use super::*;

    /// A daemon that is killed whenever the suite opens another instance.
    struct Mortal(Mutex<Daemon>);

    impl Harness for Mortal {
        fn open(&self) -> Result<Arc<dyn Executor>, ExecutorError> {
            let mut daemon = self.0.lock().unwrap();
            daemon.process.kill().unwrap();
            daemon.process.wait().unwrap();
            daemon.process = serve(daemon.directory.path()).unwrap();
            Ok(Arc::new(daemon.agent()))
        }
    }

    #[tokio::test]
    async fn the_agent_conforms_but_for_what_it_declares() {
        let report = conformance::run(&Daemon::start().unwrap()).await;
        assert!(report.is_passed(), "{report}");
        let skipped = report
            .cases
            .iter()
            .filter(|case| matches!(case.verdict, Verdict::Skipped(_)));
        let secrets = CASES
            .iter()
            .filter(|case| case.needs.contains(&Feature::Secrets));
        assert_eq!(skipped.count(), secrets.count());
    }

    #[tokio::test]
    async fn attempts_outlive_the_agent() {
        let mortal = Mortal(Mutex::new(Daemon::start().unwrap()));
        for case in CASES.iter().filter(|case| case.clause.contains("died")) {
            let report = conformance::run_case(&mortal, case).await;
            assert!(matches!(report.verdict, Verdict::Passed), "{report}");
        }
    }
}
