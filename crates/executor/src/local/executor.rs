//! [`LocalExecutor`]: the [`Executor`] of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use moorline_core::attempt::{Attempt, Handle, IsolationNeed, Observation, Outcome};
use moorline_secrets::SecretEnv;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::task::spawn_blocking;

use super::children::Children;
use super::config::LocalConfig;
use super::launch::{self, Launched};
use super::layout::{CancelRequest, private_dir};
use super::plan::{self, Machine, Plan};
use super::readiness::Readiness;
use super::records::{Records, State};
use super::{collect, handle, logs, probe};
use crate::executor::{Capabilities, CollectedFile, Executor, ExecutorError, LogChunk, LogCursor};
use crate::proc;
use crate::sandbox::bwrap;
use crate::supervise::claim::Ack;
use crate::supervise::request::{Request, SecretText};

/// Runs attempts as processes of this machine. See [the module](super).
///
/// Its methods need a tokio runtime with I/O. It is cheap to make, and holds no state that is not also on
/// the disk: several, also in several processes, can work on one directory.
#[derive(Debug)]
pub struct LocalExecutor {
    config: LocalConfig,
    records: Arc<Records>,
    children: Children,
    machine: OnceLock<Arc<Machine>>,
}

impl LocalExecutor {
    /// Prepares the directory for attempts.
    ///
    /// # Errors
    /// When the directory can not be made, or this is no Linux with `/proc`.
    pub fn new(mut config: LocalConfig) -> Result<Self, ExecutorError> {
        config.root = prepare(&config).map_err(|error| {
            ExecutorError::io(format!("making `{}`", config.root.display()), error)
        })?;
        let boot_id = proc::boot_id().map_err(|error| ExecutorError::io("reading /proc", error))?;
        let records = Arc::new(Records {
            root: config.root.clone(),
            boot_id,
        });
        Ok(Self {
            config,
            records,
            children: Children::new(),
            machine: OnceLock::new(),
        })
    }

    /// What this machine gives. The first call on a machine since its boot tries it out, which takes some
    /// ten milliseconds; later ones, also of other processes, read what was found.
    fn machine(&self) -> Result<Arc<Machine>, ExecutorError> {
        if let Some(machine) = self.machine.get() {
            return Ok(Arc::clone(machine));
        }
        let machine = probe::machine(&self.config, &self.records.boot_id)?;
        Ok(Arc::clone(self.machine.get_or_init(|| Arc::new(machine))))
    }

    async fn plan(&self, attempt: &Attempt) -> Result<Plan, ExecutorError> {
        if attempt.isolation == IsolationNeed::Off {
            let limits = &attempt.limits;
            let none = limits.memory_bytes.or(limits.pids).is_none() && limits.cpu.is_none();
            let hierarchies = if none {
                Vec::new()
            } else {
                probe::hierarchies()?
            };
            return plan::plain(attempt, &hierarchies);
        }
        if self.machine.get().is_none() {
            let (config, records) = (self.config.clone(), Arc::clone(&self.records));
            let machine = blocking(move || probe::machine(&config, &records.boot_id)).await?;
            self.machine.get_or_init(|| Arc::new(machine));
        }
        plan::isolated(attempt, &*self.machine()?, &self.config)
    }

    fn request(&self, attempt: &Attempt, secrets: &SecretEnv, plan: Plan) -> Request {
        let secrets: BTreeMap<String, SecretText> = secrets
            .iter()
            .map(|(key, value)| (key.as_str().to_owned(), SecretText::new(value.expose())))
            .collect();
        let mut attempt = attempt.clone();
        attempt.limits = plan.limits;
        Request {
            root: self.config.root.clone(),
            boot_id: self.records.boot_id.clone(),
            attempt,
            secrets,
            drain_ms: millis(self.config.drain),
            backend: plan.backend,
            groups: plan.groups,
            isolation: plan.isolation,
        }
    }
}

fn prepare(config: &LocalConfig) -> io::Result<std::path::PathBuf> {
    if let Some(parent) = config.root.parent() {
        fs::create_dir_all(parent)?;
    }
    private_dir(&config.root)?;
    fs::canonicalize(&config.root)
}

