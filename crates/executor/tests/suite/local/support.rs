//! What every test here starts from: an executor in a directory of its own, and attempts for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::TryStreamExt as _;
use moorline_core::attempt::{Attempt, Handle, IsolationNeed, Limits, Outcome};
use moorline_core::ids::{AttemptId, RunId};
use moorline_core::spec::{Arg, Egress, Mode};
use moorline_executor::local::{LocalConfig, LocalExecutor};
use moorline_executor::{Executor as _, LogChunk, LogCursor, LogStream};
use moorline_secrets::SecretEnv;
use tempfile::TempDir;
use uuid::Uuid;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An attempt without a sandbox, of the job directory `bundle`.
pub(crate) fn attempt(bundle: PathBuf, argv: &[&str]) -> Attempt {
    Attempt {
        id: AttemptId::new(Uuid::now_v7()),
        run_id: RunId::new(Uuid::now_v7()),
        owner: "tests".to_owned(),
        job_id: "job-1".to_owned(),
        source_id: None,
        lane: "dev".to_owned(),
        mode: Mode::Real,
        step: "main".to_owned(),
        number: 1,
        argv: argv.iter().map(|&arg| Arg::from(arg)).collect(),
        env: BTreeMap::new(),
        bundle,
        working_dir: None,
        params: serde_json::Map::new(),
        inputs: BTreeMap::new(),
        steps: BTreeMap::new(),
        workflow: None,
        mounts: Vec::new(),
        limits: Limits::default(),
        egress: Egress::None,
        isolation: IsolationNeed::Off,
        image: None,
        gpu: Vec::new(),
        warm_start: false,
        secret_objects: Vec::new(),
    }
}

/// An executor and the directory that it lives in.
pub(crate) struct Bench {
    pub(crate) executor: LocalExecutor,
    pub(crate) home: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("job")).unwrap();
        let executor = LocalExecutor::new(config(home.path())).unwrap();
        Self { executor, home }
    }

    /// Opens the executor again with another configuration.
    pub(crate) fn restart(&mut self, change: impl FnOnce(&mut LocalConfig)) {
        let mut config = config(self.home.path());
        change(&mut config);
        self.executor = LocalExecutor::new(config).unwrap();
    }

    /// The directory of an attempt.
    pub(crate) fn dir(&self, handle: &Handle) -> PathBuf {
        self.home
            .path()
            .join("attempts")
            .join(handle.attempt_id.to_string())
    }

    pub(crate) fn size_of(&self, file: &str, handle: &Handle) -> u64 {
        self.dir(handle).join(file).metadata().unwrap().len()
    }

    /// Waits until the job has printed a line.
    pub(crate) async fn wait_for_line(&self, handle: &Handle, line: &str) {
        let log = self.executor.logs(handle, LogCursor::default(), true);
        let wanted = |chunk: &LogChunk| chunk.text == line;
        let found = log.try_any(async |chunk| wanted(&chunk));
        let found = tokio::time::timeout(PATIENCE, found)
            .await
            .expect("it prints in time");
        assert!(found.unwrap(), "the job ended without printing `{line}`");
    }

    /// An attempt that runs a shell script without a sandbox.
    pub(crate) fn script(&self, script: &str) -> Attempt {
        self.attempt(&["sh", "-c", script])
    }

    /// An attempt without a sandbox.
    pub(crate) fn attempt(&self, argv: &[&str]) -> Attempt {
        attempt(self.home.path().join("job"), argv)
    }

    pub(crate) async fn launch(&self, attempt: &Attempt) -> Handle {
        self.executor
            .launch(attempt, &SecretEnv::default())
            .await
            .unwrap()
    }

    pub(crate) async fn wait(&self, handle: &Handle) -> Outcome {
        tokio::time::timeout(PATIENCE, self.executor.wait(handle))
            .await
            .expect("it ends")
            .unwrap()
    }

    pub(crate) async fn run(&self, attempt: &Attempt) -> (Handle, Outcome) {
        let handle = self.launch(attempt).await;
        let outcome = self.wait(&handle).await;
        (handle, outcome)
    }

    pub(crate) async fn log(&self, handle: &Handle) -> Vec<LogChunk> {
        let log = self.executor.logs(handle, LogCursor::default(), false);
        log.try_collect().await.unwrap()
    }

    /// The lines of one stream.
    pub(crate) async fn lines(&self, handle: &Handle, stream: LogStream) -> Vec<String> {
        let log = self.log(handle).await;
        log.into_iter()
            .filter(|chunk| chunk.stream == stream)
            .map(|chunk| chunk.text)
            .collect()
    }
}

pub(crate) fn config(home: &Path) -> LocalConfig {
    LocalConfig::new(
        home.join("attempts"),
        env!("CARGO_BIN_EXE_moorline-supervisor"),
    )
}
