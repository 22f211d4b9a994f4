//! A place where attempts run without processes, and which notes what it was asked to do.
//!
//! It is an adapter like any consumer's: it keeps the contract of [`Executor`], so what the engine makes of
//! it is what it makes of every other. What an attempt does is decided beforehand, by source.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use moorline_core::attempt::{
    Attempt, Exit, Handle, Isolation, IsolationNeed, LogStats, Observation, Outcome, Usage,
};
use moorline_core::clock::Clock;
use moorline_core::ids::{AttemptId, RunId};
use moorline_core::protocol::Reply;
use moorline_core::spec::Arg;
use moorline_executor::reach::{End, PROBE, Reached, Way};
use moorline_executor::{
    Capabilities, CollectedFile, Executor, ExecutorError, LogChunk, LogCursor,
};
use moorline_secrets::SecretEnv;
use tokio::sync::Notify;

/// What an attempt does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Play {
    /// Exits with this code; 0 leaves a valid output.
    Exit(i32),
    /// Says that it succeeded, and its output is not valid.
    BadOutput,
    /// Runs until it is told to end.
    Endless,
}

/// One launch, as it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) run: RunId,
    pub(crate) lane: String,
    /// The keys that it was given, each with its value.
    pub(crate) secrets: BTreeMap<String, String>,
    /// How many launches and acknowledged stops there were before it.
    pub(crate) order: u64,
}

/// The executor.
#[derive(Debug)]
pub(crate) struct Stage {
    files: PathBuf,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    plays: BTreeMap<String, Play>,
    attempts: BTreeMap<AttemptId, Known>,
    launches: Vec<Launch>,
    order: u64,
}

#[derive(Debug)]
struct Known {
    owner: String,
    outcome: Option<Outcome>,
    files: Vec<CollectedFile>,
}

