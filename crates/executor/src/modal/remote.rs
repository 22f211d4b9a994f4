//! What this executor asks of Modal, each by the client's calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use moorline_core::attempt::SecretObjectRef;
use moorline_modal_client::images::{BuildOptions, ImageDefinition};
use moorline_modal_client::sandbox::{ExecSpec, Outcome, Sandbox, SandboxFilter, SandboxSpec};
use moorline_modal_client::transfer::Files;
use moorline_modal_client::volume::{Version, Volume, VolumeInfo};
use moorline_modal_client::{
    CallOptions, Client, Credentials, Error, ErrorKind, Existence, Result,
};

use super::inner::failed;
use super::logs::LogBytes;
use super::outcome::SandboxEnd;

/// Bytes that a command of ours answers at most: the largest log that an attempt may keep, and more.
const LARGEST_ANSWER: usize = 1 << 30;

/// One Modal workspace, as a client reaches it.
#[derive(Debug)]
pub(super) struct Remote {
    client: Client,
    /// Handles of sandboxes that ran when they were last seen, so that each question is one call.
    running: Mutex<HashMap<String, Sandbox>>,
    images: Mutex<HashMap<(String, String), String>>,
    apps: Mutex<HashMap<(String, String), String>>,
}

/// A sandbox of a list.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) sandbox_id: String,
    pub(super) tags: BTreeMap<String, String>,
}

