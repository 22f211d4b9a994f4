//! Verification: content hashed anew, every signature checked against its signer's registered key.
//!
//! It needs the record, the files and the keys, and no network: the same checks hold for what is kept here
//! and for a directory that was exported.

use moorline_api::{ApiError, Check, TrustedKey, VerifyReport, VerifyRequest};
use moorline_core::artifact::files::Files;
use moorline_core::artifact::layout::{self, SpecFile};
use moorline_core::artifact::signature::Attestation;
use moorline_core::artifact::{Artifact, ArtifactState, Decision, DecisionKind, Promotion};
use moorline_core::content_id::ContentId;
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::{Principal, RegisteredKey};

use super::export;
use super::pack::Packed;
use crate::engine::Inner;
use crate::error::store_error;

/// What is verified, wherever it came from.
pub(super) struct Subject<'a> {
    pub(super) artifact: &'a Artifact,
    pub(super) promotions: &'a [Promotion],
    /// The files as they are now, with their content id; what is wrong when they can not be read.
    pub(super) files: Result<(&'a Files, ContentId), String>,
    /// Keys of the signers.
    pub(super) keys: &'a [(Principal, Vec<RegisteredKey>)],
}

impl Inner {
    /// `artifact verify`.
    pub(super) async fn verify(&self, request: VerifyRequest) -> Result<VerifyReport, ApiError> {
        match (&request.artifact, &request.export) {
            (Some(artifact), None) => {
                let artifact = self
                    .find_artifact(artifact, request.lane.as_deref())
                    .await?;
                self.verify_with(&artifact, &request.trusted).await
            }
            (None, Some(dir)) => {
                let exported = export::read(dir)?;
                let keys = self
                    .keys_of(&exported.document.artifact, &request.trusted)
                    .await?;
                Ok(exported.verify(&keys))
            }
            _ => Err(ApiError::new(
                ErrorCode::Usage,
                "a verification is of an artifact or of an exported directory: name one of them",
            )),
        }
    }

    /// Verifies what is kept of an artifact.
    pub(super) async fn verify_kept(&self, artifact: &Artifact) -> Result<VerifyReport, ApiError> {
        self.verify_with(artifact, &[]).await
    }

    async fn verify_with(
        &self,
        artifact: &Artifact,
        trusted: &[TrustedKey],
    ) -> Result<VerifyReport, ApiError> {
        let promotions = self.promotions_of(artifact).await?;
        let keys = self.keys_of(artifact, trusted).await?;
        let kept = self.open_kept(&artifact.content).await;
        let subject = Subject {
            artifact,
            promotions: &promotions,
            files: files_of(&kept),
            keys: &keys,
        };
        Ok(subject.report())
    }

    /// Every promotion of an artifact, in any lane, oldest first.
    pub(super) async fn promotions_of(
        &self,
        artifact: &Artifact,
    ) -> Result<Vec<Promotion>, ApiError> {
        let history = self.store.promotions_list(None, &artifact.job_id).await;
        let mut history = history.map_err(store_error)?;
        history.retain(|promotion| promotion.artifact == artifact.id);
        Ok(history)
    }

    /// The keys of everybody who signed a decision about an artifact.
    async fn keys_of(
        &self,
        artifact: &Artifact,
        trusted: &[TrustedKey],
    ) -> Result<Vec<(Principal, Vec<RegisteredKey>)>, ApiError> {
        let mut keys: Vec<(Principal, Vec<RegisteredKey>)> = Vec::new();
        for decision in &artifact.decisions {
            if decision.signed.is_none() || keys.iter().any(|(known, _)| *known == decision.by) {
                continue;
            }
            let mut of_signer = self.public_keys(&decision.by).await?;
            let given = trusted.iter().filter(|key| key.principal == decision.by);
            of_signer.extend(given.map(|key| RegisteredKey {
                public_key: key.public_key.clone(),
                since: jiff::Timestamp::MIN,
                until: None,
            }));
            keys.push((decision.by.clone(), of_signer));
        }
        Ok(keys)
    }
}

/// What was read, or why not, in the form that a [`Subject`] has.
pub(super) fn files_of(packed: &Result<Packed, ApiError>) -> Result<(&Files, ContentId), String> {
    match packed {
        Ok(packed) if packed.unfit.is_empty() => Ok((&packed.files, packed.content)),
        Ok(packed) => Err(packed
            .unfit
            .iter()
            .map(|unfit| format!("{} {}", unfit.at, unfit.message))
            .collect::<Vec<_>>()
            .join("; ")),
        Err(error) => Err(error.message.clone()),
    }
}

