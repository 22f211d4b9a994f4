//! A world: an engine with its store, its executor and its clock, jobs on the disk, and what is known of the
//! past that the store does not keep.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use moorline_api::secrets::{SecretInput, SecretSetRequest};
use moorline_api::{
    ApiError, ArtifactOperations as _, ArtifactSubmitRequest, ControlPlane as _, DecisionRequest,
    GateRequest, PromoteRequest, PromotionView, ReleaseRequest, RollbackRequest, RunRequest,
    ScheduleChangeRequest, ScheduleDisableRequest, ScheduleOperations as _, SecretOperations as _,
    SourceChangeRequest, SourceOperations as _, SourceResumeRequest, StopRequest, SubmitRequest,
    VerifyRunRequest,
};
use moorline_core::clock::{ManualClock, SeededIds};
use moorline_core::config::Settings;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::RunStatus;
use moorline_core::ids::{ArtifactId, RunId};
use moorline_core::principal::{Principal, Role};
use moorline_core::run::Run;
use moorline_core::schedule::{ScheduleDocument, ScheduleId, ScheduleState};
use moorline_core::spec::{self, Mode};
use moorline_core::stop::StopScope;
use moorline_engine::{Engine, EngineConfig, StateDirs, Vault};
use moorline_secrets::SourceChain;
use moorline_store::{RunFilter, SqliteStore, Store};
use serde_json::json;
use tempfile::TempDir;

use crate::executor::Stage;
use crate::plan::{Job, Lane, Op, Scope, Step, Who};

/// When every world begins.
const BEGINNING: &str = "2026-03-07T22:10:00Z";
/// How long a run that can end may take to be driven to its end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stop that was acknowledged and is in force.
#[derive(Debug)]
pub(crate) struct Engaged {
    pub(crate) scope: StopScope,
    /// The moment of the acknowledgement, in the executor's order of launches.
    pub(crate) order: u64,
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) stage: Arc<Stage>,
    pub(crate) dirs: StateDirs,
    clock: Arc<ManualClock>,
    jobs: PathBuf,
    pub(crate) stops: Vec<Engaged>,
    /// Content of each artifact, as it was when somebody first saw it approved.
    pub(crate) approved: BTreeMap<ArtifactId, ContentId>,
    home: TempDir,
}

/// The value of a job's secret in a lane: what must not be found anywhere, and not in another lane.
pub(crate) fn secret(job: Job, lane: Lane) -> String {
    format!("canary-{}-{}-9f2c71d0", job.id(), lane.name())
}

pub(crate) fn principal(who: Who) -> Principal {
    who.name().parse().unwrap()
}

pub(crate) fn schedule_id(job: Job, lane: Lane) -> ScheduleId {
    ScheduleId::new(lane.name().parse().unwrap(), job.id())
}

