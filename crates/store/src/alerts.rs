//! Alerts and their deliveries.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::alert::{Alert, Delivery, DeliveryCommand};
use moorline_core::error_code::AlertLevel;
use moorline_core::ids::{AlertId, DeliveryId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::StoreError;

/// Alerts and their deliveries (D-FLOW-9). A part of [`Store`](crate::Store), under its contract.
///
/// What a run leads to is raised in the transaction that ends the run. Whom to tell is not known here: the
/// engine plans an alert ([`alert_plan`](Self::alert_plan)), claims what is due and records what became of it.
#[async_trait]
pub trait AlertStore: Send + Sync {
    /// Raises an alert that follows from no run. The same key while an alert of it is open only counts that
    /// one up. Returns the alert as it stands.
    async fn alert_raise(&self, raise: RaiseAlert) -> Result<Alert, StoreError>;

    /// Records whom an alert is told, once: deliveries of an alert that was planned before are left alone,
    /// and `false` says so.
    async fn alert_plan(&self, plan: AlertPlan) -> Result<bool, StoreError>;

    /// A test of one destination: an alert that is told to nobody else, claimed for whoever asks.
    async fn alert_test(&self, test: AlertTest) -> Result<Delivery, StoreError>;

    /// Alerts that were not planned yet, oldest first, at most `limit`.
    async fn alerts_raised(&self, limit: u32) -> Result<Vec<Alert>, StoreError>;

    /// Alerts with their deliveries, newest first.
    async fn alerts_list(&self, filter: AlertFilter) -> Result<Vec<AlertRecord>, StoreError>;

    /// One alert with its deliveries.
    async fn alert_get(&self, alert: AlertId) -> Result<Option<AlertRecord>, StoreError>;

    /// Alerts whose id begins with this text, at most two: for short ids on the command line.
    async fn alert_find(&self, prefix: &str) -> Result<Vec<AlertId>, StoreError>;

    /// Claims up to `limit` deliveries that are due, longest due first. Exclusive: until the lease ends
    /// nobody else gets them, also among processes and machines.
    async fn deliveries_claim(&self, claim: ClaimDeliveries) -> Result<Vec<Claimed>, StoreError>;

    /// Records what an attempt came to. A report of a claim that was lost is denied and changes nothing.
    async fn delivery_record(&self, record: RecordDelivery) -> Result<Delivery, StoreError>;

    /// Sends an alert again to the destinations that were given up (or to one of them). Returns those that
    /// are due now; [`StoreError::Denied`] when there is none.
    async fn delivery_replay(&self, replay: ReplayDelivery) -> Result<Vec<Delivery>, StoreError>;

    /// When the next delivery is due, or the lease of one ends.
    async fn deliveries_next(&self) -> Result<Option<Timestamp>, StoreError>;
}

/// An alert to raise.
#[derive(Debug, Clone)]
pub struct RaiseAlert {
    /// The same trouble gives the same key, e.g. `schedule/prod/x/drift`.
    pub key: String,
    /// How loud.
    pub level: AlertLevel,
    /// One line, redacted.
    pub title: String,
    /// Details; no secrets.
    pub data: Value,
    /// Now.
    pub now: Timestamp,
}

/// Whom an alert is told.
#[derive(Debug, Clone)]
pub struct AlertPlan {
    /// The alert.
    pub alert: AlertId,
    /// An id for each delivery, with the name of its destination.
    pub destinations: Vec<(DeliveryId, String)>,
    /// Now.
    pub now: Timestamp,
}

/// A test of a destination.
#[derive(Debug, Clone)]
pub struct AlertTest {
    /// The alert to tell, which must be planned.
    pub alert: Alert,
    /// Id of its delivery.
    pub delivery: DeliveryId,
    /// The destination.
    pub destination: String,
    /// Who tests.
    pub actor: String,
    /// Until when it is claimed.
    pub lease_until: Timestamp,
    /// Now.
    pub now: Timestamp,
}

/// Which alerts to list; all conditions hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertFilter {
    /// Only those with a destination that was given up.
    pub dead: bool,
    /// Only older than this one: the cursor of the next page.
    pub before: Option<AlertId>,
    /// At most this many; 0 means 50.
    pub limit: u32,
}

/// An alert with its deliveries, by destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRecord {
    /// The alert.
    pub alert: Alert,
    /// Its deliveries; empty while it is not planned, and when nobody is told.
    pub deliveries: Vec<Delivery>,
}

/// A wish to claim deliveries.
#[derive(Debug, Clone, Copy)]
pub struct ClaimDeliveries {
    /// At most this many.
    pub limit: u32,
    /// Lease end.
    pub lease_until: Timestamp,
    /// Now.
    pub now: Timestamp,
}

/// A claimed delivery, with what is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The delivery; its token is that of the claim.
    pub delivery: Delivery,
    /// The alert.
    pub alert: Alert,
}

/// What an attempt came to.
#[derive(Debug, Clone)]
pub struct RecordDelivery {
    /// The alert.
    pub alert: AlertId,
    /// The destination.
    pub destination: String,
    /// [`DeliveryCommand::Delivered`] or [`DeliveryCommand::Failed`].
    pub command: DeliveryCommand,
    /// Now.
    pub now: Timestamp,
}

/// A wish to send again.
#[derive(Debug, Clone)]
pub struct ReplayDelivery {
    /// The alert.
    pub alert: AlertId,
    /// Only this destination.
    pub destination: Option<String>,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// Now.
    pub now: Timestamp,
}
