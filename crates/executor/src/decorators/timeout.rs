//! A bound on each call to the back end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use moorline_core::attempt::{Attempt, Handle, IsolationNeed, Observation, Outcome};
use moorline_secrets::SecretEnv;
use tokio::time::timeout;

use crate::executor::{Capabilities, CollectedFile, Executor, ExecutorError, LogChunk, LogCursor};

/// Bounds each call to a back end that may not answer. Attempts are not bounded: their timeout is
/// [`Limits::timeout`](moorline_core::attempt::Limits::timeout).
///
/// | call | when the time is up |
/// |---|---|
/// | `launch` | [`ExecutorError::Unknown`]: it may have started |
/// | `observe`, `cancel`, `find_owned`, `withdraw`, `collect`, `forget` | [`ExecutorError::Io`] of kind `TimedOut`; may be repeated |
/// | `logs` without `follow` | the same, when the time goes by between two chunks |
/// | `wait`, `logs` with `follow` | never: they take as long as the attempt does |
///
/// Needs a tokio runtime with time enabled.
#[derive(Debug)]
pub struct WithTimeout {
    inner: Arc<dyn Executor>,
    bound: Duration,
}

impl WithTimeout {
    /// Gives each call to `inner` the time `bound`.
    pub fn new(inner: Arc<dyn Executor>, bound: Duration) -> Self {
        Self { inner, bound }
    }

    async fn bounded<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, ExecutorError>>,
    ) -> Result<T, ExecutorError> {
        timeout(self.bound, call)
            .await
            .unwrap_or_else(|_| Err(late(what, self.bound)))
    }
}

fn late(what: &str, bound: Duration) -> ExecutorError {
    let what = format!("`{what}` of the executor gave no answer within {bound:?}");
    ExecutorError::io(what, io::ErrorKind::TimedOut.into())
}

#[async_trait]
impl Executor for WithTimeout {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn egress_prober(&self, need: IsolationNeed) -> Option<String> {
        self.inner.egress_prober(need)
    }

    fn only_here(&self) -> bool {
        self.inner.only_here()
    }

    async fn launch(
        &self,
        attempt: &Attempt,
        secrets: &SecretEnv,
    ) -> Result<Handle, ExecutorError> {
        timeout(self.bound, self.inner.launch(attempt, secrets))
            .await
            .unwrap_or_else(|_| {
                let reason = format!(
                    "`launch` of the executor gave no answer within {:?}",
                    self.bound
                );
                Err(ExecutorError::Unknown { reason })
            })
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation, ExecutorError> {
        self.bounded("observe", self.inner.observe(handle)).await
    }

    async fn wait(&self, handle: &Handle) -> Result<Outcome, ExecutorError> {
        self.inner.wait(handle).await
    }

    fn logs(
        &self,
        handle: &Handle,
        from: LogCursor,
        follow: bool,
    ) -> BoxStream<'static, Result<LogChunk, ExecutorError>> {
        let log = self.inner.logs(handle, from, follow);
        if follow {
            return log;
        }
        let bound = self.bound;
        let next = move |log: Option<BoxStream<'static, _>>| async move {
            let mut log = log?;
            match timeout(bound, log.next()).await {
                Ok(chunk) => Some((chunk?, Some(log))),
                Err(_) => Some((Err(late("logs", bound)), None)),
            }
        };
        stream::unfold(Some(log), next).boxed()
    }

    async fn cancel(&self, handle: &Handle, grace: Duration) -> Result<(), ExecutorError> {
        self.bounded("cancel", self.inner.cancel(handle, grace))
            .await
    }

    async fn find_owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        self.bounded("find_owned", self.inner.find_owned(owner))
            .await
    }

    async fn withdraw(&self, attempt: &Attempt) -> Result<Option<Handle>, ExecutorError> {
        self.bounded("withdraw", self.inner.withdraw(attempt)).await
    }

    async fn collect(&self, handle: &Handle) -> Result<Vec<CollectedFile>, ExecutorError> {
        self.bounded("collect", self.inner.collect(handle)).await
    }

    async fn forget(&self, handle: &Handle) -> Result<(), ExecutorError> {
        self.bounded("forget", self.inner.forget(handle)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decorators::double::{attempt, double};

    fn is_timed_out<T: std::fmt::Debug>(answer: Result<T, ExecutorError>) -> bool {
        matches!(answer, Err(ExecutorError::Io { source, .. }) if source.kind() == io::ErrorKind::TimedOut)
    }

    #[tokio::test(start_paused = true)]
    async fn a_back_end_that_does_not_answer_is_an_error_of_each_call() {
        let (double, executor) = double();
        let handle = double
            .launch(&attempt(1), &SecretEnv::default())
            .await
            .unwrap();
        double.hang();
        let bounded = WithTimeout::new(executor, Duration::from_secs(5));
        let launched = bounded.launch(&attempt(2), &SecretEnv::default()).await;
        assert!(
            matches!(launched, Err(ExecutorError::Unknown { .. })),
            "{launched:?}"
        );
        assert!(is_timed_out(bounded.observe(&handle).await));
        assert!(is_timed_out(bounded.cancel(&handle, Duration::ZERO).await));
        assert!(is_timed_out(bounded.find_owned("owner").await));
        assert!(is_timed_out(bounded.withdraw(&attempt(1)).await));
        assert!(is_timed_out(bounded.collect(&handle).await));
        assert!(is_timed_out(bounded.forget(&handle).await));
        let log: Vec<_> = bounded
            .logs(&handle, LogCursor::default(), false)
            .collect()
            .await;
        assert!(
            matches!(log.as_slice(), [Err(ExecutorError::Io { .. })]),
            "{log:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_takes_as_long_as_the_attempt() {
        let (double, executor) = double();
        let bounded = WithTimeout::new(executor, Duration::from_secs(5));
        let handle = bounded
            .launch(&attempt(1), &SecretEnv::default())
            .await
            .unwrap();
        let end = async {
            tokio::time::sleep(Duration::from_hours(1)).await;
            double.end(handle.attempt_id);
        };
        let (outcome, ()) = tokio::join!(bounded.wait(&handle), end);
        assert!(outcome.is_ok());
    }
}
