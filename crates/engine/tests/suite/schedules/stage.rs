//! A place where attempts run without processes, for as long as somebody outside wants them to.

use std::collections::BTreeMap;
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

/// The executor.
#[derive(Debug)]
pub(crate) struct Stage {
    clock: Arc<dyn Clock>,
    known: Mutex<BTreeMap<AttemptId, Known>>,
    changed: Notify,
}

#[derive(Debug)]
struct Known {
    run: RunId,
    owner: String,
    outcome: Option<Outcome>,
}

impl Stage {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            known: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Whether an attempt of the run was launched and goes on.
    pub(crate) fn plays(&self, run: RunId) -> bool {
        let known = self.known.lock().unwrap();
        known
            .values()
            .any(|known| known.run == run && known.outcome.is_none())
    }

    /// Ends the attempt of a run; `false` when none goes on.
    pub(crate) fn finish(&self, run: RunId) -> bool {
        let outcome = self.outcome(Exit::Exited { code: 0 }, Reply::None);
        let mut ended = false;
        for known in self.known.lock().unwrap().values_mut() {
            if known.run == run && known.outcome.is_none() {
                known.outcome = Some(outcome.clone());
                ended = true;
            }
        }
        self.changed.notify_waiters();
        ended
    }

    fn outcome(&self, exit: Exit, reply: Reply) -> Outcome {
        let now = self.clock.now();
        Outcome {
            exit,
            limits_hit: Vec::new(),
            started_at: Some(now),
            ended_at: now,
            usage: Usage::default(),
            isolation: Isolation::default(),
            reply,
            egress_denied: Vec::new(),
            log: LogStats::default(),
        }
    }

    /// The answer to the engine's probe, when the attempt is one: nothing can be reached from here.
    fn probe(&self, attempt: &Attempt) -> Option<Outcome> {
        let arguments: Vec<String> = attempt.argv.iter().map(Arg::to_string).collect();
        let targets = match arguments.as_slice() {
            [_, probe, targets @ ..] if probe == PROBE => targets,
            _ => return None,
        };
        let refused = |target: &String| Reached {
            target: target.clone(),
            way: Way::Direct,
            end: End::Refused,
            words: "there is no network here".to_owned(),
        };
        let reached: Vec<Reached> = targets.iter().map(refused).collect();
        let reply = Reply::Success {
            transaction_count: None,
            data: serde_json::to_value(reached).unwrap(),
        };
        Some(self.outcome(Exit::Exited { code: 0 }, reply))
    }

    fn outcome_of(&self, handle: &Handle) -> Result<Option<Outcome>, ExecutorError> {
        let known = self.known.lock().unwrap();
        match known.get(&handle.attempt_id) {
            Some(known) => Ok(known.outcome.clone()),
            None => Err(ExecutorError::NotFound {
                what: handle.attempt_id.to_string(),
            }),
        }
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

    async fn launch(&self, attempt: &Attempt, _: &SecretEnv) -> Result<Handle, ExecutorError> {
        let mut known = self.known.lock().unwrap();
        known.entry(attempt.id).or_insert_with(|| Known {
            run: attempt.run_id,
            owner: attempt.owner.clone(),
            outcome: self.probe(attempt),
        });
        Ok(handle(attempt.id))
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation, ExecutorError> {
        Ok(self
            .outcome_of(handle)?
            .map_or(Observation::Running, |outcome| {
                Observation::Over(Box::new(outcome))
            }))
    }

    async fn wait(&self, handle: &Handle) -> Result<Outcome, ExecutorError> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(outcome) = self.outcome_of(handle)? {
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
        if let Some(known) = self.known.lock().unwrap().get_mut(&handle.attempt_id) {
            known.outcome.get_or_insert(outcome);
        }
        self.changed.notify_waiters();
        Ok(())
    }

    async fn find_owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        let known = self.known.lock().unwrap();
        let owned = known.iter().filter(|(_, known)| known.owner == owner);
        Ok(owned.map(|(id, _)| handle(*id)).collect())
    }

    async fn collect(&self, _: &Handle) -> Result<Vec<CollectedFile>, ExecutorError> {
        Ok(Vec::new())
    }

    async fn forget(&self, handle: &Handle) -> Result<(), ExecutorError> {
        self.known.lock().unwrap().remove(&handle.attempt_id);
        Ok(())
    }
}