/// The environment of a call; the client's own when it has no name.
fn named(environment: &str) -> Option<&str> {
    Some(environment).filter(|name| !name.is_empty())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remote {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            running: Mutex::default(),
            images: Mutex::default(),
            apps: Mutex::default(),
        }
    }

    /// Address of the server, which tells one Modal from another.
    pub(super) fn server(&self) -> String {
        self.client
            .config()
            .servers
            .first()
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    /// Whether no credentials are set.
    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self.client.config().credentials, Credentials::Anonymous)
    }

    /// Id of the app of that name, made when it is missing.
    pub(super) async fn app(&self, name: &str, environment: &str) -> Result<String> {
        let key = (environment.to_owned(), name.to_owned());
        if let Some(known) = lock(&self.apps).get(&key) {
            return Ok(known.clone());
        }
        if let Some(environment) = named(environment) {
            self.client
                .environments()
                .lookup(Some(environment), Existence::CreateIfMissing)
                .await?;
        }
        let app = self
            .client
            .apps()
            .lookup(name, named(environment), Existence::CreateIfMissing)
            .await?;
        lock(&self.apps).insert(key, app.id.clone());
        Ok(app.id)
    }

    /// Id of a secret object that has these keys. Asked each time: an object that was deleted and set
    /// again has another id.
    pub(super) async fn secret(&self, object: &SecretObjectRef) -> Result<String> {
        let keys: Vec<&str> = object.keys.iter().map(String::as_str).collect();
        let secrets = self.client.secrets();
        let found = secrets.lookup(&object.name, named(&object.environment), &keys);
        Ok(found.await?.id)
    }

    /// Id of the image, built when Modal does not have it.
    pub(super) async fn image(
        &self,
        app_id: &str,
        environment: &str,
        reference: &str,
    ) -> Result<String> {
        let key = (app_id.to_owned(), reference.to_owned());
        if let Some(known) = lock(&self.images).get(&key) {
            return Ok(known.clone());
        }
        let definition = ImageDefinition::from_registry(reference)?;
        let mut options = BuildOptions::default();
        options.environment = named(environment).map(str::to_owned);
        let image = self
            .client
            .images()
            .build(app_id, &definition, &options)
            .await?;
        lock(&self.images).insert(key, image.id.clone());
        Ok(image.id)
    }

    /// Deletes an image.
    pub(super) async fn delete_image(&self, image_id: &str) -> Result<()> {
        self.client.images().delete(image_id).await
    }

    /// Id of a mount of these files.
    pub(super) async fn mount(&self, app_id: &str, files: &Files) -> Result<String> {
        self.client.mounts().create(Some(app_id), files).await
    }

    /// The volume of that name, made when it is missing.
    pub(super) async fn volume(&self, name: &str, environment: &str) -> Result<Volume> {
        let environment = named(environment);
        match self
            .client
            .volumes()
            .lookup(
                name,
                environment,
                Existence::CreateIfMissing,
                Some(Version::V2),
            )
            .await
        {
            // A volume that was there before may be of the first version, which does as well.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.client
                    .volumes()
                    .lookup(name, environment, Existence::MustExist, None)
                    .await
            }
            other => other,
        }
    }

    /// The volume of that name, if there is one.
    pub(super) async fn find_volume(
        &self,
        name: &str,
        environment: &str,
    ) -> Result<Option<Volume>> {
        let found = self
            .client
            .volumes()
            .lookup(name, named(environment), Existence::MustExist, None)
            .await;
        or_none(found)
    }

    /// Every volume of an environment.
    pub(super) async fn volumes(&self, environment: &str) -> Result<Vec<VolumeInfo>> {
        self.client.volumes().list(named(environment)).await
    }

    /// Every environment of the workspace.
    pub(super) async fn environments(&self) -> Result<Vec<String>> {
        let all = self.client.environments().list().await?;
        Ok(all
            .into_iter()
            .map(|environment| environment.name)
            .collect())
    }

    /// Creates a sandbox, once for each key.
    pub(super) async fn create(&self, spec: &SandboxSpec, key: &str) -> Result<String> {
        let options = CallOptions::new().idempotency_key(key);
        let sandbox = self.client.sandboxes().create_with(spec, &options).await?;
        let id = sandbox.id().to_owned();
        lock(&self.running).insert(id.clone(), sandbox);
        Ok(id)
    }

    /// The sandboxes with these tags, also those that have ended, newest first.
    pub(super) async fn find(
        &self,
        environment: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<Vec<Found>> {
        let mut filter = SandboxFilter::new().finished();
        filter.environment = named(environment).map(str::to_owned);
        filter.tags = tags;
        self.client
            .sandboxes()
            .list(filter)
            .map_ok(|info| Found {
                sandbox_id: info.id,
                tags: info.tags,
            })
            .try_collect()
            .await
    }

    async fn sandbox(&self, sandbox_id: &str) -> Result<Sandbox> {
        if let Some(known) = lock(&self.running).get(sandbox_id) {
            return Ok(known.clone());
        }
        let sandbox = self.client.sandboxes().from_id(sandbox_id).await?;
        if sandbox.outcome().is_none() {
            lock(&self.running).insert(sandbox_id.to_owned(), sandbox.clone());
        }
        Ok(sandbox)
    }

    /// How a sandbox ended. `None` when it runs, or still does after `hold`.
    pub(super) async fn end(&self, sandbox_id: &str, hold: Duration) -> Result<Option<SandboxEnd>> {
        let known = lock(&self.running).get(sandbox_id).cloned();
        let outcome = match known {
            Some(sandbox) if hold.is_zero() => sandbox.poll().await?,
            Some(sandbox) => match tokio::time::timeout(hold, sandbox.wait()).await {
                Ok(outcome) => Some(outcome?),
                Err(_) => None,
            },
            // Asks by itself.
            None => self.sandbox(sandbox_id).await?.outcome().cloned(),
        };
        if outcome.is_some() {
            lock(&self.running).remove(sandbox_id);
        }
        Ok(outcome.map(SandboxEnd::from))
    }

    /// Waits until a sandbox has a place. `false` when it has none within `patience`.
    pub(super) async fn started(&self, sandbox_id: &str, patience: Duration) -> Result<bool> {
        let sandbox = self.sandbox(sandbox_id).await?;
        match sandbox.wait_until_scheduled(patience).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::ResourceExhausted => Ok(false),
            // It ended before: how, its end tells.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Ends a sandbox.
    pub(super) async fn terminate(&self, sandbox_id: &str) -> Result<()> {
        match self.sandbox(sandbox_id).await?.terminate().await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Runs a command in a sandbox: its exit code and what it wrote to standard output.
    pub(super) async fn exec(
        &self,
        sandbox_id: &str,
        command: Vec<String>,
    ) -> Result<(i32, Bytes)> {
        let sandbox = self.sandbox(sandbox_id).await?;
        let process = sandbox.exec(&ExecSpec::new(command)).await?;
        let answer = process.stdout().read_to_end(LARGEST_ANSWER).await?;
        Ok((process.wait().await?.code(), answer))
    }

    /// What a sandbox writes to standard output, from an offset on, until it ends.
    pub(super) fn stdout(&self, sandbox_id: &str, from: u64) -> LogBytes {
        let known = lock(&self.running).get(sandbox_id).cloned();
        let (client, sandbox_id) = (self.client.clone(), sandbox_id.to_owned());
        let open = async move {
            let sandbox = match known {
                Some(sandbox) => sandbox,
                None => client.sandboxes().from_id(&sandbox_id).await?,
            };
            sandbox.stdout_from(from).await
        };
        let broken = |error: Error| failed("reading the output of a sandbox")(error);
        futures::stream::once(open)
            .try_flatten()
            .map(move |chunk| chunk.map(|chunk| chunk.data).map_err(broken))
            .boxed()
    }

    /// Keeps the file system of a sandbox as an image.
    pub(super) async fn snapshot(&self, sandbox_id: &str, ttl: Duration) -> Result<String> {
        const SNAPSHOT_WITHIN: Duration = Duration::from_mins(5);
        self.sandbox(sandbox_id)
            .await?
            .snapshot_filesystem(Some(ttl), SNAPSHOT_WITHIN)
            .await
    }
}

fn or_none<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl From<Outcome> for SandboxEnd {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Exited { code } => Self::Exited(code),
            Outcome::TimedOut | Outcome::IdleTimedOut => Self::TimedOut,
            Outcome::Terminated => Self::Terminated,
            Outcome::OutOfMemory => Self::Exited(137),
            Outcome::StartFailed { message } => Self::Failed(message),
            Outcome::Lost { message } => Self::Lost(message),
            // One that this build does not know is none that it can call an end of the job's own.
            other => Self::Lost(other.to_string()),
        }
    }
}
