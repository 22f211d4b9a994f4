//! [`Agent`]: an executor that leaves the work to a daemon, as one for a container engine or a cluster
//! would. This file is all that Moorline needs.
//!
//! Each operation is one connection to the daemon's socket: a line of JSON there, a line of JSON back. The
//! types of the executor interface are plain data, so they are the protocol. Whatever must survive a crash
//! is the daemon's; nothing is kept here, and so every instance with the same socket is as good as another.

use std::{path::PathBuf, time::Duration};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use moorline_executor::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The executor named `agent`, by the path of the daemon's socket.
#[derive(Debug, Clone)]
pub(crate) struct Agent(pub(crate) PathBuf);

type Answer<T> = Result<T, ExecutorError>;

impl Agent {
    async fn ask<T: serde::de::DeserializeOwned>(&self, verb: &str, with: Value) -> Answer<T> {
        let talk = async {
            let mut stream = tokio::net::UnixStream::connect(&self.0).await?;
            let line = format!("{}\n", json!([verb, with]));
            stream.write_all(line.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok::<(String, Value), std::io::Error>(serde_json::from_slice(&answer)?)
        };
        let broken = |error| ExecutorError::io(format!("asking the agent to {verb}"), error);
        let (kind, value) = talk.await.map_err(broken)?;
        let what = value.as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "done" => serde_json::from_value(value).map_err(|error| broken(error.into())),
            "not found" => Err(ExecutorError::NotFound { what }),
            "still running" => Err(ExecutorError::StillRunning),
            _ => Err(ExecutorError::unsupported("agent", what)),
        }
    }
}

#[async_trait]
impl Executor for Agent {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain("agent")
    }

    async fn launch(&self, attempt: &Attempt, secrets: &SecretEnv) -> Answer<Handle> {
        let (document, env) = (attempt.input_document(""), attempt.contract_env());
        let with = json!([attempt, document, env, secrets.len()]);
        let launched = self.ask("launch", with).await;
        // When the connection broke, the daemon may have begun.
        launched.map_err(ExecutorError::into_unknown)
    }

    async fn observe(&self, handle: &Handle) -> Answer<Observation> {
        self.ask("observe", json!([handle])).await
    }

    async fn wait(&self, handle: &Handle) -> Answer<Outcome> {
        self.ask("wait", json!([handle])).await
    }

    fn logs(&self, handle: &Handle, from: LogCursor, follow: bool) -> LogChunks {
        let read = move |(agent, handle, from): (Self, Handle, LogCursor)| async move {
            // No chunks: there are none now, and when following, none will come.
            let chunks: Vec<LogChunk> = agent.ask("logs", json!([handle, from, follow])).await?;
            let next = chunks.last().map(|last| (agent, handle, last.next));
            Ok(next.map(|next| (stream::iter(chunks.into_iter().map(Ok)), next)))
        };
        let begin = (self.clone(), handle.clone(), from);
        stream::try_unfold(begin, read).try_flatten().boxed()
    }

    async fn cancel(&self, handle: &Handle, grace: Duration) -> Answer<()> {
        self.ask("cancel", json!([handle, grace])).await
    }

    async fn find_owned(&self, owner: &str) -> Answer<Vec<Handle>> {
        self.ask("find_owned", json!([owner])).await
    }

    async fn withdraw(&self, attempt: &Attempt) -> Answer<Option<Handle>> {
        self.ask("withdraw", json!([attempt])).await
    }

    async fn collect(&self, handle: &Handle) -> Answer<Vec<CollectedFile>> {
        self.ask("collect", json!([handle])).await
    }

    async fn forget(&self, handle: &Handle) -> Answer<()> {
        self.ask("forget", json!([handle])).await
    }
}
