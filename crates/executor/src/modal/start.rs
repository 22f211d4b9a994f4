//! One launch: the objects that are missing, the sandbox, and the choices of GPU one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use moorline_core::attempt::{Attempt, Handle};
use moorline_core::clock::{Clock as _, SystemClock};
use moorline_core::spec::GpuChoice;
use moorline_modal_client::sandbox::Egress;
use moorline_modal_client::volume::Volume;
use moorline_modal_client::{Error, ErrorKind};
use moorline_secrets::SecretEnv;

use super::aimd::Started;
use super::handle::{self, TAG_WARM};
use super::inner::{Inner, failed};
use super::launch::{self, Objects};
use super::{NAME, bundle, helper, reap, warm};
use crate::executor::ExecutorError;

/// First and longest wait between two tries for room at Modal.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// A launch under way.
pub(super) struct Launcher<'a> {
    inner: &'a Arc<Inner>,
    attempt: &'a Attempt,
    secrets: &'a SecretEnv,
    egress: Egress,
    app: String,
    environment: String,
}

/// One of the sandboxes that are asked for, one after the other.
struct Try<'t> {
    gpu: Option<&'t GpuChoice>,
    /// Which choice it is, from 0.
    number: usize,
    /// What the log shall say of those before.
    notes: &'t [String],
}

/// The image to start from, and what to do with its file system afterwards.
struct Base {
    image_id: String,
    /// The key under which the file system is kept when the job succeeds.
    keep_as: Option<String>,
    /// The key under which this image was found.
    warm: Option<String>,
}

impl<'a> Launcher<'a> {
    /// Checks what can be checked without Modal.
    pub(super) fn new(
        inner: &'a Arc<Inner>,
        attempt: &'a Attempt,
        secrets: &'a SecretEnv,
    ) -> Result<Self, ExecutorError> {
        launch::isolation_of(attempt)?;
        let egress = launch::egress_of(attempt)?;
        if inner.remote.is_anonymous() {
            let reason = "run anything without a Modal token: set MODAL_TOKEN_ID and \
                          MODAL_TOKEN_SECRET, or log in with `modal token new`";
            return Err(ExecutorError::unsupported(NAME, reason));
        }
        let target = launch::target(&inner.config, attempt)?;
        let environment = inner.environment(attempt)?;
        Ok(Self {
            inner,
            attempt,
            secrets,
            egress,
            app: target.app.to_string(),
            environment,
        })
    }

    /// Starts the attempt, or finds it started.
    pub(super) async fn launch(self) -> Result<Handle, ExecutorError> {
        // Whether an earlier call has started it is not known as long as Modal does not answer.
        let found = self
            .inner
            .found(self.attempt)
            .await
            .map_err(ExecutorError::into_unknown)?;
        if let Some(handle) = found {
            return Ok(handle);
        }
        reap::once(self.inner, &self.environment);
        let mut objects = self.objects().await?;
        let mut base = self.base(&objects.app_id).await?;
        match self.try_choices(&mut objects, &base).await {
            // The snapshot is gone; its recipe is not.
            Err(ExecutorError::Start { reason }) if base.warm.is_some() => {
                tracing::warn!(attempt = %self.attempt.id, reason, "the warm start failed: starting cold");
                if let Some(key) = base.warm.take() {
                    self.inner.warm.invalidate(&key)?;
                }
                base = self.base(&objects.app_id).await?;
                self.keep().await?.id().clone_into(&mut objects.keep);
                self.try_choices(&mut objects, &base).await
            }
            other => other,
        }
    }

    /// Makes what is missing: app, volumes, the supervisor's mount.
    async fn objects(&self) -> Result<Objects, ExecutorError> {
        let remote = &self.inner.remote;
        let app_id = remote
            .app(&self.app, &self.environment)
            .await
            .map_err(start(format!("making the app `{}`", self.app)))?;
        let (keep, supervisor) = tokio::join!(self.keep(), helper::mount(self.inner, &app_id));
        let mut objects = Objects {
            keep: keep?.id().to_owned(),
            mounts: vec![supervisor?],
            app_id,
            ..Objects::default()
        };
        for mount in &self.attempt.mounts {
            // On this machine a step's volume is a directory of that name.
            let name = mount
                .source
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let volume = remote.volume(name, &self.environment).await;
            let volume = volume.map_err(start(format!("making the volume `{name}`")))?;
            objects
                .volumes
                .push((volume.id().to_owned(), mount.path.clone(), mount.read_only));
        }
        for object in &self.attempt.secret_objects {
            let id = remote.secret(object).await;
            let id = id.map_err(start(format!("finding the secret `{}`", object.name)))?;
            objects.secrets.push(id);
        }
        Ok(objects)
    }