/// Does work on files where it does not hold up the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExecutorError> + Send + 'static,
) -> Result<T, ExecutorError> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(ExecutorError::io(
            "working on files",
            io::Error::other(error),
        ))
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Executor for LocalExecutor {
    fn capabilities(&self) -> Capabilities {
        probe::capabilities(self.machine().as_deref())
    }

    fn egress_prober(&self, need: IsolationNeed) -> Option<String> {
        let sandboxed = need != IsolationNeed::Off
            && self
                .machine()
                .is_ok_and(|machine| machine.findings.sandbox.is_ok());
        let helper = if sandboxed {
            Path::new(bwrap::HELPER)
        } else {
            &self.config.helper
        };
        helper.to_str().map(str::to_owned)
    }

    async fn launch(
        &self,
        attempt: &Attempt,
        secrets: &SecretEnv,
    ) -> Result<Handle, ExecutorError> {
        if let Some(claim) = self.records.claim(attempt.id)? {
            return handle::make(attempt.id, &claim.supervisor);
        }
        if let Some(object) = attempt.secret_objects.first() {
            let object = &object.name;
            let reason = format!(
                "hand over the secret `{object}`, which is kept where only its name is known"
            );
            return Err(ExecutorError::unsupported(handle::NAME, reason));
        }
        let plan = self.plan(attempt).await?;
        let request = self.request(attempt, secrets, plan);
        let helper = &self.config.helper;
        let (launched, child) =
            launch::launch(helper, &request)
                .await
                .map_err(|error| ExecutorError::Start {
                    reason: format!("supervisor `{}`: {error}", helper.display()),
                })?;
        if let Launched::Acknowledged(Ack::Claimed(supervisor)) = &launched {
            self.children.add(attempt.id, child);
            return handle::make(attempt.id, supervisor);
        }
        reap(child).await;
        match (self.records.claim(attempt.id)?, launched) {
            (Some(claim), _) => handle::make(attempt.id, &claim.supervisor),
            (None, Launched::Acknowledged(Ack::Failed(reason))) => {
                Err(ExecutorError::Start { reason })
            }
            (None, _) => {
                let helper = helper.display();
                Err(ExecutorError::Start {
                    reason: format!("supervisor `{helper}` ended at once"),
                })
            }
        }
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation, ExecutorError> {
        Ok(match self.records.look(handle)? {
            State::Running(_) => Observation::Running,
            State::Over(outcome) => {
                self.children.reap(handle.attempt_id);
                Observation::Over(outcome)
            }
        })
    }

    async fn wait(&self, handle: &Handle) -> Result<Outcome, ExecutorError> {
        loop {
            match self.records.look(handle)? {
                State::Over(outcome) => {
                    self.children.reap(handle.attempt_id);
                    return Ok(*outcome);
                }
                State::Running(fd) => {
                    let fail = |error| ExecutorError::io("waiting for the supervisor", error);
                    Readiness::new(fd)
                        .map_err(fail)?
                        .readable()
                        .await
                        .map_err(fail)?;
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
        logs::stream(Arc::clone(&self.records), handle.clone(), from, follow)
    }

    async fn cancel(&self, handle: &Handle, grace: Duration) -> Result<(), ExecutorError> {
        let State::Running(supervisor) = self.records.look(handle)? else {
            return Ok(());
        };
        let dir = self.records.dir(handle.attempt_id);
        let wish = CancelRequest {
            grace_ms: millis(grace),
        };
        let path = dir.cancel();
        wish.add(&dir)
            .map_err(|error| ExecutorError::io(format!("writing `{}`", path.display()), error))?;
        match pidfd_send_signal(supervisor, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(ExecutorError::io("signalling the supervisor", error.into())),
        }
    }

    async fn find_owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        let (records, owner) = (Arc::clone(&self.records), owner.to_owned());
        blocking(move || records.owned(&owner)).await
    }

    async fn withdraw(&self, attempt: &Attempt) -> Result<Option<Handle>, ExecutorError> {
        let (records, attempt) = (Arc::clone(&self.records), attempt.clone());
        blocking(move || records.withdraw(&attempt)).await
    }

    async fn collect(&self, handle: &Handle) -> Result<Vec<CollectedFile>, ExecutorError> {
        match self.records.look(handle)? {
            State::Running(_) => Err(ExecutorError::StillRunning),
            State::Over(_) => {
                let output = self.records.dir(handle.attempt_id).output();
                blocking(move || collect::collect(&output)).await
            }
        }
    }

    async fn forget(&self, handle: &Handle) -> Result<(), ExecutorError> {
        match self.records.look(handle) {
            Ok(State::Over(_)) => {}
            Ok(State::Running(_)) => return Err(ExecutorError::StillRunning),
            // Forgotten already.
            Err(ExecutorError::NotFound { .. }) if handle.executor == handle::NAME => return Ok(()),
            Err(error) => return Err(error),
        }
        self.children.reap(handle.attempt_id);
        let (records, handle) = (Arc::clone(&self.records), handle.clone());
        blocking(move || records.forget(&handle).and_then(|()| records.tidy())).await
    }
}

/// Waits for a supervisor that has nothing to do.
async fn reap(mut child: Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let ended = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok());
    if let Some(ended) = ended.and_then(|fd| Readiness::new(fd).ok())
        && ended.readable().await.is_ok()
        && child.try_wait().is_err()
    {
        // It was reaped by someone else.
    }
}
