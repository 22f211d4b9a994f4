//! The [`Executor`] seam: where attempts run.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use jiff::Timestamp;
use moorline_core::attempt::{Attempt, Handle, IsolationNeed, Observation, Outcome, Protection};
use moorline_secrets::SecretEnv;
use serde::{Deserialize, Serialize};

/// Runs attempts somewhere: on this machine, in Modal, or wherever an adapter takes them.
///
/// # Contract
/// What every back end must keep, and what [`conformance`](crate::conformance) checks:
///
/// * **`launch` is idempotent in the attempt id.** A second call with the same id starts nothing: it
///   returns a handle of the first launch, also when the first caller died before it saw one, and also
///   when the attempt is already over. Two concurrent calls start one process.
/// * **An error of `launch` means that nothing runs** under that id, and nothing will, unless the error
///   says [`ExecutorError::Unknown`]; then only `find_owned` can tell.
/// * **A [`Handle`] is plain data.** Any process with the same configuration can use it after the one
///   that launched has died.
/// * **`observe` never blocks** on the attempt, and after the end it answers the same outcome for as long
///   as the attempt is kept. Of another executor's or a forgotten attempt it says
///   [`ExecutorError::NotFound`].
/// * **When an attempt is over, nothing of its process tree is left**, also when it ended by itself or by
///   its timeout.
/// * **`wait` returns when the attempt is over**, with the outcome that `observe` gives from then on.
///   Dropping its future changes nothing.
/// * **`cancel` ends the whole process tree**: politely, then after `grace` by force, whatever the job
///   does. It returns when the request is durable, not when the tree is gone (`wait` tells that). It is
///   `Ok` for an attempt that is over. A job that ends by itself first keeps its own exit. A repeated
///   request can shorten the grace of an earlier one and never lengthens it.
/// * **`find_owned` is complete or an error**, never a short list: it has every attempt of that owner
///   that was launched and not [`forget`](Self::forget)-ten.
/// * **`withdraw` decides a launch whose caller died**: either it took place, and its handle is returned,
///   or it never will.
/// * **Logs are capped and drained**: a job that writes without end neither blocks nor fills the disk.
///   A cursor resumes exactly behind the last chunk that was read.
/// * **Secrets** reach the job's environment and nothing else: no argv, no file, no log, no error.
#[async_trait]
pub trait Executor: Send + Sync + Debug {
    /// What this back end can give.
    fn capabilities(&self) -> Capabilities;

    /// Where attempts with this need find the program that tells what they reach: see [`reach`](crate::reach).
    ///
    /// `None`, as provided, where there is none: then nothing about egress can be verified.
    fn egress_prober(&self, _need: IsolationNeed) -> Option<String> {
        None
    }

    /// Whether an attempt can be seen only by a process of the machine that launched it.
    ///
    /// Then nobody else can tell whether one that has no handle was started, and when its machine is gone it
    /// counts as lost. `true`, as provided, is the careful answer.
    fn only_here(&self) -> bool {
        true
    }

    /// Starts an attempt, once.
    ///
    /// # Errors
    /// [`ExecutorError`]; see the contract for what that says about the attempt.
    async fn launch(&self, attempt: &Attempt, secrets: &SecretEnv)
    -> Result<Handle, ExecutorError>;

    /// What is known of the attempt now.
    ///
    /// # Errors
    /// When the back end can not be asked.
    async fn observe(&self, handle: &Handle) -> Result<Observation, ExecutorError>;

    /// Waits for the end.
    ///
    /// # Errors
    /// When the back end can not be asked.
    async fn wait(&self, handle: &Handle) -> Result<Outcome, ExecutorError>;

    /// The log from a cursor on. With `follow`, the stream goes on until the attempt is over.
    fn logs(
        &self,
        handle: &Handle,
        from: LogCursor,
        follow: bool,
    ) -> BoxStream<'static, Result<LogChunk, ExecutorError>>;

    /// Ends the attempt and its whole process tree.
    ///
    /// # Errors
    /// When the request could not be made; it must then be repeated.
    async fn cancel(&self, handle: &Handle, grace: Duration) -> Result<(), ExecutorError>;

    /// Every attempt of `owner` that was launched here and not forgotten.
    ///
    /// # Errors
    /// When the list can not be had in full.
    async fn find_owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError>;

