//! Artifacts, what was decided about them, and where lanes point.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::artifact::machine::Command;
use moorline_core::artifact::{Artifact, ArtifactState, Promotion};
use moorline_core::content_id::ContentId;
use moorline_core::ids::{ArtifactId, PromotionId};
use moorline_core::lane::Lane;
use moorline_core::principal::Principal;

use crate::error::StoreError;
use crate::versions::Seen;

/// Artifacts, what was decided about them, and where lanes point. A part of [`Store`](crate::Store), under
/// its contract.
///
/// The rules are those of `moorline_core::artifact::machine`, applied inside the transaction; a refusal is
/// [`StoreError::Denied`] and leaves nothing behind.
#[async_trait]
pub trait ArtifactStore: Send + Sync {
    /// Makes a submission durable. The same content of a job that waits or is approved already is not
    /// submitted twice: that artifact is returned (`created` is false). Content that was rejected, or that
    /// changes were asked of, is refused.
    async fn artifact_submit(
        &self,
        submission: SubmitArtifact,
    ) -> Result<SubmittedArtifact, StoreError>;

    /// Decides about an artifact. An approval supersedes the version of the job that was approved before,
    /// and is a [`StoreError::Conflict`] when its review was made against another
    /// [baseline](Self::artifact_baseline) than the present one.
    async fn artifact_decide(&self, decision: DecideArtifact) -> Result<Artifact, StoreError>;

    /// Points a lane to an artifact, with the evidence of every gate as it stands, and brings the lane's
    /// schedule of the job in line, disabled. Pointing to what it points to already writes nothing.
    async fn promotion_record(&self, pointing: PointLane) -> Result<Pointed, StoreError>;

    /// One artifact.
    async fn artifact_get(&self, id: ArtifactId) -> Result<Option<Artifact>, StoreError>;

    /// Artifacts whose id begins with this text, at most two.
    async fn artifact_find(&self, prefix: &str) -> Result<Vec<ArtifactId>, StoreError>;

    /// Artifacts, newest first, filtered before the limit.
    async fn artifacts_list(&self, filter: ArtifactFilter) -> Result<Vec<Artifact>, StoreError>;

    /// What a new version of a job is compared with (D-ART-5): its newest version that a person approved and
    /// that owes no security review, also when it was superseded or archived since. Research and what runs
    /// are compared apart.
    async fn artifact_baseline(
        &self,
        job_id: &str,
        research: bool,
    ) -> Result<Option<Artifact>, StoreError>;

    /// What a lane points to for a job.
    async fn live_get(&self, lane: &Lane, job_id: &str) -> Result<Option<Promotion>, StoreError>;

    /// What every lane points to, by lane and job.
    async fn live_list(&self) -> Result<Vec<Promotion>, StoreError>;

    /// Where the lanes pointed for a job (in one lane, when given), oldest first.
    async fn promotions_list(
        &self,
        lane: Option<&Lane>,
        job_id: &str,
    ) -> Result<Vec<Promotion>, StoreError>;
}

/// A submission for review.
#[derive(Debug, Clone)]
pub struct SubmitArtifact {
    /// The artifact as a draft, with its structural review.
    pub draft: Artifact,
    /// Its canonical job spec (RFC 8785), stored once by its hash.
    pub spec: String,
}

/// What a submission came to.
#[derive(Debug, Clone, PartialEq)]
pub struct SubmittedArtifact {
    /// The artifact.
    pub artifact: Artifact,
    /// False when this content waited or was approved already.
    pub created: bool,
}

/// A decision about an artifact.
#[derive(Debug, Clone)]
pub struct DecideArtifact {
    /// Which.
    pub artifact: ArtifactId,
    /// What is decided; not a submission, and not a supersession.
    pub command: Command,
    /// Who.
    pub actor: Principal,
    /// Whether nobody may approve what they submitted (`review.two_person`).
    pub two_person: bool,
    /// The version that it must still be; none for a change of whatever is there.
    pub seen: Option<Seen>,
    /// Now.
    pub now: Timestamp,
}

/// A wish to point a lane to an artifact.
#[derive(Debug, Clone)]
pub struct PointLane {
    /// Id of the promotion, should one come of it.
    pub id: PromotionId,
    /// The lane.
    pub lane: Lane,
    /// Where to.
    pub to: PointTo,
    /// Who.
    pub actor: Principal,
    /// Why.
    pub reason: String,
    /// The version that it must still be; none for a change of whatever is there.
    pub seen: Option<Seen>,
    /// Now.
    pub now: Timestamp,
}

/// Where a lane is to point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PointTo {
    /// To this artifact: a promotion.
    Artifact(ArtifactId),
    /// Back to this artifact: a rollback.
    Earlier(ArtifactId),
}

/// Where a lane points after all.
#[derive(Debug, Clone, PartialEq)]
pub struct Pointed {
    /// The promotion that is in force.
    pub promotion: Promotion,
    /// Whether it is new; otherwise the lane pointed there already and nothing was written.
    pub changed: bool,
}

/// Which artifacts to list; all conditions hold.
#[derive(Debug, Clone, Default)]
pub struct ArtifactFilter {
    /// Only of this job.
    pub job_id: Option<String>,
    /// Only in this state.
    pub state: Option<ArtifactState>,
    /// Only of this content.
    pub content: Option<ContentId>,
    /// Only older than this one (exclusive): the cursor of the next page.
    pub before: Option<ArtifactId>,
    /// At most this many; 0 means 50.
    pub limit: u32,
}
