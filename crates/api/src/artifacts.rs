//! Review and promotion.
//!
//! A *reference* names an artifact: its id, a unique beginning of the id, a content id (`b3:…`, the newest
//! artifact with that content), `latest`, `latest:JOB`, or `live:JOB` (what the lane points to).

use std::path::PathBuf;

use async_trait::async_trait;
use moorline_core::artifact::signature::Attestation;
use moorline_core::artifact::{
    Artifact, ArtifactState, Change, DecisionKind, Promotion, Review, SignedRecord,
};
use moorline_core::content_id::ContentId;
use moorline_core::ids::ArtifactId;
use moorline_core::lane::Lane;
use moorline_core::principal::{Principal, PublicKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// Review and promotion. A part of [`ControlPlane`](crate::ControlPlane), under its contract.
#[async_trait]
pub trait ArtifactOperations: Send + Sync {
    /// Packs a job directory and asks for its review. Findings refuse it, all at once, and nothing is kept
    /// (D-ART-1). The same content again is the artifact that it is already.
    async fn artifact_submit(
        &self,
        request: ArtifactSubmitRequest,
    ) -> Result<ArtifactSubmitted, ApiError>;

    /// Reviews a directory or an artifact by rule; changes nothing.
    async fn artifact_review(&self, request: ArtifactReviewRequest)
    -> Result<ReviewView, ApiError>;

    /// Lists artifacts, newest first.
    async fn artifact_list(&self, request: ArtifactListRequest) -> Result<Vec<Artifact>, ApiError>;

    /// Shows an artifact.
    async fn artifact_show(&self, request: ArtifactRequest) -> Result<ArtifactView, ApiError>;

    /// Compares two versions: what a job may do and depends on, and its files.
    async fn artifact_diff(&self, request: ArtifactDiffRequest) -> Result<ArtifactDiff, ApiError>;

    /// What a person signs to decide: an approval or a security review, as of now.
    ///
    /// It is for whoever keeps their own private key: they sign it, and send the decision with the signature
    /// in [`DecisionRequest::signature`] within ten minutes. A decision that does not fit what was signed any more
    /// is [`ErrorCode::Precondition`](moorline_core::error_code::ErrorCode): ask again. With a public key it also registers that key,
    /// when the person has none yet.
    ///
    /// # Errors
    /// Those of the decision itself, and `D-AUDIT-2` for a key that is not one of the person's.
    async fn artifact_attest(&self, request: AttestRequest) -> Result<Attestation, ApiError>;

    /// Approves an artifact, signed. A person's alone (D-ART-4).
    async fn artifact_approve(&self, request: DecisionRequest) -> Result<Artifact, ApiError>;

    /// Rejects an artifact for good.
    async fn artifact_reject(&self, request: DecisionRequest) -> Result<Artifact, ApiError>;

    /// Asks for a changed submission.
    async fn artifact_request_changes(
        &self,
        request: DecisionRequest,
    ) -> Result<Artifact, ApiError>;

    /// Records a security review, signed (D-ART-5).
    async fn artifact_security_review(
        &self,
        request: DecisionRequest,
    ) -> Result<Artifact, ApiError>;

    /// Sets an approved artifact aside: no lane runs it any more.
    async fn artifact_archive(&self, request: DecisionRequest) -> Result<Artifact, ApiError>;

    /// Points a lane to an approved artifact. Repeating it changes nothing.
    async fn artifact_promote(&self, request: PromoteRequest) -> Result<PromotionView, ApiError>;

    /// Points a lane back to an earlier version, exactly (D-ART-6). Its schedule stays disabled.
    async fn artifact_rollback(&self, request: RollbackRequest) -> Result<PromotionView, ApiError>;

    /// Where lanes pointed for a job, oldest first.
    async fn artifact_history(&self, request: HistoryRequest) -> Result<Vec<Promotion>, ApiError>;

    /// Hashes what is kept anew and checks every signature; needs no network.
    async fn artifact_verify(&self, request: VerifyRequest) -> Result<VerifyReport, ApiError>;

    /// Writes an artifact with its records into a directory, from which it can be verified elsewhere.
    async fn artifact_export(&self, request: ExportRequest) -> Result<ExportReport, ApiError>;

    /// Rebuilds the tree that people look at, from the store.
    async fn artifact_project(&self) -> Result<ProjectReport, ApiError>;
}

/// Submit a job directory for review.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArtifactSubmitRequest {
    /// The directory, which holds `job_spec.json`.
    pub dir: PathBuf,
    /// What the submitter says of it.
    pub note: Option<String>,
    /// Who asks.
    pub actor: Principal,
}

/// What a submission came to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactSubmitted {
    /// The artifact.
    pub artifact: Artifact,
    /// False when this content waited or was approved already.
    pub created: bool,
}

/// Review a directory or an artifact by rule.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArtifactReviewRequest {
    /// A directory that was not submitted.
    pub dir: Option<PathBuf>,
    /// Or a reference to an artifact.
    pub artifact: Option<String>,
    /// The lane that a `live:JOB` reference is about; absent means `dev`.
    pub lane: Option<String>,
}

/// A structural review, as shown.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReviewView {
    /// The job, when its spec can be read.
    pub job_id: Option<String>,
    /// The content, when it can be packed.
    pub content: Option<ContentId>,
    /// What was found.
    pub review: Review,
    /// Whether a recorded security review must come before a promotion (D-ART-5).
    pub needs_security_review: bool,
}

/// List artifacts; all conditions hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArtifactListRequest {
    /// Only of this job.
    pub job_id: Option<String>,
    /// Only in this state.
    pub state: Option<ArtifactState>,
    /// Only older than this one: the cursor of the next page.
    pub before: Option<ArtifactId>,
    /// At most this many; 0 means 50.
    pub limit: u32,
}