    async fn keep(&self) -> Result<Volume, ExecutorError> {
        let name = handle::volume(self.attempt.id);
        let volume = self.inner.remote.volume(&name, &self.environment).await;
        volume.map_err(start(format!("making the volume `{name}`")))
    }

    /// The image, built when Modal does not have it; or what an earlier run of the step prepared.
    async fn base(&self, app_id: &str) -> Result<Base, ExecutorError> {
        let config = &self.inner.config;
        let reference = self
            .attempt
            .image
            .as_deref()
            .unwrap_or(&config.default_image);
        // Snapshots of the first sandbox API, which GPUs need, can not be taken this way.
        let warms =
            self.attempt.warm_start && config.warm.entries > 0 && self.attempt.gpu.is_empty();
        let mut keep_as = None;
        if warms {
            let key = warm::key(self.attempt, reference)
                .map_err(|error| ExecutorError::io("reading the job directory", error))?;
            if let Some(image_id) = self.inner.warm.get(&key, SystemClock.now())? {
                return Ok(Base {
                    image_id,
                    keep_as: None,
                    warm: Some(key),
                });
            }
            keep_as = Some(key);
        }
        let image = self
            .inner
            .remote
            .image(app_id, &self.environment, reference)
            .await;
        let image_id = image.map_err(start(format!("making the image `{reference}`")))?;
        Ok(Base {
            image_id,
            keep_as,
            warm: None,
        })
    }

    /// Asks for each choice of GPU as long as it may be waited for.
    async fn try_choices(
        &self,
        objects: &mut Objects,
        base: &Base,
    ) -> Result<Handle, ExecutorError> {
        base.image_id.clone_into(&mut objects.image_id);
        let choices: Vec<Option<&GpuChoice>> = match self.attempt.gpu.as_slice() {
            [] => vec![None],
            choices => choices.iter().map(Some).collect(),
        };
        let mut notes: Vec<String> = base
            .warm
            .iter()
            .map(|_| "started from the file system of an earlier run".to_owned())
            .collect();
        let mut unavailable = String::new();
        for (number, choice) in choices.iter().enumerate() {
            let (sandbox_id, tags) = self
                .start_one(
                    objects,
                    base,
                    Try {
                        gpu: *choice,
                        number,
                        notes: &notes,
                    },
                )
                .await?;
            let patience = choice.and_then(|choice| choice.queue_timeout_seconds);
            let (Some(choice), Some(patience)) = (choice, patience) else {
                return self.inner.handle_of(self.attempt, sandbox_id, &tags);
            };
            let patience = Duration::from_secs(patience.into());
            let began = self.inner.remote.started(&sandbox_id, patience).await;
            if began
                .map_err(failed("waiting for a GPU"))
                .map_err(ExecutorError::into_unknown)?
            {
                return self.inner.handle_of(self.attempt, sandbox_id, &tags);
            }
            let ended = self.inner.remote.terminate(&sandbox_id).await;
            ended
                .map_err(failed("giving up a GPU"))
                .map_err(ExecutorError::into_unknown)?;
            unavailable = format!(
                "no GPU {} x{} within {patience:?}",
                choice.kind, choice.count
            );
            if let Some(Some(next)) = choices.get(number + 1) {
                let text = format!("{unavailable}: asking for {} x{}", next.kind, next.count);
                tracing::warn!(attempt = %self.attempt.id, gpu = next.kind, "{text}");
                notes.push(text);
            }
        }
        Err(ExecutorError::Start {
            reason: unavailable,
        })
    }

