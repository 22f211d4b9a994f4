//! Alerts on their way to people (D-FLOW-9).
//!
//! The store raises alerts and keeps their deliveries; here it is decided whom to tell, and they are sent.
//!
//! | module | what |
//! |---|---|
//! | [`destination`] | whom an alert is told: the settings and the job's spec, each found again by its name |
//! | [`deliver`] | planning, claiming, sending and recording; what a worker does |
//! | [`message`] | what is told: a document, a message for Slack and its likes, a mail |
//! | [`signature`] | how a webhook proves that it comes from here |
//! | `webhook`, `mail` | the sending; with the feature `alerts` |
//!
//! Deliberately absent: receiving anything, and templates.

mod deliver;
mod destination;
#[cfg(feature = "alerts")]
mod mail;
mod message;
#[cfg(feature = "alerts")]
pub mod signature;
#[cfg(feature = "alerts")]
mod webhook;

use async_trait::async_trait;
use moorline_api::{
    AlertListRequest, AlertOperations, AlertReplayRequest, AlertRequest, AlertTestRequest,
    AlertView, ApiError, Operation,
};
use moorline_core::alert::Delivery;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::AlertId;
use moorline_store::{AlertFilter, AlertRecord, ReplayDelivery};

use crate::beginning::{is_beginning, only};
use crate::engine::{Engine, Inner};
use crate::error::store_error;

#[async_trait]
impl AlertOperations for Engine {
    async fn alert_list(&self, request: AlertListRequest) -> Result<Vec<AlertView>, ApiError> {
        let inner = &self.inner;
        let before = match &request.before {
            Some(text) => Some(inner.find_alert(text).await?),
            None => None,
        };
        let filter = AlertFilter {
            dead: request.dead,
            before,
            limit: request.limit,
        };
        let records = inner.store.alerts_list(filter).await.map_err(store_error)?;
        Ok(records.into_iter().map(view).collect())
    }

    async fn alert_show(&self, request: AlertRequest) -> Result<AlertView, ApiError> {
        let id = self.inner.find_alert(&request.alert).await?;
        self.inner.alert_view(id).await
    }

    async fn alert_replay(&self, request: AlertReplayRequest) -> Result<AlertView, ApiError> {
        let inner = &self.inner;
        let subject = format!("alert/{}", request.alert);
        let work = async {
            let alert = inner.find_alert(&request.alert).await?;
            let replay = ReplayDelivery {
                alert,
                destination: request.destination.clone(),
                actor: request.actor.to_string(),
                reason: request.reason.clone(),
                now: inner.now(),
            };
            inner
                .store
                .delivery_replay(replay)
                .await
                .map_err(store_error)?;
            inner.deliver_due().await?;
            inner.alert_view(alert).await
        };
        let operation = Operation::AlertReplay;
        inner
            .guarded(operation, &request.actor, subject, work)
            .await
    }

    async fn alert_test(&self, request: AlertTestRequest) -> Result<Delivery, ApiError> {
        let subject = format!("destination/{}", request.destination);
        let work = self.inner.test_destination(&request);
        let operation = Operation::AlertTest;
        self.inner
            .guarded(operation, &request.actor, subject, work)
            .await
    }
}

impl Engine {
    /// Plans what was raised and sends what is due now, as a worker does again and again. Returns when the
    /// next delivery is due.
    ///
    /// # Errors
    /// When the store can not be read or written. That a destination fails is no error: it is recorded.
    pub async fn deliver_due(&self) -> Result<Option<jiff::Timestamp>, ApiError> {
        self.inner.deliver_due().await
    }
}

impl Inner {
    async fn alert_view(&self, id: AlertId) -> Result<AlertView, ApiError> {
        let record = self.store.alert_get(id).await.map_err(store_error)?;
        record.map(view).ok_or_else(|| not_found(&id.to_string()))
    }

    /// An alert by its id, a unique beginning of it, or `latest`.
    async fn find_alert(&self, text: &str) -> Result<AlertId, ApiError> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        if text == "latest" {
            let newest = AlertFilter {
                limit: 1,
                ..AlertFilter::default()
            };
            let records = self.store.alerts_list(newest).await.map_err(store_error)?;
            return records
                .first()
                .map(|record| record.alert.id)
                .ok_or_else(|| not_found(text));
        }
        let found = if is_beginning(text) {
            self.store.alert_find(text).await.map_err(store_error)?
        } else {
            Vec::new()
        };
        only(found, text, "alerts", || not_found(text))
    }
}

fn not_found(text: &str) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("no alert `{text}`"))
        .hint("`moorline alerts list` shows the ids; a unique beginning or `latest` will do")
}

fn view(record: AlertRecord) -> AlertView {
    AlertView {
        alert: record.alert,
        deliveries: record.deliveries,
    }
}
