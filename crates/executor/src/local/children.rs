//! Supervisors that this process started: they are its children, so it has to reap them.

use std::collections::HashMap;
use std::process::Child;
use std::sync::{Mutex, PoisonError};

use moorline_core::ids::AttemptId;

/// Fewer than this many are not worth looking through.
const FEW: usize = 64;

/// Those that are not yet reaped.
#[derive(Debug)]
pub(crate) struct Children(Mutex<State>);

#[derive(Debug)]
struct State {
    running: HashMap<AttemptId, Child>,
    /// At how many to look for ended ones that nobody waited for.
    sweep_at: usize,
}

impl Children {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            running: HashMap::new(),
            sweep_at: FEW,
        }))
    }

    /// Takes over a supervisor.
    pub(crate) fn add(&self, id: AttemptId, supervisor: Child) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.running.insert(id, supervisor);
        if state.running.len() >= state.sweep_at {
            state.running.retain(|_, child| !has_ended(child));
            // Looking costs a system call each, so it is done when their number has doubled.
            state.sweep_at = FEW.max(2 * state.running.len());
        }
    }

    /// Reaps the supervisor of an attempt that is over, if it is ours and has ended.
    pub(crate) fn reap(&self, id: AttemptId) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.running.get_mut(&id).is_some_and(has_ended) {
            state.running.remove(&id);
        }
    }
}

/// Whether it has ended, and is reaped by that. One that can not be asked is no child of ours any more.
fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}
