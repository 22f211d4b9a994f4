//! [`ScheduleStore`] for both engines.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::artifact::{Artifact, Promotion};
use moorline_core::error_code::FailureClass;
use moorline_core::run::Run;

use crate::database::backend::Backend;
use crate::database::tx::Tx;
use crate::database::unit::Unit;
use crate::error::StoreError;
use crate::schedules::ScheduleStore;

#[async_trait]
impl<B: Backend> ScheduleStore for B {}

/// What the end of a run does to schedules, by the failure matrix (D-RUN-7), in the transaction that ends
/// it. `class` is absent on success.
pub(crate) async fn after_run<T: Tx>(
    _unit: &mut Unit<'_, T>,
    _run: &Run,
    _class: Option<FailureClass>,
    _now: Timestamp,
) -> Result<(), StoreError> {
    Ok(())
}

/// Brings the schedule of a lane and job in line with what the lane now points to, disabled (D-SCHED-1,
/// D-ART-6), in the transaction of the promotion or rollback.
pub(crate) async fn after_promotion<T: Tx>(
    _unit: &mut Unit<'_, T>,
    _promotion: &Promotion,
    _artifact: &Artifact,
    _now: Timestamp,
) -> Result<(), StoreError> {
    Ok(())
}
