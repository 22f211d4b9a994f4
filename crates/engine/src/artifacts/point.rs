//! Promotion, rollback, and what a lane points to.

use std::path::{Path, PathBuf};

use moorline_api::{
    ApiError, ErrorDetail, Operation, PromoteRequest, PromotionView, RollbackRequest,
};
use moorline_core::artifact::Artifact;
use moorline_core::artifact::machine;
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::{ArtifactId, PromotionId};
use moorline_core::lane::Lane;
use moorline_core::principal::Principal;
use moorline_core::spec::validate_for_lane;
use moorline_store::{PointLane, PointTo, Seen};

use super::decide::subject_of;
use super::review::spec_of;
use crate::engine::Inner;
use crate::error::store_error;

/// Who points which lane, why, and what they saw.
struct Wish {
    lane: Lane,
    actor: Principal,
    reason: String,
    seen: Option<Seen>,
}

impl Inner {
    /// Points a lane to an approved artifact.
    pub(super) async fn promote(
        &self,
        request: PromoteRequest,
        seen: Option<Seen>,
    ) -> Result<PromotionView, ApiError> {
        let lane = self.lane_asked(request.lane.as_deref())?;
        let found = self
            .find_artifact(&request.artifact, Some(lane.as_str()))
            .await;
        let subject = subject_of(&found, &request.artifact);
        let wish = Wish {
            lane,
            actor: request.actor,
            reason: request.reason,
            seen,
        };
        let pointing = async {
            let artifact = found?;
            self.point(&artifact, PointTo::Artifact(artifact.id), &wish)
                .await
        };
        let operation = Operation::ArtifactPromote;
        self.guarded(operation, &wish.actor, subject, Box::pin(pointing))
            .await
    }

    /// Points a lane back to an earlier version.
    pub(super) async fn roll_back(
        &self,
        request: RollbackRequest,
    ) -> Result<PromotionView, ApiError> {
        let lane = self.lane_asked(request.lane.as_deref())?;
        let found = match &request.to {
            Some(to) => self.find_artifact(to, Some(lane.as_str())).await,
            None => self.earlier(&lane, &request.job_id).await,
        };
        let subject = subject_of(&found, &request.job_id);
        let wish = Wish {
            lane,
            actor: request.actor,
            reason: request.reason,
            seen: None,
        };
        let pointing = async {
            let artifact = found?;
            if artifact.job_id != request.job_id {
                let message = format!(
                    "artifact {} is of the job {}, not of {}",
                    artifact.id, artifact.job_id, request.job_id
                );
                return Err(ApiError::new(ErrorCode::Usage, message)
                    .hint("`moorline artifact history` shows the versions of a job"));
            }
            self.point(&artifact, PointTo::Earlier(artifact.id), &wish)
                .await
        };
        let operation = Operation::ArtifactRollback;
        self.guarded(operation, &wish.actor, subject, Box::pin(pointing))
            .await
    }

    async fn point(
        &self,
        artifact: &Artifact,
        to: PointTo,
        wish: &Wish,
    ) -> Result<PromotionView, ApiError> {
        let verified = self.verify_kept(artifact).await?;
        // What is not approved is refused by the store, with the reason that fits.
        if artifact.state.was_approved() {
            self.fits(artifact, &wish.lane).await?;
            if !verified.intact {
                return Err(damaged(artifact, &verified));
            }
        }
        let pointing = PointLane {
            id: PromotionId::new(self.ids.uuid()),
            lane: wish.lane.clone(),
            to,
            actor: wish.actor.clone(),
            reason: wish.reason.clone(),
            seen: wish.seen.clone(),
            now: self.now(),
        };
        let pointed = self.store.promotion_record(pointing).await;
        let pointed = pointed.map_err(store_error)?;
        self.changed.notify_waiters();
        self.refresh_tree(&artifact.job_id).await;
        Ok(PromotionView {
            promotion: pointed.promotion,
            changed: pointed.changed,
            verified,
        })
    }

    /// A lane points only to what its rules permit (D-SPEC-3).
    async fn fits(&self, artifact: &Artifact, lane: &Lane) -> Result<(), ApiError> {
        let kept = self.open_kept(&artifact.content).await?;
        let spec = spec_of(&kept.files, artifact)?;
        let rules = &self.lane_settings(lane)?.rules;
        validate_for_lane(&spec.spec, rules).map_err(|violations| {
            let message = format!(
                "artifact {} is not fit for the lane {lane} (D-SPEC-3)",
                artifact.id
            );
            let details = violations.iter().map(|violation| ErrorDetail {
                at: violation.pointer.clone(),
                rule: violation.rule.clone(),
                message: violation.message.clone(),
                hint: violation.hint.clone(),
            });
            ApiError::new(ErrorCode::Policy, message)
                .hint("change the spec, and have the new version approved")
                .with_details(details.collect())
        })
    }

    /// The version that the lane pointed to before the present one.
    async fn earlier(&self, lane: &Lane, job_id: &str) -> Result<Artifact, ApiError> {
        let history = self.store.promotions_list(Some(lane), job_id).await;
        let versions = machine::versions(&history.map_err(store_error)?);
        let earlier: &[ArtifactId] = versions.split_last().map_or(&[], |(_, earlier)| earlier);
        for id in earlier
            .iter()
            .rev()
            .filter(|id| Some(*id) != versions.last())
        {
            let artifact = self.must_get_artifact(*id).await?;
            if artifact.state.was_approved() {
                return Ok(artifact);
            }
        }
        Err(machine::nothing_earlier(lane, job_id).into())
    }

    /// The directory that a submission means: the path itself, or for `live:JOB` what the lane points to.
    pub(crate) async fn job_dir(&self, lane: &Lane, job: &Path) -> Result<PathBuf, ApiError> {
        match job.to_str().and_then(|text| text.strip_prefix("live:")) {
            Some(job_id) => self.live_dir(lane, job_id).await,
            None => Ok(job.to_owned()),
        }
    }

    /// The directory of what a lane points to for a job: the one to run there.
    ///
    /// # Errors
    /// D-ART-4 when it points to nothing, or to what was set aside since.
    pub(crate) async fn live_dir(&self, lane: &Lane, job_id: &str) -> Result<PathBuf, ApiError> {
        let live = self.store.live_get(lane, job_id).await;
        let live = live.map_err(store_error)?;
        let refused = || machine::not_live(lane, job_id, live.as_ref());
        let promotion = live.as_ref().ok_or_else(refused)?;
        let artifact = self.must_get_artifact(promotion.artifact).await?;
        if !artifact.state.was_approved() {
            let hint = format!("artifact {} is {}", artifact.id, artifact.state);
            return Err(refused().hint(hint).into());
        }
        self.bring_bundle(&promotion.content).await
    }
}

/// What is pointed to must be what was approved (D-ART-6).
fn damaged(artifact: &Artifact, report: &moorline_api::VerifyReport) -> ApiError {
    let details = report
        .checks
        .iter()
        .filter_map(|check| {
            Some(moorline_core::denial::Detail {
                at: check.what.clone(),
                rule: "D-ART-2".to_owned(),
                message: check.problem.clone()?,
                hint: None,
            })
        })
        .collect();
    let message = format!("artifact {} does not verify", artifact.id);
    Denial::new(ErrorCode::Policy, "D-ART-2", message)
        .hint("nothing points to it now; submit the content again, or restore it from an export")
        .with_details(details)
        .into()
}
