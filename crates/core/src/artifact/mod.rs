//! Artifacts: reviewable directories of files, addressed by their content, and what was decided about them
//! (D-ART).
//!
//! An [`Artifact`] is one submission of one content for one job. Its states are moved by [`machine::apply`] alone,
//! inside the transaction that writes the result. *Approve* decides about an artifact; *promote* points a
//! lane to an approved one and is no state of it: see [`Promotion`].
//!
//! | module | what |
//! |---|---|
//! | [`machine`] | the states and who may move them |
//! | [`files`] | the files of an artifact, in memory |
//! | [`layout`] | which files an artifact must have, by job type |
//! | [`checklist`] | what must be decided about a job of seed 000 |
//! | [`difference`] | what changed against the last approved version, and whether it needs a security review |
//! | [`signature`] | what an approval signs |
//!
//! Deliberately absent: reading files (the engine does), and what a schedule does.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::CanonicalError;
use crate::content_id::ContentId;
use crate::denial::Detail;
use crate::gate::Evidence;
use crate::ids::{ArtifactId, PromotionId};
use crate::lane::Lane;
use crate::principal::Principal;
use crate::schedule::ScheduleDocument;
use crate::spec::JobType;

pub mod checklist;
pub mod difference;
pub mod files;
#[cfg(test)]
mod fixture;
pub mod layout;
pub mod machine;
pub mod signature;

/// Where an artifact stands (D-ART-3).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactState {
    /// Packed, with findings that keep it from being decided about.
    Draft,
    /// Waits for a person's decision.
    Pending,
    /// A person asked for changes; a new submission follows.
    RevisionsRequested,
    /// A person decided against it.
    Rejected,
    /// A person approved it.
    Approved,
    /// A newer version of the job was approved. It can still be rolled back to.
    Superseded,
    /// Set aside.
    Archived,
}

impl ArtifactState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Draft,
        Self::Pending,
        Self::RevisionsRequested,
        Self::Rejected,
        Self::Approved,
        Self::Superseded,
        Self::Archived,
    ];

    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Pending => "pending",
            Self::RevisionsRequested => "revisions_requested",
            Self::Rejected => "rejected",
            Self::Approved => "approved",
            Self::Superseded => "superseded",
            Self::Archived => "archived",
        }
    }

    /// Whether a person approved it at some time, so that a lane may be pointed to it.
    pub const fn was_approved(self) -> bool {
        matches!(self, Self::Approved | Self::Superseded)
    }
}

impl fmt::Display for ArtifactState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One submission of a job directory for review.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Identity.
    pub id: ArtifactId,
    /// The job.
    pub job_id: String,
    /// The source that the job's runs count for.
    pub source_id: Option<String>,
    /// What kind of job it is, which decides the files it must have.
    pub job_type: JobType,
    /// `version` of its spec.
    pub spec_version: u32,
    /// Content id of its canonical spec.
    pub spec_hash: ContentId,
    /// Content id of the directory. Never changes (D-SPEC-5).
    pub content: ContentId,
    /// Where it stands.
    pub state: ArtifactState,
    /// Who submitted it.
    pub submitted_by: Principal,
    /// When.
    pub submitted_at: Timestamp,
    /// What the submitter says of it.
    pub note: Option<String>,
    /// Its `SCHEDULE.json`, which equals the spec's cadence (D-SCHED-1); none without a cadence.
    pub schedule: Option<ScheduleDocument>,
    /// What the structural review found.
    pub review: Review,
    /// What people decided, oldest first.
    pub decisions: Vec<Decision>,
    /// Counts changes.
    pub version: u64,
}

impl Artifact {
    /// The approval, if a person gave one. It stays when the artifact is superseded or archived.
    pub fn approval(&self) -> Option<&Decision> {
        self.decisions
            .iter()
            .find(|decision| decision.kind == DecisionKind::Approve)
    }

    /// Whether no recorded security review is owed: nothing that needs one changed, or a person looked at
    /// these very changes (D-ART-5).
    pub fn security_settled(&self) -> bool {
        if !self.review.needs_security_review() {
            return true;
        }
        let Ok(review) = self.review.hash() else {
            return false;
        };
        self.decisions
            .iter()
            .filter(|decision| decision.kind == DecisionKind::SecurityReview)
            .filter_map(|decision| decision.signed.as_ref())
            .filter_map(|signed| signed.attestation().ok())
            .any(|attestation| attestation.review == review)
    }

