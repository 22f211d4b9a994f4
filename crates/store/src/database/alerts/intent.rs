//! The changes that [`AlertStore`](crate::AlertStore) names.

use moorline_core::alert::{Alert, Delivery, DeliveryCommand, delivery};
use moorline_core::audit::NewAudit;
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::AlertId;
use serde_json::json;

use super::{NewAlert, insert, raise, write};
use crate::alerts::{
    AlertPlan, AlertTest, ClaimDeliveries, Claimed, RaiseAlert, RecordDelivery, ReplayDelivery,
};
use crate::database::sql::alerts as sql;
use crate::database::tx::{Tx, Val, args, ceil_microsecond};
use crate::database::unit::{Subject, Unit, to_json};
use crate::database::writer::Intent;
use crate::error::StoreError;

/// [`AlertStore::alert_raise`](crate::AlertStore::alert_raise).
pub(super) struct Raise(pub(super) RaiseAlert);

impl Intent for Raise {
    type Reply = Alert;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Alert, StoreError> {
        let Self(new) = self;
        let alert = NewAlert {
            key: new.key.clone(),
            level: new.level,
            title: new.title.clone(),
            run: None,
            data: new.data.clone(),
        };
        raise(unit, alert, new.now).await
    }
}

/// [`AlertStore::alert_plan`](crate::AlertStore::alert_plan).
pub(super) struct Plan(pub(super) AlertPlan);

impl Intent for Plan {
    type Reply = bool;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<bool, StoreError> {
        let Self(plan) = self;
        let alert = alert(unit, plan.alert).await?;
        if alert.planned {
            return Ok(false);
        }
        for (id, destination) in &plan.destinations {
            let delivery = Delivery::new(*id, plan.alert, destination.clone(), plan.now);
            insert_delivery(unit, &delivery).await?;
        }
        let planned = Alert {
            planned: true,
            ..alert
        };
        write(unit, &planned).await?;
        Ok(true)
    }
}

/// [`AlertStore::alert_test`](crate::AlertStore::alert_test).
pub(super) struct Test(pub(super) AlertTest);

impl Intent for Test {
    type Reply = Delivery;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Delivery, StoreError> {
        let Self(test) = self;
        insert(unit, &test.alert).await?;
        let new = Delivery::new(
            test.delivery,
            test.alert.id,
            test.destination.clone(),
            test.now,
        );
        let lease_until = test.lease_until;
        let claim = DeliveryCommand::Claim { lease_until };
        let (claimed, _) = delivery::apply(&new, &claim, test.now)?;
        insert_delivery(unit, &claimed).await?;
        unit.audit(NewAudit {
            actor: test.actor.clone(),
            operation: "alert.test".to_owned(),
            subject: format!("destination/{}", test.destination),
            reason: None,
            data: json!({"alert": test.alert.id, "delivery": test.delivery}),
            at: test.now,
        })
        .await?;
        Ok(claimed)
    }
}

/// [`AlertStore::deliveries_claim`](crate::AlertStore::deliveries_claim).
pub(super) struct Claim(pub(super) ClaimDeliveries);

impl Intent for Claim {
    type Reply = Vec<Claimed>;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Vec<Claimed>, StoreError> {
        let Self(claim) = self;
        let args = args![claim.now, claim.limit];
        let rows = unit.tx.rows(sql::DELIVERIES_DUE, args).await?;
        let mut claimed = Vec::with_capacity(rows.len());
        for mut row in rows {
            let due: Delivery = row.json("delivery")?;
            let lease_until = claim.lease_until;
            let command = DeliveryCommand::Claim { lease_until };
            let (delivery, _) = delivery::apply(&due, &command, claim.now)?;
            update_delivery(unit, &delivery).await?;
            let alert = alert(unit, delivery.alert).await?;
            claimed.push(Claimed { delivery, alert });
        }
        Ok(claimed)
    }
}

/// [`AlertStore::delivery_record`](crate::AlertStore::delivery_record).
pub(super) struct Record(pub(super) RecordDelivery);