impl World {
    pub(crate) async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let dirs = StateDirs::new(home.path().join("state"));
        dirs.create().unwrap();
        let clock = Arc::new(ManualClock::new(BEGINNING.parse().unwrap()));
        let stage = Stage::new(home.path().join("stage"), Arc::<ManualClock>::clone(&clock));
        let jobs = home.path().join("jobs");
        for job in Job::ALL {
            for version in 1..=3 {
                write_job(&jobs, job, version);
            }
        }
        let mut config = EngineConfig::embedded(dirs.clone());
        // Runs without end must not keep others from beginning.
        config.capacity = 256;
        "stage".clone_into(&mut config.default_executor);
        config.settings = Arc::new(settings());
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&dirs.store()).unwrap());
        let ids = Arc::new(SeededIds::new(7));
        let vault = Vault::file(&config.settings, dirs.root());
        let none = Arc::new(SourceChain::new());
        let engine = Engine::builder(config, store, none, Arc::<ManualClock>::clone(&clock), ids)
            .vault(vault)
            .executor("stage", Arc::<Stage>::clone(&stage))
            .build();
        set_secrets(&engine).await;
        Self {
            engine,
            stage,
            dirs,
            clock,
            jobs,
            stops: Vec::new(),
            approved: BTreeMap::new(),
            home,
        }
    }

    /// Does one step. Most operations are refused most of the time; what an invariant says of an answer is
    /// checked here, everything else later.
    pub(crate) async fn act(&mut self, step: &Step) {
        let who = step.who;
        match step.op {
            Op::BringLive(job, version, lane) => {
                Box::pin(self.bring_live(job, version, lane, who)).await;
            }
            Op::Submit(job, version) => drop(self.submit(job, version, who).await),
            Op::Approve(job) => {
                let done = self.engine.artifact_approve(decision(job, who)).await;
                only_people(who, done.is_ok(), "approve");
            }
            Op::Reject(job) => drop(self.engine.artifact_reject(decision(job, who)).await),
            Op::RequestChanges(job) => {
                drop(
                    self.engine
                        .artifact_request_changes(decision(job, who))
                        .await,
                );
            }
            Op::SecurityReview(job) => {
                drop(
                    self.engine
                        .artifact_security_review(decision(job, who))
                        .await,
                );
            }
            Op::Archive(job) => drop(self.engine.artifact_archive(decision(job, who)).await),
            Op::Promote(job, lane) => self.promote_twice(job, lane, who).await,
            Op::Rollback(job, lane) => self.roll_back(job, lane, who).await,
            Op::CheckSecrets(job, lane) => {
                drop(self.engine.gate_check_secrets(gate(job, lane, who)).await);
            }
            Op::ProbeEgress(job, lane) => {
                drop(self.engine.gate_probe_egress(gate(job, lane, who)).await);
            }
            Op::VerifyRun(job, lane) => self.verify_run(job, lane, who).await,
            Op::Enable(job, lane) => {
                let done = self.engine.schedule_enable(change(job, lane, who)).await;
                only_people(who, done.is_ok(), "enable");
            }
            Op::Resume(job, lane) => {
                let done = self.engine.schedule_resume(change(job, lane, who)).await;
                only_people(who, done.is_ok(), "resume");
            }
            Op::Disable(job, lane) => self.disable(job, lane, who).await,
            Op::RunNow(job, lane) => {
                drop(self.engine.schedule_run_now(change(job, lane, who)).await);
            }
            Op::Run(job, version, lane) => drop(self.run(job, version, lane, who).await),
            Op::Pass { minutes } => {
                self.clock
                    .advance(Duration::from_secs(u64::from(minutes) * 60));
                self.engine.schedule_tick().await.unwrap();
            }
            Op::Play(job, play) => self.stage.play(job.source(), play),
            Op::Try(job, play) => {
                self.stage.play(job.source(), play);
                drop(self.run(job, 1, Lane::Dev, who).await);
            }
            Op::Stop(scope) => self.stop(scope, who).await,
            Op::Release(scope) => self.release(scope, who).await,
            Op::PauseSource(job) => {
                let request = SourceChangeRequest {
                    source_id: job.source().to_owned(),
                    actor: principal(who),
                    reason: "not now".to_owned(),
                };
                drop(self.engine.source_pause(request).await);
            }
            Op::ResumeSource(job) => {
                let request = SourceResumeRequest {
                    source_id: job.source().to_owned(),
                    actor: principal(who),
                    reason: "looked into".to_owned(),
                    looked_into: true,
                };
                drop(self.engine.source_resume(request).await);
            }
        }
        Box::pin(self.settle()).await;
        self.note_approved().await;
    }

    async fn submit(&self, job: Job, version: u32, who: Who) -> Result<ArtifactId, ApiError> {
        let request = ArtifactSubmitRequest {
            dir: self.directory(job, version),
            note: None,
            actor: principal(who),
        };
        let submitted = self.engine.artifact_submit(request).await?;
        Ok(submitted.artifact.id)
    }

    /// From a directory to an enabled schedule; a refusal on the way leaves the rest undone.
    async fn bring_live(&mut self, job: Job, version: u32, lane: Lane, who: Who) {
        drop(self.submit(job, version, Who::Agent).await);
        drop(self.engine.artifact_approve(decision(job, who)).await);
        drop(
            self.engine
                .artifact_security_review(decision(job, who))
                .await,
        );
        self.promote_twice(job, lane, who).await;
        drop(self.engine.gate_check_secrets(gate(job, lane, who)).await);
        drop(self.engine.gate_probe_egress(gate(job, lane, who)).await);
        drop(self.engine.schedule_run_now(change(job, lane, who)).await);
        Box::pin(self.settle()).await;
        self.verify_run(job, lane, who).await;
        let done = self.engine.schedule_enable(change(job, lane, who)).await;
        only_people(who, done.is_ok(), "enable");
    }

    /// Promotes, and promotes again: the second time nothing is written (invariant 4).
    async fn promote_twice(&self, job: Job, lane: Lane, who: Who) {
        let Ok(first) = self.promote(job, lane, who).await else {
            return;
        };
        only_people(who, true, "promote");
        let before = self.promotions(job, lane).await;
        let again = self.promote(job, lane, who).await;
        let again = again.expect("invariant 4 is broken: promoting again is refused");
        assert!(
            !again.changed,
            "invariant 4 is broken: promoting again changed something"
        );
        assert_eq!(again.promotion, first.promotion, "invariant 4 is broken");
        assert_eq!(
            self.promotions(job, lane).await,
            before,
            "invariant 4 is broken"
        );
    }

    async fn promote(&self, job: Job, lane: Lane, who: Who) -> Result<PromotionView, ApiError> {
        let request = PromoteRequest {
            artifact: format!("latest:{}", job.id()),
            lane: Some(lane.name().to_owned()),
            reason: "reviewed".to_owned(),
            actor: principal(who),
        };
        self.engine.artifact_promote(request).await
    }

    async fn promotions(&self, job: Job, lane: Lane) -> Vec<(ArtifactId, ContentId)> {
        let lane = lane.name().parse().unwrap();
        let listed = self
            .engine
            .store()
            .promotions_list(Some(&lane), job.id())
            .await;
        let pointed = listed.unwrap().into_iter();
        pointed.map(|p| (p.artifact, p.content)).collect()
    }

    /// Rolls back to what the lane pointed to before, which it then points to exactly (invariant 4).
    async fn roll_back(&self, job: Job, lane: Lane, who: Who) {
        let before = self.promotions(job, lane).await;
        let request = RollbackRequest {
            job_id: job.id().to_owned(),
            to: None,
            lane: Some(lane.name().to_owned()),
            reason: "worse than before".to_owned(),
            actor: principal(who),
        };
        let Ok(done) = self.engine.artifact_rollback(request).await else {
            return;
        };
        only_people(who, true, "roll back");
        let lane_name = lane.name().parse().unwrap();
        let live = self
            .engine
            .store()
            .live_get(&lane_name, job.id())
            .await
            .unwrap()
            .unwrap();
        let restored = (done.promotion.artifact, done.promotion.content);
        assert_eq!(
            (live.artifact, live.content),
            restored,
            "invariant 4 is broken: the lane points elsewhere"
        );
        assert!(
            before.contains(&restored),
            "invariant 4 is broken: it never pointed there"
        );
        assert_ne!(
            before.last(),
            Some(&restored),
            "invariant 4 is broken: nothing was rolled back"
        );
        assert!(
            done.verified.intact,
            "invariant 4 is broken: {:?}",
            done.verified
        );
        let schedule = self
            .engine
            .store()
            .schedule_get(&schedule_id(job, lane))
            .await
            .unwrap();
        if let Some(schedule) = schedule {
            let state = schedule.state;
            assert_eq!(
                state,
                ScheduleState::Disabled,
                "invariant 4 is broken: left {state}"
            );
        }
    }

    async fn verify_run(&self, job: Job, lane: Lane, who: Who) {
        let filter = RunFilter {
            job_id: Some(job.id().to_owned()),
            ..RunFilter::default()
        };
        let runs = self.engine.store().runs_list(filter).await.unwrap();
        let Some(run) = runs.iter().find(|run| run.lane.as_str() == lane.name()) else {
            return;
        };
        let request = VerifyRunRequest {
            schedule: schedule_id(job, lane),
            run: run.id.to_string(),
            actor: principal(who),
            note: "as expected".to_owned(),
        };
        let done = self.engine.gate_verify_run(request).await;
        only_people(who, done.is_ok(), "verify a run");
    }

    /// Whoever works here can disable, always (invariant 7).
    async fn disable(&self, job: Job, lane: Lane, who: Who) {
        let request = ScheduleDisableRequest {
            scope: StopScope::Schedule(schedule_id(job, lane)),
            actor: principal(who),
            reason: "not now".to_owned(),
        };
        let done = self.engine.schedule_disable(request).await;
        if who == Who::Viewer {
            assert!(done.is_err(), "a viewer changed something");
            return;
        }
        let exists = self
            .engine
            .store()
            .schedule_get(&schedule_id(job, lane))
            .await
            .unwrap();
        let Some(schedule) = exists else {
            return;
        };
        assert!(done.is_ok(), "invariant 7 is broken: {:?}", done.err());
        let state = schedule.state;
        assert_eq!(
            state,
            ScheduleState::Disabled,
            "invariant 7 is broken: it is {state}"
        );
    }

    async fn run(&self, job: Job, version: u32, lane: Lane, who: Who) -> Result<(), ApiError> {
        let request = SubmitRequest {
            job: self.directory(job, version),
            lane: Some(lane.name().to_owned()),
            mode: Some(Mode::Real),
            actor: principal(who),
            ..SubmitRequest::default()
        };
        self.engine.run_submit(request).await.map(drop)
    }

    async fn stop(&mut self, scope: Scope, who: Who) {
        let scope: StopScope = scope.text().parse().unwrap();
        let request = StopRequest {
            scope: scope.clone(),
            actor: principal(who),
            reason: "looks wrong".to_owned(),
            grace_seconds: Some(0.0),
        };
        if self.engine.stop(request).await.is_ok() {
            let order = self.stage.now();
            self.stops.push(Engaged { scope, order });
        }
    }

    async fn release(&mut self, scope: Scope, who: Who) {
        let scope: StopScope = scope.text().parse().unwrap();
        let request = ReleaseRequest {
            scope: scope.clone(),
            actor: principal(who),
            reason: "looked into".to_owned(),
        };
        if self.engine.release(request).await.is_ok() {
            only_people(who, true, "release");
            self.stops.retain(|stop| stop.scope != scope);
        }
    }

    /// Drives every run that can end to its end, and every other one until it is launched.
    async fn settle(&self) {
        // Sources that play without end keep their runs; whatever is due behind them must not wait for it.
        Box::pin(self.engine.resume_all()).await.unwrap();
        let settled = async {
            loop {
                let open = self.open_runs().await;
                let moving: Vec<RunId> = open
                    .iter()
                    .filter(|run| !self.rests(run))
                    .map(|run| run.id)
                    .collect();
                let Some(id) = moving.first() else {
                    // What follows from a run's end is carried out behind it.
                    if self
                        .engine
                        .store()
                        .outbox_pending(None)
                        .await
                        .unwrap()
                        .is_empty()
                    {
                        return;
                    }
                    tokio::task::yield_now().await;
                    continue;
                };
                let request = RunRequest {
                    run: id.to_string(),
                };
                let short = Duration::from_millis(50);
                // One that plays without end is only waited for until it runs.
                drop(tokio::time::timeout(short, self.engine.run_wait(request)).await);
            }
        };
        let done = tokio::time::timeout(PATIENCE, settled).await;
        assert!(
            done.is_ok(),
            "runs do not come to rest: {:#?}",
            self.open_runs().await
        );
    }

    /// Whether a run that is not over will stay as it is: its attempt plays without end.
    fn rests(&self, run: &Run) -> bool {
        let live = run.attempt.as_ref();
        live.is_some_and(|live| live.handle.is_some() && self.stage.plays_on(live.id))
    }

    pub(crate) async fn open_runs(&self) -> Vec<Run> {
        let filter = RunFilter {
            statuses: vec![RunStatus::Queued, RunStatus::Running],
            limit: 1_000,
            ..RunFilter::default()
        };
        self.engine.store().runs_list(filter).await.unwrap()
    }

    pub(crate) async fn runs(&self) -> Vec<Run> {
        let filter = RunFilter {
            limit: 10_000,
            ..RunFilter::default()
        };
        self.engine.store().runs_list(filter).await.unwrap()
    }

    /// Remembers the content of what is approved, the first time that it is seen so.
    async fn note_approved(&mut self) {
        let filter = moorline_store::ArtifactFilter {
            limit: 1_000,
            ..moorline_store::ArtifactFilter::default()
        };
        for artifact in self.engine.store().artifacts_list(filter).await.unwrap() {
            if artifact.state.was_approved() {
                self.approved.entry(artifact.id).or_insert(artifact.content);
            }
        }
    }

    pub(crate) fn directory(&self, job: Job, version: u32) -> PathBuf {
        self.jobs.join(format!("{}-{version}", job.id()))
    }

    /// Everything that was written, by path.
    pub(crate) fn root(&self) -> &Path {
        self.home.path()
    }

    /// Ends what still plays, so that nothing is left behind.
    pub(crate) async fn end(mut self) {
        self.stop(Scope::All, Who::Ada).await;
        self.engine.drain().await;
    }
}

