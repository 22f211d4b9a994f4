//! Sources, as the ends of runs and people move them (D-RUN-7).

use moorline_core::content_id::ContentId;
use moorline_core::error_code::{FailureClass, SourceState};
use moorline_core::principal::Principal;
use moorline_core::run::{Run, Trigger, Verdict};
use moorline_core::source::{Source, SourceCommand};
use moorline_core::spec::Mode;
use serde_json::{Value, json};

use super::check::equal;
use super::fixture::{failure, success};
use super::{Failure, Shape, Subject, World};
use crate::error::StoreError;
use crate::sources::SourceChange;
use crate::store::Store;
use crate::types::NewRun;

/// A submission of a run that reads the bank, with this spec.
fn reading(world: &World, spec: &Value) -> NewRun {
    let shape = Shape {
        source: Some("bank"),
        ..Shape::default()
    };
    let mut new = world.new_run(&shape);
    new.spec = spec.to_string();
    new.run.spec_hash = ContentId::of_bytes(new.spec.as_bytes());
    new
}

async fn end(
    store: &dyn Store,
    world: &World,
    new: NewRun,
    verdict: Verdict,
) -> Result<Source, Failure> {
    let run: Run = store.run_submit(new).await?.run;
    let run = world.claim(store, run.id).await?;
    store.attempt_finish(world.finish(&run, verdict)).await?;
    let source = store.source_get("bank").await?;
    source.ok_or_else(|| Failure::new("a source is known from its first run on".to_owned()))
}

fn change(world: &World, command: SourceCommand) -> SourceChange {
    SourceChange {
        source_id: "bank".to_owned(),
        command,
        seen: None,
        now: world.now(),
    }
}

fn ada() -> Principal {
    Principal::named(moorline_core::principal::PrincipalKind::Human, "ada")
}

fn pause(actor: Principal) -> SourceCommand {
    let reason = "the site is down".to_owned();
    SourceCommand::Pause { actor, reason }
}

fn resume(actor: Principal) -> SourceCommand {
    SourceCommand::Resume {
        actor,
        reason: "the site is back".to_owned(),
        looked_into: false,
    }
}

/// `failure_policy.pause_after_failed_runs`.
pub(super) async fn a_source_pauses_after_as_many_failed_runs_as_its_job_says(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let spec = json!({"failure_policy": {"pause_after_failed_runs": 3}});
    let fail = |class| (reading(&world, &spec), failure(class));
    let steps = [
        (fail(FailureClass::Runtime), SourceState::Active, 1),
        (fail(FailureClass::Timeout), SourceState::Active, 2),
        (
            (reading(&world, &spec), success(false)),
            SourceState::Active,
            0,
        ),
        (fail(FailureClass::Runtime), SourceState::Active, 1),
        (fail(FailureClass::Cancelled), SourceState::Active, 1),
        (fail(FailureClass::Runtime), SourceState::Active, 2),
        (fail(FailureClass::Runtime), SourceState::Paused, 3),
    ];
    for ((new, verdict), state, in_a_row) in steps {
        let source = end(store, &world, new, verdict).await?;
        let found = (source.state, source.failed_in_a_row);
        equal(
            &found,
            &(state, in_a_row),
            "the source and its failed runs in a row",
        )?;
    }
    Ok(())
}

/// A mock run read nothing, and a repair only prepares: neither shows that the source can be read.
pub(super) async fn only_a_run_that_reads_the_source_makes_it_active(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let new = || reading(&world, &json!({}));
    let broken = end(store, &world, new(), failure(FailureClass::Validation)).await?;
    equal(&broken.state, &SourceState::NeedsRepair, "broken")?;
    let mut mock = new();
    mock.run.mode = Mode::Mock;
    let repair = reading(&world, &json!({"job_type": "repair_source"}));
    for new in [mock, repair] {
        let source = end(store, &world, new, success(false)).await?;
        equal(&source, &broken, "unchanged")?;
    }
    let mended = end(store, &world, new(), success(false)).await?;
    equal(&mended.state, &SourceState::Active, "read")
}

/// A person's pause holds until a person ends it, and both are on record.
pub(super) async fn a_held_source_is_resumed_by_a_person_only(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    check_err!(
        store.source_change(change(&world, pause(ada()))).await,
        StoreError::NotFound { .. },
        "a source that nothing ever read"
    );
    let new = || reading(&world, &json!({}));
    end(store, &world, new(), success(false)).await?;
    let held = store.source_change(change(&world, pause(ada()))).await?;
    equal(
        &(held.state, held.held),
        &(SourceState::Paused, true),
        "paused",
    )?;
    let again = store.source_change(change(&world, pause(ada()))).await?;
    equal(&again, &held, "paused again")?;
    let source = end(store, &world, new(), success(false)).await?;
    equal(
        &source.state,
        &SourceState::Paused,
        "a success does not end it",
    )?;
    let agent = Principal::named(moorline_core::principal::PrincipalKind::Agent, "helper");
    check_err!(
        store.source_change(change(&world, resume(agent))).await,
        StoreError::Denied(_),
        "an agent"
    );
    let active = store.source_change(change(&world, resume(ada()))).await?;
    equal(
        &(active.state, active.held),
        &(SourceState::Active, false),
        "resumed",
    )?;
    equal(&store.sources_list().await?, &vec![active], "the list")?;
    let audit = store.audit_list(0, 100).await?;
    let acts: Vec<_> = audit
        .iter()
        .filter(|record| record.operation.starts_with("source."))
        .map(|record| (record.operation.as_str(), record.actor.as_str()))
        .collect();
    let wanted = vec![
        ("source.pause", "human:ada"),
        ("source.resume", "human:ada"),
    ];
    equal(&acts, &wanted, "who did what")
}

/// D-RUN-7: while the source needs a person, no schedule starts a run of it; a person may.
pub(super) async fn a_schedule_starts_nothing_of_a_source_that_needs_a_person(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let new = |trigger| {
        let mut new = reading(&world, &json!({}));
        new.run.trigger = trigger;
        new
    };
    store.run_submit(new(Trigger::Schedule)).await?;
    end(
        store,
        &world,
        new(Trigger::Manual),
        failure(FailureClass::Auth),
    )
    .await?;
    check_err!(
        store.run_submit(new(Trigger::Schedule)).await,
        StoreError::Denied(_),
        "a start by a schedule"
    );
    end(store, &world, new(Trigger::Manual), success(false)).await?;
    store.run_submit(new(Trigger::Schedule)).await?;
    Ok(())
}
