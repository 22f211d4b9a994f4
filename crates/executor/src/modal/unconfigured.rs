//! [`Unconfigured`]: stands where Modal is not set up, and says so.

use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt as _};
use moorline_core::attempt::{Attempt, Handle, Observation, Outcome};
use moorline_secrets::SecretEnv;

use super::archive::Archives;
use super::log_source::archived;
use super::{NAME, handle, logs, world};
use crate::executor::{Capabilities, CollectedFile, Executor, ExecutorError, LogChunks, LogCursor};

/// An executor of the name `modal` that refuses every launch with the reason why Modal can not be used. What
/// is on this machine of attempts that are over can be had all the same.
#[derive(Debug, Clone)]
pub struct Unconfigured {
    reason: String,
    archives: Archives,
}

impl Unconfigured {
    /// `reason` says what is missing and what to do; `root` is that of the configuration that was used before.
    ///
    /// # Errors
    /// When the directory can not be made.
    pub fn new(reason: impl Into<String>, root: &Path) -> Result<Self, ExecutorError> {
        Ok(Self {
            reason: reason.into(),
            archives: Archives::open(&root.join("attempts"))?,
        })
    }

    fn error(&self) -> ExecutorError {
        ExecutorError::io("Modal is not set up", io::Error::other(self.reason.clone()))
    }

    async fn outcome(&self, handle: &Handle) -> Result<Outcome, ExecutorError> {
        match self.archives.record(handle.attempt_id)? {
            Some(record) => Ok(record.outcome),
            None => world::elsewhere(&self.archives, handle).await,
        }
    }
}

#[async_trait]
impl Executor for Unconfigured {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::plain(NAME);
        capabilities
            .platform
            .push(("not set up".to_owned(), self.reason.clone()));
        capabilities
    }

    fn only_here(&self) -> bool {
        false
    }

    async fn launch(&self, _: &Attempt, _: &SecretEnv) -> Result<Handle, ExecutorError> {
        Err(ExecutorError::unsupported(
            NAME,
            format!("run anything here: {}", self.reason),
        ))
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation, ExecutorError> {
        self.outcome(handle)
            .await
            .map(|outcome| Observation::Over(Box::new(outcome)))
    }

    async fn wait(&self, handle: &Handle) -> Result<Outcome, ExecutorError> {
        self.outcome(handle).await
    }

    fn logs(&self, handle: &Handle, from: LogCursor, _: bool) -> LogChunks {
        let (this, handle) = (self.clone(), handle.clone());
        let bytes = async move {
            this.outcome(&handle).await?;
            archived(&this.archives.log(handle.attempt_id), from.0)
        };
        stream::once(bytes)
            .flat_map(move |bytes| match bytes {
                Ok(bytes) => logs::frames(bytes, from),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            })
            .boxed()
    }

    async fn cancel(&self, handle: &Handle, _: Duration) -> Result<(), ExecutorError> {
        self.outcome(handle).await.map(drop)
    }

    async fn find_owned(&self, _: &str) -> Result<Vec<Handle>, ExecutorError> {
        // What is here may not be all that there is.
        Err(self.error())
    }

    async fn collect(&self, handle: &Handle) -> Result<Vec<CollectedFile>, ExecutorError> {
        self.outcome(handle).await?;
        let record = self.archives.record(handle.attempt_id)?;
        let record = record.ok_or_else(|| handle::not_found(handle.attempt_id))?;
        self.archives.outputs(handle.attempt_id, record)
    }

    async fn forget(&self, handle: &Handle) -> Result<(), ExecutorError> {
        self.outcome(handle).await?;
        self.archives.remove(handle.attempt_id)
    }
}