/// Invariant 5: only people who may decide have decided.
fn only_people(who: Who, done: bool, what: &str) {
    assert!(
        !done || who.decides(),
        "invariant 5 is broken: {} could {what}",
        who.name()
    );
}

fn decision(job: Job, who: Who) -> DecisionRequest {
    DecisionRequest {
        artifact: format!("latest:{}", job.id()),
        reason: "looked at".to_owned(),
        changes: vec!["say more in the runbook".to_owned()],
        actor: principal(who),
        lane: None,
        signature: None,
    }
}

fn gate(job: Job, lane: Lane, who: Who) -> GateRequest {
    GateRequest {
        schedule: schedule_id(job, lane),
        actor: principal(who),
    }
}

fn change(job: Job, lane: Lane, who: Who) -> ScheduleChangeRequest {
    ScheduleChangeRequest {
        schedule: schedule_id(job, lane),
        actor: principal(who),
        reason: "it is time".to_owned(),
    }
}

/// Gives each job its secret in each lane, and each lane another value. The spare one is declared by both
/// jobs, and no step asks for it.
async fn set_secrets(engine: &Engine) {
    for lane in Lane::ALL {
        let mut all = Job::ALL
            .map(|job| (job.id(), key(job), secret(job, lane)))
            .to_vec();
        all.push((
            "spare",
            "SPARE_KEY".to_owned(),
            format!("spare-{}", lane.name()),
        ));
        for (name, key, value) in all {
            let request = SecretSetRequest {
                lane: Some(lane.name().to_owned()),
                secret: format!("{name}-token"),
                values: BTreeMap::from([(key, SecretInput::from(value))]),
                ttl_hours: None,
                warn_hours: None,
                source_id: None,
                actor: principal(Who::Ada),
                reason: None,
            };
            engine.secret_set(request).await.unwrap();
        }
    }
}

