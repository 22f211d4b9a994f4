//! Emergencies (D-STOP-3).

use moorline_core::emergency::{Emergency, EmergencyState, EmergencyStep, StepReport};
use moorline_core::event::EventKind;
use moorline_core::ids::EmergencyId;
use moorline_core::lane::Lane;
use moorline_core::principal::{Principal, PrincipalKind};
use moorline_core::run::CancelKind;
use moorline_core::stop::StopScope;

use super::check::equal;
use super::{Failure, Shape, Subject, World};
use crate::emergencies::{CallEmergency, RecordStep, WhichEmergency};
use crate::error::StoreError;
use crate::store::Store;
use crate::types::EventFilter;

fn person() -> Principal {
    Principal::named(PrincipalKind::Human, "ada")
}

fn call(world: &World, lane: Option<Lane>) -> CallEmergency {
    CallEmergency {
        which: WhichEmergency::Call {
            id: EmergencyId::new(world.attempt_id().uuid()),
            lane,
            reason: "a token leaked".to_owned(),
            grace_ms: 0,
        },
        by: person(),
        now: world.now(),
    }
}

fn resume(world: &World, id: Option<EmergencyId>) -> CallEmergency {
    CallEmergency {
        which: WhichEmergency::Resume(id),
        by: person(),
        now: world.now(),
    }
}

async fn record(
    store: &dyn Store,
    world: &World,
    id: EmergencyId,
    step: EmergencyStep,
) -> Result<Emergency, StoreError> {
    let record = RecordStep {
        id,
        step,
        report: StepReport {
            done: vec![format!("secret/prod/{step}")],
            ..StepReport::default()
        },
        by: person(),
        now: world.now(),
    };
    store.emergency_record(record).await
}

/// The gate and the first step are one transaction; what runs is ended behind it.
pub(super) async fn an_emergency_begins_with_its_gate(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let covered = Shape {
        lane: Lane::PROD,
        ..Shape::default()
    };
    let live = world.started(store.as_ref(), &covered).await?;
    world.started(store.as_ref(), &Shape::default()).await?;
    let under_way = store
        .emergency_begin(call(&world, Some(Lane::PROD)))
        .await?;
    let stop = under_way.emergency.stop(world.now());
    let alive = store.stop_carry_out(stop).await?;
    let wishes: Vec<_> = alive
        .iter()
        .map(|run| (run.id, run.cancel.as_ref().map(|wish| wish.kind)))
        .collect();
    equal(
        &wishes,
        &vec![(live.id, Some(CancelKind::Killed))],
        "what is still alive",
    )?;
    let emergency = under_way.emergency;
    let stops = store.stops_list().await?;
    equal(
        &stops,
        &vec![emergency.stop(world.now())],
        "the stops in force",
    )?;
    let open: Vec<_> = emergency.open_steps().collect();
    let behind: Vec<_> = EmergencyStep::ALL.into_iter().skip(1).collect();
    equal(&open, &behind, "the steps to take")?;
    let filter = EventFilter {
        kinds: vec![EventKind::StopEngaged, EventKind::EmergencyStep],
        ..EventFilter::default()
    };
    let events = store.events_list(filter).await?;
    let kinds: Vec<_> = events
        .iter()
        .filter_map(|event| event.kind.known())
        .collect();
    equal(
        &kinds,
        &vec![EventKind::StopEngaged, EventKind::EmergencyStep],
        "the events",
    )?;
    equal(
        &store.emergency_get(emergency.id).await?,
        &Some(emergency.clone()),
        "the emergency as it is kept",
    )?;
    let subject = format!("emergency/{}", emergency.id);
    let audit = store.audit_list(0, 100).await?;
    let audit: Vec<_> = audit
        .iter()
        .filter(|record| record.subject == subject)
        .map(|record| (record.actor.as_str(), record.operation.as_str()))
        .collect();
    let wanted = vec![
        ("human:ada", "emergency.run"),
        ("human:ada", "emergency.step"),
    ];
    equal(&audit, &wanted, "the audit records")
}

/// A second call carries the unfinished one on, and engages its gate again when somebody released it
/// meanwhile; another lane has an emergency of its own.
pub(super) async fn an_unfinished_emergency_is_carried_on(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let first = store.emergency_begin(call(&world, None)).await?.emergency;
    let early = record(store.as_ref(), &world, first.id, EmergencyStep::Archive).await;
    check_err!(
        early,
        StoreError::Denied(_),
        "a step before the ones in front of it"
    );
    record(store.as_ref(), &world, first.id, EmergencyStep::Stop).await?;
    store
        .stop_release(&StopScope::All, "bob", "too early", world.now())
        .await?;
    let again = store.emergency_begin(call(&world, None)).await?;
    equal(
        &(again.emergency.id, again.resumed),
        &(first.id, true),
        "the emergency that is carried on",
    )?;
    equal(&store.stops_list().await?.len(), &1, "stops in force again")?;
    let other = store.emergency_begin(call(&world, Some(Lane::DEV))).await?;
    check!(!other.resumed, "another lane has one of its own");
    for step in [
        EmergencyStep::Stop,
        EmergencyStep::Revoke,
        EmergencyStep::Archive,
    ] {
        record(store.as_ref(), &world, other.emergency.id, step).await?;
    }
    let left = store.emergency_begin(resume(&world, None)).await?;
    equal(&left.emergency.id, &first.id, "what is left to carry on")?;
    record(store.as_ref(), &world, first.id, EmergencyStep::Revoke).await?;
    let complete = record(store.as_ref(), &world, first.id, EmergencyStep::Archive).await?;
    equal(&complete.state, &EmergencyState::Complete, "its state")?;
    equal(
        &complete.resumed_by.len(),
        &2,
        "how often it was carried on",
    )?;
    let events = store.events_list(EventFilter::default()).await?;
    let over = store
        .emergency_begin(resume(&world, Some(first.id)))
        .await?;
    equal(&over.emergency, &complete, "a complete one stays as it is")?;
    equal(
        &store.events_list(EventFilter::default()).await?,
        &events,
        "the events",
    )?;
    let none = store.emergency_begin(resume(&world, None)).await;
    check_err!(
        none,
        StoreError::Denied(_),
        "carrying on where nothing is unfinished"
    );
    let new = store.emergency_begin(call(&world, None)).await?;
    check!(
        !new.resumed,
        "after a complete one a call is a new emergency"
    );
    let ids: Vec<_> = store
        .emergencies_list()
        .await?
        .iter()
        .map(|e| e.id)
        .collect();
    equal(
        &ids,
        &vec![new.emergency.id, other.emergency.id, first.id],
        "all, newest first",
    )
}

/// D-STOP-3: a call by an agent, a pipeline or Moorline itself leaves nothing behind.
pub(super) async fn only_a_person_calls_an_emergency(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    for kind in [
        PrincipalKind::Agent,
        PrincipalKind::Ci,
        PrincipalKind::System,
    ] {
        let call = CallEmergency {
            by: Principal::named(kind, "x"),
            ..call(&world, None)
        };
        let refused = store.emergency_begin(call).await;
        check_err!(
            refused,
            StoreError::Denied(_),
            "a call by someone who is no person"
        );
    }
    equal(
        &store.emergencies_list().await?,
        &Vec::new(),
        "the emergencies",
    )?;
    equal(
        &store.stops_list().await?,
        &Vec::new(),
        "the stops in force",
    )?;
    let events = store.events_list(EventFilter::default()).await?;
    equal(&events, &Vec::new(), "the events")
}
