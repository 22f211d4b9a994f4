//! The invariants, as checks of a world. Each says its number when it is broken.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use moorline_api::{
    ArtifactOperations as _, AuditVerifyRequest, TrailOperations as _, VerifyRequest,
};
use moorline_core::artifact::DecisionKind;
use moorline_core::attempt::{Exit, Outcome};
use moorline_core::audit::{AuditRecord, ChainVerifier};
use moorline_core::content_id::ContentId;
use moorline_core::error_code::{RunStatus, SourceState};
use moorline_core::run::Run;
use moorline_core::schedule::{Schedule, ScheduleDocument, ScheduleState};
use moorline_core::spec::JobSpec;
use moorline_store::ScheduleFilter;

use crate::invariants::plan::{Job, Lane};
use crate::invariants::world::{World, key, secret};

/// What is checked after each operation.
pub(crate) async fn after_each(world: &World) {
    let schedules = world
        .engine
        .store()
        .schedules_list(ScheduleFilter::default())
        .await
        .unwrap();
    // Before the first, which it would break as well.
    needs_reauth_implies_disabled(world, &schedules).await;
    for schedule in schedules
        .iter()
        .filter(|s| s.state == ScheduleState::Enabled)
    {
        enabled_implies(world, schedule).await;
        enabled_equals(world, schedule);
    }
    approved_hashes_stay(world).await;
    only_people_decided(world).await;
    nothing_starts_after_a_stop(world).await;
    let runs = world.runs().await;
    exports_are_the_fold(world, &runs);
    attempts_keep_their_limits(world, &runs).await;
    one_summary_each(world, &runs).await;
    secrets_stay_in_their_place(world, &runs).await;
}

/// What is checked when the plan is done, because it reads everything.
pub(crate) async fn at_the_end(world: &World) {
    for artifact in world.approved.keys() {
        let request = VerifyRequest {
            artifact: Some(artifact.to_string()),
            ..VerifyRequest::default()
        };
        let report = world.engine.artifact_verify(request).await.unwrap();
        assert!(report.intact, "invariant 3 is broken: {report:?}");
    }
    no_secret_in_any_sink(world);
    the_chain_holds_and_tampering_is_found(world).await;
}

/// 1
async fn enabled_implies(world: &World, schedule: &Schedule) {
    let store = world.engine.store();
    let id = &schedule.id;
    let artifact = store
        .artifact_get(schedule.artifact)
        .await
        .unwrap()
        .unwrap();
    assert!(
        artifact.state.was_approved(),
        "invariant 1 is broken: {id} is enabled and its artifact is {}",
        artifact.state
    );
    let report = store.gates_get(id.lane(), id.job_id()).await.unwrap();
    let missing: Vec<_> = report.gates.iter().filter(|gate| !gate.met).collect();
    assert!(
        missing.is_empty(),
        "invariant 1 is broken: {id} is enabled without {missing:?}"
    );
    let live = store
        .live_get(id.lane(), id.job_id())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        live.content, schedule.content,
        "invariant 1 is broken: {id} is not what is live"
    );
    for stop in store.stops_list().await.unwrap() {
        let covers = stop
            .scope
            .covers_schedule(id, schedule.source_id.as_deref());
        assert!(
            !covers,
            "invariant 1 is broken: {id} is enabled under {stop}"
        );
    }
    for source in store.sources_list().await.unwrap() {
        if Some(&source.source_id) == schedule.source_id.as_ref() {
            let state = source.state;
            assert_eq!(
                state,
                SourceState::Active,
                "invariant 1 is broken: {id}'s source"
            );
        }
    }
}

/// 2
fn enabled_equals(world: &World, schedule: &Schedule) {
    let kept = kept(world, &schedule.content);
    let read = |name: &str| fs::read(kept.join(name)).unwrap();
    let file: ScheduleDocument = serde_json::from_slice(&read("SCHEDULE.json")).unwrap();
    assert_eq!(
        file, schedule.document,
        "invariant 2 is broken: SCHEDULE.json"
    );
    let spec: JobSpec = moorline_core::spec::load(&read("job_spec.json")).unwrap();
    let hash = spec.canonical_hash().unwrap();
    let cadence = ScheduleDocument::of(&spec, hash);
    assert_eq!(
        cadence.as_ref(),
        Some(&schedule.document),
        "invariant 2 is broken: cadence"
    );
}

