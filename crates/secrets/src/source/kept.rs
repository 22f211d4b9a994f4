//! Values that were read from where they are kept.

use std::fmt;

use super::{Origin, SecretSource};
use crate::backend::SecretValues;
use crate::error::SourceError;
use crate::name::EnvKey;
use crate::value::SecretValue;

/// What a [`SecretBackend`](crate::backend::SecretBackend) gave for some secrets of a lane, read once.
#[derive(Clone)]
pub struct KeptSource {
    origin: Origin,
    values: SecretValues,
}

impl KeptSource {
    /// These values, from there.
    pub const fn new(origin: Origin, values: SecretValues) -> Self {
        Self { origin, values }
    }
}

impl SecretSource for KeptSource {
    fn origin(&self) -> Origin {
        self.origin.clone()
    }

    fn get(&self, key: &EnvKey) -> Result<Option<SecretValue>, SourceError> {
        Ok(self.values.get(key).cloned())
    }
}

impl fmt::Debug for KeptSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptSource")
            .field("origin", &self.origin.as_str())
            .field("keys", &self.values.len())
            .finish_non_exhaustive()
    }
}
