//! Why a store refuses or fails.

use std::error::Error;

use moorline_core::denial::Denial;
use moorline_core::run::Refusal;

/// Why the store did not do what was asked. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A rule of the domain does not allow it.
    #[error(transparent)]
    Denied(#[from] Box<Denial>),
    /// There is no such thing.
    #[error("no such {what}")]
    NotFound {
        /// What was looked for, with its id.
        what: String,
    },
    /// It contradicts what is there.
    #[error("{what}")]
    Conflict {
        /// What contradicts what.
        what: String,
    },
    /// It is another by now than the one that was seen ([`Seen`](crate::Seen)).
    #[error("{what} changed since it was seen")]
    Changed {
        /// What changed: its kind, `/`, and its id.
        what: String,
    },
    /// A stop is in force (D-STOP-1).
    #[error("stopped: {stop} (D-STOP-1)")]
    Stopped {
        /// The stop, for people.
        stop: String,
    },
    /// The database can not be used: missing, newer than this program, damaged, out of space.
    #[error("{what}")]
    Unavailable {
        /// What was being done.
        what: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// What is stored can not be understood.
    #[error("stored {what} can not be read")]
    Corrupt {
        /// Which value.
        what: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl From<Denial> for StoreError {
    fn from(denial: Denial) -> Self {
        Self::Denied(Box::new(denial))
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl StoreError {
    pub(crate) fn corrupt(what: &str, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Corrupt {
            what: what.to_owned(),
            source: Some(Box::new(source)),
        }
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    pub(crate) fn unavailable(
        what: impl Into<String>,
        source: impl Error + Send + Sync + 'static,
    ) -> Self {
        Self::Unavailable {
            what: what.into(),
            source: Some(Box::new(source)),
        }
    }
}