/// The key of a job's secret.
pub(crate) fn key(job: Job) -> String {
    format!("{}_KEY", job.id().to_uppercase())
}

/// Everyone but the viewer may do everything that a role can give: what is left is the kind.
fn settings() -> Settings {
    let roles = Who::ALL.map(|who| {
        let role = match who {
            Who::Viewer => Role::Viewer,
            _ => Role::Admin,
        };
        (principal(who), role)
    });
    Settings {
        principals: BTreeMap::from(roles),
        ..Settings::default()
    }
}

/// One version of a job: another cadence in each, and another text for people.
fn write_job(jobs: &Path, job: Job, version: u32) {
    let directory = jobs.join(format!("{}-{version}", job.id()));
    fs::create_dir_all(&directory).unwrap();
    let expr = ["0 * * * *", "30 * * * *", "15 */2 * * *"][version as usize - 1];
    let spec = json!({
        "job_id": job.id(),
        "version": version,
        "time_zone": "Europe/Berlin",
        "cadence": {"type": "cron", "expr": expr},
        "portfolio": {"entities": [{
            "source_id": job.source(),
            "tier_hint": 1,
            "preferred_methods": ["official_api"],
            "lookback_days": 1
        }]},
        "secrets": [
            {"name": job.id(), "type": "token", "keys": [key(job)]},
            {"name": "spare", "type": "token", "keys": ["SPARE_KEY"], "required": false}
        ],
        "steps": [{
            "name": "collect",
            "argv": ["collect"],
            "egress": "none",
            "secrets": [job.id()],
            "retries": {"max": 1, "initial_delay_seconds": 0},
            "outputs": [{"path": "transactions.jsonl", "schema": "tx_v1", "format": "jsonl"}]
        }]
    });
    let text = serde_json::to_vec_pretty(&spec).unwrap();
    let loaded = spec::load(&text).unwrap();
    let hash = loaded.canonical_hash().unwrap();
    let schedule = ScheduleDocument::of(&loaded, hash).unwrap();
    fs::write(directory.join("job_spec.json"), text).unwrap();
    let schedule = serde_json::to_vec_pretty(&schedule).unwrap();
    fs::write(directory.join("SCHEDULE.json"), schedule).unwrap();
    let runbook = format!("# Runbook\n\nVersion {version}.\n");
    fs::write(directory.join("RUNBOOK.md"), runbook).unwrap();
}
