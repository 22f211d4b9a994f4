//! Alerts and their deliveries.

use async_trait::async_trait;
use moorline_core::alert::{Alert, Delivery};
use moorline_core::principal::Principal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// Alerts and their deliveries (D-FLOW-9). A part of [`ControlPlane`](crate::ControlPlane), under its
/// contract.
#[async_trait]
pub trait AlertOperations: Send + Sync {
    /// Alerts with their deliveries, newest first.
    async fn alert_list(&self, request: AlertListRequest) -> Result<Vec<AlertView>, ApiError>;

    /// One alert with its deliveries.
    async fn alert_show(&self, request: AlertRequest) -> Result<AlertView, ApiError>;

    /// Makes deliveries that were given up due again, and sends them at once.
    async fn alert_replay(&self, request: AlertReplayRequest) -> Result<AlertView, ApiError>;

    /// Sends a test alert to one configured destination and says what came of it. It is tried once.
    async fn alert_test(&self, request: AlertTestRequest) -> Result<Delivery, ApiError>;
}

/// List alerts; all conditions hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlertListRequest {
    /// Only those with a destination that was given up.
    pub dead: bool,
    /// Only older than this alert (id or a unique beginning of it): the next page.
    pub before: Option<String>,
    /// At most this many; 0 means 50.
    pub limit: u32,
}

/// Show an alert.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertRequest {
    /// Its id, a unique beginning of it, or `latest`.
    pub alert: String,
}

/// Send an alert again to where it was given up.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertReplayRequest {
    /// Its id, a unique beginning of it, or `latest`.
    pub alert: String,
    /// Only to this destination.
    #[serde(default)]
    pub destination: Option<String>,
    /// Who asks.
    pub actor: Principal,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Test a destination.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertTestRequest {
    /// Its name in the settings.
    pub destination: String,
    /// Who asks.
    pub actor: Principal,
}

/// An alert with its deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertView {
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
    /// Its deliveries, by destination; none while nobody has looked whom to tell.
    pub deliveries: Vec<Delivery>,
}
