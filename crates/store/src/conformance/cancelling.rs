//! Ending one run by request.

use moorline_core::error_code::RunStatus;
use moorline_core::run::CancelKind;

use super::check::equal;
use super::fixture::success;
use super::{Failure, Shape, Subject, World};
use crate::error::StoreError;
use crate::types::EventFilter;

/// Nothing is alive, so nothing has to be waited for.
pub(super) async fn a_queued_run_ends_at_once(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let run = world.submit(store.as_ref(), &Shape::default()).await?;
    let ended = store.run_cancel(world.cancel(run.id)).await?;
    equal(
        &(ended.status, ended.attempts),
        &(RunStatus::Cancelled, 0),
        "the run",
    )?;
    check!(
        store.summary_get(run.id).await?.is_some(),
        "it has its summary"
    );
    equal(
        &store.run_claim_due(world.claim_many(1)).await?,
        &Vec::new(),
        "what can be claimed",
    )?;
    let audit = store.audit_list(0, 10).await?;
    let audit: Vec<_> = audit
        .iter()
        .map(|record| {
            (
                record.actor.as_str(),
                record.operation.as_str(),
                record.reason.as_deref(),
            )
        })
        .collect();
    let wanted = vec![
        ("ada", "run.submit", None),
        ("ada", "run.cancel", Some("wrong statement")),
        ("system:moorline", "run.end", None),
    ];
    equal(&audit, &wanted, "the audit records")?;
    let nobody = world.run(&Shape::default()).id;
    let unknown = store.run_cancel(world.cancel(nobody)).await;
    check_err!(
        unknown,
        StoreError::NotFound { .. },
        "a run that does not exist"
    );
    Ok(())
}

/// The wish is durable at once; the run ends when its attempt has, whatever that came to.
pub(super) async fn a_live_run_ends_with_its_attempt(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let run = world.started(store.as_ref(), &Shape::default()).await?;
    let asked = store.run_cancel(world.cancel(run.id)).await?;
    equal(
        &asked.status,
        &RunStatus::Running,
        "the run while its attempt is alive",
    )?;
    let kind = asked.cancel.as_ref().map(|wish| wish.kind);
    equal(&kind, &Some(CancelKind::Cancelled), "the wish")?;
    equal(
        &store.run_get(run.id).await?,
        &Some(asked),
        "the run as stored",
    )?;
    equal(
        &store.summary_get(run.id).await?,
        &None,
        "a run that is not over has no summary",
    )?;
    let ended = store
        .attempt_finish(world.finish(&run, success(true)))
        .await?;
    equal(
        &ended.status,
        &RunStatus::Cancelled,
        "the run when its attempt is over",
    )?;
    let exports = store.outbox_pending(None).await?;
    let exports = exports
        .iter()
        .filter(|row| row.effect == moorline_core::run::Effect::Export);
    equal(&exports.count(), &0, "exports of a cancelled run")
}

/// L19: ending what has ended is success, and changes nothing.
pub(super) async fn repeating_a_cancellation_writes_nothing(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let live = world.started(store.as_ref(), &Shape::default()).await?;
    let over = world.submit(store.as_ref(), &Shape::default()).await?;
    let mut runs = Vec::new();
    for run in [&live, &over] {
        runs.push(store.run_cancel(world.cancel(run.id)).await?);
    }
    let events = store.events_list(EventFilter::default()).await?;
    let audit = store.audit_head().await?;
    for run in runs {
        let again = store.run_cancel(world.cancel(run.id)).await?;
        equal(&again, &run, "the run after a repetition")?;
    }
    equal(
        &store.events_list(EventFilter::default()).await?,
        &events,
        "the events",
    )?;
    equal(
        &store.audit_head().await?,
        &audit,
        "the head of the audit trail",
    )
}
