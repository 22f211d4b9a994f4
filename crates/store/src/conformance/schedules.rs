//! Schedules: where they come from, their gates, and what moves them.

use moorline_core::artifact::signature::{Attestation, SigningKey};
use moorline_core::artifact::{Artifact, ArtifactState, DecisionKind, Promotion, Review, machine};
use moorline_core::clock::{Ids as _, SystemIds};
use moorline_core::content_id::ContentId;
use moorline_core::error_code::{ErrorCode, FailureClass, SourceState};
use moorline_core::event::EventKind;
use moorline_core::gate::{Evidence, Gate};
use moorline_core::ids::{ArtifactId, EvidenceId, PromotionId, RunId};
use moorline_core::lane::Lane;
use moorline_core::principal::Principal;
use moorline_core::run::Run;
use moorline_core::schedule::{
    Misfire, Overlap, Schedule, ScheduleDocument, ScheduleId, ScheduleState, ScheduledStart,
};
use moorline_core::spec::{CadenceKind, JobType};
use serde_json::json;

use super::check::equal;
use super::fixture::{failure, success};
use super::{Failure, Shape, Subject, World};
use crate::artifacts::{DecideArtifact, PointLane, PointTo, SubmitArtifact};
use crate::error::StoreError;
use crate::schedules::{ChangeSchedule, DisableSchedules, EnableSchedule};
use crate::store::Store;
use crate::types::EventFilter;

pub(super) const JOB: &str = "bank";
const SOURCE: &str = "chase";
pub(super) const SPEC: &str =
    r#"{"failure_policy":{"alert_after_skipped_runs":2},"job_id":"bank"}"#;

/// The shape of the runs of the schedule.
pub(super) fn shape() -> Shape {
    Shape {
        job: JOB,
        source: Some(SOURCE),
        lane: Lane::PROD,
        ..Shape::default()
    }
}

pub(super) fn id() -> ScheduleId {
    ScheduleId::new(Lane::PROD, JOB)
}

pub(super) fn ada() -> Principal {
    Principal::named(moorline_core::principal::PrincipalKind::Human, "ada")
}

fn document(overlap: Overlap) -> ScheduleDocument {
    ScheduleDocument {
        kind: CadenceKind::Cron,
        expr: Some("0 * * * *".to_owned()),
        period_seconds: None,
        time_zone: "UTC".to_owned(),
        jitter_seconds: 0,
        misfire: Misfire::Skip,
        overlap,
        starts_at: None,
        ends_at: None,
        job_id: JOB.to_owned(),
        spec_hash: ContentId::of_bytes(SPEC.as_bytes()),
    }
}

/// An approved version of the job.
async fn approved(
    store: &dyn Store,
    world: &World,
    content: &str,
    schedule: Option<ScheduleDocument>,
) -> Result<Artifact, Failure> {
    let against = store.artifact_baseline(JOB, false).await?;
    let draft = Artifact {
        id: ArtifactId::new(SystemIds.uuid()),
        job_id: JOB.to_owned(),
        source_id: Some(SOURCE.to_owned()),
        job_type: JobType::Task,
        spec_version: 1,
        spec_hash: ContentId::of_bytes(SPEC.as_bytes()),
        content: ContentId::of_bytes(content.as_bytes()),
        state: ArtifactState::Draft,
        submitted_by: ada(),
        submitted_at: world.now(),
        note: None,
        schedule,
        review: Review::default(),
        decisions: Vec::new(),
        version: 0,
    };
    let spec = SPEC.to_owned();
    let submission = SubmitArtifact { draft, spec };
    let artifact = store.artifact_submit(submission).await?.artifact;
    let reason = "read every file".to_owned();
    let review = Review {
        against: against.map(|against| against.content),
        ..Review::default()
    };
    let by = ada();
    let decided = (&by, world.now());
    let attestation = Attestation::of(&artifact, &review, DecisionKind::Approve, decided, &reason)?;
    let signed = attestation.sign(&SigningKey::from_bytes(&[7; 32]))?;
    let decision = DecideArtifact {
        artifact: artifact.id,
        command: machine::Command::Approve {
            reason,
            review,
            signed,
        },
        actor: ada(),
        two_person: false,
        seen: None,
        now: world.now(),
    };
    Ok(store.artifact_decide(decision).await?)
}

