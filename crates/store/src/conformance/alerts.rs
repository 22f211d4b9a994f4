//! Alerts: told once, delivered at least once, by one worker at a time (D-FLOW-9).

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use moorline_core::alert::{Alert, Delivery, DeliveryCommand, DeliveryState};
use moorline_core::error_code::{AlertLevel, FailureClass};
use moorline_core::event::EventKind;
use moorline_core::ids::DeliveryId;
use serde_json::json;

use super::check::equal;
use super::fixture::{failure, success};
use super::{Failure, Shape, Subject, World};
use crate::alerts::{
    AlertFilter, AlertPlan, ClaimDeliveries, Claimed, RaiseAlert, RecordDelivery, ReplayDelivery,
};
use crate::error::StoreError;
use crate::store::Store;
use crate::types::EventFilter;

fn later(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| now.checked_add(by).ok())
        .unwrap_or(now)
}

async fn ended(
    store: &dyn Store,
    world: &World,
    class: Option<FailureClass>,
) -> Result<(), Failure> {
    let shape = Shape {
        source: Some("bank"),
        ..Shape::default()
    };
    let run = world.started(store, &shape).await?;
    let verdict = class.map_or_else(|| success(false), failure);
    store.attempt_finish(world.finish(&run, verdict)).await?;
    Ok(())
}

async fn alerts(store: &dyn Store) -> Result<Vec<Alert>, Failure> {
    let records = store.alerts_list(AlertFilter::default()).await?;
    Ok(records.into_iter().map(|record| record.alert).collect())
}

async fn count(store: &dyn Store, kind: EventKind) -> Result<usize, Failure> {
    let filter = EventFilter {
        kinds: vec![kind],
        ..EventFilter::default()
    };
    Ok(store.events_list(filter).await?.len())
}

/// L44: one notice for one trouble, however many runs have it; once it is over, the next one is told again.
pub(super) async fn the_same_trouble_is_told_once_until_it_is_over(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    for _ in 0..3 {
        world.advance(Duration::from_mins(1));
        ended(store, &world, Some(FailureClass::Validation)).await?;
    }
    let told = alerts(store).await?;
    let seen: Vec<_> = told
        .iter()
        .map(|alert| (alert.key.as_str(), alert.count, alert.last_at))
        .collect();
    equal(
        &seen,
        &vec![("source/bank/validation", 3, world.now())],
        "the alert",
    )?;
    equal(&count(store, EventKind::AlertRaised).await?, &1, "told")?;
    equal(
        &count(store, EventKind::AlertRepeated).await?,
        &2,
        "counted",
    )?;
    // Another trouble of the same source is another alert.
    ended(store, &world, Some(FailureClass::Auth)).await?;
    equal(&alerts(store).await?.len(), &2, "two troubles")?;
    world.advance(Duration::from_mins(1));
    ended(store, &world, None).await?;
    equal(&count(store, EventKind::AlertClosed).await?, &2, "over")?;
    world.advance(Duration::from_mins(1));
    ended(store, &world, Some(FailureClass::Validation)).await?;
    let told = alerts(store).await?;
    let open: Vec<_> = told.iter().map(|alert| alert.closed_at.is_none()).collect();
    equal(&open, &vec![true, false, false], "told again, newest first")?;
    let next = RaiseAlert {
        key: "source/bank/validation".to_owned(),
        level: AlertLevel::Critical,
        title: "louder".to_owned(),
        data: json!({}),
        now: world.now(),
    };
    let louder = store.alert_raise(next).await?;
    equal(&louder.count, &1, "what is louder is an alert of its own")
}

/// An alert with deliveries to these destinations.
async fn planned(
    store: &dyn Store,
    world: &World,
    destinations: &[&str],
) -> Result<Alert, Failure> {
    ended(store, world, Some(FailureClass::Auth)).await?;
    let raised = store.alerts_raised(10).await?;
    let [alert] = raised.as_slice() else {
        return Err(Failure::new(format!("one alert is wanted: {raised:?}")));
    };
    let plan = AlertPlan {
        alert: alert.id,
        destinations: destinations
            .iter()
            .map(|name| {
                (
                    DeliveryId::new(world.attempt_id().uuid()),
                    (*name).to_owned(),
                )
            })
            .collect(),
        now: world.now(),
    };
    check!(store.alert_plan(plan.clone()).await?, "planned");
    let again = AlertPlan {
        destinations: vec![(
            DeliveryId::new(world.attempt_id().uuid()),
            "other".to_owned(),
        )],
        ..plan
    };
    check!(!store.alert_plan(again).await?, "an alert is planned once");
    equal(
        &store.alerts_raised(10).await?,
        &Vec::new(),
        "what is not planned",
    )?;
    Ok(alert.clone())
}

fn claim(world: &World, limit: u32) -> ClaimDeliveries {
    ClaimDeliveries {
        limit,
        lease_until: later(world.now(), Duration::from_mins(1)),
        now: world.now(),
    }
}

fn record(world: &World, delivery: &Delivery, command: DeliveryCommand) -> RecordDelivery {
    RecordDelivery {
        alert: delivery.alert,
        destination: delivery.destination.clone(),
        command,
        now: world.now(),
    }
}

