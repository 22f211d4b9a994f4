//! Artifacts: submissions and decisions.

use std::time::Duration;

use futures::future::{join, join_all};
use moorline_core::artifact::machine::Command;
use moorline_core::artifact::signature::{Attestation, SigningKey};
use moorline_core::artifact::{
    Artifact, ArtifactState, DecisionKind, Promotion, Review, SignedRecord,
};
use moorline_core::clock::{Ids as _, SystemIds};
use moorline_core::content_id::ContentId;
use moorline_core::ids::{ArtifactId, PromotionId};
use moorline_core::lane::Lane;
use moorline_core::principal::{Principal, PrincipalKind};
use moorline_core::spec::JobType;

use super::check::equal;
use super::{Failure, Subject, World};
use crate::artifacts::{
    ArtifactFilter, DecideArtifact, PointLane, PointTo, Pointed, SubmitArtifact,
};
use crate::error::StoreError;
use crate::store::Store;
use crate::types::EventFilter;

pub(super) const JOB: &str = "bank";

const REASON: &str = "read every file";

pub(super) fn human(name: &str) -> Principal {
    Principal::named(PrincipalKind::Human, name)
}

/// A submission of a content of a job that nothing was approved of.
fn submission(world: &World, content: &str, research: bool) -> SubmitArtifact {
    SubmitArtifact {
        draft: Artifact {
            id: ArtifactId::new(SystemIds.uuid()),
            job_id: JOB.to_owned(),
            source_id: None,
            job_type: if research {
                JobType::IntakeResearch
            } else {
                JobType::Task
            },
            spec_version: 1,
            spec_hash: ContentId::of_bytes(b"{}"),
            content: ContentId::of_bytes(content.as_bytes()),
            state: ArtifactState::Draft,
            submitted_by: human("ada"),
            submitted_at: world.now(),
            note: Some("first version".to_owned()),
            schedule: None,
            review: Review::default(),
            decisions: Vec::new(),
            version: 0,
        },
        spec: "{}".to_owned(),
    }
}

async fn submitted(store: &dyn Store, world: &World, content: &str) -> Result<Artifact, Failure> {
    world.advance(Duration::from_secs(1));
    let submission = submission(world, content, false);
    Ok(store.artifact_submit(submission).await?.artifact)
}

fn signed(
    artifact: &Artifact,
    review: &Review,
    by: &Principal,
    world: &World,
) -> Result<SignedRecord, Failure> {
    let decided = (by, world.now());
    let attestation = Attestation::of(artifact, review, DecisionKind::Approve, decided, REASON)?;
    Ok(attestation.sign(&SigningKey::from_bytes(&[7; 32]))?)
}

/// An approval against this baseline.
fn approval(
    artifact: &Artifact,
    against: Option<&Artifact>,
    by: &Principal,
    world: &World,
) -> Result<DecideArtifact, Failure> {
    let review = Review {
        against: against.map(|against| against.content),
        ..Review::default()
    };
    let signed = signed(artifact, &review, by, world)?;
    let command = Command::Approve {
        reason: REASON.to_owned(),
        review,
        signed,
    };
    Ok(decision(artifact, command, by, world))
}

pub(super) fn decision(
    artifact: &Artifact,
    command: Command,
    by: &Principal,
    world: &World,
) -> DecideArtifact {
    DecideArtifact {
        artifact: artifact.id,
        command,
        actor: by.clone(),
        two_person: true,
        seen: None,
        now: world.now(),
    }
}

pub(super) fn reason() -> String {
    REASON.to_owned()
}

/// A version of the job that eve approved, after `against`.
pub(super) async fn approved(
    store: &dyn Store,
    world: &World,
    content: &str,
    against: Option<&Artifact>,
) -> Result<Artifact, Failure> {
    let artifact = submitted(store, world, content).await?;
    let approval = approval(&artifact, against, &human("eve"), world)?;
    Ok(store.artifact_decide(approval).await?)
}

pub(super) fn pointing(to: PointTo, by: &Principal, world: &World) -> PointLane {
    PointLane {
        id: PromotionId::new(SystemIds.uuid()),
        lane: Lane::PROD,
        to,
        actor: by.clone(),
        reason: reason(),
        seen: None,
        now: world.now(),
    }
}

pub(super) async fn promoted(
    store: &dyn Store,
    world: &World,
    artifact: &Artifact,
) -> Result<Pointed, Failure> {
    world.advance(Duration::from_secs(1));
    let wish = pointing(PointTo::Artifact(artifact.id), &human("eve"), world);
    Ok(store.promotion_record(wish).await?)
}

pub(super) async fn live(store: &dyn Store) -> Result<Option<Promotion>, Failure> {
    Ok(store.live_get(&Lane::PROD, JOB).await?)
}

