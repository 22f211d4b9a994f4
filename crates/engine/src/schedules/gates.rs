//! Evidence for the gates of a schedule (D-SCHED-2).

use moorline_api::{ApiError, GateRequest, GatesView, VerifyRunRequest};
use moorline_core::artifact::{Artifact, Promotion};
use moorline_core::error_code::ErrorCode;
use moorline_core::gate::{Evidence, Gate};
use moorline_core::ids::{EvidenceId, RunId};
use moorline_core::principal::Principal;
use moorline_core::schedule::ScheduleId;
use serde_json::{Value, json};

use crate::engine::Inner;
use crate::error::store_error;
use crate::submit;

/// What was found about a gate.
struct Found {
    gate: Gate,
    holds: bool,
    detail: Value,
    run: Option<RunId>,
}

impl Inner {
    /// How the gates stand.
    pub(super) async fn gates(&self, id: &ScheduleId) -> Result<GatesView, ApiError> {
        let report = self.store.gates_get(id.lane(), id.job_id()).await;
        let report = report.map_err(store_error)?;
        Ok(GatesView {
            schedule: id.clone(),
            state: report.schedule.map(|schedule| schedule.state),
            artifact: report.artifact,
            content: report.content,
            met: report.gates.iter().all(|gate| gate.met),
            gates: report.gates,
        })
    }

    /// Whether every key that the artifact can not run without is there.
    pub(super) async fn check_secrets_gate(
        &self,
        request: &GateRequest,
    ) -> Result<Evidence, ApiError> {
        let id = &request.schedule;
        let live = self.live(id).await?;
        let dir = self.bring_bundle(&live.content).await?;
        let job = submit::load(&dir, self.lane_settings(id.lane())?)?;
        let keys = self.secret_report(&job.spec, id.lane()).await?;
        let found = Found {
            gate: Gate::SecretsConfigured,
            holds: keys.iter().all(|key| key.present || !key.required),
            detail: json!({"keys": keys}),
            run: None,
        };
        self.keep_evidence(id, &live, &request.actor, found).await
    }

    /// Whether the declared egress rule is in force.
    pub(super) async fn probe_egress_gate(
        &self,
        request: &GateRequest,
    ) -> Result<Evidence, ApiError> {
        let id = &request.schedule;
        let live = self.live(id).await?;
        let artifact = self.artifact_of(&live).await?;
        let probe = self.probe_egress(id.lane(), &artifact).await?;
        let found = Found {
            gate: Gate::EgressVerified,
            holds: probe.holds,
            detail: probe.detail,
            run: None,
        };
        self.keep_evidence(id, &live, &request.actor, found).await
    }

    /// That a person looked at a run of exactly what the lane points to.
    pub(super) async fn verify_run_gate(
        &self,
        request: &VerifyRunRequest,
    ) -> Result<Evidence, ApiError> {
        let id = &request.schedule;
        let live = self.live(id).await?;
        let run = self.find(&request.run).await?;
        let found = Found {
            gate: Gate::FirstRunVerified,
            holds: true,
            detail: json!({"run_id": run, "note": request.note}),
            run: Some(run),
        };
        self.keep_evidence(id, &live, &request.actor, found).await
    }

    /// What the lane of a schedule points to for its job.
    pub(super) async fn live(&self, id: &ScheduleId) -> Result<Promotion, ApiError> {
        let live = self.store.live_get(id.lane(), id.job_id()).await;
        live.map_err(store_error)?.ok_or_else(|| {
            let message = format!(
                "the lane `{}` points to no artifact of {} (D-SCHED-1)",
                id.lane(),
                id.job_id()
            );
            ApiError::new(ErrorCode::NotFound, message).hint(
                "`moorline artifact promote` an approved one; `moorline artifact list` shows them",
            )
        })
    }

    async fn artifact_of(&self, live: &Promotion) -> Result<Artifact, ApiError> {
        let artifact = self.store.artifact_get(live.artifact).await;
        artifact.map_err(store_error)?.ok_or_else(|| {
            let message = format!("no such artifact {}", live.artifact);
            ApiError::new(ErrorCode::NotFound, message)
        })
    }

    async fn keep_evidence(
        &self,
        id: &ScheduleId,
        live: &Promotion,
        by: &Principal,
        found: Found,
    ) -> Result<Evidence, ApiError> {
        let evidence = Evidence {
            id: EvidenceId::new(self.ids.uuid()),
            gate: found.gate,
            lane: id.lane().clone(),
            job_id: id.job_id().to_owned(),
            artifact: live.content,
            holds: found.holds,
            by: by.clone(),
            at: self.now(),
            detail: found.detail,
        };
        let kept = self
            .store
            .evidence_record(evidence.clone(), found.run)
            .await;
        kept.map_err(store_error)?;
        self.changed.notify_waiters();
        Ok(evidence)
    }
}
