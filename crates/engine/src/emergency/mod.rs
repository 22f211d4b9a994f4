//! Emergencies (D-STOP-3): disable, stop, revoke, archive, in that order.
//!
//! | module | what |
//! |---|---|
//! | here | calling one, carrying one on, listing them |
//! | `steps` | what each step does |
//! | `exports` | published outputs, set aside |
//!
//! Nothing is kept in memory between the steps: each is recorded before the next one begins, and each can be
//! repeated. So it does not matter which process carries an emergency on, nor where the one before it ended.
//!
//! Deliberately absent: a release. Ending an emergency is several decisions (release the stop, set secrets,
//! approve and promote again, enable), each a person's and each with its own command.

mod exports;
mod steps;

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use moorline_api::{
    ApiError, EmergencyChoice, EmergencyOperations, EmergencyRequest, EmergencyShowRequest,
    Operation,
};
use moorline_core::emergency::{Emergency, EmergencyStep};
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::EmergencyId;
use moorline_store::{CallEmergency, RecordStep, UnderWay, WhichEmergency};

use crate::beginning::{is_beginning, only};
use crate::engine::{Engine, Inner};
use crate::error::store_error;
use crate::stop::grace;

#[async_trait]
impl EmergencyOperations for Engine {
    fn emergency_run(
        &self,
        request: EmergencyRequest,
    ) -> BoxStream<'static, Result<Emergency, ApiError>> {
        let inner = Arc::clone(&self.inner);
        async_stream::try_stream! {
            let actor = request.actor.clone();
            let call = inner.emergency_call(request);
            let subject = "emergency";
            let UnderWay { mut emergency, .. } =
                inner.guarded(Operation::Emergency, &actor, subject, call).await?;
            yield emergency.clone();
            let running = match emergency.is_complete() {
                true => Vec::new(),
                false => inner.carry_out(emergency.stop(inner.now())).await?,
            };
            for step in steps_to_take(&emergency, !running.is_empty()) {
                let report = inner.take_step(step, &emergency, &running, &actor).await;
                let record = RecordStep {
                    id: emergency.id,
                    step,
                    report,
                    by: actor.clone(),
                    now: inner.now(),
                };
                emergency = inner.store.emergency_record(record).await.map_err(store_error)?;
                yield emergency.clone();
            }
        }
        .boxed()
    }

    async fn emergency_list(&self) -> Result<Vec<Emergency>, ApiError> {
        let store = &self.inner.store;
        store.emergencies_list().await.map_err(store_error)
    }

    async fn emergency_show(&self, request: EmergencyShowRequest) -> Result<Emergency, ApiError> {
        self.inner.find_emergency(&request.emergency).await
    }
}

/// The steps behind the first one that are open; the second one also when something runs all the same, as
/// after a release in the middle.
fn steps_to_take(emergency: &Emergency, running: bool) -> Vec<EmergencyStep> {
    let open: Vec<_> = emergency.open_steps().collect();
    let wanted = |step: &EmergencyStep| match step {
        EmergencyStep::Disable => false,
        EmergencyStep::Stop => running || open.contains(step),
        EmergencyStep::Revoke | EmergencyStep::Archive => open.contains(step),
    };
    EmergencyStep::ALL.into_iter().filter(wanted).collect()
}

impl Inner {
    /// Engages the gate and disables the schedules; what follows is for [`Inner::take_step`].
    async fn emergency_call(&self, request: EmergencyRequest) -> Result<UnderWay, ApiError> {
        let which = match request.which {
            EmergencyChoice::Call {
                lane,
                reason,
                grace_seconds,
            } => {
                if let Some(lane) = &lane {
                    self.lane_settings(lane)?;
                }
                let grace = grace(grace_seconds)?;
                WhichEmergency::Call {
                    id: EmergencyId::new(self.ids.uuid()),
                    lane,
                    reason,
                    grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
                }
            }
            EmergencyChoice::Resume { id: None } => WhichEmergency::Resume(None),
            EmergencyChoice::Resume { id: Some(id) } => {
                WhichEmergency::Resume(Some(self.find_emergency(&id).await?.id))
            }
        };
        let call = CallEmergency {
            which,
            by: request.actor,
            now: self.now(),
        };
        let under_way = self.store.emergency_begin(call).await;
        self.changed.notify_waiters();
        under_way.map_err(store_error)
    }

    /// An emergency by its id, a unique beginning of it, or `latest`.
    async fn find_emergency(&self, text: &str) -> Result<Emergency, ApiError> {
        let missing = || {
            let message = format!("no emergency `{text}`");
            ApiError::new(ErrorCode::NotFound, message).hint("`moorline emergency list` shows them")
        };
        let mut all = self.store.emergencies_list().await.map_err(store_error)?;
        if text == "latest" {
            return all.into_iter().next().ok_or_else(missing);
        }
        all.retain(|emergency| is_beginning(text) && emergency.id.to_string().starts_with(text));
        only(all, text, "emergencies", missing)
    }
}
