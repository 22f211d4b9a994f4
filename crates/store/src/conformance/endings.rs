//! What follows from the end of a run: its summary, its source, alerts and the outbox.

use futures::future::join_all;
use moorline_core::error_code::{
    FAILURE_MATRIX, FailureClass, FailureOccurrence, OutputsRule, RunStatus, SourceState,
};
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::run::{Effect, Run};
use moorline_core::source::Source;
use moorline_core::summary::RunSummary;
use serde_json::json;

use super::check::equal;
use super::fixture::{failure, success};
use super::{Failure, Shape, Subject, World};
use crate::error::StoreError;
use crate::store::Store;
use crate::types::{EventFilter, OutboxDone};

/// Jobs that read this source.
fn reading(source: &'static str) -> Shape {
    Shape {
        source: Some(source),
        ..Shape::default()
    }
}

async fn kinds(store: &dyn Store, run: &Run) -> Result<Vec<EventKind>, Failure> {
    let filter = EventFilter {
        run_id: Some(run.id),
        ..EventFilter::default()
    };
    Ok(store
        .events_list(filter)
        .await?
        .iter()
        .filter_map(|event| event.kind.known())
        .collect())
}

/// D-RUN-2, D-RUN-3: the summary is the run's, and its hash is in the audit trail.
pub(super) async fn a_success_leaves_one_summary_and_an_export(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let run = world.started(store.as_ref(), &reading("bank")).await?;
    let ended = store
        .attempt_finish(world.finish(&run, success(true)))
        .await?;
    equal(
        &(ended.status, ended.ended_at),
        &(RunStatus::Success, Some(world.now())),
        "the run",
    )?;
    let summary = RunSummary::of(&ended, Some(SourceState::Active));
    equal(
        &store.summary_get(run.id).await?,
        &Some(summary),
        "its summary",
    )?;
    let source = Source::new("bank", world.now());
    equal(
        &store.sources_list().await?,
        &vec![source],
        "its source, unchanged",
    )?;
    let outbox = store.outbox_pending(None).await?;
    let effects: Vec<_> = outbox
        .iter()
        .map(|row| (row.run_id, row.effect.clone()))
        .collect();
    equal(
        &effects,
        &vec![(run.id, Effect::Export)],
        "what is to be carried out",
    )?;
    equal(
        &store.outbox_pending(Some(run.id)).await?,
        &outbox,
        "the same, by run",
    )?;
    let wanted = vec![
        EventKind::RunQueued,
        EventKind::RunStarted,
        EventKind::AttemptClaimed,
        EventKind::AttemptEnded,
        EventKind::StepDone,
        EventKind::RunEnded,
    ];
    equal(&kinds(store.as_ref(), &run).await?, &wanted, "its events")?;
    let audit = store.audit_list(0, 10).await?;
    let operations: Vec<_> = audit
        .iter()
        .map(|record| record.operation.as_str())
        .collect();
    equal(
        &operations,
        &vec!["run.submit", "run.end"],
        "its audit records",
    )?;
    let hash = audit
        .last()
        .and_then(|record| record.data.get("summary"))
        .cloned();
    check!(
        hash.as_ref()
            .and_then(|hash| hash.as_str())
            .is_some_and(|hash| hash.starts_with("b3:")),
        "the record of the end holds the summary's hash: {hash:?}"
    );
    Ok(())
}

/// D-RUN-7: run, source, outputs and alert, for each class.
pub(super) async fn every_failure_class_follows_the_matrix(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let sources = [
        "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13",
    ];
    for (rule, source) in FAILURE_MATRIX.iter().zip(sources) {
        let class = rule.class;
        let run = world.started(store.as_ref(), &reading(source)).await?;
        let ended = store
            .attempt_finish(world.finish(&run, failure(class)))
            .await?;
        equal(
            &ended.status,
            &rule.run,
            &format!("the run of class {class}"),
        )?;
        let state = SourceState::Active.apply(rule.source);
        let stored = store.sources_list().await?;
        let stored = stored.into_iter().find(|record| record.source_id == source);
        let stored = stored.map(|record| (record.state, record.run_id));
        let changed_by = (state != SourceState::Active).then_some(run.id);
        equal(
            &stored,
            &Some((state, changed_by)),
            &format!("the source of class {class}"),
        )?;
        let summary = RunSummary::of(&ended, Some(state));
        let found = store.summary_get(run.id).await?;
        equal(
            &found,
            &Some(summary),
            &format!("the summary of class {class}"),
        )?;
        let kept = rule.outputs != OutputsRule::None;
        let outbox = store.outbox_pending(Some(run.id)).await?;
        let effects: Vec<_> = outbox.into_iter().map(|row| row.effect).collect();
        let wanted = if kept {
            vec![Effect::Archive]
        } else {
            Vec::new()
        };
        equal(&effects, &wanted, &format!("the outbox of class {class}"))?;
        let once = FailureOccurrence {
            retried: false,
            egress: false,
            in_a_row: 1,
            repeats: 0,
        };
        let alerts = kinds(store.as_ref(), &run).await?;
        let alerts = alerts
            .into_iter()
            .filter(|kind| *kind == EventKind::AlertRaised)
            .count();
        let wanted = usize::from(rule.alert.level(once).is_some());
        equal(&alerts, &wanted, &format!("the alerts of class {class}"))?;
    }
    Ok(())
}

