//! The conformance suite on the local back end, plain and sandboxed, and on each decorator around it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use moorline_core::attempt::IsolationNeed;
use moorline_executor::conformance::{self, Harness};
use moorline_executor::decorators::{Chaos, Limited, Plan, Traced, WithTimeout};
use moorline_executor::local::{LocalConfig, LocalExecutor};
use moorline_executor::{Executor, ExecutorError};
use tempfile::TempDir;

/// The local back end in a directory of its own, in some dress.
struct Local {
    home: TempDir,
    isolation: IsolationNeed,
    dress: fn(Arc<dyn Executor>) -> Arc<dyn Executor>,
}

impl Local {
    fn new(isolation: IsolationNeed, dress: fn(Arc<dyn Executor>) -> Arc<dyn Executor>) -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            isolation,
            dress,
        }
    }
}

impl Harness for Local {
    fn open(&self) -> Result<Arc<dyn Executor>, ExecutorError> {
        let helper = env!("CARGO_BIN_EXE_moorline-supervisor");
        let local =
            LocalExecutor::new(LocalConfig::new(self.home.path().join("attempts"), helper))?;
        Ok((self.dress)(Arc::new(local)))
    }

    fn isolation(&self) -> IsolationNeed {
        self.isolation
    }

    fn state_directories(&self) -> Vec<PathBuf> {
        vec![self.home.path().to_owned()]
    }
}

async fn conforms(harness: &Local) {
    let report = conformance::run(harness).await;
    assert!(report.is_passed(), "{report}");
    println!("{report}");
}

#[tokio::test]
async fn the_local_executor_conforms_with_plain_processes() {
    conforms(&Local::new(IsolationNeed::Off, |local| local)).await;
}

#[tokio::test]
async fn the_local_executor_conforms_in_its_sandbox() {
    conforms(&Local::new(IsolationNeed::Required, |local| local)).await;
}

#[tokio::test]
async fn a_timeout_around_it_conforms() {
    let dress =
        |local| Arc::new(WithTimeout::new(local, Duration::from_secs(20))) as Arc<dyn Executor>;
    conforms(&Local::new(IsolationNeed::Off, dress)).await;
}

#[tokio::test]
async fn a_limit_around_it_conforms() {
    // No case needs more than three attempts alive at once.
    let dress = |local| Arc::new(Limited::new(local, 3)) as Arc<dyn Executor>;
    conforms(&Local::new(IsolationNeed::Off, dress)).await;
}

#[tokio::test]
async fn tracing_around_it_conforms() {
    conforms(&Local::new(IsolationNeed::Off, |local| {
        Arc::new(Traced::new(local))
    }))
    .await;
}

#[tokio::test]
async fn chaos_without_faults_around_it_conforms() {
    let dress = |local| Arc::new(Chaos::new(local, Plan::default())) as Arc<dyn Executor>;
    conforms(&Local::new(IsolationNeed::Off, dress)).await;
}

#[tokio::test]
async fn all_of_them_around_it_conform() {
    let dress = |local| {
        let chaos = Arc::new(Chaos::new(local, Plan::default()));
        let bounded = Arc::new(WithTimeout::new(chaos, Duration::from_secs(20)));
        Arc::new(Traced::new(Arc::new(Limited::new(bounded, 3)))) as Arc<dyn Executor>
    };
    conforms(&Local::new(IsolationNeed::Off, dress)).await;
}
