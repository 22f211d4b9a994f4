//! Changes that rest on a version that was seen.

use std::sync::Arc;

use futures::future::{BoxFuture, join};
use moorline_core::artifact::machine::Command;
use moorline_core::lane::Lane;
use moorline_core::principal::{Principal, PrincipalChange, Role};
use moorline_core::schedule::Overlap;
use moorline_core::source::SourceCommand;

use super::artifacts::{approved, decision, human, pointing, reason};
use super::check::equal;
use super::fixture::success;
use super::{Failure, Shape, Subject, World, schedules};
use crate::artifacts::{PointLane, PointTo};
use crate::error::StoreError;
use crate::principals::ChangePrincipal;
use crate::sources::SourceChange;
use crate::store::Store;
use crate::types::CancelRun;
use crate::versions::{Seen, Versioned};

type Done = Result<(), StoreError>;

type Made = BoxFuture<'static, Done>;

/// Two processes that saw the same version change it at once, three times: each time one change is made, the
/// other is refused and leaves no trace. Then one that saw an older version, and one that saw none. Each change
/// has a number, so that no two are the same.
async fn one_of_two(
    stores: &[Arc<dyn Store>],
    what: Versioned,
    change: impl Fn(Arc<dyn Store>, Option<Seen>, usize) -> Made + Sync,
) -> Result<(), Failure> {
    let [a, b] = stores else {
        return Err(Failure::new("two stores are wanted".to_owned()));
    };
    let first = a.version_of(&what).await?;
    for round in 0..3 {
        let seen = a.version_of(&what).await?;
        equal(&b.version_of(&what).await?, &seen, "the version elsewhere")?;
        let records = a.audit_head().await?.id;
        let (x, y) = join(
            change(Arc::clone(a), Some(seen.clone()), 2 * round),
            change(Arc::clone(b), Some(seen.clone()), 2 * round + 1),
        )
        .await;
        check!(x.is_ok() != y.is_ok(), "one of both is made: {x:?}, {y:?}");
        check_err!(x.and(y), StoreError::Changed { .. }, "the other one");
        check!(a.version_of(&what).await? != seen, "the version is another");
        let written = a.audit_head().await?.id - records;
        check!(written > 0, "the change is on the record");
    }
    let records = a.audit_head().await?.id;
    let late = change(Arc::clone(a), Some(first), 6).await;
    check_err!(late, StoreError::Changed { .. }, "an older version");
    equal(&a.audit_head().await?.id, &records, "what a refusal leaves")?;
    change(Arc::clone(a), None, 7).await?;
    Ok(())
}

/// Whoever has no record yet has a version too.
pub(super) async fn of_two_changes_of_a_principal_one_is_made(
    subject: Subject,
) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(2).await?, World::default());
    let bob = human("bob");
    let change = |store: Arc<dyn Store>, seen, number: usize| {
        let roles = [Role::Viewer, Role::Operator, Role::Approver, Role::Admin];
        let role = roles.get(number % roles.len()).copied();
        let change = ChangePrincipal {
            principal: human("bob"),
            change: PrincipalChange::Set {
                role,
                add_key: None,
                retire_key: None,
            },
            actor: human("ada"),
            reason: "for the case".to_owned(),
            seen,
            now: world.now(),
        };
        Box::pin(async move { store.principal_change(change).await.map(drop) }) as Made
    };
    one_of_two(&stores, Versioned::Principal(bob), change).await
}

fn command(number: usize, actor: Principal) -> SourceCommand {
    let reason = format!("for the case {number}");
    match number / 2 % 2 {
        0 => SourceCommand::Pause { actor, reason },
        _ => SourceCommand::Resume {
            actor,
            reason,
            looked_into: true,
        },
    }
}

