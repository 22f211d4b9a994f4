//! Evidence, and how the gates stand.

use moorline_core::artifact::{Artifact, DecisionKind};
use moorline_core::audit::NewAudit;
use moorline_core::content_id::ContentId;
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::gate::{self, Evidence, Gate, GateFacts};
use moorline_core::ids::{ArtifactId, RunId};
use moorline_core::lane::Lane;
use moorline_core::schedule::{ScheduleDocument, ScheduleId};
use serde_json::json;

use super::rows;
use crate::database::artifacts;
use crate::database::sql::schedules as sql;
use crate::database::tx::{Tx, args};
use crate::database::unit::{Unit, to_json};
use crate::database::writer::Intent;
use crate::error::StoreError;
use crate::schedules::GateReport;

/// The evidence for a content in a lane, oldest first.
async fn evidence<T: Tx>(
    unit: &mut Unit<'_, T>,
    lane: &Lane,
    job_id: &str,
    content: &ContentId,
) -> Result<Vec<Evidence>, StoreError> {
    let key = args![lane.as_str(), job_id, content.to_string()];
    let rows = unit.tx.rows(sql::EVIDENCE, key).await?;
    rows.into_iter()
        .map(|mut row| row.json("evidence"))
        .collect()
}

/// What decides about the gates of an artifact, and the `SCHEDULE.json` of what the lane points to.
pub(super) async fn facts<T: Tx>(
    unit: &mut Unit<'_, T>,
    lane: &Lane,
    job_id: &str,
    of: Option<(ArtifactId, ContentId)>,
) -> Result<(GateFacts, Option<ScheduleDocument>), StoreError> {
    let live = artifacts::live(unit, lane, job_id).await?;
    let of = of.or_else(|| live.as_ref().map(|live| (live.artifact, live.content)));
    let Some((id, content)) = of else {
        return Ok((GateFacts::default(), None));
    };
    let artifact = artifacts::artifact(unit, id).await?;
    let document = match &live {
        Some(live) if live.artifact == id => artifact.schedule.clone(),
        Some(live) => artifacts::artifact(unit, live.artifact).await?.schedule,
        None => None,
    };
    let facts = GateFacts {
        artifact: Some(content),
        approved: approved(&artifact),
        live: live.map(|live| (live.content, live.at)),
        evidence: evidence(unit, lane, job_id, &content).await?,
    };
    Ok((facts, document))
}

/// Who approved an artifact that counts as approved.
fn approved(artifact: &Artifact) -> Option<(moorline_core::principal::Principal, jiff::Timestamp)> {
    let decision = artifact
        .decisions
        .iter()
        .rev()
        .find(|decision| decision.kind == DecisionKind::Approve)
        .filter(|_| artifact.state.was_approved())?;
    Some((decision.by.clone(), decision.at))
}

/// [`ScheduleStore::gates_get`](crate::ScheduleStore::gates_get).
pub(super) struct Stand {
    pub(super) lane: Lane,
    pub(super) job_id: String,
}

impl Intent for Stand {
    type Reply = GateReport;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<GateReport, StoreError> {
        let id = ScheduleId::new(self.lane.clone(), self.job_id.clone());
        let schedule = rows::find(unit, &id).await?;
        let mut of = schedule
            .as_ref()
            .map(|found| (found.artifact, found.content));
        if of.is_none() {
            of = artifacts::live(unit, &self.lane, &self.job_id)
                .await?
                .map(|live| (live.artifact, live.content));
        }
        let (facts, _) = facts(unit, &self.lane, &self.job_id, of).await?;
        Ok(GateReport {
            schedule,
            artifact: of.map(|(artifact, _)| artifact),
            content: of.map(|(_, content)| content),
            gates: gate::gates(&facts),
        })
    }
}

/// [`ScheduleStore::evidence_record`](crate::ScheduleStore::evidence_record).
pub(super) struct Record {
    pub(super) evidence: Evidence,
    pub(super) run: Option<RunId>,
}

impl Intent for Record {
    type Reply = ();

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<(), StoreError> {
        let Self { evidence, run } = self;
        let live = artifacts::live(unit, &evidence.lane, &evidence.job_id).await?;
        if live.map(|live| live.content) != Some(evidence.artifact) {
            let message = format!(
                "the lane `{}` does not point to {}: evidence is about what it points to",
                evidence.lane, evidence.artifact
            );
            let denial = Denial::new(ErrorCode::Conflict, "D-SCHED-2", message)
                .hint("promote the artifact in the lane first");
            return Err(denial.into());
        }
        if evidence.gate == Gate::FirstRunVerified {
            let run = match run {
                Some(run) => Some(unit.run(*run).await?),
                None => None,
            };
            gate::verifies(run.as_ref(), evidence)?;
        }
        let row = args![
            evidence.id.to_string(),
            evidence.gate.as_str(),
            evidence.lane.as_str(),
            &evidence.job_id,
            evidence.artifact.to_string(),
            to_json("evidence", evidence)?,
        ];
        unit.tx.execute(sql::EVIDENCE_INSERT, row).await?;
        let data = json!({
            "gate": evidence.gate,
            "lane": evidence.lane,
            "artifact": evidence.artifact,
            "holds": evidence.holds,
            "by": evidence.by,
            "evidence": evidence.id,
        });
        let event = NewEvent {
            kind: EventKind::GateEvidence,
            level: if evidence.holds {
                Level::Info
            } else {
                Level::Warn
            },
            data: data.clone(),
        };
        unit.job_event(&evidence.job_id, &event, evidence.at)
            .await?;
        unit.audit(NewAudit {
            actor: evidence.by.to_string(),
            operation: operation(evidence.gate).to_owned(),
            subject: format!("schedule/{}/{}", evidence.lane, evidence.job_id),
            reason: None,
            data,
            at: evidence.at,
        })
        .await
    }
}

/// The operation that records evidence for a gate.
const fn operation(gate: Gate) -> &'static str {
    match gate {
        Gate::SpecApproved => "artifact.approve",
        Gate::ArtifactPromoted => "artifact.promote",
        Gate::SecretsConfigured => "gate.check_secrets",
        Gate::EgressVerified => "gate.probe_egress",
        Gate::FirstRunVerified => "gate.verify_run",
    }
}