/// Eight workers ask at once for ten deliveries: each is claimed by one of them.
pub(super) async fn a_delivery_is_claimed_by_one_worker(subject: Subject) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(8).await?, World::default());
    let names: Vec<String> = (0..10).map(|n| format!("d{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let Some(first) = stores.first() else {
        return Err(Failure::new("stores were asked for".to_owned()));
    };
    let alert = planned(first.as_ref(), &world, &names).await?;
    let mut claimed = Vec::new();
    for _ in 0..3 {
        let claims = stores
            .iter()
            .map(|store| store.deliveries_claim(claim(&world, 2)));
        for claims in join_all(claims).await {
            claimed.extend(claims?);
        }
    }
    check!(
        claimed.iter().all(|claimed| claimed.alert.id == alert.id),
        "each comes with its alert"
    );
    let got: Vec<&str> = claimed
        .iter()
        .map(|c| c.delivery.destination.as_str())
        .collect();
    let distinct: BTreeSet<&str> = got.iter().copied().collect();
    equal(
        &(got.len(), distinct.len()),
        &(10, 10),
        "claims and what was claimed",
    )?;
    let lease = later(world.now(), Duration::from_mins(1));
    equal(
        &first.deliveries_next().await?,
        &Some(lease),
        "the next is the end of a lease",
    )
}

/// A worker died between sending and recording: the delivery is sent again, under the same id, and the dead
/// one's late report changes nothing.
pub(super) async fn a_lost_delivery_is_sent_again_under_its_id(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    planned(store.as_ref(), &world, &["ops"]).await?;
    let first = store.deliveries_claim(claim(&world, 5)).await?;
    let [Claimed { delivery: lost, .. }] = first.as_slice() else {
        return Err(Failure::new(format!("one is due: {first:?}")));
    };
    equal(
        &store.deliveries_claim(claim(&world, 5)).await?,
        &Vec::new(),
        "it is leased",
    )?;
    world.advance(Duration::from_mins(1));
    let second = store.deliveries_claim(claim(&world, 5)).await?;
    let [
        Claimed {
            delivery: again, ..
        },
    ] = second.as_slice()
    else {
        return Err(Failure::new(format!("the lease is over: {second:?}")));
    };
    equal(
        &(again.id, again.attempts),
        &(lost.id, 2),
        "the same delivery",
    )?;
    let token = lost.token;
    let late = record(&world, lost, DeliveryCommand::Delivered { token });
    check_err!(
        store.delivery_record(late).await,
        StoreError::Denied(_),
        "a late report"
    );
    let token = again.token;
    let done = record(&world, again, DeliveryCommand::Delivered { token });
    let done = store.delivery_record(done).await?;
    equal(
        &(done.state, done.due_at),
        &(DeliveryState::Delivered, None),
        "delivered",
    )?;
    equal(&store.deliveries_next().await?, &None, "what is left")?;
    equal(
        &count(store.as_ref(), EventKind::AlertDelivered).await?,
        &1,
        "told of",
    )
}

/// What was given up is listed, and sent again by a person; a failure of one destination is none of another.
pub(super) async fn what_was_given_up_is_replayed(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let alert = planned(store.as_ref(), &world, &["ops", "pager"]).await?;
    for Claimed { delivery, .. } in store.deliveries_claim(claim(&world, 5)).await? {
        let token = delivery.token;
        let command = if delivery.destination == "ops" {
            let (error, retry_after) = ("410".to_owned(), None);
            let give_up = true;
            DeliveryCommand::Failed {
                token,
                error,
                retry_after,
                give_up,
            }
        } else {
            DeliveryCommand::Delivered { token }
        };
        store
            .delivery_record(record(&world, &delivery, command))
            .await?;
    }
    let dead = AlertFilter {
        dead: true,
        ..AlertFilter::default()
    };
    let states = |deliveries: &[Delivery]| deliveries.iter().map(|d| d.state).collect::<Vec<_>>();
    let listed = store.alerts_list(dead.clone()).await?;
    let found: Vec<_> = listed.iter().map(|r| states(&r.deliveries)).collect();
    let wanted = vec![vec![DeliveryState::Dead, DeliveryState::Delivered]];
    equal(&found, &wanted, "what was given up")?;
    let replay = ReplayDelivery {
        alert: alert.id,
        destination: None,
        actor: "human:ada".to_owned(),
        reason: Some("the receiver is back".to_owned()),
        now: world.now(),
    };
    let again = store.delivery_replay(replay.clone()).await?;
    let again: Vec<_> = again
        .iter()
        .map(|d| (d.destination.as_str(), d.attempts))
        .collect();
    equal(&again, &vec![("ops", 0)], "sent again")?;
    equal(
        &store.alerts_list(dead).await?,
        &Vec::new(),
        "nothing is dead any more",
    )?;
    check_err!(
        store.delivery_replay(replay).await,
        StoreError::Denied(_),
        "a replay of what was not given up"
    );
    let audit = store.audit_list(0, 100).await?;
    let record = audit
        .iter()
        .find(|record| record.operation == "alert.replay");
    let record = record.map(|record| (record.actor.clone(), record.reason.clone()));
    let wanted = (
        "human:ada".to_owned(),
        Some("the receiver is back".to_owned()),
    );
    equal(&record, &Some(wanted), "who replayed")?;
    let id = alert.id.to_string();
    let found = store.alert_find(id.get(..13).unwrap_or_default()).await?;
    equal(&found, &vec![alert.id], "by the beginning of its id")
}
