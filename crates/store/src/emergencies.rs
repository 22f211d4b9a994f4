//! Emergencies and how far each got.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::emergency::{Emergency, EmergencyStep, StepReport};
use moorline_core::ids::EmergencyId;
use moorline_core::lane::Lane;
use moorline_core::principal::Principal;

use crate::error::StoreError;

/// Emergencies and how far each got. A part of [`Store`](crate::Store), under its contract.
#[async_trait]
pub trait EmergencyStore: Send + Sync {
    /// Calls an emergency, or carries one on: the gate is engaged (also when it was released meanwhile), every
    /// schedule that it covers is disabled, and the step [`Disable`](EmergencyStep::Disable) is recorded, all
    /// in one transaction (D-STOP-3). Carrying on one that is complete is `Ok` and writes nothing.
    ///
    /// # Errors
    /// [`StoreError::Denied`] by the rules of [`Emergency`], and when there is none to carry on;
    /// [`StoreError::NotFound`] when there is none of that id.
    async fn emergency_begin(&self, call: CallEmergency) -> Result<UnderWay, StoreError>;

    /// Records what a step came to, with its event and audit record.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], and [`StoreError::Denied`] when a step before it was not taken.
    async fn emergency_record(&self, record: RecordStep) -> Result<Emergency, StoreError>;

    /// One emergency.
    async fn emergency_get(&self, id: EmergencyId) -> Result<Option<Emergency>, StoreError>;

    /// All emergencies, newest first.
    async fn emergencies_list(&self) -> Result<Vec<Emergency>, StoreError>;
}

/// A call for an emergency.
#[derive(Debug, Clone)]
pub struct CallEmergency {
    /// Which one.
    pub which: WhichEmergency,
    /// Who calls it or carries it on.
    pub by: Principal,
    /// Now.
    pub now: Timestamp,
}

/// A new emergency or one that is there.
#[derive(Debug, Clone)]
pub enum WhichEmergency {
    /// A new one, or the unfinished one of the same lane when there is one: then its own reason and grace
    /// stay.
    Call {
        /// Its id, when it is new.
        id: EmergencyId,
        /// Only this lane.
        lane: Option<Lane>,
        /// Why.
        reason: String,
        /// Milliseconds between the polite signal and the kill.
        grace_ms: u64,
    },
    /// The newest one that is unfinished, or that of this id, whatever its state.
    Resume(Option<EmergencyId>),
}

/// An emergency whose gate is in force.
#[derive(Debug, Clone)]
pub struct UnderWay {
    /// The emergency, its first step done.
    pub emergency: Emergency,
    /// Whether it was there before.
    pub resumed: bool,
}

/// What a step came to.
#[derive(Debug, Clone)]
pub struct RecordStep {
    /// The emergency.
    pub id: EmergencyId,
    /// The step.
    pub step: EmergencyStep,
    /// What it came to.
    pub report: StepReport,
    /// Who carries the emergency out.
    pub by: Principal,
    /// Now.
    pub now: Timestamp,
}
