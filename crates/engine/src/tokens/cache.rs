//! Whom tokens let in, remembered for a moment, so that not every request reads the store.
//!
//! What this process changes about tokens and principals forgets everything at once; what another process
//! changed holds here after [`KEPT_FOR`] at the latest. A secret is compared at every request, and so is the
//! end of the token: only what the store says is remembered, never that somebody was let in.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use moorline_core::ids::TokenId;

use super::Identity;

/// How long what the store said is taken for true.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(1);

/// How many tokens are remembered.
const MOST: usize = 1024;

/// Identities by token.
#[derive(Debug, Default)]
pub(crate) struct TokenCache {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Counts what made everything be forgotten.
    generation: u64,
    known: HashMap<TokenId, (Identity, Instant)>,
}

/// The state of the cache when a read of the store began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(u64);

impl TokenCache {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything: who may come in, or how far, has changed.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.generation += 1;
        state.known.clear();
    }

    pub(super) fn get(&self, id: TokenId) -> Option<Identity> {
        let state = self.state();
        let (identity, since) = state.known.get(&id)?;
        (since.elapsed() < KEPT_FOR).then(|| identity.clone())
    }

    /// To be taken before the store is read.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.state().generation)
    }

    /// Remembers what was read since the mark; not when something has changed since then.
    pub(super) fn put(&self, mark: Mark, identity: &Identity) {
        let mut state = self.state();
        if state.generation != mark.0 {
            return;
        }
        if state.known.len() >= MOST {
            state
                .known
                .retain(|_, (_, since)| since.elapsed() < KEPT_FOR);
        }
        if state.known.len() < MOST {
            let entry = (identity.clone(), now());
            state.known.insert(identity.token.id, entry);
        }
    }

    /// Replaces what is remembered of a token, for as long as it would have been anyway.
    pub(super) fn touch(&self, identity: &Identity) {
        let mut state = self.state();
        if let Some((known, _)) = state.known.get_mut(&identity.token.id) {
            known.token.last_used_at = identity.token.last_used_at;
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a revocation holds after a second however the wall clock is set"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use moorline_core::principal::{Principal, Role};
    use moorline_core::token::{TokenKind, TokenRecord};
    use uuid::Uuid;

    use super::*;

    fn identity(id: u128) -> Identity {
        let token = TokenRecord {
            id: TokenId::new(Uuid::from_u128(id)),
            name: "laptop".to_owned(),
            kind: TokenKind::Api,
            principal: Principal::default(),
            role: None,
            scopes: vec!["*".to_owned()],
            hash: String::new(),
            parent: None,
            approval: None,
            created_at: Timestamp::UNIX_EPOCH,
            created_by: Principal::default(),
            expires_at: Timestamp::MAX,
            revoked_at: None,
            last_used_at: None,
        };
        Identity {
            principal: token.principal.clone(),
            role: Role::Admin,
            token,
        }
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let cache = TokenCache::default();
        let id = identity(1).token.id;
        let mark = cache.mark();
        cache.put(mark, &identity(1));
        assert_eq!(cache.get(id), Some(identity(1)));
        let mark = cache.mark();
        cache.clear();
        assert_eq!(cache.get(id), None);
        cache.put(mark, &identity(1));
        assert_eq!(cache.get(id), None);
    }

    #[test]
    fn no_more_than_a_bounded_number_is_remembered() {
        let cache = TokenCache::default();
        for id in 0..2 * MOST {
            let mark = cache.mark();
            cache.put(mark, &identity(u128::try_from(id).unwrap()));
        }
        assert!(cache.state().known.len() <= MOST);
    }
}
