//! The one place that spawns tasks, so that shutdown can wait for them.

use std::future::Future;

use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Background tasks of an engine. Dropping it aborts them; [`Tasks::drain`] waits for them.
#[derive(Debug, Default)]
pub struct Tasks {
    set: Mutex<JoinSet<()>>,
}

impl Tasks {
    /// Runs a future in the background.
    pub async fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.set.lock().await;
        while set.try_join_next().is_some() {}
        set.spawn(future);
    }

    /// Waits until every task has ended.
    pub async fn drain(&self) {
        let mut set = std::mem::take(&mut *self.set.lock().await);
        while set.join_next().await.is_some() {}
    }
}
