//! Refusals that someone may ask about.

use async_trait::async_trait;
use jiff::SignedDuration;
use moorline_core::refusal::RefusalRecord;

use crate::error::StoreError;

/// How many refusals are kept: the newest ones.
pub const KEPT_REFUSALS: u32 = 10_000;

/// How long refusals are kept.
pub const REFUSALS_KEPT_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Refusals that someone may ask about. A part of [`Store`](crate::Store), under its contract.
///
/// They are no part of the audit trail: nothing changed, so nothing is chained, and only the newest ones
/// are kept, which bounds what someone who is refused over and over can fill.
#[async_trait]
pub trait RefusalStore: Send + Sync {
    /// Keeps a refusal; forgets those that are beyond [`KEPT_REFUSALS`], or older than
    /// [`REFUSALS_KEPT_FOR`] at the time of this one.
    async fn refusal_record(&self, refusal: RefusalRecord) -> Result<(), StoreError>;

    /// Refusals whose id begins with this text, at most two: for short ids on the command line.
    async fn refusal_find(&self, prefix: &str) -> Result<Vec<RefusalRecord>, StoreError>;

    /// The newest refusals, newest first, at most `limit`.
    async fn refusals_list(&self, limit: u32) -> Result<Vec<RefusalRecord>, StoreError>;
}
