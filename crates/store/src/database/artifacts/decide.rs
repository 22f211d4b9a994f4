//! Submissions and decisions.

use moorline_core::artifact::machine::{Applied, Command, apply};
use moorline_core::artifact::{Artifact, ArtifactState};
use moorline_core::audit::NewAudit;
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use serde_json::json;

use super::query::{baseline, list};
use super::{artifact, sql};
use crate::artifacts::{ArtifactFilter, DecideArtifact, SubmitArtifact, SubmittedArtifact};
use crate::database::schedules;
use crate::database::sql::SPEC_INSERT;
use crate::database::tx::{Tx, args};
use crate::database::unit::{Unit, to_json};
use crate::database::versions::unchanged;
use crate::database::writer::Intent;
use crate::error::StoreError;

/// [`ArtifactStore::artifact_submit`](crate::ArtifactStore::artifact_submit).
pub(super) struct Submit(pub(super) SubmitArtifact);

impl Intent for Submit {
    type Reply = SubmittedArtifact;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<SubmittedArtifact, StoreError> {
        let Self(SubmitArtifact { draft, spec }) = self;
        if let Some(known) = known(unit, draft).await? {
            return Ok(SubmittedArtifact {
                artifact: known,
                created: false,
            });
        }
        let (actor, now) = (&draft.submitted_by, draft.submitted_at);
        let Applied { artifact, event } = apply(draft, Command::Submit, actor, now, false)?;
        unit.tx
            .execute(SPEC_INSERT, args![artifact.spec_hash.to_string(), spec])
            .await?;
        let row = args![
            artifact.id.to_string(),
            &artifact.job_id,
            artifact.content.to_string(),
            artifact.state.as_str(),
            to_json("artifact", &artifact)?,
        ];
        unit.tx.execute(sql::ARTIFACT_INSERT, row).await?;
        unit.job_event(&artifact.job_id, &event, now).await?;
        unit.audit(NewAudit {
            actor: actor.to_string(),
            operation: "artifact.submit".to_owned(),
            subject: format!("artifact/{}", artifact.id),
            reason: artifact.note.clone(),
            data: json!({
                "job_id": artifact.job_id,
                "content": artifact.content,
                "spec_hash": artifact.spec_hash,
                "spec_version": artifact.spec_version,
                "against": artifact.review.against,
            }),
            at: now,
        })
        .await?;
        Ok(SubmittedArtifact {
            artifact,
            created: true,
        })
    }
}

/// The artifact that the same content of the job has already, if it waits or is approved; a refusal if a
/// person decided against that content.
async fn known<T: Tx>(
    unit: &mut Unit<'_, T>,
    draft: &Artifact,
) -> Result<Option<Artifact>, StoreError> {
    let same = ArtifactFilter {
        job_id: Some(draft.job_id.clone()),
        content: Some(draft.content),
        limit: 1,
        ..ArtifactFilter::default()
    };
    let Some(known) = list(unit.tx, &same).await?.into_iter().next() else {
        return Ok(None);
    };
    match known.state {
        ArtifactState::Pending | ArtifactState::Approved => Ok(Some(known)),
        // What was set aside or superseded may be proposed again.
        ArtifactState::Draft | ArtifactState::Superseded | ArtifactState::Archived => Ok(None),
        ArtifactState::Rejected | ArtifactState::RevisionsRequested => {
            Err(decided_against(&known).into())
        }
    }
}

fn decided_against(known: &Artifact) -> Denial {
    let said = known.decisions.last().map_or_else(String::new, |last| {
        format!(" by {} at {}: {}", last.by, last.at, last.reason)
    });
    let message = format!(
        "this very content is artifact {}, which is {}{said}",
        known.id, known.state
    );
    Denial::new(ErrorCode::Conflict, "D-ART-3", message)
        .hint("change what was asked for, then submit again")
}

/// [`ArtifactStore::artifact_decide`](crate::ArtifactStore::artifact_decide).
pub(super) struct Decide(pub(super) DecideArtifact);

impl Intent for Decide {
    type Reply = Artifact;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Artifact, StoreError> {
        let Self(decision) = self;
        unchanged(unit, decision.seen.as_ref()).await?;
        let Some(kind) = decision.command.decision() else {
            return Err(StoreError::Conflict {
                what: "a submission or supersession is no decision".to_owned(),
            });
        };
        let before = artifact(unit, decision.artifact).await?;
        let (actor, now) = (&decision.actor, decision.now);
        let applied = apply(
            &before,
            decision.command.clone(),
            actor,
            now,
            decision.two_person,
        )?;
        let approval = matches!(decision.command, Command::Approve { .. });
        if approval {
            up_to_date(unit, &applied.artifact).await?;
        }
        let decided = write(unit, applied, decision).await?;
        if approval {
            supersede(unit, &decided, decision).await?;
        }
        if decided.state == ArtifactState::Archived {
            schedules::after_archive(unit, decided.id, actor, now).await?;
        }
        let made = decided.decisions.last();
        unit.audit(NewAudit {
            actor: actor.to_string(),
            operation: format!("artifact.{}", kind.as_str()),
            subject: format!("artifact/{}", decided.id),
            reason: made.map(|made| made.reason.clone()),
            data: json!({
                "job_id": decided.job_id,
                "content": decided.content,
                "spec_hash": decided.spec_hash,
                "state": decided.state,
                "changes": made.map(|made| &made.changes),
                "signed": made.and_then(|made| made.signed.as_ref()),
            }),
            at: now,
        })
        .await?;
        Ok(decided)
    }
}

/// The review that an approval rests on must have been made against what is approved now.
async fn up_to_date<T: Tx>(unit: &mut Unit<'_, T>, approved: &Artifact) -> Result<(), StoreError> {
    let present = baseline(unit.tx, &approved.job_id, approved.is_research()).await?;
    if present.map(|present| present.content) == approved.review.against {
        return Ok(());
    }
    Err(StoreError::Conflict {
        what: format!(
            "another version of {} was approved meanwhile, so the review of artifact {} is out of date \
             (D-ART-5)",
            approved.job_id, approved.id
        ),
    })
}

/// Marks every other approved version of the job as superseded. There is at most one.
async fn supersede<T: Tx>(
    unit: &mut Unit<'_, T>,
    approved: &Artifact,
    decision: &DecideArtifact,
) -> Result<(), StoreError> {
    let others = ArtifactFilter {
        job_id: Some(approved.job_id.clone()),
        state: Some(ArtifactState::Approved),
        ..ArtifactFilter::default()
    };
    for other in list(unit.tx, &others).await? {
        if other.id == approved.id || other.is_research() != approved.is_research() {
            continue;
        }
        let by = Command::Supersede { by: approved.id };
        let applied = apply(&other, by, &decision.actor, decision.now, false)?;
        write(unit, applied, decision).await?;
    }
    Ok(())
}

async fn write<T: Tx>(
    unit: &mut Unit<'_, T>,
    applied: Applied,
    decision: &DecideArtifact,
) -> Result<Artifact, StoreError> {
    let Applied { artifact, event } = applied;
    let doc = to_json("artifact", &artifact)?;
    let row = args![artifact.state.as_str(), doc, artifact.id.to_string()];
    unit.tx.execute(sql::ARTIFACT_UPDATE, row).await?;
    unit.job_event(&artifact.job_id, &event, decision.now)
        .await?;
    Ok(artifact)
}