/// Name an artifact.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArtifactRequest {
    /// A reference.
    pub artifact: String,
    /// The lane that a `live:JOB` reference is about; absent means `dev`.
    pub lane: Option<String>,
}

/// An artifact, as shown.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactView {
    /// The artifact.
    pub artifact: Artifact,
    /// The lanes that point to it.
    pub live_in: Vec<Lane>,
    /// Whether a recorded security review is still owed before a promotion (D-ART-5).
    pub security_review_owed: bool,
    /// Where its content is kept on this machine; read-only.
    pub kept_in: PathBuf,
}

/// Compare two versions.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArtifactDiffRequest {
    /// A reference to the one after, or to the only one.
    pub artifact: String,
    /// A reference to the one before. When absent: what the lane points to, else the last approved version.
    pub before: Option<String>,
    /// The lane; absent means `dev`.
    pub lane: Option<String>,
}

/// What two versions differ in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactDiff {
    /// Content of the one before; none when there is nothing to compare with.
    pub before: Option<ContentId>,
    /// Content of the one after.
    pub after: ContentId,
    /// What the job may do and depends on, and which files changed.
    pub changes: Vec<Change>,
    /// Text of the files that changed.
    pub files: Vec<FileDiff>,
}

/// A file that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileDiff {
    /// Its path.
    pub path: String,
    /// The unified difference; none where either side is no text or too long to be read.
    pub unified: Option<String>,
}

/// Decide about an artifact.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DecisionRequest {
    /// A reference.
    pub artifact: String,
    /// Why.
    pub reason: String,
    /// The changes that are asked for; only where changes are requested.
    pub changes: Vec<String>,
    /// Who decides.
    pub actor: Principal,
    /// The lane that a `live:JOB` reference is about; absent means `dev`.
    pub lane: Option<String>,
    /// The attestation of this very decision, signed by the decider
    /// ([`artifact_attest`](ArtifactOperations::artifact_attest)). Absent: the engine signs with the
    /// decider's key on its own machine; an engine that holds no keys refuses.
    pub signature: Option<SignedRecord>,
}

/// Ask for what is to be signed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttestRequest {
    /// A reference.
    pub artifact: String,
    /// What is to be decided: `approve` or `security_review`.
    pub decision: DecisionKind,
    /// Why.
    pub reason: String,
    /// The lane that a `live:JOB` reference is about; absent means `dev`.
    pub lane: Option<String>,
    /// The public half of the key that will sign.
    pub public_key: Option<PublicKey>,
    /// Who decides.
    pub actor: Principal,
}

/// Point a lane to an approved artifact.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PromoteRequest {
    /// A reference.
    pub artifact: String,
    /// The lane; absent means `dev`.
    pub lane: Option<String>,
    /// Why.
    pub reason: String,
    /// Who decides.
    pub actor: Principal,
}

/// Point a lane back to an earlier version.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackRequest {
    /// The job.
    pub job_id: String,
    /// A reference to the version; absent means the one before the present one.
    pub to: Option<String>,
    /// The lane; absent means `dev`.
    pub lane: Option<String>,
    /// Why.
    pub reason: String,
    /// Who decides.
    pub actor: Principal,
}

/// A promotion or rollback, as shown.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PromotionView {
    /// The promotion that is in force.
    pub promotion: Promotion,
    /// Whether it is new; otherwise the lane pointed there already.
    pub changed: bool,
    /// That what is kept has the very hash that the lane points to, and that its approval verifies.
    pub verified: VerifyReport,
}

/// Where lanes pointed for a job.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryRequest {
    /// The job.
    pub job_id: String,
    /// Only in this lane.
    pub lane: Option<String>,
}

/// Verify content and signatures.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VerifyRequest {
    /// A reference to an artifact.
    pub artifact: Option<String>,
    /// Or a directory that was exported, here or elsewhere.
    pub export: Option<PathBuf>,
    /// The lane that a `live:JOB` reference is about; absent means `dev`.
    pub lane: Option<String>,
    /// Keys that are trusted beside the registered ones.
    pub trusted: Vec<TrustedKey>,
}

/// A key that is trusted to be somebody's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrustedKey {
    /// Whose.
    pub principal: Principal,
    /// The key.
    pub public_key: PublicKey,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifyReport {
    /// The artifact.
    pub artifact: ArtifactId,
    /// Its content, as it is recorded.
    pub content: ContentId,
    /// Whether every check holds.
    pub intact: bool,
    /// Whether a verified approval by a person is among them.
    pub approved: bool,
    /// Each check.
    pub checks: Vec<Check>,
}

/// One check of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was checked.
    pub what: String,
    /// Whether it holds.
    pub holds: bool,
    /// Why not.
    pub problem: Option<String>,
}

/// Write an artifact with its records out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExportRequest {
    /// A reference.
    pub artifact: String,
    /// The directory to make; it must not exist.
    pub out: PathBuf,
    /// The lane that a `live:JOB` reference is about; absent means `dev`.
    pub lane: Option<String>,
}

/// What was written out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExportReport {
    /// The artifact.
    pub artifact: ArtifactId,
    /// The directory.
    pub out: PathBuf,
    /// Content id of the whole directory: the same artifact and records give the same one.
    pub export: ContentId,
}

/// What a projection changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectReport {
    /// The tree.
    pub tree: PathBuf,
    /// Artifacts that it shows.
    pub shown: u64,
    /// Entries that were made, moved or taken away.
    pub changed: u64,
}
