//! What an approval signs, and how anyone checks it: ed25519 (RFC 8032) over canonical JSON (RFC 8785).
//!
//! The signed text is an [`Attestation`]: it names the content, the spec and the evidence, so a signature can
//! not be moved to another artifact or another decision. [`SignedRecord::check`] needs the record alone: no
//! store, no network. Deliberately absent: who may sign with which key, which the caller knows
//! ([`SignedRecord::is_by`]), and where private keys are kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
pub use ed25519_dalek::SigningKey;
use ed25519_dalek::{Signature, Signer as _};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Artifact, DecisionKind, Review, SignedRecord};
use crate::canonical::{self, CanonicalError};
use crate::content_id::ContentId;
use crate::ids::ArtifactId;
use crate::principal::{Principal, PublicKey, RegisteredKey};

/// What a person puts their name to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// The artifact.
    pub artifact: ArtifactId,
    /// Its job.
    pub job_id: String,
    /// Content id of the directory.
    pub content: ContentId,
    /// Content id of its canonical spec.
    pub spec_hash: ContentId,
    /// Content id of the structural review that the decision rests on ([`Review::hash`]).
    pub review: ContentId,
    /// What was decided.
    pub decision: DecisionKind,
    /// Who decided.
    pub by: Principal,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

impl Attestation {
    /// What `by` says about an artifact, with the review that it rests on.
    ///
    /// # Errors
    /// As [`Review::hash`].
    pub fn of(
        artifact: &Artifact,
        review: &Review,
        decision: DecisionKind,
        (by, at): (&Principal, Timestamp),
        reason: &str,
    ) -> Result<Self, CanonicalError> {
        Ok(Self {
            artifact: artifact.id,
            job_id: artifact.job_id.clone(),
            content: artifact.content,
            spec_hash: artifact.spec_hash,
            review: review.hash()?,
            decision,
            by: by.clone(),
            at,
            reason: reason.to_owned(),
        })
    }

    /// Signs it.
    ///
    /// # Errors
    /// A number that canonical JSON does not keep; an attestation holds none.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedRecord, CanonicalError> {
        let payload = canonical::to_string(self)?;
        let signature = key.sign(payload.as_bytes());
        Ok(SignedRecord {
            payload,
            public_key: PublicKey::from(key.verifying_key()).to_string(),
            signature: STANDARD.encode(signature.to_bytes()),
        })
    }
}

/// Why a signed record proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The key is not 32 bytes of base64 that make a point of the curve.
    #[error("its public key is not an ed25519 key in base64")]
    Key,
    /// The signature is not 64 bytes of base64.
    #[error("its signature is not an ed25519 signature in base64")]
    Form,
    /// The signature is not of this payload by this key.
    #[error("its signature does not fit its payload and key")]
    Mismatch,
    /// The payload is no attestation, or not written as canonical JSON.
    #[error("its payload is not an attestation in canonical JSON")]
    Payload,
}

impl SignedRecord {
    /// What it attests, without checking the signature.
    ///
    /// # Errors
    /// [`SignatureError::Payload`].
    pub fn attestation(&self) -> Result<Attestation, SignatureError> {
        let attestation: Attestation =
            serde_json::from_str(&self.payload).map_err(|_| SignatureError::Payload)?;
        match canonical::to_string(&attestation) {
            Ok(text) if text == self.payload => Ok(attestation),
            _ => Err(SignatureError::Payload),
        }
    }

    /// What it attests, when the signature is of its payload by its key (strict: no weak keys, RFC 8032).
    ///
    /// # Errors
    /// [`SignatureError`]
    pub fn check(&self) -> Result<Attestation, SignatureError> {
        let key: PublicKey = self.public_key.parse().map_err(|_| SignatureError::Key)?;
        let bytes = STANDARD
            .decode(&self.signature)
            .map_err(|_| SignatureError::Form)?;
        let signature = Signature::from_slice(&bytes).map_err(|_| SignatureError::Form)?;
        key.verifying_key()
            .verify_strict(self.payload.as_bytes(), &signature)
            .map_err(|_| SignatureError::Mismatch)?;
        self.attestation()
    }

    /// Whether it carries one of these keys, those of its signer, which was valid at `at`.
    pub fn is_by(&self, keys: &[RegisteredKey], at: Timestamp) -> bool {
        self.public_key.parse().is_ok_and(|own: PublicKey| {
            keys.iter()
                .any(|known| known.public_key == own && known.valid_at(at))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{at, human, pending};
    use super::*;

    fn signed() -> (Attestation, SignedRecord) {
        let artifact = pending();
        let attestation = Attestation::of(
            &artifact,
            &artifact.review,
            DecisionKind::Approve,
            (&human("ada"), at(2)),
            "looked at it",
        )
        .unwrap();
        let record = attestation.sign(&SigningKey::from_bytes(&[7; 32])).unwrap();
        (attestation, record)
    }

    #[test]
    fn a_signed_attestation_is_read_back_and_names_its_key() {
        let (attestation, record) = signed();
        assert_eq!(record.check().unwrap(), attestation);
        let known = |seed: u8, since, until| RegisteredKey {
            public_key: SigningKey::from_bytes(&[seed; 32]).verifying_key().into(),
            since,
            until,
        };
        assert!(record.is_by(&[known(8, at(0), None), known(7, at(2), None)], at(2)));
        assert!(!record.is_by(&[known(8, at(0), None)], at(2)));
        assert!(!record.is_by(&[known(7, at(3), None)], at(2)));
        assert!(!record.is_by(&[known(7, at(0), Some(at(1)))], at(2)));
    }

    #[test]
    fn no_byte_of_a_signed_record_can_be_changed() {
        type Part = fn(&mut SignedRecord) -> &mut String;
        let (_, record) = signed();
        let parts: [Part; 3] = [
            |r| &mut r.payload,
            |r| &mut r.public_key,
            |r| &mut r.signature,
        ];
        for part in parts {
            // Every seventh byte: 1/7 of the time, and still every field.
            for index in (0..part(&mut record.clone()).len()).step_by(7) {
                let mut changed = record.clone();
                let mut bytes = part(&mut changed).clone().into_bytes();
                bytes[index] ^= 1;
                let Ok(text) = String::from_utf8(bytes) else {
                    continue;
                };
                *part(&mut changed) = text;
                changed.check().unwrap_err();
            }
        }
    }

    #[test]
    fn a_payload_that_is_not_canonical_attests_nothing() {
        let (_, record) = signed();
        let spaced = SignedRecord {
            payload: format!(" {}", record.payload),
            ..record
        };
        assert_eq!(spaced.attestation(), Err(SignatureError::Payload));
    }
}
