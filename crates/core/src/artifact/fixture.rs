//! Artifacts for the tests of this module.

use ed25519_dalek::SigningKey;
use jiff::Timestamp;
use uuid::Uuid;

use super::machine::Command;
use super::signature::Attestation;
use super::{Artifact, ArtifactState, Change, DecisionKind, Review};
use crate::content_id::ContentId;
use crate::ids::ArtifactId;
use crate::principal::{Principal, PrincipalKind};
use crate::spec::JobType;

pub(super) fn human(name: &str) -> Principal {
    Principal::named(PrincipalKind::Human, name)
}

pub(super) fn at(minute: i64) -> Timestamp {
    Timestamp::new(1_790_000_000 + minute * 60, 0).unwrap()
}

pub(super) fn draft() -> Artifact {
    Artifact {
        id: ArtifactId::new(Uuid::from_u128(1)),
        job_id: "bank".to_owned(),
        source_id: Some("chase".to_owned()),
        job_type: JobType::GenerateAndTest,
        spec_version: 1,
        spec_hash: ContentId::of_bytes(b"spec"),
        content: ContentId::of_bytes(b"content"),
        state: ArtifactState::Draft,
        submitted_by: human("ada"),
        submitted_at: at(0),
        note: None,
        schedule: None,
        review: Review::default(),
        decisions: Vec::new(),
        version: 0,
    }
}

pub(super) fn pending() -> Artifact {
    Artifact {
        state: ArtifactState::Pending,
        ..draft()
    }
}

/// A review that says that egress changed.
pub(super) fn wider() -> Review {
    Review {
        changes: vec![Change {
            what: "egress".to_owned(),
            before: Some("none".to_owned()),
            after: Some("api.example.com".to_owned()),
            security: true,
        }],
        against: Some(ContentId::of_bytes(b"before")),
        ..Review::default()
    }
}

fn signed(
    artifact: &Artifact,
    review: &Review,
    kind: DecisionKind,
    by: &Principal,
    at: Timestamp,
) -> super::SignedRecord {
    Attestation::of(artifact, review, kind, (by, at), "looked at it")
        .unwrap()
        .sign(&SigningKey::from_bytes(&[7; 32]))
        .unwrap()
}

pub(super) fn approve(
    artifact: &Artifact,
    review: Review,
    by: &Principal,
    at: Timestamp,
) -> Command {
    Command::Approve {
        reason: "looked at it".to_owned(),
        signed: signed(artifact, &review, DecisionKind::Approve, by, at),
        review,
    }
}

pub(super) fn security_review(artifact: &Artifact, by: &Principal, at: Timestamp) -> Command {
    Command::SecurityReview {
        reason: "looked at it".to_owned(),
        signed: signed(
            artifact,
            &artifact.review,
            DecisionKind::SecurityReview,
            by,
            at,
        ),
    }
}
