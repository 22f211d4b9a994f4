//! [`LocalExecutor`]: the [`Executor`] of this machine.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::process::Child;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use moorline_core::attempt::{
    Attempt, Exit, Handle, Isolation, LogStats, Observation, Outcome, Usage,
};
use moorline_core::clock::{Clock as _, SystemClock};
use moorline_core::ids::AttemptId;
use moorline_core::protocol::Reply;
use moorline_secrets::SecretEnv;
use rustix::process::{Signal, pidfd_send_signal};

use super::config::LocalConfig;
use super::handle;
use super::launch::{self, Launched};
use super::layout::{self, AttemptDir, CancelRequest, Claim, IfThere, private_dir};
use super::readiness::Readiness;
use super::{collect, logs};
use crate::executor::{
    Capabilities, CollectedFile, Executor, ExecutorError, LogChunk, LogCursor,
};
use crate::proc;
use crate::supervise::claim::Ack;
use crate::supervise::request::{Backend, Request, SecretText};

/// Runs attempts as processes of this machine. See [the module](super).
#[derive(Debug)]
pub struct LocalExecutor {
    config: LocalConfig,
    boot_id: String,
    /// Supervisors that this process started and has to reap.
    children: Mutex<HashMap<AttemptId, Child>>,
}

impl LocalExecutor {
    /// Prepares the directory for attempts.
    ///
    /// # Errors
    /// When the directory can not be made, or this is no Linux with `/proc`.
    pub fn new(config: LocalConfig) -> Result<Self, ExecutorError> {
        let mut config = config;
        fs::create_dir_all(config.root.parent().unwrap_or(&config.root))
            .and_then(|()| private_dir(&config.root))
            .and_then(|()| fs::canonicalize(&config.root))
            .map(|root| config.root = root)
            .map_err(|error| {
                ExecutorError::io(format!("making `{}`", config.root.display()), error)
            })?;
        let boot_id = proc::boot_id().map_err(|error| ExecutorError::io("reading /proc", error))?;
        Ok(Self { config, boot_id, children: Mutex::default() })
    }

    fn dir(&self, id: AttemptId) -> AttemptDir {
        AttemptDir::new(&self.config.root, id)
    }

    fn claim(&self, id: AttemptId) -> Result<Option<Claim>, ExecutorError> {
        let path = self.dir(id).claim();
        layout::read(&path)
            .map_err(|error| ExecutorError::io(format!("reading `{}`", path.display()), error))
    }

    fn request(&self, attempt: &Attempt, secrets: &SecretEnv) -> Request {
        let secrets: BTreeMap<String, SecretText> = secrets
            .iter()
            .map(|(key, value)| (key.as_str().to_owned(), SecretText::new(value.expose())))
            .collect();
        Request {
            root: self.config.root.clone(),
            boot_id: self.boot_id.clone(),
            attempt: attempt.clone(),
            secrets,
            drain_ms: u64::try_from(self.config.drain.as_millis()).unwrap_or(u64::MAX),
            backend: Backend::Plain,
            isolation: Isolation { backend: "process".to_owned(), ..Isolation::default() },
        }
    }

    /// Reaps those of our supervisors that have ended.
    fn reap(&self) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|_, child| !matches!(child.try_wait(), Ok(Some(_)) | Err(_)));
    }

    /// The outcome, or a descriptor of the supervisor that will write it.
    fn look(&self, handle: &Handle) -> Result<State, ExecutorError> {
        let supervisor = handle::supervisor(handle)?;
        let dir = self.dir(handle.attempt_id);
        if let (Some(outcome), _) = read_outcome(&dir)? {
            return Ok(State::Over(Box::new(outcome)));
        }
        let alive = supervisor
            .open(&self.boot_id)
            .map_err(|error| ExecutorError::io("looking for the supervisor", error))?;
        if let Some(fd) = alive {
            return Ok(State::Running(fd));
        }
        // It may have written the record between the two looks.
        match read_outcome(&dir)? {
            (Some(outcome), _) => Ok(State::Over(Box::new(outcome))),
            (None, damaged) => self.lost(handle, &dir, damaged),
        }
    }

    /// Declares an attempt lost, for good.
    fn lost(&self, handle: &Handle, dir: &AttemptDir, damaged: bool) -> Result<State, ExecutorError> {
        let Some(claim) = self.claim(handle.attempt_id)? else {
            return Err(not_found(handle));
        };
        let supervisor = &claim.supervisor;
        let reason = if supervisor.boot_id != self.boot_id {
            "the machine was restarted while it ran".to_owned()
        } else {
            format!("its supervisor, process {}, ended without an exit record", supervisor.pid)
        };
        let outcome = Outcome {
            exit: Exit::Lost { reason },
            limits_hit: Vec::new(),
            started_at: Some(claim.claimed_at),
            ended_at: SystemClock.now(),
            usage: Usage::default(),
            isolation: Isolation::default(),
            reply: Reply::None,
            egress_denied: Vec::new(),
            log: LogStats::default(),
        };
        let then = if damaged { IfThere::Replace } else { IfThere::Keep };
        let ours = layout::publish(&dir.exit(), &outcome, then)
            .map_err(|error| ExecutorError::io("writing the exit record", error))?;
        if ours {
            return Ok(State::Over(Box::new(outcome)));
        }
        read_outcome(dir)?.0.map(|outcome| State::Over(Box::new(outcome))).ok_or_else(|| not_found(handle))
    }
}