impl Subject<'_> {
    /// Does every check.
    pub(super) fn report(&self) -> VerifyReport {
        let artifact = self.artifact;
        let mut checks = vec![self.content(), self.spec()];
        let mut approved = false;
        for decision in &artifact.decisions {
            let signs = matches!(
                decision.kind,
                DecisionKind::Approve | DecisionKind::SecurityReview
            );
            if !signs && decision.signed.is_none() {
                continue;
            }
            let check = self.decision(decision);
            approved |= check.holds && decision.kind == DecisionKind::Approve;
            checks.push(check);
        }
        if artifact.state.was_approved() || artifact.state == ArtifactState::Archived {
            checks.push(check("a person's approval is on record", || {
                if approved {
                    Ok(())
                } else {
                    let state = artifact.state;
                    Err(format!("it is {state}, and no approval of it verifies"))
                }
            }));
        }
        for promotion in self.promotions {
            checks.push(self.promotion(promotion));
        }
        VerifyReport {
            artifact: artifact.id,
            content: artifact.content,
            intact: checks.iter().all(|check| check.holds),
            approved,
            checks,
        }
    }

    fn content(&self) -> Check {
        check("the content has the recorded hash", || {
            let (_, found) = self.files.as_ref().map_err(Clone::clone)?;
            let wanted = self.artifact.content;
            equal(found, &wanted, "the files hash to")
        })
    }

    fn spec(&self) -> Check {
        check("the job spec is the recorded one", || {
            let (files, _) = self.files.as_ref().map_err(Clone::clone)?;
            let spec = SpecFile::read(files, layout::SPEC)
                .map_err(|_| "the spec can not be read".to_owned())?;
            let artifact = self.artifact;
            equal(&spec.hash, &artifact.spec_hash, "the spec hashes to")?;
            equal(&spec.spec.job_id, &artifact.job_id, "the spec is of")?;
            equal(
                &spec.spec.version,
                &artifact.spec_version,
                "the spec has the version",
            )?;
            if spec.spec.job_type != artifact.job_type || spec.schedule() != artifact.schedule {
                return Err("its job type or schedule are not the recorded ones".to_owned());
            }
            Ok(())
        })
    }

    /// A signed decision says what is recorded, about this artifact, by a key of its signer.
    fn decision(&self, decision: &Decision) -> Check {
        let what = format!(
            "{} by {} at {} is signed",
            decision.kind.as_str(),
            decision.by,
            decision.at
        );
        check(what, || {
            let signed = decision.signed.as_ref().ok_or("there is no signature")?;
            let found = signed.check().map_err(|error| error.to_string())?;
            let review = match decision.kind {
                // An approval rests on the review that is on record. A security review was made of the
                // review of its time, which an approval may have taken the place of.
                DecisionKind::Approve => {
                    let hash = self.artifact.review.hash();
                    hash.map_err(|error| error.to_string())?
                }
                _ => found.review,
            };
            let artifact = self.artifact;
            let wanted = Attestation {
                artifact: artifact.id,
                job_id: artifact.job_id.clone(),
                content: artifact.content,
                spec_hash: artifact.spec_hash,
                review,
                decision: decision.kind,
                by: decision.by.clone(),
                at: decision.at,
                reason: decision.reason.clone(),
            };
            if found != wanted {
                return Err("what is recorded is not what was signed".to_owned());
            }
            let keys = self.keys.iter().find(|(signer, _)| *signer == decision.by);
            let keys = keys.map_or(&[][..], |(_, keys)| keys.as_slice());
            if !signed.is_by(keys, decision.at) {
                return Err(format!(
                    "its key is not one that {} was known by then; give it with `--trust` if you know it",
                    decision.by
                ));
            }
            Ok(())
        })
    }

    fn promotion(&self, promotion: &Promotion) -> Check {
        let what = format!(
            "the lane {} was pointed to it by {} at {}",
            promotion.lane, promotion.by, promotion.at
        );
        check(what, || {
            let artifact = self.artifact;
            equal(&promotion.artifact, &artifact.id, "it is of the artifact")?;
            equal(
                &promotion.content,
                &artifact.content,
                "it is of the content",
            )?;
            equal(
                &promotion.spec_hash,
                &artifact.spec_hash,
                "it is of the spec",
            )?;
            if promotion.by.is_human() {
                Ok(())
            } else {
                Err("only a person points a lane (D-ART-4)".to_owned())
            }
        })
    }
}

/// Does one check.
pub(super) fn check(what: impl Into<String>, holds: impl FnOnce() -> Result<(), String>) -> Check {
    let problem = holds().err();
    Check {
        what: what.into(),
        holds: problem.is_none(),
        problem,
    }
}

fn equal<V: PartialEq + std::fmt::Display>(
    found: &V,
    wanted: &V,
    what: &str,
) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{what} {found}, and {wanted} is recorded"))
}
