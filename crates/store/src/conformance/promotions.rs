//! Where lanes point, and what runs there.

use futures::future::join;
use moorline_core::artifact::machine::Command;
use moorline_core::artifact::{Artifact, ArtifactState, PromotionKind};
use moorline_core::error_code::ErrorCode;
use moorline_core::lane::Lane;

use super::artifacts::{
    JOB, approved, decision, human, live, logs, pointing, promoted, reason, states,
};
use super::check::equal;
use super::{Failure, Shape, Subject, World};
use crate::artifacts::PointTo;
use crate::error::StoreError;
use crate::types::NewRun;

/// D-ART-3: promoting again writes nothing; what it records is what was approved.
pub(super) async fn a_promotion_is_recorded_once(subject: Subject) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(2).await?, World::default());
    let [a, b] = stores.as_slice() else {
        return Err(Failure::new("two stores are wanted".to_owned()));
    };
    let artifact = approved(a.as_ref(), &world, "v1", None).await?;
    let (x, y) = join(
        promoted(a.as_ref(), &world, &artifact),
        promoted(b.as_ref(), &world, &artifact),
    )
    .await;
    let (x, y) = (x?, y?);
    check!(x.changed != y.changed, "one promotion: {x:?}, {y:?}");
    equal(&x.promotion, &y.promotion, "the promotion in force")?;
    let before = logs(a.as_ref()).await?;
    let again = promoted(a.as_ref(), &world, &artifact).await?;
    check!(!again.changed, "promoting again changes nothing");
    equal(&logs(a.as_ref()).await?, &before, "its traces")?;
    let history = a.promotions_list(None, JOB).await?;
    equal(&history, &vec![x.promotion.clone()], "the history")?;
    equal(
        &live(b.as_ref()).await?,
        &Some(x.promotion.clone()),
        "what the lane points to",
    )?;
    equal(
        &(
            x.promotion.content,
            x.promotion.spec_hash,
            x.promotion.by.clone(),
        ),
        &(artifact.content, artifact.spec_hash, human("eve")),
        "what is recorded",
    )
}

/// L52: a rollback points back to exactly the content before, and nothing is deleted.
pub(super) async fn a_rollback_restores_exactly_the_content_before(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let first = approved(store, &world, "v1", None).await?;
    check_err!(
        store
            .promotion_record(pointing(PointTo::Earlier(first.id), &human("eve"), &world))
            .await,
        StoreError::Denied(_),
        "a rollback of a lane that points to nothing"
    );
    promoted(store, &world, &first).await?;
    let second = approved(store, &world, "v2", Some(&first)).await?;
    promoted(store, &world, &second).await?;
    let back = pointing(PointTo::Earlier(first.id), &human("eve"), &world);
    let back = store.promotion_record(back).await?.promotion;
    equal(
        &(back.kind, back.content, back.previous),
        &(PromotionKind::Rollback, first.content, Some(second.content)),
        "the rollback",
    )?;
    equal(&live(store).await?, &Some(back), "what the lane points to")?;
    let history = store.promotions_list(Some(&Lane::PROD), JOB).await?;
    equal(&history.len(), &3, "promotions and rollbacks")?;
    equal(
        &states(store).await?,
        &vec![ArtifactState::Approved, ArtifactState::Superseded],
        "the states",
    )
}

/// What was set aside is not promoted, also when both happen at once.
pub(super) async fn promotion_and_archive_at_once_agree(subject: Subject) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(2).await?, World::default());
    let [a, b] = stores.as_slice() else {
        return Err(Failure::new("two stores are wanted".to_owned()));
    };
    let artifact = approved(a.as_ref(), &world, "v1", None).await?;
    let archive = Command::Archive { reason: reason() };
    let (promoted, archived) = join(
        promoted(a.as_ref(), &world, &artifact),
        b.artifact_decide(decision(&artifact, archive, &human("eve"), &world)),
    )
    .await;
    equal(
        &archived?.state,
        &ArtifactState::Archived,
        "the artifact afterwards",
    )?;
    equal(
        &live(a.as_ref()).await?.is_some(),
        &promoted.is_ok(),
        "whether the lane points to it",
    )?;
    // Either way nothing of it starts any more.
    let run = NewRun {
        requires_promotion: true,
        ..run_of(&world, &artifact)
    };
    check_err!(
        a.run_submit(run).await,
        StoreError::Denied(_),
        "a run of what was set aside"
    );
    Ok(())
}

fn run_of(world: &World, artifact: &Artifact) -> NewRun {
    let mut new = world.new_run(&Shape {
        job: JOB,
        lane: Lane::PROD,
        ..Shape::default()
    });
    new.run.artifact_hash = artifact.content;
    new
}

/// D-ART-4: where a lane demands it, only what it points to is made durable.
pub(super) async fn only_what_the_lane_points_to_runs(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let first = approved(store.as_ref(), &world, "v1", None).await?;
    let second = approved(store.as_ref(), &world, "v2", Some(&first)).await?;
    let run = |artifact: &Artifact, requires_promotion| NewRun {
        requires_promotion,
        ..run_of(&world, artifact)
    };
    let refused = |result: Result<_, StoreError>| match result {
        Err(StoreError::Denied(denial)) => {
            Ok((denial.code, denial.rule.clone(), denial.message.clone()))
        }
        other => Err(Failure::new(format!("a refusal is wanted: {other:?}"))),
    };
    let (code, rule, _) = refused(store.run_submit(run(&first, true)).await.map(drop))?;
    equal(
        &(code, rule.as_str()),
        &(ErrorCode::Policy, "D-ART-4"),
        "a run before any promotion",
    )?;
    promoted(store.as_ref(), &world, &first).await?;
    store.run_submit(run(&first, true)).await?;
    let (_, _, message) = refused(store.run_submit(run(&second, true)).await.map(drop))?;
    check!(
        message.contains(&first.content.to_string()),
        "a refusal says what the lane points to: {message}"
    );
    store.run_submit(run(&second, false)).await?;
    Ok(())
}
