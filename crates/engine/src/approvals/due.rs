//! What time does to requests: expiry by their policy, reminders that grow louder (D-FLOW-6).

use moorline_api::ApiError;
use tracing::error;

use crate::engine::Inner;
use crate::error::store_error;

impl Inner {
    /// Carries out what is due of requests. Any number of workers may do so at once: each expiry and each
    /// reminder is one transaction, which finds nothing to do once another has been there. A request that fails
    /// is told and holds up no other.
    pub(crate) async fn lapse_due(&self) -> Result<(), ApiError> {
        let now = self.now();
        let due = self.store.approvals_due(now).await.map_err(store_error)?;
        if due.is_empty() {
            return Ok(());
        }
        for id in due {
            if let Err(failure) = self.store.approval_lapse(id, now).await {
                error!(approval = %id, error = %failure, "what is due of a request could not be carried out");
            }
        }
        self.changed.notify_waiters();
        Ok(())
    }
}
