//! The [`Deployer`] seam: schedules that a platform keeps on its own.
//!
//! What is deployed is the second layer of a schedule, never the first (D-SCHED-5): the gate is in the store and
//! is looked at for every start. So a deployer needs no say in what runs; it puts a schedule out, takes it away,
//! and tells what is really there, so that the two can be compared.

use std::fmt::Debug;

use async_trait::async_trait;
use moorline_core::content_id::ContentId;
use moorline_core::lane::Lane;
use moorline_core::schedule::{ScheduleDocument, ScheduleId};
use serde::{Deserialize, Serialize};

use crate::executor::ExecutorError;

/// Puts schedules on a platform, and tells which are there.
///
/// # Contract
/// * `deploy` replaces what was deployed of that schedule; done twice it leaves one.
/// * `undeploy` is `Ok` when nothing was deployed.
/// * `deployed` is complete or an error, never a short list: "can not be asked" is not "nothing there".
#[async_trait]
pub trait Deployer: Send + Sync + Debug {
    /// The name of the app that a schedule is deployed as.
    ///
    /// # Errors
    /// When the schedule has no name there.
    fn app(&self, id: &ScheduleId) -> Result<String, ExecutorError>;

    /// Deploys a schedule, and gives the app's page.
    ///
    /// # Errors
    /// When the platform refuses it or can not be reached; what was deployed before may still be.
    async fn deploy(&self, schedule: &Deployable) -> Result<String, ExecutorError>;

    /// Takes a schedule away. Whether there was one.
    ///
    /// # Errors
    /// When the platform can not be reached.
    async fn undeploy(&self, id: &ScheduleId) -> Result<bool, ExecutorError>;

    /// Every schedule of Moorline that is deployed in a lane.
    ///
    /// # Errors
    /// When the platform can not be asked about each of them.
    async fn deployed(&self, lane: &Lane) -> Result<Vec<Deployed>, ExecutorError>;
}

/// A schedule to deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployable {
    /// Which.
    pub id: ScheduleId,
    /// When it is due.
    pub document: ScheduleDocument,
    /// The artifact that it starts.
    pub content: ContentId,
}

/// A schedule as the platform has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// The app.
    pub app: String,
    /// The short content hash that it was deployed for ([`tag_of`]); none when it does not say.
    pub content: Option<String>,
    /// When the platform calls it; none when it does not.
    pub cadence: Option<DeployedCadence>,
}

/// When a platform calls a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DeployedCadence {
    /// By the clock of a zone.
    Cron {
        /// Five fields.
        expr: String,
        /// The zone.
        time_zone: String,
    },
    /// Some time after each deployment, and again after each such time.
    Periodic {
        /// Seconds.
        period_seconds: u64,
    },
    /// In a way that Moorline never deploys.
    Other,
}

impl DeployedCadence {
    /// What a document is deployed as; none for one without a cadence.
    pub fn of(document: &ScheduleDocument) -> Option<Self> {
        match (&document.expr, document.period_seconds) {
            (Some(expr), None) => Some(Self::Cron {
                expr: expr.clone(),
                time_zone: document.time_zone.clone(),
            }),
            (None, Some(period_seconds)) => Some(Self::Periodic { period_seconds }),
            _ => None,
        }
    }
}

/// The part of a content id that fits into a tag: 32 hex digits.
pub fn tag_of(content: &ContentId) -> String {
    content.to_hex().chars().take(32).collect()
}
