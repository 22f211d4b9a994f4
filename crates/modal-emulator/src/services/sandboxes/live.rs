//! A sandbox that has not ended: what its calls share.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moorline_modal_proto::client::Sandbox;
use moorline_modal_proto::client::generic_result::GenericStatus;
use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

use super::activity::Activity;
use super::command::{Command, Stream};
use super::ports::Tokens;
use super::record::Outcome;
use super::sidecars::Sidecar;
use crate::container::Container;

/// How long the end of a command is held back for those who read what it wrote.
const PATIENCE: Duration = Duration::from_millis(50);

/// How far a sandbox is.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// It waits for what it asked for, or is being built.
    Pending,
    /// Its container is there.
    Running(Arc<Main>),
    /// Its record has the outcome.
    Ended,
}

/// A container with its first command.
#[derive(Debug)]
pub(crate) struct Main {
    pub(crate) place: Arc<Place>,
    pub(crate) command: Arc<Command>,
}

/// A container that takes commands, with what they begin with.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) container: Arc<Container>,
    /// Variables of the image, the secrets and the call that made it.
    pub(crate) env: BTreeMap<String, String>,
    /// Where commands start that name no directory.
    pub(crate) cwd: Option<String>,
    /// Who still reads from the container's files.
    pub(crate) readers: TaskTracker,
    pub(crate) commands: Commands,
    /// Files of the emulator's that are there for this container alone.
    litter: Mutex<Vec<PathBuf>>,
}

impl Place {
    pub(crate) fn new(
        container: Arc<Container>,
        env: BTreeMap<String, String>,
        cwd: Option<String>,
    ) -> Self {
        Self {
            container,
            env,
            cwd,
            readers: TaskTracker::new(),
            commands: Commands::default(),
            litter: Mutex::default(),
        }
    }

    /// A directory goes with the container's own files.
    pub(crate) fn remove_at_end(&self, dir: PathBuf) {
        lock(&self.litter).push(dir);
    }

    /// Deletes what the container left, once nobody reads from it, or after `limit`.
    pub(crate) async fn remove_files(&self, limit: Duration) {
        self.readers.close();
        drop(tokio::time::timeout(limit, self.readers.wait()).await);
        let container = Arc::clone(&self.container);
        let litter = std::mem::take(&mut *lock(&self.litter));
        let removed = tokio::task::spawn_blocking(move || {
            // Only space is lost when something of it stays.
            for dir in litter {
                drop(std::fs::remove_dir_all(dir));
            }
            container.remove_files()
        })
        .await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "the files of a container were not removed");
        }
    }
}

/// Commands by the id that their caller chose, so that a repeated start is the same command.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    cells: Mutex<HashMap<String, Arc<OnceCell<Arc<Started>>>>>,
}

/// A command that a caller started in a container.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) command: Command,
    pub(crate) silent: Silent,
    /// Which outputs a reader was sent to their end: standard output, standard error.
    read: watch::Sender<[bool; 2]>,
}

impl Started {
    pub(crate) fn new(command: Command, silent: Silent) -> Self {
        Self {
            command,
            silent,
            read: watch::Sender::new([false; 2]),
        }
    }

    /// A reader was sent an output to its end.
    pub(crate) fn was_read(&self, stream: Stream) {
        self.read.send_modify(|[stdout, stderr]| match stream {
            Stream::Stdout => *stdout = true,
            Stream::Stderr => *stderr = true,
        });
    }

    /// Waits until somebody has read what a command that is over wrote, but not for long. The command line
    /// tool prints what it has when it is told of the end, and forgets the rest.
    pub(crate) async fn let_readers_finish(&self) {
        let wrote = |wrote: bool, silent: bool| wrote && !silent;
        let [stdout, stderr] = self.command.wrote();
        let (stdout, stderr) = (
            wrote(stdout, self.silent.stdout),
            wrote(stderr, self.silent.stderr),
        );
        let mut read = self.read.subscribe();
        let all = read.wait_for(|read| (read[0] || !stdout) && (read[1] || !stderr));
        drop(tokio::time::timeout(PATIENCE, all).await);
    }
}

/// Outputs that nobody wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Silent {
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

impl Commands {
    /// The place of a command, whether it was started or not.
    pub(crate) fn cell(&self, id: &str) -> Arc<OnceCell<Arc<Started>>> {
        Arc::clone(lock(&self.cells).entry(id.to_owned()).or_default())
    }

