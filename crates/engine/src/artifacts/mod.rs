//! Review and promotion of artifacts.
//!
//! | module | what |
//! |---|---|
//! | [`pack`] | a directory becomes files in memory, each read once |
//! | [`scan`] | secrets in files |
//! | [`review`] | the structural review: layout, secrets, difference against what is approved |
//! | [`find`] | references on the command line |
//! | [`decide`], [`sign`] | submissions, decisions, signatures |
//! | [`point`] | promotion, rollback, what a lane points to |
//! | [`diff`] | two versions side by side |
//! | [`verify`], [`export`] | content and signatures, offline |
//! | [`project`] | the tree that people look at |
//!
//! The rules are pure functions of `moorline_core::artifact`; what is decided is one transaction of the store.

mod decide;
mod diff;
mod export;
mod find;
mod pack;
mod point;
mod project;
mod review;
mod scan;
mod sign;
mod verify;

use async_trait::async_trait;
use moorline_api::{
    ApiError, ArtifactDiff, ArtifactDiffRequest, ArtifactListRequest, ArtifactOperations,
    ArtifactRequest, ArtifactReviewRequest, ArtifactSubmitRequest, ArtifactSubmitted, ArtifactView,
    AttestRequest, DecisionRequest, ExportReport, ExportRequest, HistoryRequest, ProjectReport,
    PromoteRequest, PromotionView, ReviewView, RollbackRequest, VerifyReport, VerifyRequest,
};
use moorline_core::artifact::signature::Attestation;
use moorline_core::artifact::{Artifact, DecisionKind, Promotion};
use moorline_store::ArtifactFilter;

use crate::engine::{Engine, Inner};
use crate::error::store_error;

#[async_trait]
impl ArtifactOperations for Engine {
    async fn artifact_submit(
        &self,
        request: ArtifactSubmitRequest,
    ) -> Result<ArtifactSubmitted, ApiError> {
        Box::pin(self.inner.submit_artifact(request)).await
    }

    async fn artifact_review(
        &self,
        request: ArtifactReviewRequest,
    ) -> Result<ReviewView, ApiError> {
        self.inner.review_view(request).await
    }

    async fn artifact_list(&self, request: ArtifactListRequest) -> Result<Vec<Artifact>, ApiError> {
        let filter = ArtifactFilter {
            job_id: request.job_id,
            state: request.state,
            content: None,
            before: request.before,
            limit: request.limit,
        };
        let found = self.inner.store.artifacts_list(filter).await;
        found.map_err(store_error)
    }

    async fn artifact_show(&self, request: ArtifactRequest) -> Result<ArtifactView, ApiError> {
        let inner = &self.inner;
        let artifact = inner
            .find_artifact(&request.artifact, request.lane.as_deref())
            .await?;
        inner.artifact_view(artifact).await
    }

    async fn artifact_diff(&self, request: ArtifactDiffRequest) -> Result<ArtifactDiff, ApiError> {
        self.inner.diff_artifacts(request).await
    }

    async fn artifact_attest(&self, request: AttestRequest) -> Result<Attestation, ApiError> {
        self.inner.attest(request).await
    }

    async fn artifact_approve(&self, request: DecisionRequest) -> Result<Artifact, ApiError> {
        self.inner
            .decide(DecisionKind::Approve, request, self.seen())
            .await
    }

    async fn artifact_reject(&self, request: DecisionRequest) -> Result<Artifact, ApiError> {
        self.inner
            .decide(DecisionKind::Reject, request, self.seen())
            .await
    }

    async fn artifact_request_changes(
        &self,
        request: DecisionRequest,
    ) -> Result<Artifact, ApiError> {
        self.inner
            .decide(DecisionKind::RequestChanges, request, self.seen())
            .await
    }

    async fn artifact_security_review(
        &self,
        request: DecisionRequest,
    ) -> Result<Artifact, ApiError> {
        self.inner
            .decide(DecisionKind::SecurityReview, request, self.seen())
            .await
    }

    async fn artifact_archive(&self, request: DecisionRequest) -> Result<Artifact, ApiError> {
        self.inner
            .decide(DecisionKind::Archive, request, self.seen())
            .await
    }

    async fn artifact_promote(&self, request: PromoteRequest) -> Result<PromotionView, ApiError> {
        Box::pin(self.inner.promote(request, self.seen())).await
    }

    async fn artifact_rollback(&self, request: RollbackRequest) -> Result<PromotionView, ApiError> {
        Box::pin(self.inner.roll_back(request)).await
    }

    async fn artifact_history(&self, request: HistoryRequest) -> Result<Vec<Promotion>, ApiError> {
        let lane = match request.lane.as_deref() {
            Some(name) => Some(self.inner.lane_asked(Some(name))?),
            None => None,
        };
        let store = &self.inner.store;
        let history = store.promotions_list(lane.as_ref(), &request.job_id).await;
        history.map_err(store_error)
    }

    async fn artifact_verify(&self, request: VerifyRequest) -> Result<VerifyReport, ApiError> {
        self.inner.verify(request).await
    }

    async fn artifact_export(&self, request: ExportRequest) -> Result<ExportReport, ApiError> {
        self.inner.export_artifact(request).await
    }

    async fn artifact_project(&self) -> Result<ProjectReport, ApiError> {
        self.inner.project_all().await
    }
}

impl Inner {
    async fn artifact_view(&self, artifact: Artifact) -> Result<ArtifactView, ApiError> {
        let live = self.store.live_list().await.map_err(store_error)?;
        let live_in = live
            .into_iter()
            .filter(|promotion| promotion.artifact == artifact.id)
            .map(|promotion| promotion.lane)
            .collect();
        Ok(ArtifactView {
            live_in,
            security_review_owed: !artifact.security_settled(),
            kept_in: self.kept(&artifact.content),
            artifact,
        })
    }
}