pub(super) async fn states(store: &dyn Store) -> Result<Vec<ArtifactState>, Failure> {
    let all = store.artifacts_list(ArtifactFilter::default()).await?;
    Ok(all.iter().map(|artifact| artifact.state).collect())
}

/// Nothing but what was there before: no event, no audit record.
pub(super) async fn logs(store: &dyn Store) -> Result<(usize, u64), Failure> {
    let events = store.events_list(EventFilter::default()).await?.len();
    Ok((events, store.audit_head().await?.id))
}

/// An artifact, its spec, its event and its audit record are there when the submission returns.
pub(super) async fn a_submitted_artifact_is_read_back_whole(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let submission = submission(&world, "v1", false);
    let wanted = Artifact {
        state: ArtifactState::Pending,
        version: 1,
        ..submission.draft.clone()
    };
    let submitted = store.artifact_submit(submission).await?;
    check!(submitted.created, "a new content is created");
    equal(&submitted.artifact, &wanted, "the artifact as returned")?;
    let stored = store.artifact_get(wanted.id).await?;
    equal(&stored, &Some(wanted.clone()), "the artifact as stored")?;
    let spec = store.spec_get(&wanted.spec_hash).await?;
    equal(&spec, &Some("{}".to_owned()), "its spec")?;
    let prefix: String = wanted.id.to_string().chars().take(30).collect();
    let found = store.artifact_find(&prefix).await?;
    equal(&found, &vec![wanted.id], "by the beginning of its id")?;
    let audit = store.audit_list(0, 10).await?;
    let records: Vec<_> = audit
        .iter()
        .map(|r| (r.actor.as_str(), r.operation.as_str(), r.subject.clone()))
        .collect();
    let record = (
        "human:ada",
        "artifact.submit",
        format!("artifact/{}", wanted.id),
    );
    equal(&records, &vec![record], "its audit record")?;
    equal(&logs(store.as_ref()).await?, &(1, 1), "events and records")
}

/// The same content is one artifact while it waits or is approved, and refused once a person said no.
pub(super) async fn the_same_content_is_submitted_once(subject: Subject) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(3).await?, World::default());
    let all = stores
        .iter()
        .map(|store| store.artifact_submit(submission(&world, "v1", false)));
    let all = join_all(all).await;
    let mut created = 0;
    let mut ids = Vec::new();
    for submitted in all {
        let submitted = submitted?;
        created += u32::from(submitted.created);
        ids.push(submitted.artifact.id);
    }
    ids.dedup();
    equal(&(created, ids.len()), &(1, 1), "artifacts of one content")?;
    let [store, ..] = stores.as_slice() else {
        return Err(Failure::new("no store".to_owned()));
    };
    let Some(artifact) = store.artifacts_list(ArtifactFilter::default()).await?.pop() else {
        return Err(Failure::new("no artifact".to_owned()));
    };
    let command = Command::RequestChanges {
        reason: reason(),
        changes: vec!["pin the image".to_owned()],
    };
    let decided = decision(&artifact, command, &human("eve"), &world);
    store.artifact_decide(decided).await?;
    let before = logs(store.as_ref()).await?;
    check_err!(
        store.artifact_submit(submission(&world, "v1", false)).await,
        StoreError::Denied(_),
        "content that changes were asked of"
    );
    equal(&logs(store.as_ref()).await?, &before, "a refusal's traces")?;
    check!(
        store
            .artifact_submit(submission(&world, "v2", false))
            .await?
            .created,
        "changed content is a new artifact"
    );
    Ok(())
}

/// D-ART-3: a newer approval supersedes the one before; research and what runs are apart.
pub(super) async fn an_approval_supersedes_the_one_before(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let research = submission(&world, "research", true);
    let research = store.artifact_submit(research).await?.artifact;
    let research = store
        .artifact_decide(approval(&research, None, &human("eve"), &world)?)
        .await?;
    let first = approved(store, &world, "v1", None).await?;
    let second = approved(store, &world, "v2", Some(&first)).await?;
    let now = |artifact: &Artifact| store.artifact_get(artifact.id);
    let states = [
        now(&research).await?.map(|artifact| artifact.state),
        now(&first).await?.map(|artifact| artifact.state),
        now(&second).await?.map(|artifact| artifact.state),
    ];
    let wanted = [
        ArtifactState::Approved,
        ArtifactState::Superseded,
        ArtifactState::Approved,
    ];
    equal(&states, &wanted.map(Some), "the states")?;
    let baselines = [
        store.artifact_baseline(JOB, false).await?,
        store.artifact_baseline(JOB, true).await?,
    ];
    equal(
        &baselines.map(|baseline| baseline.map(|baseline| baseline.id)),
        &[Some(second.id), Some(research.id)],
        "what the next version is compared with",
    )
}