    /// Creates one sandbox, waiting for room at Modal.
    async fn start_one(
        &self,
        objects: &Objects,
        base: &Base,
        Try { gpu, number, notes }: Try<'_>,
    ) -> Result<(String, BTreeMap<String, String>), ExecutorError> {
        let inner = self.inner;
        let hold = if base.keep_as.is_some() {
            inner.config.warm.hold
        } else {
            Duration::ZERO
        };
        // The supervisor hands these on, and keeps what else an object has out of the job's environment.
        let named = self.attempt.secret_objects.iter();
        let keys: BTreeSet<String> = self
            .secrets
            .keys()
            .map(ToString::to_string)
            .chain(named.flat_map(|object| object.keys.iter().cloned()))
            .collect();
        let keys: Vec<String> = keys.into_iter().collect();
        let hold_ms = u64::try_from(hold.as_millis()).unwrap_or(u64::MAX);
        let request = launch::request(self.attempt, &keys, notes.to_vec(), hold_ms);
        let files = bundle::files(self.attempt, &request)?;
        let mount = inner.remote.mount(&objects.app_id, &files).await;
        let mount = mount.map_err(start("sending the job's files"))?;
        let mut objects = objects.clone();
        objects.mounts.push(mount);
        let mut spec = launch::spec(
            self.attempt,
            &objects,
            self.egress.clone(),
            self.secrets,
            gpu,
            hold,
        );
        spec.tags
            .extend(handle::gpu_tags(&self.attempt.gpu, number));
        if let Some(key) = &base.keep_as {
            spec.tags.insert(TAG_WARM.to_owned(), handle::warm_tag(key));
        }
        spec.validate()
            .map_err(|error| ExecutorError::unsupported(NAME, error.to_string()))?;
        // The same for every caller that launches this attempt, in whatever process.
        let key = format!("{}-{number}", self.attempt.id);
        let (mut wait, mut waited) = (BACKOFF.0, Duration::ZERO);
        loop {
            let permit = inner.starts.acquire().await;
            let created = inner.remote.create(&spec, &key).await;
            let error = match created {
                Ok(sandbox_id) => {
                    permit.finish(Started::Well);
                    return Ok((sandbox_id, spec.tags));
                }
                Err(error) => error,
            };
            if error.kind() == ErrorKind::ResourceExhausted && waited < inner.config.start_patience
            {
                permit.finish(Started::Refused);
                tracing::info!(attempt = %self.attempt.id, %error, "no room at Modal yet");
                tokio::time::sleep(wait).await;
                waited += wait;
                wait = (wait * 2).min(BACKOFF.1);
                continue;
            }
            drop(permit);
            return self
                .recover(error)
                .await
                .map(|sandbox_id| (sandbox_id, spec.tags));
        }
    }

    /// After a creation that failed: either it took place all the same, or it never will.
    async fn recover(&self, error: Error) -> Result<String, ExecutorError> {
        let unknown = |why: String| ExecutorError::Unknown {
            reason: format!("{error}; {why}"),
        };
        let found = async {
            let handle = self
                .inner
                .found(self.attempt)
                .await
                .map_err(|error| unknown(error.to_string()))?;
            let place = handle.as_ref().map(handle::place).transpose()?;
            Ok::<_, ExecutorError>(place.map(|place| place.sandbox_id))
        };
        if let Some(sandbox_id) = found.await? {
            return Ok(sandbox_id);
        }
        // A creation that is still on its way names this volume, and fails without it.
        let (remote, name) = (&self.inner.remote, handle::volume(self.attempt.id));
        if let Some(keep) = failed_as(remote.find_volume(&name, &self.environment).await, unknown)?
        {
            match keep.delete().await {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(unknown(error.to_string()));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Err(ExecutorError::Start {
            reason: told("creating the sandbox", &error),
        })
    }
}

fn failed_as<T>(
    answer: moorline_modal_client::Result<T>,
    means: impl FnOnce(String) -> ExecutorError,
) -> Result<T, ExecutorError> {
    answer.map_err(|error| means(error.to_string()))
}

/// An error before anything was started.
fn start(what: impl Into<String>) -> impl FnOnce(Error) -> ExecutorError {
    let what = what.into();
    move |error| ExecutorError::Start {
        reason: told(&what, &error),
    }
}

/// An error with its causes, in one line.
fn told(what: &str, error: &Error) -> String {
    let mut text = format!("{what}: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
