//! The two clocks that a transport can not be given: deadlines of sockets and the expiry of tokens are
//! judged by the machine's time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Monotonic; follows tokio's paused time in tests.
#[expect(
    clippy::disallowed_methods,
    reason = "deadlines of network calls follow tokio's own clock"
)]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Wall time since the Unix epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "a header and the expiry of tokens are wall time"
)]
pub(crate) fn wall() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
