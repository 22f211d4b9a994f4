//! Spans and events for each call.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use moorline_core::attempt::{Attempt, Handle, IsolationNeed, Observation, Outcome};
use moorline_secrets::SecretEnv;
use tracing::{Instrument as _, Span, debug, debug_span, info, info_span, warn};

use crate::executor::{Capabilities, CollectedFile, Executor, ExecutorError, LogChunk, LogCursor};

/// Puts each call into a span with the executor's name and the attempt's id, and tells what came of it.
///
/// Calls that change something (`launch`, `cancel`, `withdraw`, `forget`, and the end seen by `wait`) are
/// told at `INFO`, the others at `DEBUG`, errors at `WARN`. Neither secrets nor arguments, variables or log text
/// are recorded: of a secret not even the name.
#[derive(Debug)]
pub struct Traced {
    inner: Arc<dyn Executor>,
    name: String,
}

impl Traced {
    /// Traces the calls to `inner`.
    pub fn new(inner: Arc<dyn Executor>) -> Self {
        let name = inner.capabilities().name;
        Self { inner, name }
    }

    fn changing(&self, operation: &'static str, attempt_id: &impl Display) -> Span {
        info_span!("executor", operation, executor = self.name, %attempt_id)
    }

    fn asking(&self, operation: &'static str, attempt_id: &impl Display) -> Span {
        debug_span!("executor", operation, executor = self.name, %attempt_id)
    }
}

/// Runs a call inside its span; `done` tells of its success there.
async fn told<T>(
    span: Span,
    call: impl Future<Output = Result<T, ExecutorError>>,
    done: impl FnOnce(&T),
) -> Result<T, ExecutorError> {
    async {
        let answer = call.await;
        match &answer {
            Ok(value) => done(value),
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = error;
                warn!(error, "failed");
            }
        }
        answer
    }
    .instrument(span)
    .await
}

#[async_trait]
impl Executor for Traced {
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
        let span = info_span!(
            "executor",
            operation = "launch",
            executor = self.name,
            attempt_id = %attempt.id,
            run_id = %attempt.run_id,
            job_id = attempt.job_id,
            step = attempt.step,
            number = attempt.number,
        );
        told(span, self.inner.launch(attempt, secrets), |_| {
            info!("launched");
        })
        .await
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation, ExecutorError> {
        let span = self.asking("observe", &handle.attempt_id);
        told(span, self.inner.observe(handle), |seen| {
            debug!(is_over = matches!(seen, Observation::Over(_)), "observed");
        })
        .await
    }

    async fn wait(&self, handle: &Handle) -> Result<Outcome, ExecutorError> {
        let span = self.changing("wait", &handle.attempt_id);
        told(span, self.inner.wait(handle), |outcome| {
            let Outcome { exit, usage, .. } = outcome;
            info!(?exit, wall_seconds = usage.wall_seconds, "over");
        })
        .await
    }

    fn logs(
        &self,
        handle: &Handle,
        from: LogCursor,
        follow: bool,
    ) -> BoxStream<'static, Result<LogChunk, ExecutorError>> {
        let span = self.asking("logs", &handle.attempt_id);
        let log = span.in_scope(|| {
            debug!(from = from.0, follow, "reading");
            self.inner.logs(handle, from, follow)
        });
        log.inspect(move |chunk| {
            if let Err(error) = chunk {
                let error: &(dyn std::error::Error + 'static) = error;
                span.in_scope(|| warn!(error, "failed"));
            }
        })
        .boxed()
    }

    async fn cancel(&self, handle: &Handle, grace: Duration) -> Result<(), ExecutorError> {
        let span = self.changing("cancel", &handle.attempt_id);
        told(span, self.inner.cancel(handle, grace), |()| {
            info!(?grace, "cancel requested");
        })
        .await
    }

    async fn find_owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        let span = debug_span!(
            "executor",
            operation = "find_owned",
            executor = self.name,
            owner
        );
        let count = |found: &Vec<Handle>| debug!(count = found.len(), "found");
        told(span, self.inner.find_owned(owner), count).await
    }

    async fn withdraw(&self, attempt: &Attempt) -> Result<Option<Handle>, ExecutorError> {
        let span = self.changing("withdraw", &attempt.id);
        told(span, self.inner.withdraw(attempt), |found| {
            info!(was_launched = found.is_some(), "withdrawn");
        })
        .await
    }

    async fn collect(&self, handle: &Handle) -> Result<Vec<CollectedFile>, ExecutorError> {
        let span = self.asking("collect", &handle.attempt_id);
        let count = |files: &Vec<CollectedFile>| debug!(count = files.len(), "collected");
        told(span, self.inner.collect(handle), count).await
    }

    async fn forget(&self, handle: &Handle) -> Result<(), ExecutorError> {
        let span = self.changing("forget", &handle.attempt_id);
        told(span, self.inner.forget(handle), |()| info!("forgotten")).await
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use moorline_secrets::{Origin, SecretValue};
    use tracing::instrument::WithSubscriber as _;

    use super::*;
    use crate::decorators::double::{attempt, double};

    #[derive(Debug, Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// L54: the sinks of tracing.
    #[tokio::test]
    async fn calls_are_told_with_their_attempt_and_without_secrets() {
        let (_, executor) = double();
        let traced = Traced::new(executor);
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        let mut attempt = attempt(7);
        attempt
            .env
            .insert("PLAIN".to_owned(), "plain-variable".to_owned());
        attempt.argv.push("an-argument".into());
        let mut secrets = SecretEnv::new();
        let value = SecretValue::from("s3cret-value".to_owned());
        secrets.insert("TOKEN".parse().unwrap(), value, Origin::new("test"));
        async {
            let handle = traced.launch(&attempt, &secrets).await.unwrap();
            traced.collect(&handle).await.unwrap_err();
            traced.cancel(&handle, Duration::ZERO).await.unwrap();
            traced.wait(&handle).await.unwrap();
        }
        .with_subscriber(subscriber)
        .await;

        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let events: Vec<_> = text
            .lines()
            .map(|line| {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                let text =
                    |pointer: &str| event.pointer(pointer).unwrap().as_str().unwrap().to_owned();
                assert_eq!(text("/span/attempt_id"), attempt.id.to_string());
                assert_eq!(text("/span/executor"), "double");
                [
                    text("/level"),
                    text("/span/operation"),
                    text("/fields/message"),
                ]
            })
            .collect();
        let expected = [
            ["INFO", "launch", "launched"],
            ["WARN", "collect", "failed"],
            ["INFO", "cancel", "cancel requested"],
            ["INFO", "wait", "over"],
        ];
        assert_eq!(events, expected.map(|event| event.map(str::to_owned)));
        for hidden in ["s3cret-value", "TOKEN", "plain-variable", "an-argument"] {
            assert!(!text.contains(hidden), "{hidden} is in {text}");
        }
    }
}
