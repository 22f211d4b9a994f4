//! The platform layer of a stop: what is deployed of the schedules behind it is taken away (D-STOP-1).
//!
//! The gate alone holds: a schedule that is still deployed asks it before each start (D-SCHED-5). So nothing
//! here is waited for before a stop is acknowledged, and a platform that does not answer is told and not
//! thrown. Which schedules were deployed is on the audit record; where none ever was, no platform is asked.

use std::collections::BTreeMap;

use moorline_api::{ApiError, ScheduleChangeRequest};
use moorline_core::principal::Principal;
use moorline_core::schedule::ScheduleId;
use moorline_core::stop::Stop;
use moorline_store::{AuditFilter, ScheduleFilter};

use crate::engine::Inner;
use crate::error::store_error;

/// What became of deployed schedules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Undeployed {
    /// Schedules that were deployed and are no more.
    pub(crate) done: Vec<ScheduleId>,
    /// Schedules that may still be deployed, each with the reason.
    pub(crate) left: BTreeMap<ScheduleId, String>,
}

impl Inner {
    /// Takes away what is deployed of the schedules that a stop covers.
    pub(crate) async fn undeploy_behind(
        &self,
        stop: &Stop,
        by: &Principal,
    ) -> Result<Undeployed, ApiError> {
        let mut undeployed = Undeployed::default();
        if self.newest_audit("schedule.deploy", None).await?.is_none() {
            return Ok(undeployed);
        }
        let all = self.store.schedules_list(ScheduleFilter::default()).await;
        for schedule in all.map_err(store_error)? {
            if !schedule.covered_by(&stop.scope) || !self.was_deployed(&schedule.id).await? {
                continue;
            }
            let request = ScheduleChangeRequest {
                schedule: schedule.id.clone(),
                actor: by.clone(),
                reason: stop.reason.clone(),
            };
            let taken = tokio::time::timeout(self.config.stop_patience, self.undeploy(&request));
            match taken.await {
                Ok(Ok(_)) => undeployed.done.push(schedule.id),
                Ok(Err(error)) => {
                    undeployed.left.insert(schedule.id, error.to_string());
                }
                Err(_) => {
                    let why = "the platform does not answer".to_owned();
                    undeployed.left.insert(schedule.id, why);
                }
            }
        }
        Ok(undeployed)
    }

    /// Whether a schedule was deployed and not taken away since.
    async fn was_deployed(&self, schedule: &ScheduleId) -> Result<bool, ApiError> {
        let deployed = self.newest_audit("schedule.deploy", Some(schedule)).await?;
        let taken_away = self
            .newest_audit("schedule.undeploy", Some(schedule))
            .await?;
        Ok(deployed > taken_away)
    }

    /// The newest audit record of an operation.
    async fn newest_audit(
        &self,
        operation: &str,
        schedule: Option<&ScheduleId>,
    ) -> Result<Option<u64>, ApiError> {
        let filter = AuditFilter {
            operation: Some(operation.to_owned()),
            subject: schedule.map(|schedule| format!("schedule/{schedule}")),
            limit: 1,
            ..AuditFilter::default()
        };
        let found = self.store.audit_search(filter).await.map_err(store_error)?;
        Ok(found.first().map(|record| record.id))
    }
}