/// 3
async fn approved_hashes_stay(world: &World) {
    for (id, content) in &world.approved {
        let artifact = world
            .engine
            .store()
            .artifact_get(*id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            artifact.content, *content,
            "invariant 3 is broken: {id} has other content"
        );
    }
}

/// 5
async fn only_people_decided(world: &World) {
    let store = world.engine.store();
    for id in world.approved.keys() {
        let artifact = store.artifact_get(*id).await.unwrap().unwrap();
        let approval = artifact
            .decisions
            .iter()
            .find(|d| d.kind == DecisionKind::Approve);
        let approval = approval.unwrap_or_else(|| panic!("invariant 5 is broken: {id}: nobody"));
        assert!(
            approval.by.is_human(),
            "invariant 5 is broken: {} approved",
            approval.by
        );
    }
    for promotion in store.live_list().await.unwrap() {
        assert!(
            promotion.by.is_human(),
            "invariant 5 is broken: {} promoted",
            promotion.by
        );
    }
    for schedule in store
        .schedules_list(ScheduleFilter::default())
        .await
        .unwrap()
    {
        let enabled = schedule.state == ScheduleState::Enabled;
        let by = &schedule.by;
        assert!(
            !enabled || by.is_human(),
            "invariant 5 is broken: {by} enabled"
        );
    }
}

/// 6
async fn nothing_starts_after_a_stop(world: &World) {
    let runs: BTreeMap<_, Run> = world
        .runs()
        .await
        .into_iter()
        .map(|run| (run.id, run))
        .collect();
    let launches = world.stage.launches();
    for stop in &world.stops {
        for launch in launches.iter().filter(|launch| launch.order > stop.order) {
            let covered = runs
                .get(&launch.run)
                .is_some_and(|run| stop.scope.covers(run));
            assert!(
                !covered,
                "invariant 6 is broken: run {} was launched after the stop of {}",
                launch.run, stop.scope
            );
        }
    }
}

/// 8
async fn needs_reauth_implies_disabled(world: &World, schedules: &[Schedule]) {
    for source in world.engine.store().sources_list().await.unwrap() {
        if source.state != SourceState::NeedsReauth {
            continue;
        }
        let of_it = |s: &&Schedule| s.source_id.as_ref() == Some(&source.source_id);
        for schedule in schedules.iter().filter(of_it) {
            let (id, state) = (&schedule.id, schedule.state);
            assert_eq!(
                state,
                ScheduleState::Disabled,
                "invariant 8 is broken: {id}"
            );
        }
    }
}

/// 9 and 16: a run's outputs are published when it succeeded, and only then.
fn exports_are_the_fold(world: &World, runs: &[Run]) {
    for job in Job::ALL {
        let mut published: BTreeSet<String> = BTreeSet::new();
        let mut latest = None;
        let directory = world.dirs.exports().join(job.id());
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if name == "latest" {
                latest = fs::read_link(entry.path()).ok();
            } else {
                published.insert(name);
            }
        }
        let of_job = || runs.iter().filter(|run| run.job_id == job.id());
        for run in of_job().filter(|run| run.status == RunStatus::Failed) {
            let is_there = published.contains(&run.id.to_string());
            assert!(
                !is_there,
                "invariant 9 is broken: run {} failed and is exported",
                run.id
            );
        }
        let fold: BTreeSet<String> = of_job()
            .filter(|run| run.status == RunStatus::Success)
            .map(|run| run.id.to_string())
            .collect();
        assert_eq!(
            published,
            fold,
            "invariant 16 is broken: exports of {}",
            job.id()
        );
        let newest = fold.last().map(Into::into);
        assert_eq!(
            latest,
            newest,
            "invariant 16 is broken: latest of {}",
            job.id()
        );
    }
}

/// 10
async fn attempts_keep_their_limits(world: &World, runs: &[Run]) {
    for run in runs {
        let attempts = world.engine.store().attempts_list(run.id).await.unwrap();
        for step in &run.steps {
            let made: Vec<_> = attempts.iter().filter(|a| a.step == step.name).collect();
            let most = step.retries.max as usize + 1;
            assert!(
                made.len() <= most,
                "invariant 10 is broken: {} attempts of {most} in run {}",
                made.len(),
                run.id
            );
            for earlier in made.iter().take(made.len().saturating_sub(1)) {
                let outcome: Outcome =
                    serde_json::from_value(earlier.outcome.clone().unwrap()).unwrap();
                let never = matches!(
                    outcome.exit,
                    Exit::Exited {
                        code: 0 | 65 | 77 | 78
                    }
                );
                assert!(
                    !never,
                    "invariant 10 is broken: again after {:?}",
                    outcome.exit
                );
            }
        }
    }
}

