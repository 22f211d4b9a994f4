//! Secrets at Modal: [`ModalSecrets`], a [`SecretBackend`] that names what it can not read.
//!
//! Modal keeps an object of keys and values in an environment, and tells the names of its keys alone. So
//! presence is checked per key, and whether a value is the one that was set can not be: an audit then says
//! that it can not verify, which counts as drift (D-PROC-5).
//!
//! A change or removal does not reach a container that runs already (D-SEC-8): whoever revokes stops those
//! first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;
use moorline_modal_client::secrets::SecretValues as Wire;
use moorline_modal_client::{Client, Error, ErrorKind, Existence};
use moorline_secrets::backend::{
    BackendError, KeptObject, SecretBackend, SecretPlace, SecretValues,
};
use moorline_secrets::{EnvKey, Origin};

/// The secrets of a Modal workspace, by environment and name. Values go in and never come back.
///
/// Its methods need a tokio runtime with I/O and time.
#[derive(Clone)]
pub struct ModalSecrets {
    client: Result<Client, String>,
}

impl fmt::Debug for ModalSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModalSecrets").finish_non_exhaustive()
    }
}

impl ModalSecrets {
    /// Those that this client reaches. Nothing is sent yet.
    pub const fn new(client: Client) -> Self {
        Self { client: Ok(client) }
    }

    /// Stands where Modal is not set up: every call says so, with what is missing.
    pub fn unconfigured(reason: impl Into<String>) -> Self {
        Self {
            client: Err(reason.into()),
        }
    }

    fn client(&self) -> Result<&Client, BackendError> {
        self.client.as_ref().map_err(|reason| {
            let cause = std::io::Error::other(reason.clone());
            BackendError::unavailable(self.origin(), "use Modal, which is not set up", cause)
        })
    }

    fn failed(&self, doing: String) -> impl FnOnce(Error) -> BackendError {
        let origin = self.origin();
        move |error| BackendError::unavailable(origin, doing, error)
    }

    /// Id of an object; none when there is no such object, or no such environment.
    async fn find(&self, place: &SecretPlace) -> Result<Option<String>, BackendError> {
        let secrets = self.client()?.secrets();
        let found = secrets.lookup(place.object.as_str(), named(&place.environment), &[]);
        match found.await {
            Ok(secret) => Ok(Some(secret.id)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(format!("look for {place}"))(error)),
        }
    }
}

/// The environment of a call; the client's own when it has no name.
fn named(environment: &str) -> Option<&str> {
    Some(environment).filter(|name| !name.is_empty())
}

/// Names that no step could declare are left out: they are not ours to give.
fn keys_of(names: Vec<String>) -> BTreeSet<EnvKey> {
    names
        .into_iter()
        .filter_map(|name| name.parse().ok())
        .collect()
}

fn wire(values: &SecretValues) -> Wire {
    values
        .iter()
        .map(|(key, value)| (key.to_string(), value.expose().into()))
        .collect()
}

#[async_trait]
impl SecretBackend for ModalSecrets {
    fn origin(&self) -> Origin {
        Origin::new("Modal's secrets")
    }

    fn is_readable(&self) -> bool {
        false
    }

    async fn put(&self, place: &SecretPlace, values: &SecretValues) -> Result<(), BackendError> {
        let client = self.client()?;
        let failed = || self.failed(format!("set {place}"));
        if self.find(place).await?.is_none() {
            if let Some(environment) = named(&place.environment) {
                let environments = client.environments();
                let made = environments.lookup(Some(environment), Existence::CreateIfMissing);
                made.await.map_err(failed())?;
            }
            let secrets = client.secrets();
            let (name, environment) = (place.object.as_str(), named(&place.environment));
            let given = wire(values);
            let created = secrets.create(name, environment, &given, Existence::CreateNew);
            match created.await {
                Ok(_) => return Ok(()),
                // Somebody else made it meanwhile; then these keys are a change of it.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed()(error)),
            }
        }
        let Some(id) = self.find(place).await? else {
            let gone = Error::new(ErrorKind::NotFound, "the secret was deleted meanwhile");
            return Err(failed()(gone));
        };
        let changes: BTreeMap<_, _> = wire(values)
            .into_iter()
            .map(|(key, value)| (key, Some(value)))
            .collect();
        let updated = client.secrets().update(&id, &changes).await;
        updated.map_err(failed())
    }

    async fn keys(&self, place: &SecretPlace) -> Result<BTreeSet<EnvKey>, BackendError> {
        let Some(id) = self.find(place).await? else {
            return Ok(BTreeSet::new());
        };
        match self.client()?.secrets().info(&id).await {
            Ok(info) => Ok(keys_of(info.keys)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(self.failed(format!("ask for the keys of {place}"))(error)),
        }
    }

    async fn get(&self, _: &SecretPlace) -> Result<SecretValues, BackendError> {
        Err(BackendError::Unreadable {
            origin: self.origin(),
        })
    }

    async fn list(&self, lane: &str, environment: &str) -> Result<Vec<KeptObject>, BackendError> {
        let listed = self.client()?.secrets().list(named(environment)).await;
        let listed = match listed {
            // Nobody has set anything for the lane yet.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(self.failed(format!("list the secrets of lane {lane}")))?,
        };
        let mut objects: Vec<KeptObject> = listed
            .into_iter()
            .filter_map(|secret| {
                Some(KeptObject {
                    object: secret.name.parse().ok()?,
                    keys: keys_of(secret.keys),
                })
            })
            .collect();
        objects.sort_by(|a, b| a.object.cmp(&b.object));
        Ok(objects)
    }

    async fn remove(
        &self,
        place: &SecretPlace,
        keys: Option<&BTreeSet<EnvKey>>,
    ) -> Result<bool, BackendError> {
        let Some(id) = self.find(place).await? else {
            return Ok(false);
        };
        let present = self.keys(place).await?;
        let secrets = self.client()?.secrets();
        let failed = || self.failed(format!("remove {place}"));
        let done = match keys {
            Some(keys) if !present.is_subset(keys) => {
                let changes: BTreeMap<_, _> = present
                    .intersection(keys)
                    .map(|key| (key.to_string(), None))
                    .collect();
                if changes.is_empty() {
                    return Ok(false);
                }
                secrets.update(&id, &changes).await
            }
            // Nothing would be left of it.
            Some(_) | None => secrets.delete(&id).await,
        };
        match done {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed()(error)),
        }
    }
}