/// Of approvals at once, of one artifact or of two versions, one holds; the other sees that it is late.
pub(super) async fn of_two_approvals_at_once_one_holds(subject: Subject) -> Result<(), Failure> {
    let (stores, world) = (subject.open_many(2).await?, World::default());
    let [a, b] = stores.as_slice() else {
        return Err(Failure::new("two stores are wanted".to_owned()));
    };
    let first = submitted(a.as_ref(), &world, "v1").await?;
    let (x, y) = join(
        a.artifact_decide(approval(&first, None, &human("eve"), &world)?),
        b.artifact_decide(approval(&first, None, &human("bob"), &world)?),
    )
    .await;
    check!(
        x.is_ok() != y.is_ok(),
        "one approval of one artifact: {x:?}, {y:?}"
    );
    let Some(first) = a.artifact_get(first.id).await? else {
        return Err(Failure::new("the artifact is gone".to_owned()));
    };
    equal(&first.decisions.len(), &1, "decisions about it")?;
    let second = submitted(a.as_ref(), &world, "v2").await?;
    let third = submitted(a.as_ref(), &world, "v3").await?;
    let (x, y) = join(
        a.artifact_decide(approval(&second, Some(&first), &human("eve"), &world)?),
        b.artifact_decide(approval(&third, Some(&first), &human("bob"), &world)?),
    )
    .await;
    check!(
        x.is_ok() != y.is_ok(),
        "one approval against one baseline: {x:?}, {y:?}"
    );
    check_err!(
        if x.is_ok() { y } else { x },
        StoreError::Conflict { .. },
        "the late approval"
    );
    let approved = states(a.as_ref()).await?;
    let approved = approved
        .iter()
        .filter(|state| **state == ArtifactState::Approved)
        .count();
    equal(&approved, &1, "approved versions")
}

/// D-ART-4: agents, pipelines and Moorline itself decide nothing and point no lane, and leave no trace.
pub(super) async fn nobody_but_people_decides(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let live = approved(store, &world, "v1", None).await?;
    let waiting = submitted(store, &world, "v2").await?;
    let before = logs(store).await?;
    for kind in [
        PrincipalKind::Agent,
        PrincipalKind::Ci,
        PrincipalKind::System,
    ] {
        let actor = Principal::named(kind, "x");
        let review = Review {
            against: Some(live.content),
            ..Review::default()
        };
        let signed = signed(&waiting, &review, &actor, &world)?;
        let reason = reason();
        let commands = [
            Command::Approve {
                reason: reason.clone(),
                review,
                signed: signed.clone(),
            },
            Command::Reject {
                reason: reason.clone(),
            },
            Command::RequestChanges {
                reason: reason.clone(),
                changes: Vec::new(),
            },
            Command::SecurityReview {
                reason: reason.clone(),
                signed,
            },
            Command::Archive { reason },
        ];
        for command in commands {
            let decided = decision(&waiting, command, &actor, &world);
            check_err!(
                store.artifact_decide(decided).await,
                StoreError::Denied(_),
                "a decision by a program"
            );
        }
        for to in [PointTo::Artifact(live.id), PointTo::Earlier(live.id)] {
            check_err!(
                store.promotion_record(pointing(to, &actor, &world)).await,
                StoreError::Denied(_),
                "a promotion by a program"
            );
        }
    }
    equal(&logs(store).await?, &before, "their traces")
}

/// Artifacts are listed newest first, filtered before the limit, page by page.
pub(super) async fn artifacts_are_listed_newest_first(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let first = approved(store.as_ref(), &world, "v1", None).await?;
    let second = submitted(store.as_ref(), &world, "v2").await?;
    let third = submitted(store.as_ref(), &world, "v3").await?;
    let list = async |filter: ArtifactFilter| -> Result<Vec<ArtifactId>, Failure> {
        let found = store.artifacts_list(filter).await?;
        Ok(found.iter().map(|artifact| artifact.id).collect())
    };
    let all = ArtifactFilter::default;
    equal(
        &list(all()).await?,
        &vec![third.id, second.id, first.id],
        "all",
    )?;
    let pending = ArtifactFilter {
        state: Some(ArtifactState::Pending),
        limit: 1,
        ..all()
    };
    equal(&list(pending.clone()).await?, &vec![third.id], "one page")?;
    let next = ArtifactFilter {
        before: Some(third.id),
        job_id: Some(JOB.to_owned()),
        ..pending
    };
    equal(&list(next).await?, &vec![second.id], "the next page")?;
    let content = ArtifactFilter {
        content: Some(first.content),
        ..all()
    };
    equal(&list(content).await?, &vec![first.id], "of a content")?;
    let other = ArtifactFilter {
        job_id: Some("other".to_owned()),
        ..all()
    };
    equal(&list(other).await?, &Vec::new(), "of another job")
}
