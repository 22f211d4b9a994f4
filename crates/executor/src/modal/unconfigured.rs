//! [`Unconfigured`]: stands where Modal is not set up, and says so.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt as _};
use moorline_core::attempt::{Attempt, Handle, Observation, Outcome};
use moorline_secrets::SecretEnv;

use super::NAME;
use crate::executor::{
    Capabilities, CollectedFile, Executor, ExecutorError, LogChunks, LogCursor,
};

/// An executor of the name `modal` that refuses every launch with the reason why Modal can not be used.
#[derive(Debug, Clone)]
pub struct Unconfigured {
    reason: String,
}

impl Unconfigured {
    /// `reason` says what is missing and what to do.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    fn error(&self) -> ExecutorError {
        ExecutorError::io("Modal is not set up", io::Error::other(self.reason.clone()))
    }
}

#[async_trait]
impl Executor for Unconfigured {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::plain(NAME);
        capabilities.platform.push(("not set up".to_owned(), self.reason.clone()));
        capabilities
    }

    async fn launch(&self, _: &Attempt, _: &SecretEnv) -> Result<Handle, ExecutorError> {
        Err(ExecutorError::Start { reason: format!("Modal is not set up: {}", self.reason) })
    }

    async fn observe(&self, _: &Handle) -> Result<Observation, ExecutorError> {
        Err(self.error())
    }

    async fn wait(&self, _: &Handle) -> Result<Outcome, ExecutorError> {
        Err(self.error())
    }

    fn logs(&self, _: &Handle, _: LogCursor, _: bool) -> LogChunks {
        let error = self.error();
        stream::once(async { Err(error) }).boxed()
    }

    async fn cancel(&self, _: &Handle, _: Duration) -> Result<(), ExecutorError> {
        Err(self.error())
    }

    async fn find_owned(&self, _: &str) -> Result<Vec<Handle>, ExecutorError> {
        Err(self.error())
    }

    async fn collect(&self, _: &Handle) -> Result<Vec<CollectedFile>, ExecutorError> {
        Err(self.error())
    }

    async fn forget(&self, _: &Handle) -> Result<(), ExecutorError> {
        Err(self.error())
    }
}
