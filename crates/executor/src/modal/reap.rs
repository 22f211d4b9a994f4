//! What nobody collected: volumes of attempts that have been over for longer than they are kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use moorline_core::clock::{Clock as _, SystemClock};
use moorline_modal_client::Result;

use super::handle::{self, TAG_ATTEMPT};
use super::inner::Inner;

/// Looks once in the life of an executor, beside its first launch. Nothing waits for it, and what it does
/// not come to the next one does.
pub(super) fn once(inner: &Arc<Inner>, environment: &str) {
    if inner
        .reaped
        .swap(true, std::sync::atomic::Ordering::Relaxed)
    {
        return;
    }
    let (inner, environment) = (Arc::clone(inner), environment.to_owned());
    #[expect(
        clippy::disallowed_methods,
        reason = "what is cut short by the end of the program is done by the next one"
    )]
    drop(tokio::spawn(async move {
        match reap(&inner, &environment).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(gone, "removed what old attempts left at Modal"),
            Err(error) => tracing::debug!(%error, "could not look for what old attempts left"),
        }
    }));
}

async fn reap(inner: &Inner, environment: &str) -> Result<u64> {
    let Ok(before) = SystemClock.now().checked_sub(inner.config.keep) else {
        return Ok(0);
    };
    let mut gone = 0;
    for volume in inner.remote.volumes(environment).await? {
        let Some(id) = handle::attempt_of_volume(&volume.name) else {
            continue;
        };
        // One whose age is not told is not old.
        if volume.created_at.is_none_or(|at| at > before) {
            continue;
        }
        let tags = BTreeMap::from([(TAG_ATTEMPT.to_owned(), id.to_string())]);
        let sandboxes = inner.remote.find(environment, tags).await?;
        let mut running = false;
        for sandbox in sandboxes {
            running |= inner
                .remote
                .end(&sandbox.sandbox_id, Duration::ZERO)
                .await?
                .is_none();
        }
        if !running
            && let Some(volume) = inner.remote.find_volume(&volume.name, environment).await?
        {
            volume.delete().await?;
            gone += 1;
        }
    }
    Ok(gone)
}
