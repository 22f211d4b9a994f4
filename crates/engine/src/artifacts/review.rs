//! The structural review: layout, secrets in files, and the difference against what is approved.
//!
//! It is a function of the content, the last approved version and the rules, so it is made anew whenever it
//! matters: at submission, and again at approval.

use moorline_api::{ApiError, ArtifactReviewRequest, ReviewView};
use moorline_core::artifact::difference::{Version, difference};
use moorline_core::artifact::files::Files;
use moorline_core::artifact::layout::{self, SpecFile};
use moorline_core::artifact::{Artifact, ArtifactState, Review};
use moorline_core::error_code::ErrorCode;
use moorline_core::spec::JobType;
use moorline_store::ArtifactFilter;

use super::pack::{Packed, pack};
use super::scan;
use crate::engine::Inner;
use crate::error::store_error;

/// A review, with the spec that was read on the way.
pub(super) struct Reviewed {
    /// The spec; none when it is a finding.
    pub(super) spec: Option<SpecFile>,
    /// What was found.
    pub(super) review: Review,
}

impl Inner {
    /// Reviews what was packed.
    pub(super) async fn review(&self, packed: &Packed) -> Result<Reviewed, ApiError> {
        let files = &packed.files;
        let mut findings = packed.unfit.clone();
        let spec = match SpecFile::read(files, layout::SPEC) {
            Ok(spec) => Some(spec),
            Err(violations) => {
                findings.extend(violations);
                None
            }
        };
        let research = match &spec {
            Some(spec) => self.research_of(&spec.spec.job_id).await?,
            None => None,
        };
        findings.extend(layout::findings(files, spec.as_ref(), research.as_ref()));
        findings.extend(scan::secrets(files));
        findings.sort();
        findings.dedup();
        let mut review = Review {
            findings,
            ..Review::default()
        };
        if let Some(spec) = &spec {
            self.compare(spec, packed, &mut review).await?;
        }
        Ok(Reviewed { spec, review })
    }

    /// Fills in the difference against the job's baseline.
    async fn compare(
        &self,
        spec: &SpecFile,
        packed: &Packed,
        review: &mut Review,
    ) -> Result<(), ApiError> {
        let research = spec.spec.job_type == JobType::IntakeResearch;
        let baseline = self
            .store
            .artifact_baseline(&spec.spec.job_id, research)
            .await;
        let Some(baseline) = baseline.map_err(store_error)? else {
            return Ok(());
        };
        review.against = Some(baseline.content);
        if baseline.content == packed.content {
            return Ok(());
        }
        let before = self.open_kept(&baseline.content).await?;
        let before_spec = spec_of(&before.files, &baseline)?;
        review.changes = difference(
            Version {
                spec: &before_spec.spec,
                files: &before.files,
            },
            Version {
                spec: &spec.spec,
                files: &packed.files,
            },
        );
        Ok(())
    }

    /// The files of the approved research of a job, if there is any.
    async fn research_of(&self, job_id: &str) -> Result<Option<Files>, ApiError> {
        let approved = ArtifactFilter {
            job_id: Some(job_id.to_owned()),
            state: Some(ArtifactState::Approved),
            ..ArtifactFilter::default()
        };
        let approved = self.store.artifacts_list(approved).await;
        let research = approved
            .map_err(store_error)?
            .into_iter()
            .find(Artifact::is_research);
        match research {
            Some(research) => Ok(Some(self.open_kept(&research.content).await?.files)),
            None => Ok(None),
        }
    }

    /// What `artifact review` shows.
    pub(super) async fn review_view(
        &self,
        request: ArtifactReviewRequest,
    ) -> Result<ReviewView, ApiError> {
        let packed = match (&request.dir, &request.artifact) {
            (Some(dir), None) => pack(dir)?,
            (None, Some(artifact)) => {
                let artifact = self
                    .find_artifact(artifact, request.lane.as_deref())
                    .await?;
                self.open_kept(&artifact.content).await?
            }
            _ => {
                return Err(ApiError::new(
                    ErrorCode::Usage,
                    "a review is of a directory or of an artifact: name one of them",
                ));
            }
        };
        let reviewed = self.review(&packed).await?;
        Ok(ReviewView {
            job_id: reviewed.spec.map(|spec| spec.spec.job_id),
            content: packed.unfit.is_empty().then_some(packed.content),
            needs_security_review: reviewed.review.needs_security_review(),
            review: reviewed.review,
        })
    }
}

/// The spec of an artifact from its kept files.
pub(super) fn spec_of(files: &Files, artifact: &Artifact) -> Result<SpecFile, ApiError> {
    SpecFile::read(files, layout::SPEC).map_err(|violations| {
        let message = format!(
            "the kept spec of artifact {} can not be read: its content was changed (D-ART-2)",
            artifact.id
        );
        ApiError::new(ErrorCode::Store, message)
            .hint("`moorline artifact verify` says what differs; restore it from an export")
            .with_details(violations.into_iter().map(Into::into).collect())
    })
}
