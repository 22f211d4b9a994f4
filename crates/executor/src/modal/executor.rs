//! [`ModalExecutor`]: the [`Executor`] of Modal's sandboxes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _};
use moorline_core::attempt::{Attempt, Handle, IsolationNeed, Observation, Outcome};
use moorline_modal_client::ErrorKind;
use moorline_modal_client::transfer::Files;
use moorline_modal_client::volume::PutOptions;
use moorline_secrets::SecretEnv;

use super::aimd::Starts;
use super::archive::Archives;
use super::config::ModalConfig;
use super::handle;
use super::inner::{CANCELLED, Inner, failed};
use super::remote::Remote;
use super::start::Launcher;
use super::warm::Index;
use super::{NAME, launch, logs, snapshot};
use crate::executor::{Capabilities, CollectedFile, Executor, ExecutorError, LogChunk, LogCursor};
use crate::supervise::guest::{CANCEL, GUEST, PROGRAM};

/// How long one question for a sandbox's end may be held by the server.
const HOLD: Duration = Duration::from_secs(10);

/// Runs attempts in Modal's sandboxes. See [the module](super).
///
/// Its methods need a tokio runtime with I/O and time. It is cheap to make, connects at the first call, and
/// holds no state that is not also at Modal or below [`ModalConfig::root`].
#[derive(Debug, Clone)]
pub struct ModalExecutor {
    inner: Arc<Inner>,
}

impl ModalExecutor {
    /// Prepares the directory for what is kept. Nothing is sent yet.
    ///
    /// # Errors
    /// When the directory can not be made.
    pub fn new(config: ModalConfig) -> Result<Self, ExecutorError> {
        let archives = Archives::open(&config.root.join("attempts"))?;
        let inner = Inner {
            remote: Remote::new(config.client.clone()),
            archives,
            starts: Starts::new(config.starts),
            warm: Index::new(&config.root, config.warm.entries),
            reaped: AtomicBool::new(false),
            config,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}

#[async_trait]
impl Executor for ModalExecutor {
    fn capabilities(&self) -> Capabilities {
        let inner = &self.inner;
        Capabilities {
            name: NAME.to_owned(),
            protections: launch::isolation().protections,
            missing: Vec::new(),
            egress_allow_list: true,
            gpu: true,
            secret_objects: true,
            platform: vec![
                ("server".to_owned(), inner.remote.server()),
                (
                    "default image".to_owned(),
                    inner.config.default_image.clone(),
                ),
            ],
        }
    }

    fn egress_prober(&self, _: IsolationNeed) -> Option<String> {
        Some(PROGRAM.to_owned())
    }

    fn only_here(&self) -> bool {
        false
    }

    async fn launch(
        &self,
        attempt: &Attempt,
        secrets: &SecretEnv,
    ) -> Result<Handle, ExecutorError> {
        Launcher::new(&self.inner, attempt, secrets)?.launch().await
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation, ExecutorError> {
        Ok(match self.inner.look(handle, Duration::ZERO).await? {
            Some(outcome) => Observation::Over(Box::new(outcome)),
            None => Observation::Running,
        })
    }

    async fn wait(&self, handle: &Handle) -> Result<Outcome, ExecutorError> {
        let over = async {
            loop {
                if let Some(outcome) = self.inner.look(handle, HOLD).await? {
                    return Ok(outcome);
                }
            }
        };
        let snapshot = snapshot::when_held(&self.inner, handle);
        tokio::pin!(over, snapshot);
        tokio::select! {
            outcome = &mut over => outcome,
            () = snapshot => over.await,
        }
    }

    fn logs(
        &self,
        handle: &Handle,
        from: LogCursor,
        follow: bool,
    ) -> BoxStream<'static, Result<LogChunk, ExecutorError>> {
        let (inner, handle) = (Arc::clone(&self.inner), handle.clone());
        stream::once(inner.log_bytes(handle, from.0, follow))
            .flat_map(move |bytes| match bytes {
                Ok(bytes) => logs::frames(bytes, from),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            })
            .boxed()
    }

    async fn cancel(&self, handle: &Handle, grace: Duration) -> Result<(), ExecutorError> {
        let inner = &self.inner;
        if inner.look(handle, Duration::ZERO).await?.is_some() {
            return Ok(());
        }
        let place = inner.place(handle)?;
        let millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let command = [PROGRAM, GUEST, CANCEL]
            .map(str::to_owned)
            .into_iter()
            .chain([millis.to_string()]);
        let asked = inner
            .remote
            .exec(&place.sandbox_id, command.collect())
            .await;
        let why = match asked {
            Ok((0, _)) => return Ok(()),
            Ok((code, _)) => format!("the supervisor's answer is {code}"),
            Err(error) => error.to_string(),
        };
        if inner.look(handle, Duration::ZERO).await?.is_some() {
            return Ok(());
        }
        // The supervisor can not be reached, so the platform is asked to end it all.
        tracing::warn!(attempt = %handle.attempt_id, why, "its sandbox is terminated without its grace");
        if let Some(volume) = inner.volume(handle.attempt_id, &place).await? {
            let mark = Files::new().bytes("", CANCELLED);
            let options = PutOptions::new().overwrite();
            volume
                .put(&mark, options)
                .await
                .map_err(failed("noting the request to cancel"))?;
        }
        let ended = inner.remote.terminate(&place.sandbox_id).await;
        ended.map_err(failed(format!("terminating sandbox {}", place.sandbox_id)))
    }

    async fn find_owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        self.inner.owned(owner).await
    }

    async fn withdraw(&self, attempt: &Attempt) -> Result<Option<Handle>, ExecutorError> {
        let inner = &self.inner;
        if let Some(handle) = inner.found(attempt).await? {
            return Ok(Some(handle));
        }
        // A creation that is still on its way names this volume, and fails without it.
        let (name, environment) = (handle::volume(attempt.id), inner.environment(attempt)?);
        let volume = inner.remote.find_volume(&name, &environment).await;
        if let Some(volume) = volume.map_err(failed(format!("looking for volume `{name}`")))? {
            match volume.delete().await {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed(format!("deleting volume `{name}`"))(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        inner.found(attempt).await
    }

    async fn collect(&self, handle: &Handle) -> Result<Vec<CollectedFile>, ExecutorError> {
        let (inner, id) = (&self.inner, handle.attempt_id);
        if let Some(record) = inner.archives.record(id)? {
            return inner.archives.outputs(id, record);
        }
        let place = inner.place(handle)?;
        let end = match inner.remote.end(&place.sandbox_id, Duration::ZERO).await {
            Ok(None) => return Err(ExecutorError::StillRunning),
            Ok(Some(end)) => end,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(handle::not_found(id)),
            Err(error) => {
                return Err(failed(format!("asking for sandbox {}", place.sandbox_id))(
                    error,
                ));
            }
        };
        let record = inner.record(handle, &place, &end).await?;
        inner.archive(handle, &place, &record).await?;
        let record = inner.archives.record(id)?.unwrap_or(record);
        inner.archives.outputs(id, record)
    }

    async fn forget(&self, handle: &Handle) -> Result<(), ExecutorError> {
        let (inner, id) = (&self.inner, handle.attempt_id);
        match inner.look(handle, Duration::ZERO).await {
            Ok(None) => return Err(ExecutorError::StillRunning),
            Ok(Some(_)) | Err(ExecutorError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        if let Ok(place) = inner.place(handle)
            && let Some(volume) = inner.volume(id, &place).await?
        {
            match volume.delete().await {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed(format!("deleting what attempt {id} left"))(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        inner.archives.remove(id)
    }
}
