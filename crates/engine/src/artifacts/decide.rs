//! Submissions and decisions.

use moorline_api::{
    ApiError, ArtifactSubmitRequest, ArtifactSubmitted, DecisionRequest, Operation,
};
use moorline_core::artifact::machine::Command;
use moorline_core::artifact::{Artifact, ArtifactState, DecisionKind, Review};
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::ArtifactId;
use moorline_store::{DecideArtifact, Seen, StoreError, SubmitArtifact};

use super::pack::pack;
use crate::engine::Inner;
use crate::error::{io_error, store_error};

/// How often an approval is made anew when other versions of the job are approved at the same time.
const TRIES: u32 = 4;

impl Inner {
    /// Packs, reviews and keeps a directory, and makes its submission durable.
    pub(super) async fn submit_artifact(
        &self,
        request: ArtifactSubmitRequest,
    ) -> Result<ArtifactSubmitted, ApiError> {
        let subject = format!("directory/{}", request.dir.display());
        let submitting = async {
            let packed = pack(&request.dir)?;
            let reviewed = self.review(&packed).await?;
            let (Some(spec), true) = (reviewed.spec, reviewed.review.findings.is_empty()) else {
                return Err(refused(&request, reviewed.review));
            };
            let draft = Artifact {
                id: ArtifactId::new(self.ids.uuid()),
                job_id: spec.spec.job_id.clone(),
                source_id: spec.spec.source_id().map(str::to_owned),
                job_type: spec.spec.job_type,
                spec_version: spec.spec.version,
                spec_hash: spec.hash,
                content: packed.content,
                state: ArtifactState::Draft,
                submitted_by: request.actor.clone(),
                submitted_at: self.now(),
                note: request.note.clone(),
                schedule: spec.schedule(),
                review: reviewed.review,
                decisions: Vec::new(),
                version: 0,
            };
            packed
                .keep(&self.config.dirs.artifacts())
                .map_err(io_error("keep the artifact"))?;
            self.share_bundle(&draft.content).await?;
            let submission = SubmitArtifact {
                draft,
                spec: spec.canonical,
            };
            let submitted = self.store.artifact_submit(submission).await;
            let submitted = submitted.map_err(store_error)?;
            self.changed.notify_waiters();
            self.refresh_tree(&submitted.artifact.job_id).await;
            Ok(ArtifactSubmitted {
                artifact: submitted.artifact,
                created: submitted.created,
            })
        };
        let operation = Operation::ArtifactSubmit;
        self.guarded(operation, &request.actor, subject, Box::pin(submitting))
            .await
    }

    /// Records a decision of a kind about an artifact.
    pub(super) async fn decide(
        &self,
        kind: DecisionKind,
        request: DecisionRequest,
        seen: Option<Seen>,
    ) -> Result<Artifact, ApiError> {
        let found = self
            .find_artifact(&request.artifact, request.lane.as_deref())
            .await;
        let subject = subject_of(&found, &request.artifact);
        let deciding = async {
            let artifact = found?;
            let decided = self.decide_about(kind, &artifact, &request, seen).await?;
            self.changed.notify_waiters();
            self.refresh_tree(&decided.job_id).await;
            Ok(decided)
        };
        let operation = operation_of(kind);
        self.guarded(operation, &request.actor, subject, Box::pin(deciding))
            .await
    }

    async fn decide_about(
        &self,
        kind: DecisionKind,
        artifact: &Artifact,
        request: &DecisionRequest,
        seen: Option<Seen>,
    ) -> Result<Artifact, ApiError> {
        let mut tries = 1;
        loop {
            let (command, now) = match kind {
                DecisionKind::Approve => {
                    let review = self.fresh_review(artifact).await?;
                    let (signed, now) = self.signature(kind, artifact, &review, request).await?;
                    let command = Command::Approve {
                        reason: request.reason.clone(),
                        review,
                        signed,
                    };
                    (command, now)
                }
                DecisionKind::SecurityReview => {
                    let review = &artifact.review;
                    let (signed, now) = self.signature(kind, artifact, review, request).await?;
                    let reason = request.reason.clone();
                    (Command::SecurityReview { reason, signed }, now)
                }
                DecisionKind::Reject => {
                    let reason = request.reason.clone();
                    (Command::Reject { reason }, self.now())
                }
                DecisionKind::RequestChanges => {
                    let command = Command::RequestChanges {
                        reason: request.reason.clone(),
                        changes: request.changes.clone(),
                    };
                    (command, self.now())
                }
                DecisionKind::Archive => {
                    let reason = request.reason.clone();
                    (Command::Archive { reason }, self.now())
                }
            };
            let decision = DecideArtifact {
                artifact: artifact.id,
                command,
                actor: request.actor.clone(),
                two_person: self.config.settings.review.two_person,
                seen: seen.clone(),
                now,
            };
            match self.store.artifact_decide(decision).await {
                // Another version was approved in between: the review is made against that one.
                Err(StoreError::Conflict { .. }) if tries < TRIES => tries += 1,
                decided => return decided.map_err(store_error),
            }
        }
    }
}

/// What a decision is about: the artifact, or the reference that names none.
pub(super) fn subject_of(found: &Result<Artifact, ApiError>, reference: &str) -> String {
    match found {
        Ok(artifact) => format!("artifact/{}", artifact.id),
        Err(_) => format!("artifact/{reference}"),
    }
}

pub(super) const fn operation_of(kind: DecisionKind) -> Operation {
    match kind {
        DecisionKind::Approve => Operation::ArtifactApprove,
        DecisionKind::Reject => Operation::ArtifactReject,
        DecisionKind::RequestChanges => Operation::ArtifactRequestChanges,
        DecisionKind::SecurityReview => Operation::ArtifactSecurityReview,
        DecisionKind::Archive => Operation::ArtifactArchive,
    }
}

fn refused(request: &ArtifactSubmitRequest, review: Review) -> ApiError {
    let count = review.findings.len();
    let plural = if count == 1 { "finding" } else { "findings" };
    let message = format!("{}: {count} {plural}", request.dir.display());
    Denial::new(ErrorCode::Inputs, "D-ART-1", message)
        .hint("mend all of them, then submit again; nothing was kept")
        .with_details(review.findings)
        .into()
}
