//! Emergencies: one command that disables, stops, revokes and archives (D-STOP-3).

use async_trait::async_trait;
use futures::stream::BoxStream;
use moorline_core::emergency::Emergency;
use moorline_core::lane::Lane;
use moorline_core::principal::Principal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// Emergencies. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait EmergencyOperations: Send + Sync {
    /// Calls an emergency, or carries one on, and gives it after each step: at first with the gate in force and
    /// every schedule disabled, at last with all steps tried.
    ///
    /// A step is recorded before it is given, and the next one begins when it is asked for. Whoever stops
    /// asking, or is killed, leaves an emergency that the next call carries on.
    ///
    /// # Errors
    /// The stream ends with the first error. What a step could not reach is none: it is in
    /// [`StepReport::left`](moorline_core::emergency::StepReport), and the emergency stays unfinished.
    fn emergency_run(
        &self,
        request: EmergencyRequest,
    ) -> BoxStream<'static, Result<Emergency, ApiError>>;

    /// Emergencies, newest first.
    async fn emergency_list(&self) -> Result<Vec<Emergency>, ApiError>;

    /// One emergency, by its id, a unique beginning of it, or `latest`.
    async fn emergency_show(&self, request: EmergencyShowRequest) -> Result<Emergency, ApiError>;
}

/// Show an emergency.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EmergencyShowRequest {
    /// Its id, a unique beginning of it, or `latest`.
    pub emergency: String,
}

/// Call an emergency, or carry one on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EmergencyRequest {
    /// Which one.
    pub which: EmergencyChoice,
    /// Who asks. Only a person may.
    pub actor: Principal,
}

/// A new emergency, or one that is there.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "choice", rename_all = "snake_case", deny_unknown_fields)]
pub enum EmergencyChoice {
    /// A new one; the unfinished one of the same lane when there is one, whose reason and grace then stay.
    Call {
        /// Only this lane; absent means everything.
        lane: Option<Lane>,
        /// Why.
        reason: String,
        /// Seconds between the polite signal and the kill; absent means 0: at once.
        grace_seconds: Option<f64>,
    },
    /// The newest unfinished one, or that of this id (or a unique beginning of it).
    Resume {
        /// Which.
        id: Option<String>,
    },
}
