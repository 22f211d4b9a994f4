//! Waiting for a server that was reached before: it may be started anew, or the network may be mended.
//!
//! Whoever follows a log or waits for the end of a run asks again with longer and longer pauses, until the server
//! gave no sign for [`Options::patience`](super::Options). A server that was never reached is given up at once:
//! its address may be wrong.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moorline_core::error_code::ErrorCode;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::wire::Wire;
use crate::error::ApiError;

/// The longest pause is so many times the first one.
const SLOWEST: u32 = 25;

/// Hears of a server that is waited for.
pub trait Notice: fmt::Debug + Send + Sync {
    /// The server does not answer, for this reason; it is asked again for as long as said.
    fn waiting(&self, error: &ApiError, patience: Duration);

    /// It answers again.
    fn back(&self);
}

/// Whether a server answers, as far as this client knows.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// It answered once.
    ever: AtomicBool,
    /// Somebody was told that it does not answer.
    away: AtomicBool,
    /// Wakes whoever waits before the next try, when somebody else's was answered.
    back: Notify,
}

impl Reached {
    /// The server answered.
    pub(super) fn answered(&self, notice: Option<&dyn Notice>) {
        self.ever.store(true, Ordering::Relaxed);
        if self.away.swap(false, Ordering::Relaxed) {
            self.back.notify_waiters();
            if let Some(notice) = notice {
                notice.back();
            }
        }
    }

    /// It is waited for; told once, until it answers.
    fn waits(&self, notice: Option<&dyn Notice>, error: &ApiError, patience: Duration) {
        if !self.away.swap(true, Ordering::Relaxed)
            && let Some(notice) = notice
        {
            notice.waiting(error, patience);
        }
    }
}

/// How long is still waited, and how long between two tries.
#[derive(Debug)]
pub(super) struct Patience<'w> {
    wire: &'w Wire,
    /// Tries in vain since the last sign of life.
    failed: u32,
    /// Since when they are in vain.
    since: Option<Instant>,
}

impl<'w> Patience<'w> {
    pub(super) const fn of(wire: &'w Wire) -> Self {
        Self {
            wire,
            failed: 0,
            since: None,
        }
    }

    /// The server answered. Pauses stay long: it may break off each time.
    pub(super) const fn answered(&mut self) {
        self.since = None;
    }

    /// Something new came.
    pub(super) const fn renew(&mut self) {
        self.failed = 0;
        self.since = None;
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// What made the last try fail: when it is none that passes, the server was never reached, or patience is at
    /// its end.
    pub(super) async fn after(&mut self, error: ApiError) -> Result<(), ApiError> {
        let passes = error.code.info().retryable;
        if !passes || !self.wire.reached.ever.load(Ordering::Relaxed) {
            return Err(error);
        }
        let since = *self.since.get_or_insert_with(now);
        let left = self.wire.patience.saturating_sub(since.elapsed());
        if left.is_zero() {
            return Err(error.hint(
                "what runs there goes on without you: look at it, or wait for it again, once the server is back",
            ));
        }
        // A proxy that ends a silent stream, which is opened anew at once, is nothing to tell of.
        if self.failed > 0 || error.code != ErrorCode::Unreachable {
            let notice = self.wire.notice.as_deref();
            self.wire.reached.waits(notice, &error, left);
        }
        let doubled = 2_u32.saturating_pow(self.failed.min(8)).min(SLOWEST);
        let pause = self.wire.pause.saturating_mul(doubled);
        self.failed = self.failed.saturating_add(1);
        tokio::select! {
            () = tokio::time::sleep(pause.min(left)) => {}
            () = self.wire.reached.back.notified() => {}
        }
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "patience ends after its time however the wall clock is set"
)]
fn now() -> Instant {
    Instant::now()
}