    /// A command that was started.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub(crate) fn get(&self, id: &str) -> Result<Arc<Started>, Status> {
        let cells = lock(&self.cells);
        let started = cells.get(id).and_then(|cell| cell.get()).map(Arc::clone);
        started.ok_or_else(|| Status::not_found(format!("Command '{id}' not found")))
    }

    /// Whether there was none.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.cells).is_empty()
    }
}

/// A sandbox that has not ended.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) id: String,
    pub(crate) task_id: String,
    pub(crate) app_id: String,
    pub(crate) definition: Sandbox,
    /// Variables of its secrets and of the call that made it.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) phase: watch::Sender<Phase>,
    /// Why it is to end; the first reason stays.
    end: watch::Sender<Option<Outcome>>,
    /// Its tunnels and proxies end with it.
    pub(crate) closed: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) activity: Activity,
    /// Seconds since 1970.
    pub(crate) ready_at: watch::Sender<Option<f64>>,
    pub(crate) tokens: Tokens,
    pub(crate) sidecars: Mutex<BTreeMap<String, Arc<Sidecar>>>,
    /// Snapshots that were taken, by the id that their caller chose.
    pub(crate) snapshots: Mutex<HashMap<String, Arc<OnceCell<String>>>>,
}

impl Live {
    pub(crate) fn new(
        [id, task_id, app_id]: [&str; 3],
        definition: Sandbox,
        env: BTreeMap<String, String>,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            id: id.to_owned(),
            task_id: task_id.to_owned(),
            app_id: app_id.to_owned(),
            definition,
            env,
            phase: watch::Sender::new(Phase::Pending),
            end: watch::Sender::new(None),
            closed: CancellationToken::new(),
            tasks,
            activity: Activity::default(),
            ready_at: watch::Sender::new(None),
            tokens: Tokens::default(),
            sidecars: Mutex::default(),
            snapshots: Mutex::default(),
        }
    }

    /// Asks it to end. The first one to ask decides what is told of it.
    pub(crate) fn end(&self, outcome: Outcome) {
        self.end.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(outcome);
            first
        });
    }

    /// Asks it to end because somebody wants it to.
    pub(crate) fn terminate(&self, reason: &str) {
        self.end(Outcome::new(GenericStatus::Terminated, 137, reason));
    }

    /// Waits until it is to end.
    pub(crate) async fn asked_to_end(&self) -> Outcome {
        let mut end = self.end.subscribe();
        loop {
            if let Some(outcome) = end.borrow_and_update().clone() {
                return outcome;
            }
            // The sender lives in `self`, so this can not fail.
            drop(end.changed().await);
        }
    }

    /// Its container, once it is there.
    ///
    /// # Errors
    /// `NOT_FOUND` when it has ended.
    pub(crate) async fn main(&self) -> Result<Arc<Main>, Status> {
        let mut phase = self.phase.subscribe();
        loop {
            match &*phase.borrow_and_update() {
                Phase::Running(main) => return Ok(Arc::clone(main)),
                Phase::Ended => return Err(ended(&self.id)),
                Phase::Pending => {}
            }
            // The sender lives in `self`, so this can not fail.
            drop(phase.changed().await);
        }
    }

    /// Waits for its container, or for its end, but not for ever.
    pub(crate) async fn left_pending(&self, limit: Duration) {
        let mut phase = self.phase.subscribe();
        let started = phase.wait_for(|phase| !matches!(phase, Phase::Pending));
        drop(tokio::time::timeout(limit, started).await);
    }

    /// Waits for its end, but not for ever.
    pub(crate) async fn ended_within(&self, limit: Duration) {
        let mut phase = self.phase.subscribe();
        let ended = phase.wait_for(|phase| matches!(phase, Phase::Ended));
        drop(tokio::time::timeout(limit, ended).await);
    }

    /// The snapshot that a caller's id stands for.
    pub(crate) fn snapshot(&self, id: &str) -> Arc<OnceCell<String>> {
        Arc::clone(lock(&self.snapshots).entry(id.to_owned()).or_default())
    }

    pub(crate) fn sidecars(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Sidecar>>> {
        lock(&self.sidecars)
    }
}

/// The answer to whoever wants something of a sandbox that is over.
pub(crate) fn ended(id: &str) -> Status {
    Status::not_found(format!("Sandbox '{id}' has already finished"))
}

/// A lock whose holders do not leave it half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds of a message as a duration, whatever was sent.
pub(crate) fn seconds(secs: f32) -> Duration {
    Duration::try_from_secs_f32(secs).unwrap_or(if secs > 0.0 {
        Duration::MAX
    } else {
        Duration::ZERO
    })
}
