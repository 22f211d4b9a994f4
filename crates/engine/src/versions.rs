//! Changes that rest on what was seen.
//!
//! Whoever shows something asks for its version first; a handle of the engine that [expects](Engine::expecting)
//! that version makes a change only while it is still so, which the store looks at in the transaction of the
//! change. Operations that change what has no version take no notice of it, and neither do those that change
//! nothing of what they name: starting a run of a schedule, and deploying it.

use std::sync::Arc;

use moorline_api::ApiError;
use moorline_store::{Seen, Versioned};

use crate::engine::Engine;
use crate::error::store_error;

impl Engine {
    /// The present version of something. To be asked for before it is shown: what changes in between is then
    /// seen to have changed.
    ///
    /// # Errors
    /// [`ErrorCode::Store`](moorline_core::error_code::ErrorCode::Store) when the store does not answer.
    pub async fn version_of(&self, what: &Versioned) -> Result<Seen, ApiError> {
        let seen = self.inner.store.version_of(what).await;
        seen.map_err(store_error)
    }

    /// The engine for one change that rests on what was seen:
    /// [`ErrorCode::Precondition`](moorline_core::error_code::ErrorCode::Precondition) when it is another by then.
    #[must_use]
    pub fn expecting(&self, seen: Seen) -> Self {
        Self {
            seen: Some(Arc::new(seen)),
            ..self.clone()
        }
    }

    /// What the change that this handle is for rests on.
    pub(crate) fn seen(&self) -> Option<Seen> {
        self.seen.as_deref().cloned()
    }
}
