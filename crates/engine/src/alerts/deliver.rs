//! Planning, claiming, sending, recording: what brings an alert to people.
//!
//! Any number of workers may do this at the same time. Each claim is exclusive and has a lease; who dies
//! between sending and recording leaves a delivery that is sent again when its lease ends, under the same
//! id. Destinations are sent to side by side, so that one which hangs holds none of the others up.

use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use moorline_api::{AlertTestRequest, ApiError};
use moorline_core::alert::{Alert, Delivery, DeliveryCommand};
use moorline_core::error_code::AlertLevel;
use moorline_core::ids::{AlertId, DeliveryId};
use moorline_secrets::Redactor;
use moorline_store::{AlertPlan, AlertTest, ClaimDeliveries, Claimed, RecordDelivery, StoreError};
use serde_json::json;
use tracing::{info, warn};

use super::destination::{Destination, Resolved};
use super::message::Message;
use crate::engine::Inner;
use crate::error::store_error;

/// Alerts that are planned, and deliveries that are sent, at once.
const BATCH: u32 = 32;

/// Batches of one call, at most: a destination whose wait is nothing must not hold a worker up.
const MOST_BATCHES: u32 = 64;

/// How much longer than an attempt may take its lease lasts.
const SPARE: Duration = Duration::from_secs(30);

/// Characters of an error that are kept.
const MOST_ERROR: usize = 300;

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SendError {
    /// In one line; redacted by whoever records it.
    pub(super) error: String,
    /// How long the destination asks to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// Whether another attempt makes no sense.
    pub(super) give_up: bool,
}

impl SendError {
    /// A failure that may be over at the next attempt.
    pub(super) fn passing(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            retry_after: None,
            give_up: false,
        }
    }

    /// A failure that the next attempt would have again.
    pub(super) fn lasting(error: impl Into<String>) -> Self {
        Self {
            give_up: true,
            ..Self::passing(error)
        }
    }
}

impl Inner {
    /// Plans what was raised and sends what is due now. Returns when the next delivery is due.
    pub(crate) async fn deliver_due(&self) -> Result<Option<Timestamp>, ApiError> {
        for _ in 0..MOST_BATCHES {
            let planned = self.plan_alerts().await?;
            let now = self.now();
            let claim = ClaimDeliveries {
                limit: BATCH,
                lease_until: self.delivery_lease(now),
                now,
            };
            let claimed = self
                .store
                .deliveries_claim(claim)
                .await
                .map_err(store_error)?;
            if claimed.is_empty() && planned == 0 {
                break;
            }
            let sent = join_all(claimed.iter().map(|claimed| self.deliver(claimed))).await;
            for recorded in sent {
                recorded?;
            }
        }
        self.store.deliveries_next().await.map_err(store_error)
    }

    /// Decides whom to tell of the alerts that were raised. Returns how many there were.
    async fn plan_alerts(&self) -> Result<usize, ApiError> {
        let raised = self.store.alerts_raised(BATCH).await.map_err(store_error)?;
        for alert in &raised {
            let destinations = self
                .destinations(alert)
                .await?
                .into_iter()
                .filter(|destination| destination.min_level <= alert.level)
                .map(|destination| (DeliveryId::new(self.ids.uuid()), destination.name))
                .collect();
            let plan = AlertPlan {
                alert: alert.id,
                destinations,
                now: self.now(),
            };
            self.store.alert_plan(plan).await.map_err(store_error)?;
        }
        Ok(raised.len())
    }

    /// Sends one claimed delivery and records what came of it.
    async fn deliver(&self, claimed: &Claimed) -> Result<(), ApiError> {
        let Claimed { delivery, alert } = claimed;
        let all = self.destinations(alert).await?;
        let destination = all
            .into_iter()
            .find(|destination| destination.name == delivery.destination);
        let sent = match destination {
            Some(destination) => self.attempt_delivery(destination, alert, delivery).await,
            None => Err(SendError::lasting("no destination has this name any more")),
        };
        let recorded = self.record_delivery(delivery, sent).await;
        match recorded {
            // The lease ended while it was sent, and someone else has it now.
            Err(StoreError::Denied(denial)) => {
                warn!(delivery = %delivery.id, "{denial}");
                Ok(())
            }
            recorded => recorded.map(drop).map_err(store_error),
        }
    }

