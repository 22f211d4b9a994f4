//! One answer for each idempotency key.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use tonic::Status;

/// Answers kept for one RPC. Older ones are dropped: by then no client tries again.
const KEPT: usize = 4096;

/// The answers of one RPC by key.
#[derive(Debug)]
pub(super) struct Once<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    cells: HashMap<String, Arc<OnceCell<T>>>,
    order: VecDeque<String>,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        let state = State {
            cells: HashMap::new(),
            order: VecDeque::new(),
        };
        Self {
            state: Mutex::new(state),
        }
    }
}

impl<T: Clone> Once<T> {
    /// The answer of the first call with this key; later and concurrent ones wait for it. A failed call
    /// leaves the key free: it changed nothing.
    pub(super) async fn get<F, Fut>(&self, key: Option<String>, work: F) -> Result<T, Status>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let Some(key) = key else {
            return work().await;
        };
        let cell = self.cell(key);
        cell.get_or_try_init(work).await.cloned()
    }

    fn cell(&self, key: String) -> Arc<OnceCell<T>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = state.cells.get(&key) {
            return Arc::clone(cell);
        }
        if state.order.len() == KEPT
            && let Some(oldest) = state.order.pop_front()
        {
            state.cells.remove(&oldest);
        }
        let cell = Arc::new(OnceCell::new());
        state.order.push_back(key.clone());
        state.cells.insert(key, Arc::clone(&cell));
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_worked_for_once_and_a_failure_leaves_it_free() {
        let once = Once::default();
        let key = || Some("k".to_owned());
        let failed = once
            .get(key(), || async { Err(Status::internal("no")) })
            .await;
        assert!(failed.is_err());
        assert_eq!(once.get(key(), || async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(once.get(key(), || async { Ok(2) }).await.unwrap(), 1);
        assert_eq!(once.get(None, || async { Ok(3) }).await.unwrap(), 3);
    }
}
