//! Taking the snapshot for a warm start while the attempt's sandbox is held.

use moorline_core::attempt::Handle;
use moorline_core::clock::{Clock as _, SystemClock};

use super::handle;
use super::inner::Inner;
use crate::executor::ExecutorError;
use crate::supervise::guest::{GUEST, HELD, PROGRAM, RELEASE};

/// Waits until the sandbox of an attempt that wants it is held, snapshots it, and lets it go. Of a handle
/// that wants nothing, or when anything goes wrong, the attempt is none the worse.
pub(super) async fn when_held(inner: &Inner, handle: &Handle) {
    let Ok(place) = handle::place(handle) else {
        return;
    };
    let Some(key) = place.warm else { return };
    if let Err(error) = take(inner, &place.sandbox_id, &key).await {
        tracing::warn!(attempt = %handle.attempt_id, %error, "no snapshot was taken for a warm start");
    }
}

async fn take(inner: &Inner, sandbox_id: &str, key: &str) -> Result<(), ExecutorError> {
    let failed = super::inner::failed;
    let command = |word: &str| [PROGRAM, GUEST, word].map(str::to_owned).to_vec();
    let held = inner.remote.exec(sandbox_id, command(HELD)).await;
    match held.map_err(failed("waiting for the end of the job"))? {
        (0, _) => {}
        // It did not succeed, so there is nothing worth keeping.
        _ => return Ok(()),
    }
    let limits = inner.config.warm;
    let taken = inner.remote.snapshot(sandbox_id, limits.ttl).await;
    // Whatever became of it, the sandbox need not stay.
    let released = inner.remote.exec(sandbox_id, command(RELEASE)).await;
    let image_id = taken.map_err(failed("snapshotting the file system"))?;
    let now = SystemClock.now();
    let expires = now.checked_add(limits.ttl).unwrap_or(now);
    for old in inner.warm.put(key.to_owned(), image_id, now, expires)? {
        if let Err(error) = inner.remote.delete_image(&old).await {
            tracing::debug!(image = old, %error, "an old snapshot stays until its time is over");
        }
    }
    released.map(drop).map_err(failed("letting the sandbox go"))
}
