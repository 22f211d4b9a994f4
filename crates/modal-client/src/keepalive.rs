//! The heartbeat of ephemeral objects.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::error::{ErrorKind, Result};

/// The interval that the server expects.
const INTERVAL: Duration = Duration::from_mins(5);

/// Beats until the set is dropped or the object is gone.
pub(crate) fn keep_alive<F>(
    what: &'static str,
    beat: impl Fn() -> F + Send + 'static,
) -> JoinSet<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    keep_alive_every(INTERVAL, what, beat)
}

/// [`keep_alive`] with another interval.
pub(crate) fn keep_alive_every<F>(
    interval: Duration,
    what: &'static str,
    beat: impl Fn() -> F + Send + 'static,
) -> JoinSet<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            tokio::time::sleep(interval).await;
            match beat().await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => return,
                Err(error) => tracing::warn!(%error, what, "a heartbeat failed"),
            }
        }
    });
    task
}
