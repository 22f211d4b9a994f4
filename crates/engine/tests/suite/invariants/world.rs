//! A world: an engine with its store, its executor and its clock, jobs on the disk, and what is known of the
//! past that the store does not keep. What is done in it is in `acts`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use moorline_api::secrets::{SecretInput, SecretSetRequest};
use moorline_api::{ControlPlane as _, RunRequest, SecretOperations as _};
use moorline_core::clock::{ManualClock, SeededIds};
use moorline_core::config::Settings;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::RunStatus;
use moorline_core::ids::{ArtifactId, RunId};
use moorline_core::principal::{Principal, Role};
use moorline_core::run::Run;
use moorline_core::schedule::{ScheduleDocument, ScheduleId};
use moorline_core::spec;
use moorline_core::stop::StopScope;
use moorline_engine::{Engine, EngineConfig, StateDirs, Vault};
use moorline_secrets::SourceChain;
use moorline_store::{RunFilter, SqliteStore, Store};
use serde_json::json;
use tempfile::TempDir;

use crate::invariants::executor::Stage;
use crate::invariants::plan::{Job, Lane, Scope, Who};

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
    pub(crate) clock: Arc<ManualClock>,
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

    /// Drives every run that can end to its end, and every other one until it is launched.
    pub(crate) async fn settle(&self) {
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
    pub(crate) async fn note_approved(&mut self) {
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
