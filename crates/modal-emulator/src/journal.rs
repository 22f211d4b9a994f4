//! What really happened: every effect that a call had on the world, in order.
//!
//! A test of a client reads it to learn what was applied, and how often, whatever the client was told.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// One change of the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// 1 for the first.
    pub id: u64,
    /// What was done, e.g. `sandbox.create`, `volume.put`, `input.accept`.
    pub what: String,
    /// To which object, e.g. a sandbox id.
    pub subject: String,
    /// The call's idempotency key, when it had one.
    pub key: Option<String>,
}

/// The effects so far.
#[derive(Debug, Default)]
pub struct Journal {
    effects: Mutex<Vec<Effect>>,
}

impl Journal {
    /// Everything so far, or only effects whose `what` is as given.
    pub fn effects(&self, what: Option<&str>) -> Vec<Effect> {
        let effects = self.effects.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |effect: &&Effect| what.is_none_or(|what| effect.what == what);
        effects.iter().filter(wanted).cloned().collect()
    }

    pub(crate) fn record(&self, what: &str, subject: impl Into<String>, key: Option<&str>) {
        let mut effects = self.effects.lock().unwrap_or_else(PoisonError::into_inner);
        let id = effects.len() as u64 + 1;
        effects.push(Effect {
            id,
            what: what.to_owned(),
            subject: subject.into(),
            key: key.map(str::to_owned),
        });
    }
}
