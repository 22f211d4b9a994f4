//! Telling of sessions before they end (D-SEC-9).

use moorline_api::ApiError;
use moorline_core::secret::ExpiryStage;
use tracing::warn;

use crate::engine::Inner;
use crate::error::store_error;

impl Inner {
    /// Tells of every secret that ends within its warning time or has ended: one alert for each setting of
    /// it and stage, however many workers look. Returns how many were told now. For the worker, at any pace.
    ///
    /// # Errors
    /// When the store can not be read or written.
    pub(crate) async fn warn_expiring(&self) -> Result<usize, ApiError> {
        let now = self.now();
        let mut told = 0;
        for record in self.store.secrets_list(None).await.map_err(store_error)? {
            if record.to_tell(now).is_none() {
                continue;
            }
            let stage = self
                .store
                .secret_tell(&record.lane, &record.name, now)
                .await
                .map_err(store_error)?;
            if let Some(stage) = stage {
                let (lane, secret) = (&record.lane, &record.name);
                match stage {
                    ExpiryStage::Expiring => warn!(%lane, secret, "a secret expires soon"),
                    ExpiryStage::Expired => warn!(%lane, secret, "a secret has expired"),
                }
                told += 1;
            }
        }
        if told > 0 {
            self.changed.notify_waiters();
        }
        Ok(told)
    }
}
