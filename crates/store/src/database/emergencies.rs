//! [`EmergencyStore`] for both engines.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::audit::NewAudit;
use moorline_core::denial::Denial;
use moorline_core::emergency::{Emergency, EmergencyState, EmergencyStep, StepReport};
use moorline_core::error_code::ErrorCode;
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::ids::EmergencyId;
use moorline_core::principal::Principal;
use serde_json::json;

use crate::database::backend::Backend;
use crate::database::intent::engage_stop;
use crate::database::query::Query;
use crate::database::sql::emergencies as sql;
use crate::database::tx::{Row, Tx, args};
use crate::database::unit::{Unit, to_json};
use crate::database::writer::Intent;
use crate::emergencies::{CallEmergency, EmergencyStore, RecordStep, UnderWay, WhichEmergency};
use crate::error::StoreError;

#[async_trait]
impl<B: Backend> EmergencyStore for B {
    async fn emergency_begin(&self, call: CallEmergency) -> Result<UnderWay, StoreError> {
        self.write(Begin(call)).await
    }

    async fn emergency_record(&self, record: RecordStep) -> Result<Emergency, StoreError> {
        self.write(Record(record)).await
    }

    async fn emergency_get(&self, id: EmergencyId) -> Result<Option<Emergency>, StoreError> {
        self.read(GetEmergency(id)).await
    }

    async fn emergencies_list(&self) -> Result<Vec<Emergency>, StoreError> {
        self.read(ListEmergencies).await
    }
}

/// [`EmergencyStore::emergency_begin`].
struct Begin(CallEmergency);

impl Intent for Begin {
    type Reply = UnderWay;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<UnderWay, StoreError> {
        let Self(call) = self;
        let known = known(unit, &call.which).await?;
        if let Some(complete) = known.as_ref().filter(|known| known.is_complete()) {
            return Ok(UnderWay {
                emergency: complete.clone(),
                resumed: true,
            });
        }
        let emergency = called(call, known.as_ref())?;
        write(unit, known.as_ref(), &emergency).await?;
        audit_call(unit, &emergency, call, known.is_some()).await?;
        let engaged = engage_stop(unit, &emergency.stop(call.now)).await?;
        let schedules = engaged.schedules.iter();
        let report = StepReport {
            done: schedules.map(|id| format!("schedule/{id}")).collect(),
            ..StepReport::default()
        };
        let step = EmergencyStep::Disable;
        Ok(UnderWay {
            emergency: record(unit, &emergency, step, report, &call.by, call.now).await?,
            resumed: known.is_some(),
        })
    }
}

/// The emergency that a call is about, when it is there.
async fn known<T: Tx>(
    unit: &mut Unit<'_, T>,
    which: &WhichEmergency,
) -> Result<Option<Emergency>, StoreError> {
    match which {
        WhichEmergency::Call { lane, .. } => {
            let unfinished = unfinished(unit).await?;
            Ok(unfinished.into_iter().find(|known| known.lane == *lane))
        }
        WhichEmergency::Resume(None) => Ok(unfinished(unit).await?.into_iter().next()),
        WhichEmergency::Resume(Some(id)) => get(unit, *id).await.map(Some),
    }
}

fn called(call: &CallEmergency, known: Option<&Emergency>) -> Result<Emergency, Denial> {
    match (known, &call.which) {
        (Some(known), _) => known.resume(call.by.clone()),
        (
            None,
            WhichEmergency::Call {
                id,
                lane,
                reason,
                grace_ms,
            },
        ) => {
            let (lane, by, reason) = (lane.clone(), call.by.clone(), reason.clone());
            Emergency::begin(*id, lane, by, reason, *grace_ms, call.now)
        }
        (None, WhichEmergency::Resume(_)) => {
            let message = "there is no unfinished emergency";
            Err(Denial::new(ErrorCode::NotFound, "D-STOP-3", message))
        }
    }
}

/// [`EmergencyStore::emergency_record`].
struct Record(RecordStep);

