//! Where the secrets of an installation are kept: the [`SecretBackend`] seam.
//!
//! A [`SecretSource`](crate::SecretSource) has values for environment variables and is only read. A back
//! end is what people manage: it keeps *objects* ([`ObjectName`], made by a lane's
//! [`NamingPolicy`](crate::NamingPolicy)), each with *keys* ([`EnvKey`]), apart for each lane. Some back
//! ends give values back (an encrypted file), others never do (Modal): those can only be *named*, and what
//! runs there is given the values by the platform.
//!
//! Deliberately absent: who set what and when (the store's to record), policies (the lane's), and values
//! in any error.

pub mod conformance;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;

use async_trait::async_trait;

use crate::error::{ERR_CONFIG, Refusal};
use crate::name::EnvKey;
use crate::policy::ObjectName;
use crate::source::Origin;
use crate::value::SecretValue;

/// Values by key. Its `Debug` shows keys alone, as that of each value shows nothing.
pub type SecretValues = BTreeMap<EnvKey, SecretValue>;

/// Where one object is: the lane that it is kept for, and what it is called there.
///
/// Two lanes never mean the same object (`D-SEC-7`): a back end keeps them apart by the lane itself, or by
/// environment and name, which [`check_lanes`](crate::check_lanes) has held against each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretPlace {
    /// The lane.
    pub lane: String,
    /// The Modal environment of the lane; empty for the workspace's default one.
    pub environment: String,
    /// The object.
    pub object: ObjectName,
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of lane {}", self.object, self.lane)
    }
}

/// An object that a back end keeps; never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptObject {
    /// Its name.
    pub object: ObjectName,
    /// Its keys; none where the back end does not tell them in a list.
    pub keys: BTreeSet<EnvKey>,
}

/// Keeps the secrets of lanes.
///
/// # Contract
/// What every back end must keep, and what [`conformance`] checks:
///
/// * **`put` is one change**: after it, each key that was given has its value, and every other key of the
///   object is as it was, also when others put at the same time. After an error nothing has changed, or
///   all of it has.
/// * **Lanes are apart**: what is put for a lane is seen, read and removed for that lane alone.
/// * **`keys` is the truth about presence**: what it names is what a run would be given. An error is never
///   read as "not there".
/// * **`get` gives back exactly what was put**, byte for byte, where [`is_readable`](Self::is_readable);
///   elsewhere it is always [`BackendError::Unreadable`].
/// * **`remove` is idempotent**, and what was removed is given to nobody from then on. An object without
///   keys is gone.
/// * **No value is shown** by an error, by `Debug`, or on disk in clear (`D-SEC-3`).
#[async_trait]
pub trait SecretBackend: fmt::Debug + Send + Sync {
    /// What it is called in reports.
    fn origin(&self) -> Origin;

    /// Whether it gives values back. One that does not can only be named to a platform that knows it.
    fn is_readable(&self) -> bool;

    /// Sets these keys of an object, and makes the object where there is none.
    ///
    /// # Errors
    /// The back end can not be reached or written; nothing has changed, or all of it has.
    async fn put(&self, place: &SecretPlace, values: &SecretValues) -> Result<(), BackendError>;

    /// The keys that an object has; none when there is no such object.
    ///
    /// # Errors
    /// The back end can not be asked.
    async fn keys(&self, place: &SecretPlace) -> Result<BTreeSet<EnvKey>, BackendError>;

    /// The values of an object; none when there is no such object.
    ///
    /// # Errors
    /// [`BackendError::Unreadable`] where values are not given back; the back end can not be asked.
    async fn get(&self, place: &SecretPlace) -> Result<SecretValues, BackendError>;

    /// Every object that is kept for a lane, by name. Where objects of others share the lane's environment,
    /// they are listed as well.
    ///
    /// # Errors
    /// The list can not be had in full.
    async fn list(&self, lane: &str, environment: &str) -> Result<Vec<KeptObject>, BackendError>;

    /// Removes keys of an object, or with none the whole object. Whether anything was there.
    ///
    /// # Errors
    /// The back end can not be reached or written; it must then be asked again.
    async fn remove(
        &self,
        place: &SecretPlace,
        keys: Option<&BTreeSet<EnvKey>>,
    ) -> Result<bool, BackendError>;
}

/// Why a back end did not do what was asked. Holds no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// It keeps values and never gives them back.
    #[error("{origin} keeps values and gives none back; it can only be named to what runs there")]
    Unreadable {
        /// The back end.
        origin: Origin,
    },
    /// The key that opens it can not be had.
    #[error("{origin} can not be opened: {problem}")]
    Key {
        /// The back end.
        origin: Origin,
        /// What is wrong with the key.
        problem: String,
        /// What to do.
        hint: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// What is kept is damaged, or was made with another key.
    #[error("{origin} can not be read: {problem}")]
    Damaged {
        /// The back end.
        origin: Origin,
        /// What is wrong.
        problem: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// It could not be reached, read or written.
    #[error("{origin}: could not {doing}")]
    Unavailable {
        /// The back end.
        origin: Origin,
        /// What was tried, such as `write it`.
        doing: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl BackendError {
    /// It could not be reached, read or written. The cause must hold no value.
    pub fn unavailable(
        origin: Origin,
        doing: impl Into<String>,
        source: impl Error + Send + Sync + 'static,
    ) -> Self {
        Self::Unavailable {
            origin,
            doing: doing.into(),
            source: Some(Box::new(source)),
        }
    }
}

impl Refusal for BackendError {
    fn code(&self) -> &'static str {
        ERR_CONFIG
    }

    fn rule(&self) -> &'static str {
        "D-SEC-3"
    }

    fn hint(&self) -> String {
        match self {
            Self::Unreadable { .. } => {
                "run the step where the secrets are kept (executor `modal`), or keep this lane's \
                 secrets in the encrypted file"
                    .to_owned()
            }
            Self::Key { hint, .. } => hint.clone(),
            Self::Damaged { .. } => {
                "put the file and its key back from a backup, or set the secrets again after moving \
                 the file away"
                    .to_owned()
            }
            Self::Unavailable { .. } => "see the cause, and try again".to_owned(),
        }
    }
}