impl Intent for Record {
    type Reply = Delivery;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Delivery, StoreError> {
        let Self(record) = self;
        let args = args![record.alert.to_string(), &record.destination];
        let Some(mut row) = unit.tx.row(sql::DELIVERY_GET, args).await? else {
            let what = format!(
                "delivery of alert {} to {}",
                record.alert, record.destination
            );
            return Err(StoreError::not_found(what));
        };
        let before: Delivery = row.json("delivery")?;
        step(unit, &before, &record.command, record.now).await
    }
}

/// [`AlertStore::delivery_replay`](crate::AlertStore::delivery_replay).
pub(super) struct Replay(pub(super) ReplayDelivery);

impl Intent for Replay {
    type Reply = Vec<Delivery>;

    async fn apply<T: Tx>(&self, unit: &mut Unit<'_, T>) -> Result<Vec<Delivery>, StoreError> {
        let Self(replay) = self;
        let alert = alert(unit, replay.alert).await?;
        let args = args![alert.id.to_string()];
        let mut again = Vec::new();
        for mut row in unit.tx.rows(sql::DELIVERIES, args).await? {
            let known: Delivery = row.json("delivery")?;
            let wanted = match &replay.destination {
                Some(name) => *name == known.destination,
                // Of all, those that were given up; what is on its way is not sent twice.
                None => known.state == delivery::DeliveryState::Dead,
            };
            if wanted {
                let actor = replay.actor.clone();
                let command = DeliveryCommand::Replay { actor };
                again.push(step(unit, &known, &command, replay.now).await?);
            }
        }
        if again.is_empty() {
            let message = format!("nothing of alert {} was given up", alert.id);
            let denial = Denial::new(ErrorCode::Conflict, "D-FLOW-9", message);
            return Err(denial
                .hint("`moorline alerts list --dead` lists what was")
                .into());
        }
        let destinations: Vec<_> = again.iter().map(|d| d.destination.as_str()).collect();
        unit.audit(NewAudit {
            actor: replay.actor.clone(),
            operation: "alert.replay".to_owned(),
            subject: format!("alert/{}", alert.id),
            reason: replay.reason.clone(),
            data: json!({"destinations": destinations}),
            at: replay.now,
        })
        .await?;
        Ok(again)
    }
}

/// Applies a command to a delivery and writes what came of it.
async fn step<T: Tx>(
    unit: &mut Unit<'_, T>,
    before: &Delivery,
    command: &DeliveryCommand,
    now: jiff::Timestamp,
) -> Result<Delivery, StoreError> {
    let (next, event) = delivery::apply(before, command, now)?;
    update_delivery(unit, &next).await?;
    if let Some(event) = event {
        let alert = alert(unit, next.alert).await?;
        let subject = alert.run_id.zip(alert.job_id.as_deref());
        let subject = subject.map(|(run_id, job_id)| Subject { run_id, job_id });
        unit.event(subject, &event, now).await?;
    }
    Ok(next)
}

async fn alert<T: Tx>(unit: &mut Unit<'_, T>, id: AlertId) -> Result<Alert, StoreError> {
    match unit.tx.row(sql::ALERT_GET, args![id.to_string()]).await? {
        Some(mut row) => row.json("alert"),
        None => Err(StoreError::not_found(format!("alert {id}"))),
    }
}

async fn insert_delivery<T: Tx>(
    unit: &mut Unit<'_, T>,
    delivery: &Delivery,
) -> Result<(), StoreError> {
    let args = args![
        delivery.alert.to_string(),
        &delivery.destination,
        delivery.state.as_str(),
        Val::Int(delivery.due_at.map(ceil_microsecond)),
        to_json("delivery", delivery)?,
    ];
    unit.tx.execute(sql::DELIVERY_INSERT, args).await?;
    Ok(())
}

async fn update_delivery<T: Tx>(
    unit: &mut Unit<'_, T>,
    delivery: &Delivery,
) -> Result<(), StoreError> {
    let args = args![
        delivery.state.as_str(),
        Val::Int(delivery.due_at.map(ceil_microsecond)),
        to_json("delivery", delivery)?,
        delivery.alert.to_string(),
        &delivery.destination,
    ];
    unit.tx.execute(sql::DELIVERY_UPDATE, args).await?;
    Ok(())
}
