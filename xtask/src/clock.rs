//! Real time. Automation measures it; everything else in this workspace takes a clock.

use std::time::Instant;

#[expect(
    clippy::disallowed_methods,
    reason = "the subject of these measurements is real time"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
