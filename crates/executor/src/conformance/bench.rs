//! The workbench of one case: an executor, directories, and the steps that cases have in common.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use moorline_core::attempt::{Attempt, Exit, Handle, Limits, Mount, Observation, Outcome};
use moorline_core::clock::{Ids as _, SystemIds};
use moorline_core::ids::{AttemptId, RunId};
use moorline_core::spec::{Egress, Mode};
use moorline_secrets::SecretEnv;
use tokio::time::timeout;

use crate::executor::{Executor, ExecutorError, LogChunk, LogCursor, LogStream};

use super::report::{During as _, Failure, ensure};
use super::{Feature, Harness, Program};

/// What one case works with.
pub(super) struct Bench<'a> {
    pub(super) harness: &'a dyn Harness,
    /// The instance that launches.
    pub(super) executor: Arc<dyn Executor>,
    /// An owner that no other case has.
    pub(super) owner: String,
    dir: tempfile::TempDir,
}

/// Runs a case on a bench of its own, and ends and forgets whatever it left running.
pub(super) async fn with_bench(
    harness: &dyn Harness,
    case: for<'a> fn(&'a Bench<'a>) -> BoxFuture<'a, Result<(), Failure>>,
) -> Result<(), Failure> {
    let bench = Bench::new(harness)?;
    let verdict = case(&bench).await;
    let cleaned = bench.clean_up().await;
    verdict.and(cleaned)
}

impl<'a> Bench<'a> {
    fn new(harness: &'a dyn Harness) -> Result<Self, Failure> {
        let executor = harness.open().during("opening the executor")?;
        let dir = tempfile::tempdir().during("making a directory")?;
        fs::create_dir(dir.path().join("bundle")).during("making the job directory")?;
        fs::create_dir(dir.path().join("shared")).during("making the shared directory")?;
        let owner = format!("conformance-{}", SystemIds.uuid());
        Ok(Self {
            harness,
            executor,
            owner,
            dir,
        })
    }

    async fn clean_up(&self) -> Result<(), Failure> {
        for handle in self
            .executor
            .find_owned(&self.owner)
            .await
            .during("find_owned")?
        {
            self.executor
                .cancel(&handle, Duration::ZERO)
                .await
                .during("cancel")?;
            self.wait(&handle).await?;
            self.executor.forget(&handle).await.during("forget")?;
        }
        Ok(())
    }

    /// Another instance over the same state.
    pub(super) fn reopen(&self) -> Result<Arc<dyn Executor>, Failure> {
        self.harness.open().during("opening a second instance")
    }

    pub(super) fn has(&self, feature: Feature) -> bool {
        self.harness
            .lacks()
            .iter()
            .all(|lack| lack.feature != feature)
    }

    /// A new attempt that does what `program` says.
    pub(super) fn attempt(&self, program: &Program) -> Attempt {
        let shared = self.has(Feature::HostDirectories).then(|| Mount {
            source: self.shared(),
            path: self.shared().to_string_lossy().into_owned(),
            read_only: false,
        });
        Attempt {
            id: AttemptId::new(SystemIds.uuid()),
            run_id: RunId::new(SystemIds.uuid()),
            owner: self.owner.clone(),
            job_id: "conformance".to_owned(),
            source_id: None,
            lane: "dev".to_owned(),
            mode: Mode::Real,
            step: "only".to_owned(),
            number: 1,
            argv: self.harness.argv(program),
            env: BTreeMap::new(),
            bundle: self.dir.path().join("bundle"),
            working_dir: None,
            params: serde_json::Map::new(),
            inputs: BTreeMap::new(),
            steps: BTreeMap::new(),
            workflow: None,
            mounts: shared.into_iter().collect(),
            limits: Limits::default(),
            egress: Egress::None,
            isolation: self.harness.isolation(),
            image: None,
            gpu: Vec::new(),
            warm_start: false,
            secret_objects: Vec::new(),
        }
    }

    /// A directory for files of the case's own.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The directory that attempts reach at the same path, if there is one.
    pub(super) fn shared(&self) -> PathBuf {
        self.dir.path().join("shared")
    }

    pub(super) async fn launch(&self, attempt: &Attempt) -> Result<Handle, Failure> {
        self.try_launch(attempt).await?.during("launch")
    }

    /// The answer of a launch that may be refused.
    pub(super) async fn try_launch(
        &self,
        attempt: &Attempt,
    ) -> Result<Result<Handle, ExecutorError>, Failure> {
        self.within(
            "launch",
            self.executor.launch(attempt, &SecretEnv::default()),
        )
        .await
    }

    /// Launches what `program` says.
    pub(super) async fn start(&self, program: &Program) -> Result<Handle, Failure> {
        self.launch(&self.attempt(program)).await
    }