impl Stage {
    pub(crate) fn new(files: PathBuf, clock: Arc<dyn Clock>) -> Arc<Self> {
        fs::create_dir_all(&files).unwrap();
        Arc::new(Self {
            files,
            clock,
            inner: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// What the attempts of a source do from now on; they exit with 0 if nothing is said.
    pub(crate) fn play(&self, source: &str, play: Play) {
        let mut inner = self.inner.lock().unwrap();
        inner.plays.insert(source.to_owned(), play);
    }

    /// Every launch so far.
    pub(crate) fn launches(&self) -> Vec<Launch> {
        self.inner.lock().unwrap().launches.clone()
    }

    /// Whether an attempt was launched and goes on.
    pub(crate) fn plays_on(&self, attempt: AttemptId) -> bool {
        let inner = self.inner.lock().unwrap();
        let known = inner.attempts.get(&attempt);
        known.is_some_and(|known| known.outcome.is_none())
    }

    /// A point between launches, for "before" and "after".
    pub(crate) fn now(&self) -> u64 {
        let mut inner = self.inner.lock().unwrap();
        inner.order += 1;
        inner.order
    }

    fn outcome(&self, exit: Exit, reply: Reply) -> Outcome {
        Outcome {
            exit,
            limits_hit: Vec::new(),
            started_at: Some(self.clock.now()),
            ended_at: self.clock.now(),
            usage: Usage::default(),
            isolation: Isolation::default(),
            reply,
            egress_denied: Vec::new(),
            log: LogStats::default(),
        }
    }

    /// The answer to the engine's probe, when the attempt is one: nothing can be reached from here.
    fn probe(&self, attempt: &Attempt) -> Option<Known> {
        let arguments: Vec<String> = attempt.argv.iter().map(Arg::to_string).collect();
        let targets = match arguments.as_slice() {
            [_, probe, targets @ ..] if probe == PROBE => targets,
            _ => return None,
        };
        let reached: Vec<Reached> = targets
            .iter()
            .map(|target| Reached {
                target: target.clone(),
                way: Way::Direct,
                end: End::Refused,
                words: "there is no network here".to_owned(),
            })
            .collect();
        let reply = Reply::Success {
            transaction_count: None,
            data: serde_json::to_value(reached).unwrap(),
        };
        Some(Known {
            owner: attempt.owner.clone(),
            outcome: Some(self.outcome(Exit::Exited { code: 0 }, reply)),
            files: Vec::new(),
        })
    }

    /// The output of a run: one transaction, or something that is none.
    fn write(&self, attempt: &Attempt, valid: bool) -> CollectedFile {
        let local = self.files.join(attempt.id.to_string());
        let line = serde_json::json!({
            "source_id": attempt.source_id,
            "account_id": "7",
            "transaction_id": attempt.run_id,
            "posted_at": "2026-03-01T00:00:00Z",
            "ingested_at": "2026-03-01T00:00:00Z",
            "amount": if valid { serde_json::json!(-1) } else { serde_json::json!("much") },
            "currency": "EUR",
            "description": "Payment",
            "raw": {},
            "extraction_run_id": attempt.run_id,
        });
        let text = format!("{line}\n");
        fs::write(&local, &text).unwrap();
        CollectedFile {
            path: "transactions.jsonl".to_owned(),
            local,
            size: text.len() as u64,
        }
    }

    fn known<T>(
        &self,
        handle: &Handle,
        look: impl FnOnce(&Known) -> T,
    ) -> Result<T, ExecutorError> {
        let inner = self.inner.lock().unwrap();
        let missing = || ExecutorError::NotFound {
            what: handle.attempt_id.to_string(),
        };
        let known = inner.attempts.get(&handle.attempt_id).ok_or_else(missing)?;
        Ok(look(known))
    }
}

fn handle(id: AttemptId) -> Handle {
    Handle {
        executor: "stage".to_owned(),
        attempt_id: id,
        data: serde_json::Value::Null,
    }
}

#[async_trait]
impl Executor for Stage {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            egress_allow_list: true,
            ..Capabilities::plain("stage")
        }
    }

    fn egress_prober(&self, _: IsolationNeed) -> Option<String> {
        Some("probe".to_owned())
    }

    async fn launch(
        &self,
        attempt: &Attempt,
        secrets: &SecretEnv,
    ) -> Result<Handle, ExecutorError> {
        let mut inner = self.inner.lock().unwrap();
        if inner.attempts.contains_key(&attempt.id) {
            return Ok(handle(attempt.id));
        }
        if let Some(answer) = self.probe(attempt) {
            inner.attempts.insert(attempt.id, answer);
            return Ok(handle(attempt.id));
        }
        inner.order += 1;
        let launch = Launch {
            run: attempt.run_id,
            lane: attempt.lane.clone(),
            secrets: secrets
                .iter()
                .map(|(key, value)| (key.as_str().to_owned(), value.expose().to_owned()))
                .collect(),
            order: inner.order,
        };
        inner.launches.push(launch);
        let source = attempt.source_id.clone().unwrap_or_default();
        let play = inner.plays.get(&source).copied().unwrap_or(Play::Exit(0));
        let success = Reply::Success {
            transaction_count: Some(1),
            data: serde_json::Value::Null,
        };
        let (outcome, files) = match play {
            Play::Exit(0) => (
                Some(self.outcome(Exit::Exited { code: 0 }, success)),
                vec![self.write(attempt, true)],
            ),
            Play::Exit(code) => (
                Some(self.outcome(Exit::Exited { code }, Reply::None)),
                Vec::new(),
            ),
            Play::BadOutput => (
                Some(self.outcome(Exit::Exited { code: 0 }, success)),
                vec![self.write(attempt, false)],
            ),
            Play::Endless => (None, Vec::new()),
        };
        let known = Known {
            owner: attempt.owner.clone(),
            outcome,
            files,
        };
        inner.attempts.insert(attempt.id, known);
        drop(inner);
        self.changed.notify_waiters();
        Ok(handle(attempt.id))
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation, ExecutorError> {
        let outcome = self.known(handle, |known| known.outcome.clone())?;
        Ok(outcome.map_or(Observation::Running, |outcome| {
            Observation::Over(Box::new(outcome))
        }))
    }

    async fn wait(&self, handle: &Handle) -> Result<Outcome, ExecutorError> {
        loop {
            let changed = self.changed.notified();
            if let Some(outcome) = self.known(handle, |known| known.outcome.clone())? {
                return Ok(outcome);
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
        stream::empty().boxed()
    }

    async fn cancel(&self, handle: &Handle, _: Duration) -> Result<(), ExecutorError> {
        let outcome = self.outcome(Exit::Cancelled, Reply::None);
        let mut inner = self.inner.lock().unwrap();
        if let Some(known) = inner.attempts.get_mut(&handle.attempt_id) {
            known.outcome.get_or_insert(outcome);
        }
        drop(inner);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn find_owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        let inner = self.inner.lock().unwrap();
        let owned = inner.attempts.iter().filter(|(_, a)| a.owner == owner);
        Ok(owned.map(|(id, _)| handle(*id)).collect())
    }

    async fn collect(&self, handle: &Handle) -> Result<Vec<CollectedFile>, ExecutorError> {
        self.known(handle, |known| known.files.clone())
    }

    async fn forget(&self, handle: &Handle) -> Result<(), ExecutorError> {
        let mut inner = self.inner.lock().unwrap();
        inner.attempts.remove(&handle.attempt_id);
        Ok(())
    }
}