    /// Sends to one destination. What is said of a failure has no secret of the destination in it.
    async fn attempt_delivery(
        &self,
        destination: Destination,
        alert: &Alert,
        delivery: &Delivery,
    ) -> Result<(), SendError> {
        let resolved = self
            .resolve(destination, alert)
            .await
            .map_err(SendError::passing)?;
        let redactor = Redactor::from(&resolved.values);
        let message = Message::new(alert, delivery, &redactor);
        let timeout = self.config.delivery_timeout;
        let sent = tokio::time::timeout(timeout, send(&resolved, &message, delivery, self.now()));
        let sent = sent.await.unwrap_or_else(|_| {
            let seconds = timeout.as_secs_f64();
            Err(SendError::passing(format!("no answer within {seconds} s")))
        });
        sent.map_err(|failed| SendError {
            error: redactor
                .redact(&failed.error)
                .chars()
                .take(MOST_ERROR)
                .collect(),
            ..failed
        })
    }

    async fn record_delivery(
        &self,
        delivery: &Delivery,
        sent: Result<(), SendError>,
    ) -> Result<Delivery, StoreError> {
        let token = delivery.token;
        let command = match sent {
            Ok(()) => {
                info!(delivery = %delivery.id, destination = delivery.destination, "told");
                DeliveryCommand::Delivered { token }
            }
            Err(SendError {
                error,
                retry_after,
                give_up,
            }) => {
                let destination = &delivery.destination;
                warn!(delivery = %delivery.id, destination, error, "could not tell");
                DeliveryCommand::Failed {
                    token,
                    error,
                    retry_after,
                    give_up,
                }
            }
        };
        let record = RecordDelivery {
            alert: delivery.alert,
            destination: delivery.destination.clone(),
            command,
            now: self.now(),
        };
        self.store.delivery_record(record).await
    }

    /// Sends a test to a configured destination, once.
    pub(super) async fn test_destination(
        &self,
        request: &AlertTestRequest,
    ) -> Result<Delivery, ApiError> {
        let destination = self.configured(&request.destination)?;
        let now = self.now();
        let id = AlertId::new(self.ids.uuid());
        let alert = Alert {
            id,
            key: format!("test/{}/{id}", destination.name),
            level: AlertLevel::Info,
            title: format!("a test of the destination {}", destination.name),
            run_id: None,
            job_id: None,
            data: json!({"test": true, "by": request.actor}),
            raised_at: now,
            last_at: now,
            count: 1,
            closed_at: Some(now),
            planned: true,
        };
        let test = AlertTest {
            alert: alert.clone(),
            delivery: DeliveryId::new(self.ids.uuid()),
            destination: destination.name.clone(),
            actor: request.actor.to_string(),
            lease_until: self.delivery_lease(now),
            now,
        };
        let delivery = self.store.alert_test(test).await.map_err(store_error)?;
        let sent = self.attempt_delivery(destination, &alert, &delivery).await;
        // Whoever tests waits for the answer; trying again is theirs.
        let sent = sent.map_err(|failed| SendError {
            give_up: true,
            ..failed
        });
        self.record_delivery(&delivery, sent)
            .await
            .map_err(store_error)
    }

    fn delivery_lease(&self, now: Timestamp) -> Timestamp {
        let lease = self.config.delivery_timeout.saturating_add(SPARE);
        SignedDuration::try_from(lease)
            .ok()
            .and_then(|lease| now.checked_add(lease).ok())
            .unwrap_or(now)
    }
}

#[cfg(feature = "alerts")]
async fn send(
    resolved: &Resolved,
    message: &Message,
    delivery: &Delivery,
    now: Timestamp,
) -> Result<(), SendError> {
    use moorline_core::config::DestinationChannel;
    match resolved.destination.channel {
        DestinationChannel::Webhook => {
            super::webhook::signed(resolved, message, delivery, now).await
        }
        DestinationChannel::Slack => super::webhook::slack(resolved, message, now).await,
        DestinationChannel::Email => super::mail::send(resolved, message, delivery).await,
    }
}

#[cfg(not(feature = "alerts"))]
#[expect(clippy::unused_async, reason = "as with the feature")]
async fn send(_: &Resolved, _: &Message, _: &Delivery, _: Timestamp) -> Result<(), SendError> {
    Err(SendError::passing(
        "this build can not send alerts: it lacks the feature `alerts`",
    ))
}
