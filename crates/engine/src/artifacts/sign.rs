//! Signatures of decisions: by the key of this machine's person, or made elsewhere and checked here (D-ART-3).
//!
//! Both ways end in the same record. What a person signs elsewhere is first asked for
//! ([`attest`](Inner::attest)), so that it names the review as it is here and the time of here; what comes back
//! must say exactly what would be signed here, by a key of the one who decides.

use jiff::{SignedDuration, Timestamp};
use moorline_api::{ApiError, AttestRequest, DecisionRequest};
use moorline_core::artifact::signature::Attestation;
use moorline_core::artifact::{Artifact, DecisionKind, Review, SignedRecord};
use moorline_core::canonical::CanonicalError;
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;

use super::decide::{operation_of, subject_of};
use crate::engine::Inner;

/// How long what was asked for can be signed and sent.
const HOLDS: SignedDuration = SignedDuration::from_mins(10);

impl Inner {
    /// What `actor` signs to decide, as of now.
    pub(super) async fn attest(&self, request: AttestRequest) -> Result<Attestation, ApiError> {
        let kind = request.decision;
        let reference = &request.artifact;
        let found = self.find_artifact(reference, request.lane.as_deref()).await;
        let subject = subject_of(&found, reference);
        let attesting = async {
            let artifact = found?;
            let review = match kind {
                DecisionKind::Approve => self.fresh_review(&artifact).await?,
                DecisionKind::SecurityReview => artifact.review.clone(),
                _ => {
                    let message = format!("`{}` is not signed (D-ART-3)", kind.as_str());
                    return Err(ApiError::new(ErrorCode::Usage, message)
                        .hint("`approve` and `security_review` are"));
                }
            };
            if let Some(key) = request.public_key {
                self.known_key(&request.actor, key).await?;
            }
            // After the key was registered: a signature counts from then.
            let decided = (&request.actor, self.now());
            Attestation::of(&artifact, &review, kind, decided, &request.reason).map_err(unsigned)
        };
        self.guarded(
            operation_of(kind),
            &request.actor,
            subject,
            Box::pin(attesting),
        )
        .await
    }

    /// The review of an artifact as it is kept, against what is approved now.
    pub(super) async fn fresh_review(&self, artifact: &Artifact) -> Result<Review, ApiError> {
        let packed = self.open_kept(&artifact.content).await?;
        if packed.content != artifact.content {
            let message = format!(
                "what is kept of artifact {} has the content {}, and {} was submitted (D-ART-2)",
                artifact.id, packed.content, artifact.content
            );
            return Err(ApiError::new(ErrorCode::Store, message)
                .hint("nothing that was changed can be approved; submit it again"));
        }
        Ok(self.review(&packed).await?.review)
    }

    /// The signature of a decision, and the time of the decision: the one that came with the request, when it
    /// is of exactly this decision; else one by the decider's key on this machine.
    pub(super) async fn signature(
        &self,
        kind: DecisionKind,
        artifact: &Artifact,
        review: &Review,
        request: &DecisionRequest,
    ) -> Result<(SignedRecord, Timestamp), ApiError> {
        let by = &request.actor;
        let attestation = |at| {
            Attestation::of(artifact, review, kind, (by, at), &request.reason).map_err(unsigned)
        };
        let Some(signed) = &request.signature else {
            let key = self.signing_key(by).await?;
            // After the key was registered: a signature counts from then.
            let now = self.now();
            let signed = attestation(now)?.sign(&key).map_err(unsigned)?;
            return Ok((signed, now));
        };
        let says = signed
            .check()
            .map_err(|error| refused(&error.to_string()))?;
        if says != attestation(says.at)? {
            let why = "it is not of this decision about the artifact as it is now";
            return Err(ApiError {
                code: ErrorCode::Precondition,
                ..refused(why)
            });
        }
        let now = self.now();
        if says.at > now || now.duration_since(says.at) > HOLDS {
            return Err(refused(&format!("it is of {}, and it is {now}", says.at)));
        }
        let keys = self.public_keys(by).await?;
        if !signed.is_by(&keys, says.at) || !signed.is_by(&keys, now) {
            return Err(refused(&format!("its key is not a valid one of {by}")));
        }
        Ok((signed.clone(), says.at))
    }
}

fn refused(why: &str) -> ApiError {
    let message = format!("the signature of the decision does not count: {why}");
    Denial::new(ErrorCode::Conflict, "D-ART-3", message)
        .hint("look at the artifact again, then ask for what is to be signed anew")
        .into()
}

fn unsigned(error: CanonicalError) -> ApiError {
    ApiError::new(ErrorCode::Internal, "can not write what is signed").because(error)
}