async fn point(store: &dyn Store, world: &World, to: PointTo) -> Result<Promotion, Failure> {
    let wish = PointLane {
        id: PromotionId::new(SystemIds.uuid()),
        lane: Lane::PROD,
        to,
        actor: ada(),
        reason: "live".to_owned(),
        seen: None,
        now: world.now(),
    };
    Ok(store.promotion_record(wish).await?.promotion)
}

/// A promoted artifact whose schedule is disabled, with its content.
pub(super) async fn promoted(
    store: &dyn Store,
    world: &World,
    overlap: Overlap,
) -> Result<ContentId, Failure> {
    let artifact = approved(store, world, "content", Some(document(overlap))).await?;
    point(store, world, PointTo::Artifact(artifact.id)).await?;
    Ok(artifact.content)
}

/// A run of the content in the lane.
pub(super) fn run_of(world: &World, content: ContentId) -> Run {
    Run {
        artifact_hash: content,
        spec_hash: ContentId::of_bytes(SPEC.as_bytes()),
        ..world.run(&shape())
    }
}

/// Submits a run, drives it, and ends it so.
async fn ended(
    store: &dyn Store,
    world: &World,
    run: Run,
    class: Option<FailureClass>,
) -> Result<RunId, Failure> {
    let new = crate::types::NewRun {
        run,
        spec: SPEC.to_owned(),
        ..world.new_run(&shape())
    };
    let run = store.run_submit(new).await?.run;
    let run = world.claim(store, run.id).await?;
    let verdict = class.map_or_else(|| success(false), failure);
    store.attempt_finish(world.finish(&run, verdict)).await?;
    Ok(run.id)
}

fn evidence(world: &World, gate: Gate, content: ContentId, by: Principal) -> Evidence {
    Evidence {
        id: EvidenceId::new(SystemIds.uuid()),
        gate,
        lane: Lane::PROD,
        job_id: JOB.to_owned(),
        artifact: content,
        holds: true,
        by,
        at: world.now(),
        detail: json!({"seen": true}),
    }
}

/// Passes the gates that need evidence.
async fn pass_gates(store: &dyn Store, world: &World, content: ContentId) -> Result<(), Failure> {
    let run = ended(store, world, run_of(world, content), None).await?;
    for (gate, run) in [
        (Gate::SecretsConfigured, None),
        (Gate::EgressVerified, None),
        (Gate::FirstRunVerified, Some(run)),
    ] {
        let evidence = evidence(world, gate, content, ada());
        store.evidence_record(evidence, run).await?;
    }
    Ok(())
}

pub(super) fn change(world: &World, by: Principal) -> ChangeSchedule {
    ChangeSchedule {
        id: id(),
        by,
        reason: "checked".to_owned(),
        seen: None,
        now: world.now(),
    }
}

async fn enable(store: &dyn Store, world: &World) -> Result<Schedule, StoreError> {
    let change = change(world, ada());
    let lane_permits = true;
    store
        .schedule_enable(EnableSchedule {
            change,
            lane_permits,
        })
        .await
}

pub(super) fn disable(world: &World) -> DisableSchedules {
    DisableSchedules {
        scope: moorline_core::stop::StopScope::Schedule(id()),
        by: "agent:codex".parse().unwrap_or_else(|_| ada()),
        reason: "wrong amounts".to_owned(),
        now: world.now(),
    }
}

/// An enabled schedule, with the content that it starts.
pub(super) async fn enabled(
    store: &dyn Store,
    world: &World,
    overlap: Overlap,
) -> Result<(Schedule, ContentId), Failure> {
    let content = promoted(store, world, overlap).await?;
    pass_gates(store, world, content).await?;
    Ok((enable(store, world).await?, content))
}

pub(super) async fn schedule(store: &dyn Store) -> Result<Schedule, Failure> {
    let found = store.schedule_get(&id()).await?;
    found.ok_or_else(|| Failure::new("there is no schedule".to_owned()))
}