/// A failure never improves a source; a success does, unless a secret was leaked.
pub(super) async fn a_source_follows_the_ends_of_its_runs(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let steps = [
        (failure(FailureClass::Runtime), SourceState::Paused),
        (failure(FailureClass::Auth), SourceState::NeedsReauth),
        (failure(FailureClass::Runtime), SourceState::NeedsReauth),
        (success(false), SourceState::Active),
        (failure(FailureClass::Leak), SourceState::Quarantined),
        (success(false), SourceState::Quarantined),
    ];
    for (verdict, wanted) in steps {
        let run = world.started(store.as_ref(), &reading("bank")).await?;
        store.attempt_finish(world.finish(&run, verdict)).await?;
        let states: Vec<_> = store
            .sources_list()
            .await?
            .iter()
            .map(|s| s.state)
            .collect();
        equal(&states, &vec![wanted], "the state of the source")?;
        let summary = store.summary_get(run.id).await?;
        let told = summary.and_then(|summary| summary.effects.source_state);
        equal(&told, &Some(wanted), "the state that the summary tells")?;
    }
    let audit = store.audit_list(0, 100).await?;
    let changes = audit
        .iter()
        .filter(|record| record.operation == "source.change")
        .count();
    equal(&changes, &4, "audited changes of the source")
}

/// D-RUN-2: the driver, a person and a stop end a run at the same time, through connections of their
/// own; it has one summary, and a terminal status that stays.
pub(super) async fn a_run_that_is_ended_from_all_sides_has_one_summary(
    subject: Subject,
) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(3).await?, World::default());
    let [by_driver, by_person, by_watchdog] = stores.as_slice() else {
        return Err(Failure::new("three stores were asked for".to_owned()));
    };
    for _ in 0..20 {
        let run = world.started(by_driver.as_ref(), &reading("bank")).await?;
        let ends = [
            by_driver.attempt_finish(world.finish(&run, success(true))),
            by_person.run_cancel(world.cancel(run.id)),
            by_watchdog.attempt_finish(world.finish(&run, failure(FailureClass::Timeout))),
            by_person.attempt_finish(world.finish(&run, failure(FailureClass::Runtime))),
        ];
        let kept = join_all(ends).await.into_iter().flatten().count();
        // One end of the attempt; the cancellation is accepted whenever it comes.
        equal(&kept, &2, "accepted ends")?;
        let kinds = kinds(by_person.as_ref(), &run).await?;
        let ended = kinds
            .iter()
            .filter(|kind| **kind == EventKind::RunEnded)
            .count();
        equal(&ended, &1, "ends of the run")?;
        let stored = by_person.run_get(run.id).await?;
        let status = by_driver
            .summary_get(run.id)
            .await?
            .map(|summary| summary.status);
        equal(
            &status,
            &stored.map(|run| run.status),
            "the status that the summary tells",
        )?;
    }
    let audit = by_driver.audit_list(0, 1000).await?;
    let ends = audit
        .iter()
        .filter(|record| record.operation == "run.end")
        .count();
    equal(&ends, &20, "audited ends")
}

/// An effect is carried out at least once and told of once.
pub(super) async fn an_outbox_row_is_done_once(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let run = world.started(store.as_ref(), &reading("bank")).await?;
    store
        .attempt_finish(world.finish(&run, success(true)))
        .await?;
    let rows = store.outbox_pending(None).await?;
    let [row] = rows.as_slice() else {
        return Err(Failure::new(format!("one row is wanted: {rows:?}")));
    };
    let event = NewEvent {
        kind: EventKind::ExportPublished,
        level: Level::Info,
        data: json!({"files": 1}),
    };
    let done = OutboxDone {
        id: row.id,
        event: Some(event),
        now: world.now(),
    };
    store.outbox_done(done.clone()).await?;
    store.outbox_done(done.clone()).await?;
    equal(
        &store.outbox_pending(None).await?,
        &Vec::new(),
        "what is left to carry out",
    )?;
    equal(
        &store.outbox_pending(Some(run.id)).await?,
        &Vec::new(),
        "the same, by run",
    )?;
    let filter = EventFilter {
        kinds: vec![EventKind::ExportPublished],
        ..EventFilter::default()
    };
    let events = store.events_list(filter).await?;
    let about: Vec<_> = events
        .iter()
        .map(|event| (event.run_id, event.job_id.clone()))
        .collect();
    equal(
        &about,
        &vec![(Some(run.id), Some(run.job_id.clone()))],
        "the event that tells of it",
    )?;
    let unknown = OutboxDone {
        id: row.id + 1,
        ..done
    };
    check_err!(
        store.outbox_done(unknown).await,
        StoreError::NotFound { .. },
        "an unknown row"
    );
    Ok(())
}