    /// Whether it is research (seed 000, step 1), which is reviewed and never run.
    pub const fn is_research(&self) -> bool {
        matches!(self.job_type, JobType::IntakeResearch)
    }
}

/// What the structural review of a content found. A pure function of the content, the last approved
/// version and the rules, so it can be repeated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Everything that must be mended first; empty when it may be decided about (D-ART-1).
    pub findings: Vec<Detail>,
    /// What changed against the last approved version of the job, by computation (D-ART-5).
    pub changes: Vec<Change>,
    /// The content that it was compared with; none for the first version of a job.
    pub against: Option<ContentId>,
}

impl Review {
    /// Content id of its canonical JSON (RFC 8785): the evidence that an approval signs.
    ///
    /// # Errors
    /// A number that canonical JSON does not keep; a review holds none.
    pub fn hash(&self) -> Result<ContentId, CanonicalError> {
        ContentId::of_json(self)
    }

    /// Whether a recorded security review must come before a promotion (D-ART-5).
    pub fn needs_security_review(&self) -> bool {
        self.changes.iter().any(|change| change.security)
    }
}

/// One difference in what a job may do or depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What it is about: `auth_method`, `dependencies`, `egress`, `secrets`, `tier`, `tools`, `schedule`,
    /// `resources`, `steps` or `files`.
    pub what: String,
    /// Before; absent when it is new.
    pub before: Option<String>,
    /// After; absent when it is gone.
    pub after: Option<String>,
    /// Whether a recorded security review must come before a promotion (D-ART-5).
    pub security: bool,
}

impl Change {
    /// The change in one line, for a refusal or a list.
    pub fn detail(&self) -> Detail {
        let message = match (&self.before, &self.after) {
            (Some(before), Some(after)) => format!("`{before}` became `{after}`"),
            (None, Some(after)) => format!("`{after}` is new"),
            (Some(before), None) => format!("`{before}` is gone"),
            (None, None) => "changed".to_owned(),
        };
        Detail {
            at: self.what.clone(),
            rule: if self.security { "D-ART-5" } else { "D-ART-3" }.to_owned(),
            message,
            hint: None,
        }
    }
}

/// What a person decided about an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// What.
    pub kind: DecisionKind,
    /// Who.
    pub by: Principal,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// The changes that are asked for, where some are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// The signed record, for an approval and a security review.
    pub signed: Option<SignedRecord>,
}

/// Kinds of decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// It may be promoted.
    Approve,
    /// It may not, for good.
    Reject,
    /// It may not as it is.
    RequestChanges,
    /// Its differences in auth, dependencies, egress, secrets or tier were looked at (D-ART-5).
    SecurityReview,
    /// It is set aside.
    Archive,
}

impl DecisionKind {
    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::RequestChanges => "request_changes",
            Self::SecurityReview => "security_review",
            Self::Archive => "archive",
        }
    }
}

/// An approval as it was signed: `verify` needs nothing else, and no network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedRecord {
    /// What was signed: canonical JSON (RFC 8785).
    pub payload: String,
    /// The signer's public key (ed25519, RFC 8032), base64.
    pub public_key: String,
    /// The signature over the payload's bytes, base64.
    pub signature: String,
}

/// A lane pointed to an approved artifact: the newest one of a lane and job is what is live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Promotion {
    /// Identity.
    pub id: PromotionId,
    /// Promotion or rollback.
    pub kind: PromotionKind,
    /// The lane.
    pub lane: Lane,
    /// The job.
    pub job_id: String,
    /// The artifact.
    pub artifact: ArtifactId,
    /// Its content.
    pub content: ContentId,
    /// Its spec.
    pub spec_hash: ContentId,
    /// Version of its spec.
    pub spec_version: u32,
    /// What the lane pointed to before.
    pub previous: Option<ContentId>,
    /// Who.
    pub by: Principal,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// The evidence of every gate as it stood (D-ART-3).
    pub evidence: Vec<Evidence>,
}

/// How a lane came to point where it points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PromotionKind {
    /// Forwards.
    Promote,
    /// Back to an earlier version.
    Rollback,
}