async fn state(store: &dyn Store) -> Result<Option<ScheduleState>, Failure> {
    Ok(store.schedule_get(&id()).await?.map(|found| found.state))
}

/// D-SCHED-1, D-ART-6: a promotion makes a disabled schedule, one without a cadence takes it away, and a
/// rollback brings it back disabled.
pub(super) async fn a_schedule_comes_and_goes_with_promotions(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let (first, content) = enabled(store, &world, Overlap::Skip).await?;
    equal(&first.state, &ScheduleState::Enabled, "with all gates met")?;
    let bare = approved(store, &world, "without cadence", None).await?;
    point(store, &world, PointTo::Artifact(bare.id)).await?;
    equal(&state(store).await?, &None, "after one without a cadence")?;
    point(store, &world, PointTo::Earlier(first.artifact)).await?;
    let back = schedule(store).await?;
    equal(
        &(back.state, back.content, back.next_at),
        &(ScheduleState::Disabled, content, None),
        "after the rollback",
    )?;
    let kinds = vec![EventKind::ScheduleChanged];
    let filter = EventFilter {
        kinds,
        ..EventFilter::default()
    };
    let states: Vec<_> = store
        .events_list(filter)
        .await?
        .into_iter()
        .map(|event| event.data["to"].clone())
        .collect();
    let wanted = [
        json!("disabled"),
        json!("enabled"),
        json!("disabled"),
        json!(null),
        json!("disabled"),
    ];
    equal(&states, &wanted.to_vec(), "what was told of it")
}

/// L50: everything that is missing is named at once, and nobody but a person enables.
pub(super) async fn enabling_needs_every_gate(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let content = promoted(store, &world, Overlap::Skip).await?;
    let missing = |refused: Result<Schedule, StoreError>| match refused {
        Err(StoreError::Denied(denial)) => {
            Ok(denial.details.into_iter().map(|detail| detail.at).collect())
        }
        other => Err(Failure::new(format!("not denied: {other:?}"))),
    };
    let found: Vec<String> = missing(enable(store, &world).await)?;
    let wanted = [
        "secrets_configured",
        "egress_verified",
        "first_run_verified",
    ];
    equal(&found, &wanted.map(str::to_owned).to_vec(), "missing gates")?;
    pass_gates(store, &world, content).await?;
    let by_agent = EnableSchedule {
        change: change(&world, "agent:codex".parse()?),
        lane_permits: true,
    };
    let Err(StoreError::Denied(denial)) = store.schedule_enable(by_agent).await else {
        return Err(Failure::new("an agent enabled a schedule".to_owned()));
    };
    equal(&denial.code, &ErrorCode::Forbidden, "an agent that enables")?;
    let report = store.gates_get(&Lane::PROD, JOB).await?;
    let met = report.gates.iter().all(|gate| gate.met);
    equal(&(met, report.content), &(true, Some(content)), "the gates")?;
    let by_person = enable(store, &world).await?;
    equal(&by_person.state, &ScheduleState::Enabled, "by a person")
}

/// D-SCHED-2: evidence is about what the lane points to, and only a person vouches for a run, one of it.
pub(super) async fn evidence_is_about_what_is_live(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let content = promoted(store, &world, Overlap::Skip).await?;
    let other = ContentId::of_bytes(b"something else");
    let of_other = evidence(&world, Gate::EgressVerified, other, ada());
    let refused = store.evidence_record(of_other, None).await;
    check_err!(refused, StoreError::Denied(_), "evidence of other content");
    let good = ended(store, &world, run_of(&world, content), None).await?;
    let of_another = ended(store, &world, run_of(&world, other), None).await?;
    let verified = |by| evidence(&world, Gate::FirstRunVerified, content, by);
    for (by, run, what) in [
        (ada(), None, "no run"),
        (ada(), Some(of_another), "a run of other content"),
        ("agent:codex".parse()?, Some(good), "an agent's word"),
    ] {
        let refused = store.evidence_record(verified(by), run).await;
        check!(
            matches!(refused, Err(StoreError::Denied(_))),
            "{what}: {refused:?}"
        );
    }
    store.evidence_record(verified(ada()), Some(good)).await?;
    let gates = store.gates_get(&Lane::PROD, JOB).await?.gates;
    let met: Vec<Gate> = gates.iter().filter(|g| g.met).map(|g| g.gate).collect();
    let wanted = [
        Gate::SpecApproved,
        Gate::ArtifactPromoted,
        Gate::FirstRunVerified,
    ];
    equal(&met, &wanted.to_vec(), "what is met")
}