    /// Makes sure that an attempt which nobody has a handle of does not start any more: its launch may
    /// still be under way, although whoever asked for it is dead.
    ///
    /// `None` when it was not launched, and never will be by a request of before. Its handle when it was,
    /// so that it can be cancelled like any other.
    ///
    /// As provided, this asks [`find_owned`](Self::find_owned): enough where a launch does not go on after
    /// the death of its caller.
    ///
    /// # Errors
    /// When it could not be decided; it must then be asked again.
    async fn withdraw(&self, attempt: &Attempt) -> Result<Option<Handle>, ExecutorError> {
        let owned = self.find_owned(&attempt.owner).await?;
        Ok(owned
            .into_iter()
            .find(|handle| handle.attempt_id == attempt.id))
    }

    /// The output files of an attempt that is over, as local files.
    ///
    /// # Errors
    /// When they can not be read, or the attempt is not over.
    async fn collect(&self, handle: &Handle) -> Result<Vec<CollectedFile>, ExecutorError>;

    /// Drops what is kept of an attempt that is over: outputs, logs, record. `Ok` when that was done
    /// before.
    ///
    /// # Errors
    /// When it is not over, or can not be removed.
    async fn forget(&self, handle: &Handle) -> Result<(), ExecutorError>;
}

/// What a back end can give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Name for people and handles, e.g. `local`.
    pub name: String,
    /// Protections that a launch can have here, each.
    pub protections: Vec<Protection>,
    /// Protections that can not be had, each with the reason and what would give it.
    pub missing: Vec<moorline_core::attempt::MissingProtection>,
    /// Whether egress allow-lists are enforced.
    pub egress_allow_list: bool,
    /// Whether GPUs can be asked for.
    pub gpu: bool,
    /// Whether secret objects can be named, whose values only this back end's platform has
    /// ([`Attempt::secret_objects`]).
    pub secret_objects: bool,
    /// What the back end found of its platform, for people: name and finding.
    pub platform: Vec<(String, String)>,
}

impl Capabilities {
    /// A back end that runs attempts and protects nobody from them.
    pub fn plain(name: impl Into<String>) -> Self {
        let (protections, missing) = (Vec::new(), Vec::new());
        Self {
            name: name.into(),
            protections,
            missing,
            egress_allow_list: false,
            gpu: false,
            secret_objects: false,
            platform: Vec::new(),
        }
    }
}

/// An output file, local and complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectedFile {
    /// Path relative to the output directory, with `/`.
    pub path: String,
    /// Where it can be read.
    pub local: std::path::PathBuf,
    /// Bytes.
    pub size: u64,
}

/// A position in a log. Zero is the start; other values only come from [`LogChunk::next`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCursor(pub u64);

/// One line (or a part of a long one) of a log, redacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    /// When it was read from the job.
    pub at: Timestamp,
    /// Which stream.
    pub stream: LogStream,
    /// Text without the line end; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// False when the line goes on in the next chunk of its stream.
    pub ends_line: bool,
    /// Where to go on reading.
    pub next: LogCursor,
}

/// What [`Executor::logs`] gives.
pub type LogChunks = BoxStream<'static, Result<LogChunk, ExecutorError>>;

/// The stream a chunk came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The executor's own words: limits, kills, dropped bytes.
    System,
}

/// Why an executor could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// A protection that the lane requires can not be had here. Nothing ran (D-RUN, isolation).
    #[error("this machine can not give what the lane requires: {missing}")]
    Isolation {
        /// What is missing and what would give it.
        missing: String,
    },
    /// The attempt asks for something that this back end does not have. Nothing ran.
    #[error("the {executor} executor can not do this: {what}")]
    Unsupported {
        /// Name of the executor.
        executor: String,
        /// What was asked.
        what: String,
    },
    /// The program could not be started. Nothing ran.
    #[error("could not start: {reason}")]
    Start {
        /// What failed, without secrets.
        reason: String,
    },
    /// The handle means nothing here: another executor's, or forgotten.
    #[error("no such attempt here: {what}")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// The attempt is not over yet.
    #[error("the attempt is still running")]
    StillRunning,
    /// Whether the attempt was started is not known; `find_owned` tells, or a repeated `launch`.
    #[error("unknown whether the attempt started: {reason}")]
    Unknown {
        /// What went wrong.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl ExecutorError {
    /// Refuses what the back end named `executor` does not have. `what` ends the sentence "can not …".
    pub fn unsupported(executor: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Unsupported {
            executor: executor.into(),
            what: what.into(),
        }
    }

    /// What an error means for a launch whose request was on its way: after an I/O error it is
    /// [`Unknown`](Self::Unknown) whether the attempt started; all others stay as they are.
    #[must_use]
    pub fn into_unknown(self) -> Self {
        match self {
            Self::Io { what, source } => Self::Unknown {
                reason: format!("{what}: {source}"),
            },
            other => other,
        }
    }

    /// Wraps an I/O error with what was being done.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }
}