/// A source that a run has read is paused, resumed, paused.
pub(super) async fn of_two_changes_of_a_source_one_is_made(
    subject: Subject,
) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(2).await?, World::default());
    let shape = Shape {
        source: Some("bank"),
        ..Shape::default()
    };
    let store = stores.first().ok_or_else(|| Failure::new(String::new()))?;
    let run = world.submit(store.as_ref(), &shape).await?;
    let run = world.claim(store.as_ref(), run.id).await?;
    store
        .attempt_finish(world.finish(&run, success(false)))
        .await?;
    let change = |store: Arc<dyn Store>, seen, number| {
        let change = SourceChange {
            source_id: "bank".to_owned(),
            command: command(number, human("ada")),
            seen,
            now: world.now(),
        };
        Box::pin(async move { store.source_change(change).await.map(drop) }) as Made
    };
    one_of_two(&stores, Versioned::Source("bank".to_owned()), change).await
}

/// A promotion leaves the artifact's row as it is, and is a change of it all the same.
pub(super) async fn of_two_promotions_of_an_artifact_one_is_made(
    subject: Subject,
) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(2).await?, World::default());
    let store = stores.first().ok_or_else(|| Failure::new(String::new()))?;
    let artifact = approved(store.as_ref(), &world, "v1", None).await?;
    let id = artifact.id;
    let change = |store: Arc<dyn Store>, seen, number: usize| {
        let lane = format!("lane-{number}").parse::<Lane>();
        let pointing = pointing(PointTo::Artifact(id), &human("eve"), &world);
        Box::pin(async move {
            let lane = lane.map_err(|error| StoreError::NotFound {
                what: error.to_string(),
            })?;
            let pointing = PointLane {
                lane,
                seen,
                ..pointing
            };
            store.promotion_record(pointing).await.map(drop)
        }) as Made
    };
    one_of_two(&stores, Versioned::Artifact(id), change).await?;
    let seen = store.version_of(&Versioned::Artifact(id)).await?;
    let archive = Command::Archive { reason: reason() };
    let mut archive = decision(&artifact, archive, &human("eve"), &world);
    archive.seen = Some(seen);
    store.artifact_decide(archive.clone()).await?;
    check_err!(
        store.artifact_decide(archive).await,
        StoreError::Changed { .. },
        "a decision that saw the artifact before it was archived"
    );
    Ok(())
}

/// What goes on by itself counts too: a run that began is another one than the run that waited.
pub(super) async fn a_cancellation_means_the_run_that_was_seen(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let run = world.submit(store, &Shape::default()).await?;
    let queued = store.version_of(&Versioned::Run(run.id)).await?;
    world.claim(store, run.id).await?;
    let cancel = |seen| CancelRun {
        seen: Some(seen),
        ..world.cancel(run.id)
    };
    check_err!(
        store.run_cancel(cancel(queued)).await,
        StoreError::Changed { .. },
        "a cancellation of the run as it was queued"
    );
    let live = store.version_of(&Versioned::Run(run.id)).await?;
    store.run_cancel(cancel(live.clone())).await?;
    check_err!(
        store.run_cancel(cancel(live)).await,
        StoreError::Changed { .. },
        "a second cancellation that saw the same"
    );
    Ok(())
}

/// A schedule that was disabled after it was seen is not resumed by who saw it before.
pub(super) async fn a_change_of_a_schedule_means_the_one_that_was_seen(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let (schedule, _) = schedules::enabled(store, &world, Overlap::Skip).await?;
    let what = Versioned::Schedule(schedule.id);
    let enabled = store.version_of(&what).await?;
    store.schedule_disable(schedules::disable(&world)).await?;
    let mut resume = schedules::change(&world, human("ada"));
    resume.seen = Some(enabled);
    check_err!(
        store.schedule_resume(resume.clone()).await,
        StoreError::Changed { .. },
        "a change that saw the schedule enabled"
    );
    resume.seen = Some(store.version_of(&what).await?);
    let enable = crate::schedules::EnableSchedule {
        change: resume,
        lane_permits: true,
    };
    store.schedule_enable(enable.clone()).await?;
    check_err!(
        store.schedule_enable(enable).await,
        StoreError::Changed { .. },
        "a second change that saw the same"
    );
    Ok(())
}