/// D-RUN-7: whatever run of the source fails, no enabled schedule is left with a source that is not active.
pub(super) async fn schedules_follow_the_failures_of_their_source(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let (_, content) = enabled(store, &world, Overlap::Skip).await?;
    let run = Run {
        schedule: Some(ScheduledStart {
            schedule: id(),
            fire_at: world.now(),
        }),
        ..run_of(&world, content)
    };
    ended(store, &world, run, Some(FailureClass::Auth)).await?;
    let source = store.source_get(SOURCE).await?.map(|source| source.state);
    equal(
        &(state(store).await?, source),
        &(
            Some(ScheduleState::Disabled),
            Some(SourceState::NeedsReauth),
        ),
        "after an authentication failure",
    )?;
    let refused = enable(store, &world).await;
    let Err(StoreError::Denied(denial)) = refused else {
        return Err(Failure::new(format!("enabled all the same: {refused:?}")));
    };
    let named: Vec<&str> = denial.details.iter().map(|d| d.at.as_str()).collect();
    equal(&named, &vec!["source"], "what keeps it from being enabled")
}

/// D-RUN-7: a leaked secret disables every schedule, also those of other jobs and sources.
pub(super) async fn a_leak_disables_every_schedule(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    enabled(store, &world, Overlap::Skip).await?;
    let elsewhere = Shape {
        job: "another",
        source: Some("amex"),
        ..Shape::default()
    };
    let run = world.started(store, &elsewhere).await?;
    let leak = failure(FailureClass::Leak);
    store.attempt_finish(world.finish(&run, leak)).await?;
    equal(
        &state(store).await?,
        &Some(ScheduleState::Disabled),
        "after a leak",
    )
}

/// A paused schedule is resumed by a person, without new gates, and repeats nothing.
pub(super) async fn a_paused_schedule_is_resumed_by_a_person(
    subject: Subject,
) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    let (_, content) = enabled(store, &world, Overlap::Skip).await?;
    let run = Run {
        source_id: None,
        schedule: Some(ScheduledStart {
            schedule: id(),
            fire_at: world.now(),
        }),
        ..run_of(&world, content)
    };
    ended(store, &world, run, Some(FailureClass::Timeout)).await?;
    equal(
        &state(store).await?,
        &Some(ScheduleState::Paused),
        "after a timeout",
    )?;
    let by_agent = store
        .schedule_resume(change(&world, "agent:codex".parse()?))
        .await;
    check_err!(by_agent, StoreError::Denied(_), "an agent that resumes");
    let resumed = store.schedule_resume(change(&world, ada())).await?;
    equal(
        &(resumed.state, resumed.failed_in_a_row),
        &(ScheduleState::Enabled, 0),
        "resumed by a person",
    )
}

/// D-SCHED-4: disabling is done by anyone, as often as they like, and writes once.
pub(super) async fn disabling_always_succeeds(subject: Subject) -> Result<(), Failure> {
    let (store, world) = (subject.open().await?, World::default());
    let store = store.as_ref();
    enabled(store, &world, Overlap::Skip).await?;
    let disabled = store.schedule_disable(disable(&world)).await?;
    let states: Vec<_> = disabled.iter().map(|found| found.state).collect();
    equal(&states, &vec![ScheduleState::Disabled], "disabled")?;
    let logs = store.audit_head().await?;
    let again = store.schedule_disable(disable(&world)).await?;
    equal(&again, &disabled, "disabled again")?;
    equal(&store.audit_head().await?, &logs, "the trail after it")?;
    let all = DisableSchedules {
        scope: moorline_core::stop::StopScope::All,
        ..disable(&world)
    };
    equal(&store.schedule_disable(all).await?, &disabled, "all")
}