    /// Launches something that stays, and waits until it says that it is there.
    pub(super) async fn start_ready(&self, program: &Program) -> Result<Handle, Failure> {
        let handle = self.start(program).await?;
        self.until_line(&handle, "ready").await?;
        Ok(handle)
    }

    pub(super) async fn wait(&self, handle: &Handle) -> Result<Outcome, Failure> {
        self.bounded("wait", self.executor.wait(handle)).await
    }

    /// Launches what `program` says and waits for its end.
    pub(super) async fn finish(&self, program: &Program) -> Result<(Handle, Outcome), Failure> {
        let handle = self.start(program).await?;
        let outcome = self.wait(&handle).await?;
        Ok((handle, outcome))
    }

    /// As [`finish`](Self::finish), for what must exit 0.
    pub(super) async fn succeed(&self, attempt: &Attempt) -> Result<(Handle, Outcome), Failure> {
        let handle = self.launch(attempt).await?;
        let outcome = self.wait(&handle).await?;
        ensure(outcome.exit == Exit::Exited { code: 0 }, || {
            format!("a program that should exit 0 ended as {:?}", outcome.exit)
        })?;
        Ok((handle, outcome))
    }

    /// Bounds a call by the harness's patience.
    pub(super) async fn bounded<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, ExecutorError>>,
    ) -> Result<T, Failure> {
        self.within(what, call).await?.during(what)
    }

    /// Waits for anything, by the harness's patience.
    pub(super) async fn within<T>(
        &self,
        what: &str,
        event: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let patience = self.harness.patience();
        timeout(patience, event)
            .await
            .map_err(|_| Failure::new(format!("{what} did not come to an end within {patience:?}")))
    }

    /// Waits until a line of standard output is `line`.
    pub(super) async fn until_line(&self, handle: &Handle, line: &str) -> Result<(), Failure> {
        let mut log = self.executor.logs(handle, LogCursor::default(), true);
        let found = async {
            while let Some(chunk) = log.next().await {
                let chunk = chunk.during("logs")?;
                if chunk.stream == LogStream::Stdout && chunk.text == line {
                    return Ok(());
                }
            }
            Err(Failure::new(format!(
                "the followed log ended without the line `{line}`"
            )))
        };
        self.within(&format!("following the log up to `{line}`"), found)
            .await?
    }

    /// The whole log from `from` on, as it is now.
    pub(super) async fn log(
        &self,
        handle: &Handle,
        from: LogCursor,
    ) -> Result<Vec<LogChunk>, Failure> {
        let chunks = self.executor.logs(handle, from, false).collect::<Vec<_>>();
        self.within("reading the log without following it", chunks)
            .await?
            .into_iter()
            .collect::<Result<_, _>>()
            .during("logs")
    }

    /// The lines of one stream, put together from their chunks.
    pub(super) async fn lines(
        &self,
        handle: &Handle,
        stream: LogStream,
    ) -> Result<Vec<String>, Failure> {
        let mut lines = Vec::new();
        let mut line = String::new();
        for chunk in self.log(handle, LogCursor::default()).await? {
            if chunk.stream == stream {
                line.push_str(&chunk.text);
                if chunk.ends_line {
                    lines.push(std::mem::take(&mut line));
                }
            }
        }
        lines.extend((!line.is_empty()).then_some(line));
        Ok(lines)
    }

    /// What the output file `path` holds.
    pub(super) async fn output(&self, handle: &Handle, path: &str) -> Result<Vec<u8>, Failure> {
        let files = self
            .bounded("collect", self.executor.collect(handle))
            .await?;
        let file = files
            .iter()
            .find(|file| file.path == path)
            .ok_or_else(|| Failure::new(format!("collect did not give `{path}`: {files:?}")))?;
        fs::read(&file.local).during("reading a collected file")
    }

    /// Fails unless the attempt is seen running.
    pub(super) async fn is_running(
        &self,
        executor: &dyn Executor,
        handle: &Handle,
    ) -> Result<(), Failure> {
        let seen = self.bounded("observe", executor.observe(handle)).await?;
        ensure(seen == Observation::Running, || {
            format!("an attempt that runs is seen as {seen:?}")
        })
    }

    /// The ids that `find_owned` gives, in order.
    pub(super) async fn owned(&self, executor: &dyn Executor) -> Result<Vec<AttemptId>, Failure> {
        let handles = self
            .bounded("find_owned", executor.find_owned(&self.owner))
            .await?;
        let mut ids: Vec<_> = handles.iter().map(|handle| handle.attempt_id).collect();
        ids.sort_unstable();
        Ok(ids)
    }
}