enum State {
    Running(std::os::fd::OwnedFd),
    Over(Box<Outcome>),
}

fn read_outcome(dir: &AttemptDir) -> Result<(Option<Outcome>, bool), ExecutorError> {
    layout::read_outcome(dir)
        .map_err(|error| ExecutorError::io(format!("reading `{}`", dir.exit().display()), error))
}

fn not_found(handle: &Handle) -> ExecutorError {
    ExecutorError::NotFound { what: format!("attempt {}", handle.attempt_id) }
}

#[async_trait]
impl Executor for LocalExecutor {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: handle::NAME.to_owned(),
            protections: Vec::new(),
            missing: Vec::new(),
            egress_allow_list: false,
            gpu: false,
        }
    }

    async fn launch(&self, attempt: &Attempt, secrets: &SecretEnv) -> Result<Handle, ExecutorError> {
        if let Some(claim) = self.claim(attempt.id)? {
            return handle::make(attempt.id, &claim.supervisor);
        }
        self.reap();
        let request = self.request(attempt, secrets);
        let helper = &self.config.helper;
        let (launched, child) = launch::launch(helper, &request).await.map_err(|error| {
            ExecutorError::Start { reason: format!("supervisor `{}`: {error}", helper.display()) }
        })?;
        if let Launched::Acknowledged(Ack::Claimed(supervisor)) = &launched {
            let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
            children.insert(attempt.id, child);
            drop(children);
            return handle::make(attempt.id, supervisor);
        }
        reap_one(child).await;
        match (self.claim(attempt.id)?, launched) {
            (Some(claim), _) => handle::make(attempt.id, &claim.supervisor),
            (None, Launched::Acknowledged(Ack::Failed(reason))) => {
                Err(ExecutorError::Start { reason })
            }
            (None, _) => Err(ExecutorError::Start {
                reason: format!("supervisor `{}` ended at once", helper.display()),
            }),
        }
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation, ExecutorError> {
        self.reap();
        Ok(match self.look(handle)? {
            State::Running(_) => Observation::Running,
            State::Over(outcome) => Observation::Over(outcome),
        })
    }

    async fn wait(&self, handle: &Handle) -> Result<Outcome, ExecutorError> {
        loop {
            match self.look(handle)? {
                State::Over(outcome) => {
                    self.reap();
                    return Ok(*outcome);
                }
                State::Running(fd) => {
                    let fail = |error| ExecutorError::io("waiting for the supervisor", error);
                    Readiness::new(fd).map_err(fail)?.readable().await.map_err(fail)?;
                }
            }
        }
    }

    fn logs(
        &self,
        handle: &Handle,
        from: LogCursor,
        follow: bool,
    ) -> BoxStream<'static, Result<LogChunk, ExecutorError>> {
        logs::stream(self.dir(handle.attempt_id), handle.clone(), self.boot_id.clone(), from, follow)
    }

    async fn cancel(&self, handle: &Handle, grace: Duration) -> Result<(), ExecutorError> {
        let State::Running(fd) = self.look(handle)? else { return Ok(()) };
        let wish = CancelRequest { grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX) };
        let path = self.dir(handle.attempt_id).cancel();
        layout::publish(&path, &wish, IfThere::Replace)
            .map_err(|error| ExecutorError::io(format!("writing `{}`", path.display()), error))?;
        match pidfd_send_signal(fd, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(ExecutorError::io("signalling the supervisor", error.into())),
        }
    }

    async fn find_owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        let root = &self.config.root;
        let fail = |error: io::Error| ExecutorError::io(format!("listing `{}`", root.display()), error);
        let mut handles = Vec::new();
        for entry in fs::read_dir(root).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // Without a claim nothing was started there.
            let Some(claim) = self.claim(id)? else { continue };
            if claim.owner == owner {
                handles.push(handle::make(id, &claim.supervisor)?);
            }
        }
        handles.sort_unstable_by_key(|handle| handle.attempt_id);
        Ok(handles)
    }

    async fn collect(&self, handle: &Handle) -> Result<Vec<CollectedFile>, ExecutorError> {
        match self.look(handle)? {
            State::Running(_) => Err(ExecutorError::StillRunning),
            State::Over(_) => collect::collect(&self.dir(handle.attempt_id).output()),
        }
    }

    async fn forget(&self, handle: &Handle) -> Result<(), ExecutorError> {
        match self.look(handle) {
            Ok(State::Running(_)) => return Err(ExecutorError::StillRunning),
            // Forgotten already.
            Err(ExecutorError::NotFound { .. }) if handle.executor == handle::NAME => return Ok(()),
            other => drop(other?),
        }
        let dir = self.dir(handle.attempt_id);
        fs::remove_dir_all(dir.path()).or_else(layout::absent_is_fine).map_err(|error| {
            ExecutorError::io(format!("removing `{}`", dir.path().display()), error)
        })
    }
}

/// Waits for a supervisor that has nothing to do.
async fn reap_one(mut child: Child) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let fd = pid.and_then(|pid| {
        rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::NONBLOCK).ok()
    });
    if let Some(fd) = fd.and_then(|fd| Readiness::new(fd).ok()) {
        drop(fd.readable().await);
    }
    drop(child.try_wait());
}
