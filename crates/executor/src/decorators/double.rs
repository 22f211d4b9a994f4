//! An executor without processes, for what only concerns the decorators themselves: who waits for whom,
//! and what becomes of an answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use moorline_core::attempt::{
    Attempt, Exit, Handle, Isolation, IsolationNeed, Limits, LogStats, Observation, Outcome, Usage,
};
use moorline_core::ids::{AttemptId, RunId};
use moorline_core::protocol::Reply;
use moorline_core::spec::{Egress, Mode};
use moorline_secrets::SecretEnv;
use tokio::sync::Notify;

use crate::executor::{Capabilities, CollectedFile, Executor, ExecutorError, LogChunk, LogCursor};

/// An executor to tell what to do, and to decorate.
pub(super) fn double() -> (Arc<Double>, Arc<dyn Executor>) {
    let double = Arc::<Double>::default();
    (Arc::clone(&double), double)
}

/// Attempts that run until they are told to end.
#[derive(Debug, Default)]
pub(super) struct Double {
    attempts: Mutex<BTreeMap<AttemptId, Known>>,
    changed: Notify,
    hangs: AtomicBool,
    refuses: AtomicBool,
}

#[derive(Debug)]
struct Known {
    owner: String,
    launches: usize,
    is_over: bool,
}

impl Double {
    /// From now on no call is answered.
    pub(super) fn hang(&self) {
        self.hangs.store(true, Ordering::Relaxed);
    }

    /// From now on launches are refused, or no longer.
    pub(super) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    /// Ends an attempt.
    pub(super) fn end(&self, id: AttemptId) {
        self.attempts.lock().unwrap().get_mut(&id).unwrap().is_over = true;
        self.changed.notify_waiters();
    }

    /// The attempts that were launched and have not ended.
    pub(super) fn alive(&self) -> Vec<AttemptId> {
        let attempts = self.attempts.lock().unwrap();
        attempts
            .iter()
            .filter(|(_, known)| !known.is_over)
            .map(|(id, _)| *id)
            .collect()
    }

    /// How many calls of `launch` an attempt saw.
    pub(super) fn launches(&self, id: AttemptId) -> usize {
        self.attempts
            .lock()
            .unwrap()
            .get(&id)
            .map_or(0, |known| known.launches)
    }

    async fn answer(&self) {
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    fn is_over(&self, handle: &Handle) -> Result<bool, ExecutorError> {
        let attempts = self.attempts.lock().unwrap();
        let what = || ExecutorError::NotFound {
            what: handle.attempt_id.to_string(),
        };
        attempts
            .get(&handle.attempt_id)
            .map(|known| known.is_over)
            .ok_or_else(what)
    }
}

#[async_trait]
impl Executor for Double {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain("double")
    }

    async fn launch(&self, attempt: &Attempt, _: &SecretEnv) -> Result<Handle, ExecutorError> {
        self.answer().await;
        if self.refuses.load(Ordering::Relaxed) {
            return Err(ExecutorError::Start {
                reason: "told to refuse".to_owned(),
            });
        }
        let mut attempts = self.attempts.lock().unwrap();
        let known = attempts.entry(attempt.id).or_insert_with(|| Known {
            owner: attempt.owner.clone(),
            launches: 0,
            is_over: false,
        });
        known.launches += 1;
        Ok(handle(attempt.id))
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation, ExecutorError> {
        self.answer().await;
        let over = || Observation::Over(Box::new(outcome()));
        Ok(if self.is_over(handle)? {
            over()
        } else {
            Observation::Running
        })
    }

    async fn wait(&self, handle: &Handle) -> Result<Outcome, ExecutorError> {
        loop {
            let changed = self.changed.notified();
            if self.is_over(handle)? {
                return Ok(outcome());
            }
            changed.await;
        }
    }

    fn logs(
        &self,
        _: &Handle,
        _: LogCursor,
        _: bool,
    ) -> BoxStream<'static, Result<LogChunk, ExecutorError>> {
        if self.hangs.load(Ordering::Relaxed) {
            stream::pending().boxed()
        } else {
            stream::empty().boxed()
        }
    }

    async fn cancel(&self, handle: &Handle, _: Duration) -> Result<(), ExecutorError> {
        self.answer().await;
        self.end(handle.attempt_id);
        Ok(())
    }

    async fn find_owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        self.answer().await;
        let attempts = self.attempts.lock().unwrap();
        Ok(attempts
            .iter()
            .filter(|(_, a)| a.owner == owner)
            .map(|(id, _)| handle(*id))
            .collect())
    }

    async fn collect(&self, handle: &Handle) -> Result<Vec<CollectedFile>, ExecutorError> {
        self.answer().await;
        if self.is_over(handle)? {
            Ok(Vec::new())
        } else {
            Err(ExecutorError::StillRunning)
        }
    }

    async fn forget(&self, handle: &Handle) -> Result<(), ExecutorError> {
        self.answer().await;
        self.attempts.lock().unwrap().remove(&handle.attempt_id);
        Ok(())
    }
}

/// The handle of an attempt.
pub(super) fn handle(id: AttemptId) -> Handle {
    Handle {
        executor: "double".to_owned(),
        attempt_id: id,
        data: serde_json::Value::Null,
    }
}

/// An attempt by a number.
pub(super) fn attempt(number: u128) -> Attempt {
    Attempt {
        id: AttemptId::new(uuid::Uuid::from_u128(number)),
        run_id: RunId::new(uuid::Uuid::from_u128(number)),
        owner: "owner".to_owned(),
        job_id: "job".to_owned(),
        source_id: None,
        lane: "dev".to_owned(),
        mode: Mode::Mock,
        step: "step".to_owned(),
        number: 1,
        argv: vec!["true".into()],
        env: BTreeMap::new(),
        bundle: "/".into(),
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

fn outcome() -> Outcome {
    Outcome {
        exit: Exit::Exited { code: 0 },
        limits_hit: Vec::new(),
        started_at: None,
        ended_at: jiff::Timestamp::UNIX_EPOCH,
        usage: Usage::default(),
        isolation: Isolation::default(),
        reply: Reply::None,
        egress_denied: Vec::new(),
        log: LogStats::default(),
    }
}