impl Intent for Record {
    type Reply = Emergency;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Emergency, StoreError> {
        let Self(asked) = self;
        let emergency = get(unit, asked.id).await?;
        let report = asked.report.clone();
        record(unit, &emergency, asked.step, report, &asked.by, asked.now).await
    }
}

/// Records a step: the document, its event and its audit record.
async fn record<T: Tx>(
    unit: &mut Unit<'_, T>,
    before: &Emergency,
    step: EmergencyStep,
    report: StepReport,
    by: &Principal,
    now: Timestamp,
) -> Result<Emergency, StoreError> {
    let (done, left) = (report.done.len(), report.left.clone());
    let next = before.record(step, &report, now)?;
    write(unit, Some(before), &next).await?;
    let event = NewEvent {
        kind: EventKind::EmergencyStep,
        level: if left.is_empty() {
            Level::Warn
        } else {
            Level::Error
        },
        data: json!({
            "emergency_id": next.id,
            "step": step,
            "done": done,
            "left": left,
            "state": next.state,
        }),
    };
    unit.event(None, &event, now).await?;
    unit.audit(NewAudit {
        actor: by.to_string(),
        operation: "emergency.step".to_owned(),
        subject: format!("emergency/{}", next.id),
        reason: Some(next.reason.clone()),
        data: json!({"step": step, "done": done, "left": left, "state": next.state}),
        at: now,
    })
    .await?;
    Ok(next)
}

async fn audit_call<T: Tx>(
    unit: &mut Unit<'_, T>,
    emergency: &Emergency,
    call: &CallEmergency,
    resumed: bool,
) -> Result<(), StoreError> {
    unit.audit(NewAudit {
        actor: call.by.to_string(),
        operation: "emergency.run".to_owned(),
        subject: format!("emergency/{}", emergency.id),
        reason: Some(emergency.reason.clone()),
        data: json!({"scope": emergency.scope(), "resumed": resumed}),
        at: call.now,
    })
    .await
}

async fn write<T: Tx>(
    unit: &mut Unit<'_, T>,
    before: Option<&Emergency>,
    emergency: &Emergency,
) -> Result<(), StoreError> {
    let doc = to_json("emergency", emergency)?;
    let (id, state) = (emergency.id.to_string(), emergency.state.as_str());
    let written = match before {
        None => {
            unit.tx
                .execute(sql::EMERGENCY_INSERT, args![id, state, doc])
                .await
        }
        Some(_) => {
            unit.tx
                .execute(sql::EMERGENCY_UPDATE, args![state, doc, id])
                .await
        }
    };
    written.map(drop)
}

async fn get<T: Tx>(unit: &mut Unit<'_, T>, id: EmergencyId) -> Result<Emergency, StoreError> {
    let row = unit
        .tx
        .row(sql::EMERGENCY_GET, args![id.to_string()])
        .await?;
    row.map(document)
        .transpose()?
        .ok_or_else(|| StoreError::not_found(format!("emergency {id}")))
}

/// Unfinished emergencies, newest first.
async fn unfinished<T: Tx>(unit: &mut Unit<'_, T>) -> Result<Vec<Emergency>, StoreError> {
    let state = EmergencyState::Unfinished.as_str();
    let rows = unit.tx.rows(sql::EMERGENCIES_STATE, args![state]).await?;
    rows.into_iter().map(document).collect()
}

fn document(mut row: Row) -> Result<Emergency, StoreError> {
    row.json("emergency")
}

/// [`EmergencyStore::emergency_get`].
struct GetEmergency(EmergencyId);

impl Query for GetEmergency {
    type Reply = Option<Emergency>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Option<Emergency>, StoreError> {
        let row = tx
            .row(sql::EMERGENCY_GET, args![self.0.to_string()])
            .await?;
        row.map(document).transpose()
    }
}

/// [`EmergencyStore::emergencies_list`].
struct ListEmergencies;

impl Query for ListEmergencies {
    type Reply = Vec<Emergency>;

    async fn read<T: Tx>(&self, tx: &mut T) -> Result<Vec<Emergency>, StoreError> {
        let rows = tx.rows(sql::EMERGENCIES, args![]).await?;
        rows.into_iter().map(document).collect()
    }
}
