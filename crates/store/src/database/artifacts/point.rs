//! Where lanes point.

use moorline_core::artifact::machine::{self, Pointing};
use moorline_core::artifact::{Artifact, Promotion, PromotionKind};
use moorline_core::audit::NewAudit;
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::gate::Evidence;
use moorline_core::run::Run;
use serde_json::json;

use super::{artifact, live, sql};
use crate::artifacts::{PointLane, PointTo, Pointed};
use crate::database::schedules;
use crate::database::tx::{Tx, args};
use crate::database::unit::{Unit, to_json};
use crate::database::versions::unchanged;
use crate::database::writer::Intent;
use crate::error::StoreError;

/// [`ArtifactStore::promotion_record`](crate::ArtifactStore::promotion_record).
pub(super) struct Point(pub(super) PointLane);

impl Intent for Point {
    type Reply = Pointed;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Pointed, StoreError> {
        let Self(wish) = self;
        unchanged(unit, wish.seen.as_ref()).await?;
        let (PointTo::Artifact(id) | PointTo::Earlier(id)) = wish.to;
        let target = artifact(unit, id).await?;
        let live = live(unit, &wish.lane, &target.job_id).await?;
        let pointing = Pointing {
            id: wish.id,
            lane: wish.lane.clone(),
            reason: wish.reason.clone(),
            evidence: evidence(unit, wish, &target).await?,
        };
        let point = match wish.to {
            PointTo::Artifact(_) => machine::promote,
            PointTo::Earlier(_) => machine::roll_back,
        };
        let made = point(&target, live.as_ref(), pointing, &wish.actor, wish.now)?;
        match (made, live) {
            (Some(promotion), _) => {
                record(unit, &promotion, &target).await?;
                Ok(Pointed {
                    promotion,
                    changed: true,
                })
            }
            (None, Some(promotion)) => Ok(Pointed {
                promotion,
                changed: false,
            }),
            (None, None) => Err(machine::nothing_earlier(&wish.lane, &target.job_id).into()),
        }
    }
}

/// The newest evidence of each gate, in the order in which it was found.
async fn evidence<T: Tx>(
    unit: &mut Unit<'_, T>,
    wish: &PointLane,
    target: &Artifact,
) -> Result<Vec<Evidence>, StoreError> {
    let args = args![
        wish.lane.as_str(),
        &target.job_id,
        target.content.to_string()
    ];
    let mut newest: Vec<Evidence> = Vec::new();
    for mut row in unit.tx.rows(sql::GATE_EVIDENCE, args).await? {
        let found: Evidence = row.json("evidence")?;
        newest.retain(|older| older.gate != found.gate);
        newest.push(found);
    }
    Ok(newest)
}

async fn record<T: Tx>(
    unit: &mut Unit<'_, T>,
    promotion: &Promotion,
    target: &Artifact,
) -> Result<(), StoreError> {
    let id = promotion.id.to_string();
    let lane = promotion.lane.as_str();
    let row = args![
        &id,
        lane,
        &promotion.job_id,
        promotion.content.to_string(),
        to_json("promotion", promotion)?,
    ];
    unit.tx.execute(sql::PROMOTION_INSERT, row).await?;
    unit.tx
        .execute(sql::LIVE_WRITE, args![lane, &promotion.job_id, &id])
        .await?;
    let (kind, operation) = match promotion.kind {
        PromotionKind::Promote => (EventKind::ArtifactPromoted, "artifact.promote"),
        PromotionKind::Rollback => (EventKind::ArtifactRolledBack, "artifact.rollback"),
    };
    let data = json!({
        "promotion": promotion.id,
        "lane": promotion.lane,
        "job_id": promotion.job_id,
        "artifact": promotion.artifact,
        "content": promotion.content,
        "previous": promotion.previous,
        "by": promotion.by,
    });
    let event = NewEvent {
        kind,
        level: Level::Info,
        data,
    };
    unit.job_event(&promotion.job_id, &event, promotion.at)
        .await?;
    unit.audit(NewAudit {
        actor: promotion.by.to_string(),
        operation: operation.to_owned(),
        subject: format!("artifact/{}", promotion.artifact),
        reason: Some(promotion.reason.clone()),
        data: json!({
            "promotion": promotion.id,
            "lane": promotion.lane,
            "job_id": promotion.job_id,
            "content": promotion.content,
            "spec_hash": promotion.spec_hash,
            "spec_version": promotion.spec_version,
            "previous": promotion.previous,
            "evidence": promotion.evidence.iter().map(|evidence| evidence.id).collect::<Vec<_>>(),
        }),
        at: promotion.at,
    })
    .await?;
    schedules::after_promotion(unit, promotion, target, promotion.at).await
}

/// Refuses a run of anything but what its lane points to, and of what was set aside since (D-ART-4).
pub(crate) async fn must_be_live<T: Tx>(
    unit: &mut Unit<'_, T>,
    run: &Run,
) -> Result<(), StoreError> {
    let live = live(unit, &run.lane, &run.job_id).await?;
    if let Some(live) = &live
        && live.content == run.artifact_hash
        && artifact(unit, live.artifact).await?.state.was_approved()
    {
        return Ok(());
    }
    Err(machine::not_live(&run.lane, &run.job_id, live.as_ref()).into())
}
