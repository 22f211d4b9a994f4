//! Decisions that a person signs here: the server says what is to be signed, the person's key stays (D-ART-3).

use std::fmt;

use moorline_core::artifact::signature::Attestation;
use moorline_core::artifact::{Artifact, DecisionKind, SignedRecord};
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::{Principal, PublicKey};

use super::endpoint::Endpoint;
use super::{Client, endpoint};
use crate::artifacts::{AttestRequest, DecisionRequest};
use crate::error::ApiError;
use crate::principals::WhoamiRequest;

/// How often a decision is signed anew when other versions are approved at the same time.
const TRIES: u32 = 4;

/// Who has the private keys of this machine's people.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The public half of the key that a principal signs with here.
    ///
    /// # Errors
    /// When there is no key and none can be made, as for who is no person.
    fn public_key(&self, by: &Principal) -> Result<PublicKey, ApiError>;

    /// Signs with the key of the attestation's principal.
    ///
    /// # Errors
    /// As [`Signer::public_key`].
    fn sign(&self, attestation: &Attestation) -> Result<SignedRecord, ApiError>;
}

impl Client {
    /// Sends a decision that has to be signed. It is signed here, where there is somebody who can.
    pub(super) async fn decide(
        &self,
        kind: DecisionKind,
        endpoint: Endpoint<DecisionRequest, Artifact>,
        mut request: DecisionRequest,
    ) -> Result<Artifact, ApiError> {
        let signer = match &self.signer {
            Some(signer) if request.signature.is_none() => signer,
            _ => return self.wire.call(endpoint, &request).await,
        };
        let whoami = WhoamiRequest {
            actor: request.actor.clone(),
        };
        let me = self
            .wire
            .call(endpoint::principal_whoami(), &whoami)
            .await?;
        let mut tries = 1;
        loop {
            let attest = AttestRequest {
                artifact: request.artifact.clone(),
                decision: kind,
                reason: request.reason.clone(),
                lane: request.lane.clone(),
                public_key: Some(signer.public_key(&me.principal)?),
                actor: request.actor.clone(),
            };
            let says = self.wire.call(endpoint::artifact_attest(), &attest).await?;
            check(&says, &me.principal, &attest)?;
            request.signature = Some(signer.sign(&says)?);
            // What is signed is about this one, whatever `latest` is by then.
            request.artifact = says.artifact.to_string();
            match self.wire.call(endpoint, &request).await {
                // Another version was approved in between: the review is against that one.
                Err(error) if error.code == ErrorCode::Precondition && tries < TRIES => tries += 1,
                decided => return decided,
            }
        }
    }
}

/// A person signs what they said, and nothing else that a server could ask for.
fn check(says: &Attestation, me: &Principal, asked: &AttestRequest) -> Result<(), ApiError> {
    if says.decision == asked.decision && says.reason == asked.reason && says.by == *me {
        return Ok(());
    }
    let message = format!(
        "the server asks {me} to sign `{}` by {} for the reason `{}`, which is not what was decided",
        says.decision.as_str(),
        says.by,
        says.reason
    );
    Err(Denial::new(ErrorCode::Conflict, "D-ART-3", message)
        .hint("nothing was signed; ask who runs the server")
        .into())
}