/// 11
async fn one_summary_each(world: &World, runs: &[Run]) {
    for run in runs {
        let summary = world.engine.store().summary_get(run.id).await.unwrap();
        let over = run.status.is_terminal();
        assert_eq!(
            summary.is_some(),
            over,
            "invariant 11 is broken: run {} is {:?}",
            run.id,
            run.status
        );
        if let Some(summary) = summary {
            assert_eq!(
                summary.status, run.status,
                "invariant 11 is broken: {}",
                run.id
            );
        }
    }
}

/// 12
fn no_secret_in_any_sink(world: &World) {
    let mut needles = Vec::new();
    for job in Job::ALL {
        for lane in Lane::ALL {
            let value = secret(job, lane);
            let hex = value
                .bytes()
                .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
            needles.push(STANDARD.encode(&value).trim_end_matches('=').to_owned());
            needles.push(hex);
            needles.push(value);
        }
    }
    search(world.root(), &needles);
}

fn search(path: &Path, needles: &[String]) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            search(&path, needles);
        } else if let Ok(bytes) = fs::read(&path) {
            let text = String::from_utf8_lossy(&bytes);
            let found = needles.iter().any(|needle| text.contains(needle.as_str()));
            assert!(
                !found,
                "invariant 12 is broken: a secret is in {}",
                path.display()
            );
        }
    }
}

/// 13 and 14
async fn secrets_stay_in_their_place(world: &World, runs: &[Run]) {
    for launch in world.stage.launches() {
        let Some(run) = runs.iter().find(|run| run.id == launch.run) else {
            continue;
        };
        let text = world
            .engine
            .store()
            .spec_get(&run.spec_hash)
            .await
            .unwrap()
            .unwrap();
        let spec: JobSpec = serde_json::from_str(&text).unwrap();
        let asked = |name: &String| spec.steps().iter().any(|step| step.secrets.contains(name));
        let declared: BTreeSet<&str> = spec
            .secrets
            .iter()
            .filter(|secret| asked(&secret.name))
            .flat_map(|secret| secret.keys.iter().map(String::as_str))
            .collect();
        for (key_given, value) in &launch.secrets {
            assert!(
                declared.contains(key_given.as_str()),
                "invariant 13 is broken: run {} was given {key_given}",
                run.id
            );
            for job in Job::ALL.into_iter().filter(|job| key(*job) == *key_given) {
                let foreign = Lane::ALL
                    .into_iter()
                    .filter(|lane| lane.name() != launch.lane);
                for lane in foreign {
                    assert!(
                        *value != secret(job, lane),
                        "invariant 14 is broken: a run in {} was given what is {}'s",
                        launch.lane,
                        lane.name()
                    );
                }
            }
        }
    }
}

/// 15
async fn the_chain_holds_and_tampering_is_found(world: &World) {
    let report = world
        .engine
        .audit_verify(AuditVerifyRequest::default())
        .await
        .unwrap();
    assert!(
        report.intact,
        "invariant 15 is broken: {:?}",
        report.problem
    );
    let store = world.engine.store();
    let records = store.audit_list(0, 100_000).await.unwrap();
    let head = store.audit_head().await.unwrap();
    let verifies = |records: &[AuditRecord]| {
        let mut chain = ChainVerifier::default();
        let whole = records.iter().try_for_each(|record| chain.push(record));
        whole.is_ok() && chain.finish(head.id, &head.hash).is_ok()
    };
    assert!(
        verifies(&records),
        "invariant 15 is broken: the records do not verify"
    );
    // Every place is tampered with once, in a way that depends on the place.
    for place in 0..records.len() {
        let mut tampered = records.clone();
        match place % 4 {
            0 => "human:mallory".clone_into(&mut tampered[place].actor),
            1 => tampered[place].data = serde_json::json!({"changed": true}),
            2 => drop(tampered.remove(place)),
            _ => tampered.swap(place, place - 1),
        }
        assert!(
            !verifies(&tampered),
            "invariant 15 is broken: record {place} can be changed"
        );
    }
}

/// Where the content of an artifact is kept.
fn kept(world: &World, content: &ContentId) -> std::path::PathBuf {
    world
        .dirs
        .artifacts()
        .join(content.to_string().replace(':', "-"))
}
